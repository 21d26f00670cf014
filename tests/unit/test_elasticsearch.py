"""The Elasticsearch sink against a server that says what it is told; what a real one does is in tests/integration."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from consumers.records.record import Record
from harvester.errors import InvalidEventError, PermanentError, TransientError
from harvester.event import Event
from tests.unit.bulkserver import answer_of, only, open_scripted, refused, scripted
from tests.unit.webserver import sending, serving
from tests.useractions import useraction_event

READ_ONLY = "index [useractions-2017.10.06] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];"
OLDER_READ_ONLY = "index [useractions-2017.10.06] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];"
WRITE = "index [useractions-2017.10.06] blocked by: [FORBIDDEN/8/index write (api)];"
NO_SHARDS = (
    "Validation Failed: 1: this action would add [2] shards, but this cluster currently has [9]/[9] maximum normal shards open;"
)
PASSES = [
    refused(429, "es_rejected_execution_exception", "rejected execution"),
    refused(429, "circuit_breaking_exception", "[parent] Data too large"),
    refused(429, "cluster_block_exception", READ_ONLY),
    refused(403, "cluster_block_exception", OLDER_READ_ONLY),
    *[refused(status, "unavailable_shards_exception", "primary shard is not active") for status in (500, 502, 503, 504)],
]
BROKEN = [
    refused(400, "document_parsing_exception", "[1:9] failed to parse field [ip]", caused_by={"type": "x", "reason": "why"}),
    refused(400, "illegal_argument_exception", "Document contains at least one immense term"),
    refused(413, "too_large", "much too large"),
]
STOPS = [
    (refused(403, "cluster_block_exception", WRITE, index="x"), r"\(api\)\]\. Next: PUT /x/_settings .*index.blocks.write"),
    (refused(403, "security_exception", "action [indices:data/write/bulk] is unauthorized"), "HARVESTER_ELASTICSEARCH_API_KEY"),
    (refused(401, "security_exception", "unable to authenticate"), "HARVESTER_ELASTICSEARCH_API_KEY"),
    (refused(404, "index_not_found_exception", "no such index [x] and [action.auto_create_index] is [false]"), "harvest setup"),
    (refused(400, "index_closed_exception", "closed", index="x"), "POST /x/_open"),
    (refused(400, "validation_exception", NO_SHARDS), "cluster.max_shards_per_node"),
]  # fmt: skip


async def test_f31_each_document_is_judged_alone() -> None:
    events = [useraction_event(number) for number in range(30)]
    items = [{"status": 200}, {"status": 201}, refused(409, "version_conflict_engine_exception", "newer"), *PASSES, *BROKEN]
    async with scripted() as (sink, script, _):
        script.judge = lambda document: items[int(document.action["_id"]) % len(items)]
        rejected = {rejection.event.subject: rejection.error for rejection in await sink.write(events)}
    for number in range(30):
        item, error = items[number % len(items)], rejected.get(str(number))
        if item in PASSES:
            assert isinstance(error, TransientError), item
        elif item in BROKEN:
            assert isinstance(error, InvalidEventError), item
            assert item["error"]["reason"] in str(error)
        else:
            assert error is None, item


async def test_an_older_state_that_comes_late_is_written_nowhere_and_counted_as_a_duplicate() -> None:
    async with scripted() as (sink, script, _):
        script.judge = only(2, refused(409, "version_conflict_engine_exception", 'newer, said "status":409'))
        assert list(await sink.write([useraction_event(number) for number in range(5)])) == []
        assert (sink.duplicates(), sink.duplicates()) == (1, 0)


async def test_f31_a_document_that_the_mapping_refuses_is_told_with_the_reason_and_its_cause() -> None:
    async with scripted() as (sink, script, _):
        script.judge = only(1, BROKEN[0])
        (rejection,) = await sink.write([useraction_event(number) for number in (0, 1, 2)])
    assert isinstance(rejection.error, InvalidEventError)
    assert rejection.error.reason == "mapping"
    assert str(rejection.error) == "elasticsearch: 400 document_parsing_exception: [1:9] failed to parse field [ip] (x: why)"


@pytest.mark.parametrize(("item", "next_step"), STOPS)
async def test_what_needs_a_person_stops_the_sink_and_says_what_to_do(item: dict[str, Any], next_step: str) -> None:
    async with scripted() as (sink, script, _):
        script.judge = only(1, item)
        with pytest.raises(PermanentError, match=next_step):
            await sink.write([useraction_event(number) for number in (0, 1, 2)])


async def test_a_document_in_the_failure_store_is_not_taken_for_indexed() -> None:
    async with scripted() as (sink, script, _):
        script.judge = only(1, {"status": 201, "failure_store": "used"})
        (rejection,) = await sink.write([useraction_event(number) for number in (0, 1, 2)])
    assert isinstance(rejection.error, InvalidEventError)
    assert "failure store" in str(rejection.error)


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors":false,"items":[]}',
        b'{"errors":false}',
        b'{"errors":false,"items":[{"index":{"status":201}}]}',
        b'{"errors":false,"items":[{"index":{"status":201}},{"index":{"sta',
        b'{"errors":true,"items":[{"index":{"status":201}}]}',
        b"<html>fine</html>",
        b"[]",
        b"",
    ],
)
async def test_an_answer_that_does_not_speak_of_each_document_confirms_none(body: bytes) -> None:
    async with scripted() as (sink, script, _):
        await sink.write([useraction_event(0)])
        script.whole = lambda asked: web.Response(
            body=body, content_type="application/json", headers={"X-Elastic-Product": "Elasticsearch"}
        )
        with pytest.raises(TransientError):
            await sink.write([useraction_event(1), useraction_event(2)])


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_f33_a_server_that_is_busy_or_red_is_asked_again_when_it_said(status: int) -> None:
    async with scripted() as (sink, script, _):
        script.whole = lambda _: answer_of(
            {"error": {"type": "busy", "reason": "for a while"}}, status=status, **{"Retry-After": "7"}
        )
        with pytest.raises(TransientError, match="for a while") as caught:
            await sink.write([useraction_event(1)])
    assert caught.value.retry_after == 7
    assert len(script.requests) == 1, "our loop decides when to try again, not the client"


@pytest.mark.parametrize("status", [401, 403])
async def test_f41_a_refused_login_stops_the_sink_and_names_the_settings(status: int) -> None:
    async with scripted(api_key="c4nary-key") as (sink, script, _):
        script.whole = lambda _: answer_of({"error": {"type": "security_exception", "reason": "no"}}, status=status)
        with pytest.raises(PermanentError, match="HARVESTER_ELASTICSEARCH_API_KEY") as caught:
            await sink.write([useraction_event(1)])
    assert "c4nary" not in str(caught.value)


async def test_f32_a_body_that_is_too_long_is_refused_for_the_caller_to_halve_and_the_next_ones_are_shorter() -> None:
    events = [useraction_event(number, type="x" * 2000) for number in range(200)]
    async with scripted() as (sink, script, _):
        script.whole = lambda body: answer_of({}, status=413) if len(body) > 200_000 else None
        for _ in range(2):
            with pytest.raises(InvalidEventError, match="413"):
                await sink.write(events)
        assert list(await sink.write(events)) == []
    assert sum(len(bulk) for bulk in script.bulks) == 200


async def test_f32_several_bodies_that_are_too_long_at_once_make_the_next_ones_no_shorter_than_one_alone_does() -> None:
    events = [useraction_event(number, type="x" * 2000) for number in range(200)]
    sizes = []
    async with scripted(bulk_bytes=300_000) as (sink, script, _):
        script.whole = lambda body: answer_of({}, status=413) if len(body) > 200_000 else sizes.append(len(body))
        refusals = await asyncio.gather(*[sink.write(events) for _ in range(8)], return_exceptions=True)
        assert {type(one) for one in refusals} == {InvalidEventError}
        sizes.clear()
        assert list(await sink.write(events)) == []
    assert max(sizes) > 100_000


@pytest.mark.parametrize("status", ["413 Content Too Large", "417 Expectation Failed"])
async def test_f32_a_connection_cut_under_a_body_is_asked_whether_it_takes_such_a_body(status: str) -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        if b"100-continue" in heads[-1].lower():
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
        else:
            writer.transport.abort()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_scripted(f"http://127.0.0.1:{port}") as sink:
            sink._guard.check = nothing  # type: ignore[assignment, method-assign]
            with pytest.raises(InvalidEventError, match=status[:3]) as caught:
                await sink.write([useraction_event(number, type="x" * 2000) for number in range(500)])
    assert caught.value.reason == "too_large"
    assert len(heads) == 2


async def test_f32_a_request_that_is_refused_whole_is_for_the_caller_to_halve() -> None:
    async with scripted() as (sink, script, _):
        script.whole = lambda body: answer_of({"error": "Validation Failed"}, status=400) if b'"_id":"13"' in body else None
        with pytest.raises(InvalidEventError, match="400"):
            await sink.write([useraction_event(number) for number in range(20)])


class Twin(Record, index="twins", table="twins", key="id"):
    """Two of an event."""

    id: str


@pytest.mark.parametrize("guilty", ["a", "b"])
async def test_an_event_of_several_records_is_rejected_when_one_of_them_is(monkeypatch: pytest.MonkeyPatch, guilty: str) -> None:
    def twins(event: Event) -> list[Record]:
        return [Twin(id="a"), Twin(id="b")]

    monkeypatch.setattr("consumers.sinks.shaped.records_of", twins)
    async with scripted() as (sink, script, _):
        monkeypatch.setattr(sink._guard, "_look", nothing)
        script.judge = lambda document: BROKEN[0] if document.body["id"] == guilty else PASSES[0]
        (rejection,) = await sink.write([useraction_event(1)])
        assert isinstance(rejection.error, TransientError), "it is tried again, so that the other record gets in"
        script.judge = lambda document: BROKEN[0] if document.body["id"] == guilty else {"status": 201}
        (rejection,) = await sink.write([useraction_event(1)])
        assert isinstance(rejection.error, InvalidEventError)


async def nothing(*_: object) -> None:
    """Looks at no template."""


async def test_a_server_that_is_no_elasticsearch_is_not_written_to() -> None:
    async with serving(web.json_response({})) as server, open_scripted(str(server.url)) as sink:
        with pytest.raises(PermanentError, match="no Elasticsearch"):
            await sink.write([useraction_event(1)])


async def test_of_several_nodes_a_dead_one_is_passed_over() -> None:
    async with scripted() as (_, script, server), sending() as gone:
        for _ in range(4):
            async with open_scripted(f"http://127.0.0.1:9,{gone},{server.url}") as sink:
                for number in range(4):
                    assert list(await sink.write([useraction_event(number)])) == []
    assert sum(map(len, script.bulks)) == 16


async def test_nobody_there_is_an_outage_with_the_setting_to_check() -> None:
    async with open_scripted("127.0.0.1:9") as sink:
        with pytest.raises(TransientError, match=r"cannot reach http://127.0.0.1:9: refused; check HARVESTER_ELASTICSEARCH_URL"):
            await sink.write([useraction_event(1)])


async def test_f32_an_answer_that_is_cut_off_is_transient() -> None:
    async with sending(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{") as url, open_scripted(str(url)) as sink:
        with pytest.raises(TransientError, match="broke"):
            await sink.write([useraction_event(1)])


async def test_no_answer_in_time_is_transient() -> None:
    async with scripted(timeout=0.2) as (sink, _, server):

        async def never(_: web.BaseRequest) -> web.StreamResponse:
            await forever.wait()
            return web.Response()

        forever = asyncio.Event()
        server.reply = never
        with pytest.raises(TransientError, match=r"within 0\.2 s"):
            await sink.write([useraction_event(1)])
        forever.set()
