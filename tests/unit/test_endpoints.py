"""The listener: on loopback, for whoever knows its name, read-only; and what a process says of itself there."""

import asyncio
import json
import socket
from typing import Any

import aiohttp
import pytest

from harvester.endpoints import Reply, known, reachable, serve
from harvester.errors import ConfigError, PermanentError
from harvester.health import Health
from harvester.states import States
from harvester.watchdog import Watchdog

FOREIGN = ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "localhost.evil.example", "[::1].evil", ""]
OURS = ["127.0.0.1", "127.0.0.1:9464", "[::1]:9464", "[::1]", "10.1.2.3:80", "localhost", "LOCALHOST:1", "harvester:9464"]


def routes() -> dict[str, Any]:
    return {"/status": lambda _: Reply(200, b'{"ok":true}')}


async def get(address: str, path: str, **more: Any) -> tuple[int, str, dict[str, str]]:
    async with aiohttp.ClientSession() as http, http.request(more.pop("method", "GET"), f"http://{address}{path}", **more) as got:
        return got.status, await got.text(), {name.lower(): value for name, value in got.headers.items()}


async def test_s60_a_port_alone_is_served_on_loopback_while_the_block_runs() -> None:
    async with serve("0", routes()) as address:
        assert address.startswith("127.0.0.1:")
        assert (await get(address, "/status"))[:2] == (200, '{"ok":true}')
        assert (await get(address, "/debug"))[0] == 404
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))


async def test_an_empty_address_serves_nothing() -> None:
    async with serve("", routes()) as address:
        assert address == ""


@pytest.mark.parametrize("host", FOREIGN)
async def test_s62_a_foreign_name_is_refused(host: str) -> None:
    async with serve("0", routes()) as address:
        status, text, _ = await get(address, "/status", headers={"Host": host})
        assert (status, "HARVESTER_LISTEN_NAMES" in text) == (421, True)


@pytest.mark.parametrize("host", OURS)
async def test_s62_an_address_and_a_name_of_ours_are_answered(host: str) -> None:
    async with serve("0", routes(), ["harvester"]) as address:
        assert (await get(address, "/status", headers={"Host": host}))[0] == 200


def test_s62_this_hosts_own_name_is_ours() -> None:
    assert known("ME:9464", {"me"})
    assert not known("you:9464", {"me"})


async def test_s62_no_page_of_another_origin_may_read_an_answer_or_send_a_body() -> None:
    async with serve("0", routes()) as address:
        status, _, headers = await get(address, "/status", headers={"Origin": "https://evil.example"})
        assert status == 200
        assert not [name for name in headers if name.startswith("access-control")]
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert "aiohttp" not in headers["server"]
        assert (await get(address, "/status", data=b"x" * 1000))[0] == 413
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert (await get(address, "/status", method=method))[0] == 405


async def test_a_busy_port_says_what_where_why_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            async with serve(f"127.0.0.1:{port}", routes()):
                pass
    text = str(caught.value)
    assert f"HARVESTER_LISTEN=127.0.0.1:{port}" in text
    assert "another process listens there" in text
    assert "`harvest status` tells whether it is a daemon of ours" in text
    assert f"ss -ltnp sport = :{port}" in text


@pytest.mark.parametrize(
    ("listen", "why"), [("127.0.0.1:99999", "no address"), ("192.0.2.1:9464", "no address of this host"), ("x", "no address")]
)
async def test_an_address_that_cannot_be_had_is_a_setting_at_fault(listen: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        async with serve(listen, routes()):
            pass


def test_who_listens_everywhere_is_found_on_loopback() -> None:
    assert reachable("0.0.0.0:9464") == ("127.0.0.1", 9464)
    assert reachable("[::]:9464") == ("::1", 9464)
    assert reachable("9464") == ("127.0.0.1", 9464)
    assert reachable("metrics.internal:9464") == ("metrics.internal", 9464)


# What a process says of itself


@pytest.fixture
def states() -> States:
    return States()


@pytest.fixture
def stop() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def health(states: States, stop: asyncio.Event) -> Health:
    return Health(states, Watchdog(), stop)


def ready(health: Health) -> tuple[int, Any]:
    status, body, _ = health.readyz()
    return status, json.loads(body)


def test_before_its_stores_are_open_it_lives_but_has_not_begun_and_says_what_it_waits_for(health: Health) -> None:
    health.waits_for = "opening is tried again: the disk is full"
    assert health.livez().status == 200
    assert health.startupz()[:2] == (503, b"opening is tried again: the disk is full\n")
    assert health.status()[:2] == (503, b"opening is tried again: the disk is full\n")
    status, said = ready(health)
    assert (status, said["ready"], said["state"]) == (503, False, "starting")


def test_a_sink_or_source_that_is_down_makes_it_degraded_and_no_less_ready(health: Health, states: States) -> None:
    health.begun = True
    states.component("vendor/stream", "stream").worked()
    states.component("keyed", "sink").failed(PermanentError("the disk failed"))
    status, said = ready(health)
    assert (status, said["ready"], said["state"]) == (200, True, "degraded")
    down = next(one for one in said["components"] if one["name"] == "keyed")
    assert (down["state"], down["reason"]) == ("stopped", "the disk failed")
    assert down["since"]
    fine = next(one for one in said["components"] if one["name"] == "vendor/stream")
    assert (fine["state"], fine["reason"], bool(fine["last_success"])) == ("running", "", True)


def test_a_paused_part_is_no_fault(health: Health, states: States) -> None:
    health.begun = True
    states.component("vendor", "source").paused("paused by ann")
    assert ready(health)[1]["state"] == "ok"


def test_what_drains_takes_no_more(health: Health, stop: asyncio.Event) -> None:
    health.begun = True
    stop.set()
    status, said = ready(health)
    assert (status, said["state"]) == (503, "stopping")
    assert health.startupz().status == health.livez().status == 200


def test_the_routes_are_these(health: Health) -> None:
    assert set(health.routes()) == {"/metrics", "/livez", "/readyz", "/startupz", "/status"}
    assert b"harvester_build_info" in health.routes()["/metrics"]("").body
