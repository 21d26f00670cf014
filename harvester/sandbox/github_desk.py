"""Where requests come in: who asks, what it may still ask, what goes wrong, and what the answer carries."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import blake2b, sha256
from typing import Any, Protocol

import msgspec
from aiohttp import web

from harvester.sandbox.clock import SandboxClock
from harvester.sandbox.controls import http_date
from harvester.sandbox.faults import Faults
from harvester.sandbox.github_graphql import RefusedQueryError, answered, asked, limit_of
from harvester.sandbox.github_limits import Limits, Resource, SpentError
from harvester.sandbox.github_login import Caller, Logins
from harvester.sandbox.github_nodes import Context
from harvester.sandbox.github_pages import Listing, page
from harvester.sandbox.github_refusals import SECONDARY, RefusedError, json_response, not_found
from harvester.sandbox.github_rest import Call, answer, endpoint_of
from harvester.sandbox.github_settings import GitHubSandboxSettings
from harvester.sandbox.github_view import View
from harvester.sandbox.github_world import World
from harvester.sandbox.mishaps import SKEW, Mishaps
from harvester.sandbox.stats import Stats
from harvester.sandbox.zoom_login import Seal

GRAPHQL = "/graphql"
RATE_LIMIT = "/rate_limit"
TOKENS = "/app/installations/{id}/access_tokens"
ENDPOINT = web.RequestKey("endpoint", str)
_ENTERPRISE = "/api/v3"
_CALLER = web.RequestKey("caller", Caller)
_TIMEOUT = "We couldn't respond to your request in time. Sorry about that. Please try resubmitting your request."
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Endpoint = Callable[[web.Request], web.Response]


class Served(Protocol):
    """The sandbox behind the desk."""

    settings: GitHubSandboxSettings
    clock: SandboxClock
    faults: Faults
    stats: Stats
    world: World

    def moment(self) -> int: ...


class Desk:
    def __init__(self, sandbox: Served, *, ticker: Callable[[], float] = time.monotonic) -> None:
        settings, clock, stats = sandbox.settings, sandbox.clock, sandbox.stats
        self._sandbox = sandbox
        self._limits = Limits(stats, ticker=ticker)
        self._seal = Seal(settings.seed)
        self._logins = Logins(settings, clock, sandbox.world.team)
        too_many = msgspec.json.encode({"message": SECONDARY, "documentation_url": "https://docs.github.example/rest"})
        self._mishaps = Mishaps(settings, clock, sandbox.faults, stats, too_many=too_many, gateway=False, ticker=ticker)
        self._asked = 0

    def add_routes(self, app: web.Application) -> None:
        """The last of all: what no other route has is REST's."""
        app.on_response_prepare.append(self._dressed)
        for prefix in ("", _ENTERPRISE):
            app.router.add_post(prefix + TOKENS, self._refusable(self._grant))
        for path in (GRAPHQL, "/api/graphql"):
            app.router.add_post(path, self._refusable(self._graphql))
        app.router.add_get("/{path:.*}", self._refusable(self._rest))

    def _refusable(self, handler: Handler) -> Handler:
        async def handled(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except RefusedError as refusal:
                return refusal.response()

        return handled

    async def _grant(self, request: web.Request) -> web.StreamResponse:
        request[ENDPOINT] = TOKENS
        number = request.match_info["id"]

        async def endpoint(request: web.Request) -> web.Response:
            if not number.isdigit():
                raise not_found()
            return self._logins.grant(request, self._sandbox.settings, int(number))

        return await self._mishaps.met(request, endpoint)

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        """Raises RefusedError."""
        prefix = _ENTERPRISE if request.path.startswith(f"{_ENTERPRISE}/") else ""
        path = request.path.removeprefix(prefix)
        request[ENDPOINT] = RATE_LIMIT if path == RATE_LIMIT else endpoint_of(path)
        if path == RATE_LIMIT:
            return await self._admitted(request, "core", self._rates)
        return await self._admitted(request, "core", lambda request: self._found(request, prefix, path))

    async def _graphql(self, request: web.Request) -> web.StreamResponse:
        """Raises RefusedError."""
        request[ENDPOINT] = GRAPHQL
        if self._sandbox.settings.graphql == "absent":
            raise not_found()
        try:
            body = msgspec.json.decode(await request.read(), type=dict[str, Any])
        except ValueError as error:
            raise RefusedError(400, "Problems parsing JSON") from error
        try:
            return await self._admitted(request, "graphql", lambda request: self._answered(request, body))
        except SpentError as spent:
            return json_response({"errors": [{"type": "RATE_LIMITED", "message": str(spent)}]}, headers=spent.headers)

    async def _admitted(self, request: web.Request, resource: Resource, endpoint: Endpoint) -> web.StreamResponse:
        """The endpoint behind login, limits and faults. Raises RefusedError."""
        settings, clock = self._sandbox.settings, self._sandbox.clock
        caller = request[_CALLER] = self._logins.check(request, settings)
        with self._limits.under_way(caller.user):
            if request[ENDPOINT] != RATE_LIMIT:
                self._limits.admit(settings, caller.user, resource, clock.now())

            async def met(request: web.Request) -> web.Response:
                if settings.latency:
                    await asyncio.sleep(settings.latency)
                try:
                    response = endpoint(request)
                except RefusedError as refusal:
                    self._spend(request, resource, 1)
                    response = refusal.response()
                response.headers.update(self._limits.headers(settings, caller.user, resource, clock.now()))
                return response

            return await self._mishaps.met(request, met)

    def _found(self, request: web.Request, prefix: str, path: str) -> web.Response:
        """What REST answers, or that it has not changed: that costs nothing. Raises RefusedError."""
        origin = f"{request.scheme}://{request.host}{prefix}"
        found = answer(Call(self._view(request), request.query, origin, request.path_qs.removeprefix(prefix)), path)
        if isinstance(found, Listing):
            body, rows, link = page(found, request.query, origin, self._seal)
        else:
            body, rows, link = msgspec.json.encode(found), 1, ""
        tag = sha256(b":".join((_header(request, "Accept"), _header(request, "Authorization"), body))).hexdigest()
        if tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers={"ETag": f'"{tag}"'})
        self._spend(request, "core", 1)
        self._sandbox.stats.served(rows)
        return json_response(body, headers={"ETag": f'W/"{tag}"', **({"Link": link} if link else {})})

    def _answered(self, request: web.Request, body: dict[str, Any]) -> web.Response:
        """What GraphQL answers. Raises RefusedError."""
        settings, user, now = self._sandbox.settings, request[_CALLER].user, self._sandbox.clock.now()
        if settings.graphql == "forbidden":
            raise RefusedError(403, "Resource not accessible by personal access token")
        if not isinstance(body.get("query"), str):
            raise RefusedError(400, "A query attribute must be specified and must be a string.")
        try:
            question = asked(body)
        except RefusedQueryError as refusal:
            self._spend(request, "graphql", 1)
            return json_response(refusal.content)
        told = self._limits.told(settings, user, "graphql", now)
        context = Context(self._view(request), self._seal, question.cost, limit_of(told, question.cost))
        content, nodes = answered(question, context)
        self._spend(request, "graphql", question.cost.points)
        if settings.heavy and nodes > settings.heavy:
            return json_response({"message": _TIMEOUT}, status=502)
        self._sandbox.stats.served(nodes)
        return json_response(content)

    def _rates(self, request: web.Request) -> web.Response:
        """GET /rate_limit: costs nothing. Raises RefusedError."""
        settings, user, now = self._sandbox.settings, request[_CALLER].user, self._sandbox.clock.now()
        if settings.limits == "off":
            raise RefusedError(404, "Rate limiting is not enabled.")
        core, graphql = (self._limits.told(settings, user, resource, now) for resource in ("core", "graphql"))
        search = {"limit": 30, "remaining": 30, "used": 0, "reset": core["reset"], "resource": "search"}
        return json_response({"resources": {"core": core, "graphql": graphql, "search": search}, "rate": core})

    def _view(self, request: web.Request) -> View:
        return View(self._sandbox.world, self._sandbox.settings, request[_CALLER], self._sandbox.moment())

    def _spend(self, request: web.Request, resource: Resource, cost: int) -> None:
        if request[ENDPOINT] != RATE_LIMIT:
            self._limits.spend(self._sandbox.settings, request[_CALLER].user, resource, cost, self._sandbox.clock.now())

    async def _dressed(self, request: web.Request, response: web.StreamResponse) -> None:
        """With what every answer carries."""
        response.headers["Date"] = http_date(self._sandbox.clock.now() + request.get(SKEW, timedelta()))
        if ENDPOINT not in request:
            return
        self._asked += 1
        digest = blake2b(f"{self._asked}".encode(), digest_size=12).hexdigest().upper()
        response.headers["X-GitHub-Request-Id"] = f"{digest[:4]}:{digest[4:10]}:{digest[10:16]}:{digest[16:]}"
        response.headers["X-GitHub-Media-Type"] = "github.v3; format=json"
        caller, scopes = request.get(_CALLER), self._sandbox.settings.scopes
        if caller is not None and caller.account is not None and scopes:
            response.headers["X-OAuth-Scopes"] = scopes
            response.headers["X-Accepted-OAuth-Scopes"] = "repo" if request[ENDPOINT].startswith("R") else ""


def _header(request: web.Request, name: str) -> bytes:
    return request.headers.get(name, "").encode()
