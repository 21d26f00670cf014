"""Webhooks: who a request is from, which ones wake a stream, and what all others may cost."""

import asyncio
import gzip
import hmac
import io
import json
import threading
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from harvester import measures, pushed, visitors
from harvester.commands.daemon import hooks_of
from harvester.endpoints import Reply, serve
from harvester.pushed import LARGEST
from harvester.sandbox.zoom_notices import signed
from harvester.seen import Seen
from harvester.settings import CoreSettings, load
from harvester.sources.zoom import ZoomSettings
from harvester.visitors import Visitors
from harvester.webhooks import Webhooks, webhooks
from harvester.webhooks.zoom import ZoomWebhook
from tests.taps import until
from tests.zoom_account import settings

SECRET = "secret-token-of-ours"
NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
GOLDEN = '{ "event": "meeting.ended",\n "payload": {"object": {"topic": "Übung 1/2"}}}'.encode()
GOLDEN_HEADERS = {
    "x-zm-request-timestamp": "1793707200",
    # printf 'v0:1793707200:…' | openssl dgst -sha256 -hmac secret-token-of-ours
    "x-zm-signature": "v0=2d14b54e2f2748e1f89767e81e2a8d7c41a791f4561b673afbdf46bd795ce499",
}
ENDED = b'{"event":"meeting.ended","event_ts":1,"payload":{"object":{"uuid":"a=="}}}'
SAMPLES = json.loads((Path(__file__).parents[1] / "fixtures/zoom-contract/webhooks.json").read_text())


def made(**switches: Any) -> ZoomWebhook:
    return ZoomWebhook(settings(webhook_secret=SECRET, **switches), lambda: NOW)


def judged(webhook: ZoomWebhook, body: bytes, headers: Mapping[str, str] | None = None) -> str:
    return webhook.judge(headers or signed(SECRET, SECONDS, body), body).outcome


def test_s50_a_golden_signature_of_the_raw_bytes_is_believed() -> None:
    assert made().judge(GOLDEN_HEADERS, GOLDEN) == ("accepted", Reply(200, b""))


@pytest.mark.parametrize("at", range(0, len(GOLDEN), 7))
def test_s50_one_byte_that_was_changed_is_a_forgery(at: int) -> None:
    assert judged(made(), GOLDEN[:at] + bytes([GOLDEN[at] ^ 1]) + GOLDEN[at + 1 :], GOLDEN_HEADERS) == "forged"


def test_s50_the_same_json_in_other_bytes_is_a_forgery() -> None:
    assert judged(made(), json.dumps(json.loads(GOLDEN)).encode(), GOLDEN_HEADERS) == "forged"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-zm-signature": GOLDEN_HEADERS["x-zm-signature"]},
        {"x-zm-request-timestamp": "1793707200"},
        {**GOLDEN_HEADERS, "x-zm-request-timestamp": "1793707201"},
        {**GOLDEN_HEADERS, "x-zm-signature": GOLDEN_HEADERS["x-zm-signature"].removeprefix("v0=")},
        {**GOLDEN_HEADERS, "x-zm-signature": GOLDEN_HEADERS["x-zm-signature"][:-1]},
        {**GOLDEN_HEADERS, "x-zm-signature": GOLDEN_HEADERS["x-zm-signature"] + "0"},
        {**GOLDEN_HEADERS, "x-zm-signature": "v0=\udcff\udcfeé"},
        {**GOLDEN_HEADERS, "x-zm-request-timestamp": "\udcff"},
        signed("another", SECONDS, GOLDEN),
        signed("", SECONDS, GOLDEN),
    ],
)
def test_s50_what_is_not_signed_right_is_a_forgery_that_is_not_sent_again(headers: dict[str, str]) -> None:
    assert made().judge(headers, GOLDEN) == ("forged", Reply(204, b""))


@pytest.mark.parametrize(("minutes", "outcome"), [(-6, "stale"), (-4.9, "accepted"), (4.9, "accepted"), (6, "stale")])
def test_s50_what_was_signed_six_minutes_from_now_by_zooms_clock_is_refused(minutes: float, outcome: str) -> None:
    assert judged(made(), ENDED, signed(SECRET, SECONDS + int(minutes * 60), ENDED)) == outcome


