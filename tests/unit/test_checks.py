"""The checks of `harvest doctor`: each says what is wrong and what to do, and none stops or holds up another."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from harvester.commands.checks import Check, Finding, Tell, run, split
from harvester.commands.checks.elasticsearch import differences, look
from harvester.commands.checks.network import expiry, reach
from harvester.errors import PermanentError
from harvester.origin import Basic, HttpSettings
from tests.unit.webserver import TLS, serving


async def test_a_check_that_hangs_and_one_that_breaks_stop_no_other() -> None:
    async def hangs(tell: Tell) -> None:
        tell(Finding("hangs", "ok", "told before"))
        await asyncio.Event().wait()

    async def breaks(tell: Tell) -> None:
        raise KeyError("x")

    async def refuses(tell: Tell) -> None:
        raise PermanentError("the disk failed: give this process access")

    async def works(tell: Tell) -> None:
        tell(Finding("works", "ok", "fine"))

    looks = {"hangs": hangs, "breaks": breaks, "refuses": refuses, "works": works}
    found = await run([Check(name, look) for name, look in looks.items()], 0.2)
    assert [[finding.state for finding in told] for told in found] == [["ok", "fail"], ["fail"], ["fail"], ["ok"]]
    assert found[0][1].text == "no end within 0.2 s"
    assert "the check itself broke: KeyError" in found[1][0].text
    assert found[2] == [Finding("refuses", "fail", "the disk failed", "give this process access")]


@pytest.mark.parametrize(
    ("text", "wrong", "fix"),
    [
        ("no queue at x. Next: bring it back", "no queue at x", "bring it back"),
        (
            "x: nothing was written. Next: harvest setup load_index_templates",
            "x: nothing was written",
            "harvest setup load_index_templates",
        ),
        ("cannot reach it: refused; check HARVESTER_X_URL", "cannot reach it: refused", "check HARVESTER_X_URL"),
        ("401: the login was refused: check A, B and C (or D)", "401: the login was refused", "check A, B and C (or D)"),
        ("of no zone Y (set HARVESTER_Z), or else.", "of no zone Y (set HARVESTER_Z), or else.", "set HARVESTER_Z"),
        ("ignores start: by window only. Use a patched server.", "ignores start: by window only", "Use a patched server"),
        ("x: IO Error (damaged. Next: move it (and its log) away)", "x: IO Error (damaged)", "move it (and its log) away"),
        ("something: else", "something: else", ""),
    ],
)
def test_an_error_is_told_as_what_is_wrong_and_what_to_do(text: str, wrong: str, fix: str) -> None:
    assert split(text) == (wrong, fix)


def place(url: URL | str, **more: Any) -> HttpSettings:
    return HttpSettings(name="vendor", url=URL(str(url)), login=Basic("u", "p"), url_hint="check the address", **more)


async def looked(settings: HttpSettings, seconds: float = 20) -> tuple[bool, dict[str, Finding]]:
    found: list[Finding] = []
    reached = await reach(settings, "vendor", found.append, seconds)
    return reached, {finding.name.removeprefix("vendor: "): finding for finding in found}


async def test_a_name_that_is_not_known_is_told_and_nothing_more_is_asked() -> None:
    reached, found = await looked(place("https://nosuch.invalid"))
    assert (reached, [*found]) == (False, ["name"])
    assert found["name"][1:] == ("fail", "nosuch.invalid: the name is not known here", "check the address")


async def test_a_port_where_nobody_listens_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        reached, found = await looked(place(f"http://127.0.0.1:{taken.getsockname()[1]}"))
    assert (reached, found["port"].state, "refused" in found["port"].text) == (False, "fail", True)


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that takes no connection and refuses none: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()[1]
        finally:
            for client in clients:
                client.close()


async def test_a_port_that_swallows_everything_is_told_after_its_time() -> None:
    with black_hole() as port:
        reached, found = await looked(place(f"http://127.0.0.1:{port}"), seconds=0.3)
    assert (reached, "no answer within 0.3 s" in found["port"].text) == (False, True)


@pytest.mark.parametrize(
    ("certificate", "ca", "state"),
    [
        ("loopback", "loopback.crt", "ok"),
        ("loopback", "elsewhere.crt", "fail"),
        ("loopback", "", "fail"),
        ("elsewhere", "elsewhere.crt", "fail"),
    ],
)
async def test_s10_a_certificate_is_judged_by_the_authority_that_is_set(certificate: str, ca: str, state: str) -> None:
    async with serving(web.json_response([]), tls=certificate) as server:
        reached, found = await looked(place(server.url, ca_file=TLS / ca if ca else None))
        assert server.seen == [], "nothing is asked"
    assert (reached, found["TLS"].state) == (state == "ok", state)
    assert found["TLS"].fix or state == "ok"


async def test_s10_a_certificate_that_is_not_checked_is_warned_of() -> None:
    async with serving(web.json_response([]), tls="loopback") as server:
        reached, found = await looked(place(server.url, insecure=True))
    assert (reached, found["TLS"].state) == (True, "warn")


async def test_tls_where_plain_http_is_spoken_is_told() -> None:
    async with serving(web.json_response([])) as server:
        reached, found = await looked(place(server.url.with_scheme("https")))
    assert (reached, found["TLS"].state, found["TLS"].fix) == (False, "fail", "check the address")


async def test_a_login_that_goes_in_the_clear_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(web.json_response([])) as server:
        _, found = await looked(place(server.url))
        assert found["TLS"].state == "ok", "this machine"
        monkeypatch.setattr("harvester.commands.checks.network.is_loopback", lambda _: False)
        _, found = await looked(place(server.url, allow_plain_http=True))
    assert (found["TLS"].state, "in the clear" in found["TLS"].text) == ("warn", True)


@pytest.mark.parametrize(("days", "state"), [(100, "ok"), (15, "ok"), (13, "warn"), (0, "warn")])
def test_a_certificate_that_soon_expires_is_warned_of(days: int, state: str) -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    end = now + timedelta(days=days, hours=1)
    found = expiry("TLS", "host", f"{end:%b %d %H:%M:%S %Y} GMT", now)
    assert (found.state, f"{end:%Y-%m-%d}" in found.text) == (state, True)


def test_a_mapping_differs_by_what_is_missing_or_of_another_type_and_not_by_what_it_has_more() -> None:
    wanted = {"a": {"type": "keyword"}, "b": {"properties": {"c": {"type": "long"}, "d": {"type": "date"}}}}
    assert list(differences(wanted, {**wanted, "z": {"type": "text"}})) == []
    found = {"a": {"type": "text", "fields": {}}, "b": {"properties": {"c": {"type": "long"}}}}
    assert list(differences(wanted, found)) == ["a is text, not keyword", "b.d is missing"]
    assert list(differences(wanted, {"b": {"type": "long"}})) == ["a is missing", "b is long, not object"]


async def elastic(status: int, body: object = None) -> list[Finding]:
    answer = web.json_response(body or {}, status=status, headers={"X-Elastic-Product": "Elasticsearch"})
    async with serving(answer) as server:
        settings = ElasticsearchSettings(url=str(server.url))
        (found,) = await run([Check("elasticsearch", lambda tell: look(settings, "elasticsearch", tell, 20))], 20)
    return [finding for finding in found if finding.name.endswith(("login", "version"))]


async def test_an_elasticsearch_that_refuses_the_login_and_one_that_tells_it_little_are_told_apart() -> None:
    (refused,) = await elastic(401)
    assert (refused.state, "HARVESTER_ELASTICSEARCH_API_KEY" in refused.fix) == ("fail", True)
    (curt,) = await elastic(403)
    assert (curt.state, curt.text) == ("ok", "accepted; it may not ask for the version")
    (stranger,) = await elastic(405)
    assert (stranger.state, stranger.fix) == ("fail", "check HARVESTER_ELASTICSEARCH_URL")


async def test_an_elasticsearch_of_an_age_that_was_never_tried_is_warned_of() -> None:
    login, version = await elastic(200, {"version": {"number": "7.17.1-SNAPSHOT"}})
    assert (login.state, version.state, version.fix) == ("ok", "warn", "upgrade it to 8.19 or newer")
