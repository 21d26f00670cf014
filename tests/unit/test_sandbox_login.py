"""The sandbox lets in who has the right login, and really checks it."""

import base64
import re
from hashlib import md5

import aiohttp
import pytest

from harvester.sandbox.opencast import ACTIONS, EPISODES
from tests.unit.sandboxes import Client, sandbox

ASKED = {"X-Requested-Auth": "Digest"}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def hashed(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


async def nonce_of(client: Client, path: str = ACTIONS) -> str:
    challenge = (await client.get(path, ASKED)).headers["WWW-Authenticate"]
    assert challenge.startswith('Digest realm="Opencast Realm", qop="auth", nonce="')
    return str(re.findall(r'nonce="([^"]+)"', challenge)[0])


def digest(
    nonce: str, uri: str = ACTIONS, *, user: str = "harvester", password: str = "sandbox", method: str = "GET"
) -> dict[str, str]:
    secret, call = hashed(f"{user}:Opencast Realm:{password}"), hashed(f"{method}:{uri}")
    response = hashed(f"{secret}:{nonce}:00000001:abc:auth:{call}")
    parts = {"username": user, "realm": "Opencast Realm", "nonce": nonce, "uri": uri, "response": response, "cnonce": "abc"}
    return {
        "Authorization": "Digest " + ", ".join(f'{key}="{value}"' for key, value in parts.items()) + ", qop=auth, nc=00000001"
    }


async def test_basic_login_takes_the_right_password_alone() -> None:
    async with sandbox(login="basic") as client:
        refused = await client.get(ACTIONS)
        assert refused.status == 401
        assert refused.headers["WWW-Authenticate"] == 'Basic realm="Opencast Realm"'
        assert (await client.get(ACTIONS, basic("harvester", "sandbox"))).status == 200
        for wrong in (
            basic("harvester", "Sandbox"),
            basic("admin", "sandbox"),
            {"Authorization": "Basic !"},
            {"Authorization": ""},
        ):
            assert (await client.get(EPISODES, wrong)).status == 401


async def test_digest_login_takes_the_right_answer_alone() -> None:
    async with sandbox(login="digest") as client:
        nonce = await nonce_of(client)
        assert (await client.get(ACTIONS, digest(nonce))).status == 200
        assert (await client.get(ACTIONS, digest(nonce))).status == 200  # a nonce may be used again
        for wrong in (
            digest(nonce, password="guess"),
            digest(nonce, user="admin"),
            digest(nonce, method="POST"),
            digest(nonce, EPISODES),
            digest(nonce.swapcase()),
            digest("bm9uc2Vuc2U="),
            {"Authorization": "Digest "},
            basic("harvester", "sandbox"),
        ):
            assert (await client.get(ACTIONS, wrong)).status == 401, wrong


async def test_digest_covers_the_query() -> None:
    async with sandbox(login="digest") as client:
        nonce = await nonce_of(client)
        assert (await client.get(ACTIONS, digest(nonce), limit=5)).status == 401
        assert (await client.get(ACTIONS, digest(nonce, f"{ACTIONS}?limit=5"), limit=5)).status == 200


async def test_digest_is_offered_to_those_alone_who_ask_for_it() -> None:
    async with sandbox(login="digest") as client:
        refused = await client.get(ACTIONS)
    assert refused.status == 401
    assert "WWW-Authenticate" not in refused.headers


async def test_an_old_nonce_is_stale_not_wrong() -> None:
    async with sandbox(login="digest") as client:
        nonce = await nonce_of(client)
        await client.post("/sandbox/clock", {"advance_seconds": 301})
        refused = await client.get(ACTIONS, digest(nonce))
        assert refused.status == 401
        assert 'stale="true"' in refused.headers["WWW-Authenticate"]
        wrong = await client.get(ACTIONS, digest(nonce, password="guess"))
        assert "stale" not in wrong.headers["WWW-Authenticate"]


@pytest.mark.parametrize("password", ["sandbox", "wrong"])
async def test_a_digest_client_that_is_not_ours_gets_in(password: str) -> None:
    login = aiohttp.DigestAuthMiddleware("harvester", password)
    async with (
        sandbox(login="digest") as client,
        aiohttp.ClientSession(middlewares=[login], headers=ASKED) as session,
        session.get(f"{client.running.url}{EPISODES}?id=a%20b") as response,
    ):
        assert response.status == (200 if password == "sandbox" else 401)


async def test_our_own_endpoints_need_no_login_and_faults_come_after_it() -> None:
    async with sandbox(login="basic", faults={"500": 1}) as client:
        assert (await client.get("/sandbox/stats")).status == 200
        assert (await client.get(ACTIONS)).status == 401
        assert (await client.get(ACTIONS, basic("harvester", "sandbox"))).status == 500
        assert client.running.stats.snapshot().requests_of(ACTIONS) == 2