@pytest.mark.parametrize("stamp", ["", "now", "-1", "1e9", "٣", "9" * 5000])
def test_s50_a_time_that_is_none_is_refused_though_it_is_signed(stamp: str) -> None:
    right = hmac.digest(SECRET.encode(), b"v0:%b:%b" % (stamp.encode(), ENDED), "sha256").hex()
    assert judged(made(), ENDED, {"x-zm-request-timestamp": stamp, "x-zm-signature": f"v0={right}"}) == "stale"


def test_s51_the_very_same_request_counts_once_and_a_repetition_of_the_vendors_again() -> None:
    webhook = made()
    assert judged(webhook, ENDED) == "accepted"
    assert webhook.judge(signed(SECRET, SECONDS, ENDED), ENDED) == ("replayed", Reply(204, b""))
    assert judged(webhook, ENDED, signed(SECRET, SECONDS + 60, ENDED)) == "accepted", "it is signed anew"


def test_s51_more_signatures_than_are_remembered_make_the_window_shorter_and_none_count_twice() -> None:
    seen = Seen(timedelta(minutes=5), 10)
    for second in range(30):
        assert seen.timely(SECONDS + second, NOW)
        assert seen.first(b"%d" % second, SECONDS + second, NOW + timedelta(seconds=second))
    for second in range(30):
        signed_at = SECONDS + second
        assert not (seen.timely(signed_at, NOW) and seen.first(b"%d" % second, signed_at, NOW)), second
    assert seen.timely(SECONDS + 29, NOW)


def test_s51_a_signature_is_forgotten_with_its_window() -> None:
    seen = Seen(timedelta(minutes=5), 10)
    seen.first(b"a", SECONDS, NOW)
    later = NOW + timedelta(minutes=6)
    assert not seen.timely(SECONDS, later)
    assert seen.first(b"b", SECONDS + 360, later)
    assert list(seen._signatures) == [b"b"]
    assert seen.timely(SECONDS + 61, later), "nothing was forgotten before its time"


@pytest.mark.parametrize("event", SAMPLES)
def test_every_event_of_zooms_is_received_and_those_at_the_end_of_meetings_wake_the_stream(event: str) -> None:
    expected = "accepted" if event in ("meeting.ended", "meeting.participant_left") else "unwanted"
    body = json.dumps(SAMPLES[event]).encode()
    assert made().judge(signed(SECRET, SECONDS, body), body) == (expected, Reply(200, b""))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"event":7}', b'{"event":"meeting.ended","payload":[]}', b"\xff", b"[" * 60000]
)
def test_what_is_signed_and_cannot_be_read_is_not_sent_again(body: bytes) -> None:
    assert made().judge(signed(SECRET, SECONDS, body), body) == ("unreadable", Reply(204, b""))


def validation(plain: str) -> bytes:
    return json.dumps({"event": "endpoint.url_validation", "event_ts": 1, "payload": {"plainToken": plain}}).encode()


def test_s50_the_address_is_validated_by_the_hash_of_what_zoom_asks() -> None:
    body = validation("qgg8vlvZRS6UYooatFL8Aw")
    verdict = made().judge(signed(SECRET, SECONDS, body), body)
    assert (verdict.outcome, verdict.reply.status) == ("validated", 200)
    assert json.loads(verdict.reply.body) == {
        "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
        # printf qgg8vlvZRS6UYooatFL8Aw | openssl dgst -sha256 -hmac secret-token-of-ours
        "encryptedToken": "a7e6d2657059477bad4851693a4ef323b4de0c3028e4e08bc404fbb6f996beb1",
    }


def test_s50_a_validation_that_is_not_signed_is_not_answered_as_it_would_sign_anything() -> None:
    asked = validation(f"v0:{SECONDS}:{ENDED.decode()}")
    assert made().judge({"x-zm-request-timestamp": str(SECONDS)}, asked) == ("forged", Reply(204, b""))


