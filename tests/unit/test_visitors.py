"""Who may read from the listener (S61), and how often (S62)."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from harvester.commands.asking import NotForUsError, ask
from harvester.endpoints import PROBES, serve
from harvester.errors import ConfigError
from harvester.health import Health
from harvester.settings import CoreSettings, load
from harvester.states import States
from harvester.visitors import PER, READS, Visitors
from harvester.watchdog import Watchdog

TOKEN = "c4nary-listener-tökEn"
BEARERS = {
    "none": {},
    "a wrong one": {"Authorization": "Bearer another-token-as-long"},
    "its beginning": {"Authorization": f"Bearer {TOKEN[:-1]}"},
    "more than it": {"Authorization": f"Bearer {TOKEN}x"},
    "as a password": {"Authorization": f"Basic {TOKEN}"},
    "without a scheme": {"Authorization": TOKEN},
    "twice": {"Authorization": f"Bearer {TOKEN}, Bearer {TOKEN}"},
}
ALL_ROUTES = ["/metrics", "/livez", "/readyz", "/startupz", "/status"]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def health() -> Health:
    found = Health(States(), Watchdog(), asyncio.Event())
    found.begun = True
    return found


async def get(http: aiohttp.ClientSession, address: str, path: str, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
    async with http.get(f"http://{address}{path}", headers=headers) as got:
        return got.status, await got.read(), {name.lower(): value for name, value in got.headers.items()}


@pytest.mark.parametrize("bearer", BEARERS)
async def test_s61_without_the_token_every_route_tells_nothing_but_the_status_of_probes(bearer: str, health: Health) -> None:
    async with serve("0", health.routes(), visitors=Visitors(TOKEN)) as address, aiohttp.ClientSession() as http:
        assert set(health.routes()) == set(ALL_ROUTES)
        for path in ALL_ROUTES:
            status, body, headers = await get(http, address, path, BEARERS[bearer])
            if path in PROBES:
                assert (status, body) == (200, b""), path
            else:
                assert (status, b"HARVESTER_LISTEN_TOKEN" in body) == (401, True), path
                assert headers["www-authenticate"] == "Bearer"
        assert (await get(http, address, "/nowhere", BEARERS[bearer]))[0] == 401, "nor which routes there are"


async def test_s61_with_the_token_every_route_answers(health: Health) -> None:
    async with serve("0", health.routes(), visitors=Visitors(TOKEN)) as address, aiohttp.ClientSession() as http:
        for path in ALL_ROUTES:
            status, body, _ = await get(http, address, path, {"Authorization": f"Bearer {TOKEN}"})
            assert (status, bool(body)) == (503 if path == "/status" else 200, True), path


async def test_s61_a_probe_that_fails_says_so_to_everybody(health: Health) -> None:
    health.begun = False
    async with serve("0", health.routes(), visitors=Visitors(TOKEN)) as address, aiohttp.ClientSession() as http:
        assert (await get(http, address, "/readyz", {}))[:2] == (503, b"")


async def test_s61_without_a_token_set_everybody_who_reaches_it_may_read(health: Health) -> None:
    async with serve("0", health.routes()) as address, aiohttp.ClientSession() as http:
        assert (await get(http, address, "/metrics", {}))[0] == 200


@pytest.mark.parametrize("token", ["fifteen letters", "two\nlines of a long token"])
def test_s61_a_token_that_can_be_guessed_or_sent_by_nobody_is_a_fault_that_does_not_tell_it(token: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(CoreSettings, environ={"HARVESTER_LISTEN_TOKEN": token}, cwd=tmp_path)
    assert "HARVESTER_LISTEN_TOKEN" in str(caught.value)
    assert "16 characters" in str(caught.value)
    assert token not in str(caught.value)


def core(listen: str, token: str, folder: Path) -> CoreSettings:
    environ = {"HARVESTER_LISTEN": listen, "HARVESTER_LISTEN_TOKEN": token}
    return load(CoreSettings, environ=environ, cwd=folder).get(CoreSettings)


async def test_s61_our_own_commands_bring_the_token_and_say_when_it_is_another(health: Health, tmp_path: Path) -> None:
    async with serve("0", health.routes(), visitors=Visitors(TOKEN)) as address:
        said = await asyncio.to_thread(ask, core(address, TOKEN, tmp_path), "/livez", timeout=5)
        assert (said.status, said.body) == (200, b"ok\n")
        for token in ("", "some-other-token-of-ours"):
            with pytest.raises(NotForUsError, match="set HARVESTER_LISTEN_TOKEN as the daemon has it") as caught:
                await asyncio.to_thread(ask, core(address, token, tmp_path), "/status", timeout=5)
            assert "some-other" not in str(caught.value)


async def test_s62_whoever_reads_all_the_time_has_to_wait_and_probes_never_do(
    health: Health, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = 0

    def costly(_: str) -> Any:
        nonlocal made
        made += 1
        return health.livez()

    clock = Clock()
    routes = {**health.routes(), "/metrics": costly}
    async with serve("0", routes, visitors=Visitors(monotonic=clock)) as address, aiohttp.ClientSession() as http:
        for _ in range(READS):
            assert (await get(http, address, "/metrics", {}))[0] == 200
        status, _, headers = await get(http, address, "/metrics", {})
        assert (status, headers["retry-after"], made) == (429, f"{PER:.0f}", READS)
        assert (await get(http, address, "/livez", {}))[0] == 200
        with pytest.raises(NotForUsError, match=f"too often from here: again in {PER:.0f} s"):
            await asyncio.to_thread(ask, core(address, "", tmp_path), "/status", timeout=5)
        clock.now += PER
        assert (await get(http, address, "/metrics", {}))[0] == 200


async def test_s62_tokens_cannot_be_tried_all_the_time(health: Health) -> None:
    visitors = Visitors(TOKEN, monotonic=Clock())
    async with serve("0", health.routes(), visitors=visitors) as address, aiohttp.ClientSession() as http:
        tried = [(await get(http, address, "/status", BEARERS["a wrong one"]))[0] for _ in range(READS + 1)]
    assert tried == [401] * READS + [429]


def test_s62_one_reader_does_not_shut_out_another_and_few_are_remembered() -> None:
    visitors = Visitors(monotonic=Clock())
    for _ in range(READS):
        assert visitors.wait("192.0.2.1") == 0
    assert visitors.wait("192.0.2.1") == PER
    assert visitors.wait("192.0.2.2") == 0
    for number in range(2000):
        assert visitors.wait(f"2001:db8::{number:x}") == 0
    assert len(visitors._came) == 1000
