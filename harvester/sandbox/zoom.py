"""A simulated Zoom: the calls that tell of past meetings and of who was in them, and the pushing of events.

`/oauth/token` and `/v2/…` behave like the vendor's, with its limits and traps; `/sandbox/…` and `/truth` are ours, open and never
faulty. Shapes from the vendor's API reference and Jericho/ZoomNet's samples; behaviour from what its users reported.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
from aiohttp import web

from harvester.sandbox.clock import SandboxClock, milliseconds, moment_of
from harvester.sandbox.controls import Controls, http_date
from harvester.sandbox.counting import counting
from harvester.sandbox.faults import Faults
from harvester.sandbox.mishaps import FAULT, SKEW, Mishaps
from harvester.sandbox.stats import Stats
from harvester.sandbox.zoom_account import Account, Moment
from harvester.sandbox.zoom_endpoints import Call
from harvester.sandbox.zoom_limits import Limits
from harvester.sandbox.zoom_login import Seal, Tokens
from harvester.sandbox.zoom_pages import Listing, now_of, page, place
from harvester.sandbox.zoom_push import Pusher
from harvester.sandbox.zoom_push_controls import PushControls
from harvester.sandbox.zoom_refusals import (
    RefusedError,
    dead_page,
    invalid_token,
    json_response,
    missing_scope,
    paid_only,
    plan_too_small,
)
from harvester.sandbox.zoom_routes import BASE, Route, named, routed
from harvester.sandbox.zoom_settings import DAY, ZOOM_FAULTS, ZOOM_REST, ZoomSandboxSettings, ZoomSwitches
from harvester.sandbox.zoom_truth import TrueMeeting, TrueSession, ZoomOracle, ZoomTruth, gathered
from harvester.sandbox.zoom_world import NEVER

TOKEN = "/oauth/token"  # noqa: S105 -- a path
_ENDPOINT = web.RequestKey("endpoint", str)
_TOO_MANY = b'{"code":429,"message":"You have reached the maximum per-second rate limit for this API. Try again later."}'


class ZoomSandbox:
    """One simulated account. `app()` is its aiohttp application; the attributes are for tests in the same process."""

    def __init__(self, settings: ZoomSandboxSettings, *, ticker: Callable[[], float] = time.monotonic) -> None:
        """`ticker`: the seconds by which its clock runs and its limits count."""
        start = settings.now or datetime.now(UTC)
        self.settings = settings
        self.clock = SandboxClock(start, speed=settings.speed, ticker=ticker)
        self.faults = Faults(settings.seed, settings.faults, burst=settings.fault_burst, family=ZOOM_FAULTS)
        self.stats = Stats()
        self.since = moment_of(milliseconds(start - settings.history) // DAY * DAY)
        """No meeting is older."""
        self.account = Account(settings, since=milliseconds(self.since))
        self._oracle = ZoomOracle(self.account, self.faults)
        self._ticker = ticker
        self._limits = Limits(self.stats, ticker=ticker)
        self._seal = Seal(settings.seed)
        self._tokens = Tokens(settings, self.clock, self._seal)
        self._stopped = NEVER
        self.pusher = Pusher(self)

    def app(self) -> web.Application:
        mishaps = Mishaps(self.settings, self.clock, self.faults, self.stats, too_many=_TOO_MANY, ticker=self._ticker)

        async def api(request: web.Request) -> web.StreamResponse:
            try:
                return await self._admitted(request, mishaps)
            except RefusedError as refusal:
                return refusal.response()

        app = web.Application(middlewares=[counting(self.stats, lambda request: request.get(_ENDPOINT, request.path))])
        app.on_response_prepare.append(self._dated)
        app.router.add_post(TOKEN, self._tokens.grant)
        app.router.add_get(f"{BASE}/{{path:.*}}", api)
        Controls(self).add_routes(app)
        PushControls(self.pusher).add_routes(app)
        app.cleanup_ctx.append(self.pusher.running)
        return app

    def stop_changing(self, at: datetime | None = None) -> datetime:
        """No meeting starts after `at` (now). Returns when the last one will have come to rest."""
        stopped = at or self.clock.now()
        self._stopped = milliseconds(stopped)
        return stopped + ZOOM_REST

    def moment(self, now: datetime | None = None) -> Moment:
        """The account at `now`, in whole seconds."""
        return Moment(now_of(now or self.clock.now()), self._stopped)

    def truth(self, start: datetime | None = None, end: datetime | None = None) -> ZoomTruth:
        """Every meeting with `start <= start_time < end`, and its sessions, in the newest state that was or would be served."""
        return gathered(self.clock.latest, self._true(start, end))

    def _true(self, start: datetime | None, end: datetime | None) -> Iterator[tuple[TrueMeeting, list[TrueSession]]]:
        moment = self.moment(self.clock.latest)
        if self.settings.plan != "free":
            for meeting in self._oracle.meetings(start, end, moment):
                stays = list(self._oracle.sessions(meeting, self.settings, moment))
                yield self._oracle.meeting(meeting, self.settings, moment), stays

    def truth_pieces(self, start: datetime | None, end: datetime | None, *, lines: bool) -> Iterator[bytes]:
        """As lines, each meeting before its sessions; or as one document."""
        if not lines:
            yield msgspec.json.encode(self.truth(start, end))
            return
        for meeting, stays in self._true(start, end):
            yield b"".join(msgspec.json.encode(each) + b"\n" for each in (meeting, *stays))

    @property
    def switches(self) -> ZoomSwitches:
        """What the account is like now."""
        return ZoomSwitches(**{name: getattr(self.settings, name) for name in ZoomSwitches.__struct_fields__})

    def switch(self, switches: ZoomSwitches) -> None:
        """Make another account of it while it serves, as a contract that ends does."""
        given = {name: value for name, value in msgspec.structs.asdict(switches).items() if value is not None}
        self.settings = msgspec.structs.replace(self.settings, **given)

    def set_faults(self, rates: dict[str, float]) -> None:
        """Replace all rates. Raises ConfigError and changes nothing."""
        self.faults.set(rates)

    async def _dated(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = http_date(self.clock.now() + request.get(SKEW, timedelta()))

    async def _admitted(self, request: web.Request, mishaps: Mishaps) -> web.StreamResponse:
        """The endpoint behind login, limits, scopes, plan and faults. Raises RefusedError."""
        route, raw = routed(request.raw_path.partition("?")[0])
        request[_ENDPOINT] = route.path
        token = self._tokens.check(request)
        headers = self._limits.take(self.settings, route.cost, self.clock.now())
        if route.scope in self.settings.missing_scopes:
            raise missing_scope(route.scope)
        self._check_plan(route)

        async def endpoint(request: web.Request) -> web.Response:
            try:
                response = self._answer(request, route, raw, token)
            except RefusedError as refusal:
                response = refusal.response()
            response.headers.update(headers)
            return response

        return await mishaps.met(request, endpoint)

    def _check_plan(self, route: Route) -> None:
        if self.settings.plan == "free":
            raise paid_only()
        if route.needs == "dashboard" and not (self.settings.plan == "business" and self.settings.dashboard):
            raise plan_too_small()

    def _answer(self, request: web.Request, route: Route, raw: str, token: str) -> web.Response:
        fault = request.get(FAULT)
        if fault == "dead-token":
            self.stats.fault(fault)
            self._tokens.revoke(token)
            raise invalid_token()
        if fault == "dead-page" and request.query.get("next_page_token"):
            self.stats.fault(fault)
            raise dead_page()
        now = self.moment().now
        where = place(request, self._seal, now, cap=self.settings.page_cap)
        moment = Moment(where.at, self._stopped)
        found = route.find(self.account, Call(request, moment, named(raw), self.settings.hipaa, self.faults, self.stats))
        if isinstance(found, Listing):
            body, rows = page(found, where, self._seal, now)
            self.stats.served(rows)
            return json_response(body)
        return json_response(msgspec.json.encode(found))
