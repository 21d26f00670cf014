import asyncio
import hashlib
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from harvester.errors import PermanentError
from harvester.http import Digest, StatusError, base_url
from harvester.sandbox.opencast import ACTIONS, OpencastSandbox
from harvester.sandbox.serve import listening
from harvester.sandbox.settings import SandboxSettings
from tests.unit.webserver import Seen, asking, serving


class Opencast:
    """Checks a digest login as RFC 7616 has it, with nonces that it takes `uses` times."""

    def __init__(self, uses: int = 1000) -> None:
        self.uses = uses
        self.nonce, self.used = "", uses

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        said = dict(re.findall(r'(\w+)="?([^",]+)"?', request.headers.get("Authorization", "")))
        right = bool(said) and self._right(request, said)
        if right and said["nonce"] == self.nonce and self.used < self.uses:
            self.used += 1
            return web.json_response([1])
        self.nonce, self.used = hashlib.sha256(f"{self.nonce}{self.used}".encode()).hexdigest()[:16], 0
        challenge = f'Digest realm="Opencast", qop="auth", nonce="{self.nonce}", stale={"true" if right else "false"}'
        return web.Response(status=401, text="<html>log in</html>" * 99, headers={"WWW-Authenticate": challenge})

    @staticmethod
    def _right(request: web.BaseRequest, said: dict[str, str]) -> bool:
        def md5(*parts: str) -> str:
            return hashlib.md5(":".join(parts).encode()).hexdigest()

        a1, a2 = md5("harvest", "Opencast", "secret"), md5(request.method, request.raw_path)
        return said["response"] == md5(a1, said["nonce"], said["nc"], said["cnonce"], said["qop"], a2)


def logins(seen: Sequence[Seen]) -> list[bool]:
    return ["Authorization" in request.headers for request in seen]


async def test_a_digest_login_costs_one_round_trip_a_call_once_the_nonce_is_known() -> None:
    async with serving(Opencast()) as server, asking(server.url, login=Digest("harvest", "secret")) as http:
        for n in range(5):
            assert (await http.get("/usertracking/actions.json", offset=n, q="a b/é")).body == b"[1]"
        assert logins(server.seen) == [False, True, True, True, True, True]
        assert {seen.headers["X-Requested-Auth"] for seen in server.seen} == {"Digest"}
        assert ["nc=0000000" + str(n) in seen.headers["Authorization"] for n, seen in enumerate(server.seen[1:], 1)] == [True] * 5


async def test_a_digest_login_outlives_its_nonce() -> None:
    async with serving(Opencast(uses=2)) as server, asking(server.url, login=Digest("harvest", "secret")) as http:
        for _ in range(6):
            await http.get("/x")
        assert len(server.seen) == 6 + 3


async def test_many_calls_at_once_share_a_digest_login() -> None:
    async with serving(Opencast()) as server, asking(server.url, login=Digest("harvest", "secret")) as http:
        await http.get("/x")
        await asyncio.gather(*[http.get("/x", n=n) for n in range(20)])
        assert len(server.seen) == 22


async def test_an_answer_that_came_too_late_for_its_challenge_is_no_refused_login() -> None:
    sandbox = OpencastSandbox(SandboxSettings(speed=0, slow=0, login="digest"))
    asked: list[bool] = []

    @web.middleware
    async def frozen(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked.append("Authorization" in request.headers)
        if asked == [False, True]:  # the process stood still between challenge and answer
            sandbox.clock.advance(timedelta(seconds=sandbox.settings.nonce_seconds + 1))
        return await handler(request)

    app = sandbox.app()
    app.middlewares.insert(0, frozen)
    login = Digest(sandbox.settings.user, sandbox.settings.password)
    async with listening(app, "127.0.0.1", 0) as url, asking(base_url(url), login=login) as http:
        assert (await http.get(ACTIONS)).status == 200
    assert asked == [False, True, True]


async def test_a_server_that_finds_every_answer_too_late_is_asked_no_longer() -> None:
    async with serving(Opencast(uses=0)) as server, asking(server.url, login=Digest("harvest", "secret")) as http:
        with pytest.raises(StatusError) as caught:
            await http.get("/x")
        assert caught.value.status == 401
        assert logins(server.seen) == [False, True, True, True]


async def test_a_wrong_digest_password_is_refused_after_one_try() -> None:
    async with serving(Opencast()) as server, asking(server.url, login=Digest("harvest", "wrong")) as http:
        with pytest.raises(StatusError) as caught:
            await http.get("/x")
        assert caught.value.status == 401
        assert logins(server.seen) == [False, True]


@pytest.mark.parametrize("first", ["redirect", "domain"])
async def test_s24_a_digest_challenge_of_a_second_origin_is_never_answered(first: str) -> None:
    async with serving(Opencast()) as thief, AsyncExitStack() as stack:
        opencast = Opencast()

        async def reply(request: web.BaseRequest) -> web.StreamResponse:
            answer = await opencast(request)
            if answer.status == 401 and first == "domain":
                answer.headers["WWW-Authenticate"] += f', domain="/ {thief.url}/"'
            if answer.status == 200 and request.path == "/away":
                return web.Response(status=302, headers={"Location": f"{thief.url}/x"})
            return answer

        server = await stack.enter_async_context(serving(reply))
        http = await stack.enter_async_context(asking(server.url, login=Digest("harvest", "secret")))
        await http.get("/x")
        for target in ("/away", f"{thief.url}/x"):
            with pytest.raises(PermanentError, match="refused to go"):
                await http.get(target)
        assert thief.seen == []