def test_s06_a_secret_that_was_changed_in_its_file_is_used_from_the_next_notice_on(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_text(f"{SECRET}\n")
    login = {f"ZOOM_{name}": "x" for name in ("ACCOUNT_ID", "CLIENT_ID", "CLIENT_SECRET")}
    found = load(ZoomSettings, environ={**login, "HARVESTER_ZOOM_WEBHOOK_SECRET_FILE": str(path)}, cwd=tmp_path)
    webhook = ZoomWebhook(found.get(ZoomSettings), lambda: NOW)
    assert judged(webhook, ENDED) == "accepted"
    path.write_text("another-one\n")
    assert judged(webhook, ENDED, signed("another-one", SECONDS, ENDED)) == "accepted"
    assert judged(webhook, ENDED, signed(SECRET, SECONDS + 1, ENDED)) == "forged"


def test_forgeries_are_told_once_a_minute_without_a_word_of_what_they_say(caplog: pytest.LogCaptureFixture) -> None:
    webhook = made()
    for number in range(100):
        assert judged(webhook, b"c4nary %d" % number, {"x-zm-signature": "c4nary"}) == "forged"
    told = [record for record in caplog.records if "HARVESTER_ZOOM_WEBHOOK_SECRET" in record.getMessage()]
    assert len(told) == 1
    assert "c4nary" not in caplog.text


def test_webhooks_that_nobody_can_reach_are_told_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    login = {f"ZOOM_{name}": "x" for name in ("ACCOUNT_ID", "CLIENT_ID", "CLIENT_SECRET")}

    async def begun(listen: str) -> Webhooks:
        environ = {**login, "HARVESTER_ZOOM_WEBHOOK_SECRET": SECRET, "HARVESTER_LISTEN": listen}
        return hooks_of(load(CoreSettings, ZoomSettings, environ=environ, cwd=tmp_path), ["zoom"], {})

    assert set(asyncio.run(begun("9464")).posts) == {"/webhooks/zoom"}
    assert caplog.records == []
    asyncio.run(begun(""))
    assert "set HARVESTER_LISTEN" in caplog.text


# On the listener


def hooked(**switches: Any) -> Webhooks:
    return webhooks({"opencast": object(), "zoom": settings(**{"webhook_secret": SECRET, **switches})}, lambda _: NOW)


@asynccontextmanager
async def listening(hooks: Webhooks, **more: Any) -> AsyncIterator["Client"]:
    routes = {"/metrics": lambda _: Reply(200, b"read")}
    async with serve("0", routes, posts=hooks.posts, **more) as address, aiohttp.ClientSession() as http:
        yield Client(http, f"http://{address}")


class Client:
    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http, self.url = http, url

    async def post(self, body: Any, headers: Mapping[str, str] | None = None, path: str = "/webhooks/zoom", **more: Any) -> int:
        given = {**(signed(SECRET, SECONDS, body) if headers is None else headers), **more.pop("extra", {})}
        async with self.http.post(self.url + path, data=body, headers=given, **more) as answer:
            self.answer, self.said = answer, await answer.read()
            return answer.status


def counted(outcome: str) -> float:
    return measures.REGISTRY.get_sample_value("harvester_webhook_notices_total", {"source": "zoom", "outcome": outcome}) or 0


async def test_a_good_notice_wakes_the_stream_and_any_other_does_not() -> None:
    hooks = hooked()
    wake = hooks.wakes["zoom/meetings"]
    async with listening(hooks) as client:
        before = {outcome: counted(outcome) for outcome in measures.NOTICES}
        assert await client.post(ENDED, {}) == 204
        assert await client.post(ENDED, signed(SECRET, SECONDS - 3600, ENDED)) == 204
        started = ENDED.replace(b"ended", b"started")
        assert await client.post(started) == 200
        assert await client.post(started) == 204
        assert await client.post(b"{") == 204
        assert await client.post(validation("plain")) == 200
        assert wake.due is None
        assert await client.post(ENDED) == 200
        assert wake.due is not None
        now = {outcome: counted(outcome) - before[outcome] for outcome in measures.NOTICES}
    assert {outcome for outcome, amount in now.items() if amount} == {
        *("forged", "stale", "unwanted", "replayed", "unreadable", "validated", "accepted"),
    }


async def test_while_the_event_loop_stands_still_a_notice_is_answered_and_wakes_the_stream_later() -> None:
    hooks, answers = hooked(), list[int]()
    async with listening(hooks) as client:

        def push() -> None:
            request = urllib.request.Request(f"{client.url}/webhooks/zoom", ENDED, signed(SECRET, SECONDS, ENDED))
            with urllib.request.urlopen(request, timeout=3) as answer:
                answers.append(answer.status)

        thread = threading.Thread(target=push)
        thread.start()
        thread.join(10)  # nothing else happens in this loop meanwhile
        assert answers == [200]
        assert hooks.wakes["zoom/meetings"].due is not None


async def test_s61_the_signature_guards_it_and_not_the_listeners_token_or_name() -> None:
    hooks = hooked()
    async with listening(hooks, visitors=Visitors("c4nary-listener-token")) as client:
        assert await client.post(ENDED, extra={"Host": "harvester.university.example"}) == 200
        async with client.http.get(f"{client.url}/metrics") as answer:
            assert answer.status == 401


async def test_without_a_secret_there_is_no_webhook_and_reading_it_is_no_method() -> None:
    async with listening(webhooks({"zoom": settings()}, lambda _: NOW)) as client:
        assert await client.post(ENDED) == 404
    assert webhooks({}, lambda _: NOW) == ({}, {})
    async with listening(hooked()) as client:
        assert await client.post(ENDED, path="/webhooks/other") == 404
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            async with client.http.request(method, f"{client.url}/webhooks/zoom") as answer:
                assert answer.status == 405, method
                assert "aiohttp" not in answer.headers["server"]


@pytest.mark.parametrize("size", [LARGEST + 1, 2**20 + 1])
@pytest.mark.parametrize("chunked", [False, True])
async def test_s51_a_body_over_the_bound_is_refused_though_it_is_signed(size: int, chunked: bool) -> None:
    body = ENDED.ljust(size)

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, size, 2**15):
            yield body[at : at + 2**15]

    hooks, before = hooked(), counted("too_large")
    async with listening(hooks) as client:
        sent: Any = parts() if chunked else io.BytesIO(body)
        try:
            assert await client.post(sent, signed(SECRET, SECONDS, body)) == 413
        except aiohttp.ClientConnectionError:
            assert size > LARGEST + 1, "the connection is closed while a large one is still sent"
        assert counted("too_large") == before + 1
        assert hooks.wakes["zoom/meetings"].due is None
        assert await client.post(ENDED.ljust(LARGEST)) == 200


async def test_s51_a_body_is_taken_as_it_came_and_never_unpacked() -> None:
    bomb = gzip.compress(bytes(50 * 2**20))
    before = counted("unreadable")
    async with listening(hooked()) as client:
        assert len(bomb) < LARGEST
        assert await client.post(bomb, extra={"Content-Encoding": "gzip"}) == 204
        assert counted("unreadable") == before + 1


async def test_s51_a_length_over_the_bound_is_refused_before_the_first_byte() -> None:
    async with listening(hooked()) as client:
        host, _, port = client.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /webhooks/zoom HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (LARGEST + 1))
        assert b"413" in await asyncio.wait_for(reader.readline(), 10)
        writer.close()


async def test_s51_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushed, "_PATIENCE", 0.05)
    async with listening(hooked()) as client:
        host, _, port = client.url.removeprefix("http://").rpartition(":")
        for sent, answered in ((b"Content-Length: 100\r\n\r\n{", b"408"), (b"Transfer-Encoding: chunked\r\n\r\nx\r\n", b"40")):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST /webhooks/zoom HTTP/1.1\r\nHost: x\r\n" + sent)
            assert answered in await asyncio.wait_for(reader.readline(), 10)
            writer.close()
        before = counted("incomplete")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /webhooks/zoom HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await until(lambda: counted("incomplete") > before)
        assert await client.post(ENDED) == 200


async def test_a_burst_of_a_large_account_is_taken_and_what_is_out_of_all_bounds_has_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert pushed.PUSHES >= 10_000
    monkeypatch.setattr(pushed, "PUSHES", 320)
    monkeypatch.setattr(visitors, "PER", 600.0)  # a busy machine takes longer for them than ten seconds
    before = counted("too_many")
    async with listening(hooked()) as client:
        bodies = [ENDED.replace(b"a==", b"%d" % number) for number in range(320)]
        assert [await client.post(body) for body in bodies] == [200] * 320
        assert await client.post(ENDED) == 429
        assert 1 <= int(client.answer.headers["Retry-After"]) <= 600
        async with client.http.get(f"{client.url}/metrics") as answer:
            assert answer.status == 200, "who reads has a bound of his own"
    assert counted("too_many") == before + 1
