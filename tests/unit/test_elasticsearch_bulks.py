"""What the Elasticsearch sink sends and asks: bodies, names, ids, versions and queries."""

import re
from datetime import UTC, datetime, timedelta

import msgspec
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from consumers.records.record import index_name
from consumers.sinks import shaped
from consumers.sinks.elasticsearch import bulks
from tests.unit.bulkserver import answer_of, only, refused, scripted
from tests.useractions import FIRST, FOUND, useraction_event


async def test_s41_a_document_is_written_by_its_key_into_the_index_of_its_own_day_with_its_rank_as_version() -> None:
    async with scripted() as (sink, script, _):
        events = [
            useraction_event(1, version=3),
            useraction_event(2, version=3, context=FOUND),
            useraction_event(3, source='opencast/"law"\n\u2028'),
            msgspec.structs.replace(useraction_event(4), time=datetime(2026, 2, 3, 23, 59, tzinfo=UTC)),
        ]
        assert list(await sink.write(events)) == []
    (bulk,) = script.bulks
    assert [one.action for one in bulk] == [
        {"_index": "useractions-2017.10.06", "_id": "1", "version": 6, "version_type": "external_gte"},
        {"_index": "useractions-2017.10.06", "_id": "2", "version": 7, "version_type": "external_gte"},
        {"_index": "useractions-2017.10.06", "_id": 'opencast/"law"\n\u2028:3', "version": 24, "version_type": "external_gte"},
        {"_index": "useractions-2026.02.03", "_id": "4", "version": 24, "version_type": "external_gte"},
    ]
    assert [one.body["action_id"] for one in bulk] == [1, 2, 3, 4]
    assert bulk[1].body["episode"]["title"] == "Lecture 10"


@given(moment=st.datetimes(timezones=st.just(UTC)), source=st.text(), data=st.text())
def test_s40_whatever_an_event_holds_its_index_has_a_valid_name(moment: datetime, source: str, data: str) -> None:
    event = msgspec.structs.replace(useraction_event(1, source=source, type=data), time=moment)
    records, _ = shaped.shaped([event])
    assert all(re.fullmatch(r"useractions-[0-9]{1,4}\.[0-9]{2}\.[0-9]{2}", index_name(one.record, event)) for one in records)


async def test_who_may_only_read_still_finds_a_thing() -> None:
    async with scripted() as (sink, script, server):

        async def reply(request: web.BaseRequest) -> web.StreamResponse:
            if request.path.endswith("/_refresh"):
                return answer_of({"error": {"type": "security_exception", "reason": "unauthorized"}}, status=403)
            source = {"action_id": 1, "@timestamp": FIRST, "event": {"id": "x", "module": "opencast", "ingested": FIRST}}
            hits = [{"_index": "useractions-1", "_version": 25, "_source": one} for one in (source, {"@timestamp": "none"})]
            return answer_of({"hits": {"hits": hits}})

        server.reply = reply
        assert [(one.subject, one.version) for one in await sink.find("1")] == [("1", 12)]
    assert script.bulks == []


async def test_a_long_bulk_arrives_whole_and_says_how_long_it_is() -> None:
    async with scripted() as (sink, script, _):
        events = [useraction_event(number, sessionId={"userAgent": "x" * 2000}) for number in range(1, 401)]
        assert list(await sink.write(events)) == []
    assert script.ids == [[str(number) for number in range(1, 401)]]
    sent = script.headers[-1]
    assert int(sent["content-length"]) > 800_000
    assert "transfer-encoding" not in sent


async def test_a_bulk_is_ndjson_and_asks_for_no_more_than_what_it_judges() -> None:
    async with scripted() as (sink, script, _):
        await sink.write([useraction_event(1)])
    assert script.requests[-1] == "POST /_bulk?filter_path=errors,items.*.status,items.*.error,items.*.failure_store"
    assert "x-ndjson" in script.headers[-1]["content-type"]


async def test_bodies_are_bounded_in_bytes_and_keep_their_order() -> None:
    events = [useraction_event(number, type="x" * 5000) for number in range(60)]
    async with scripted(bulk_bytes=64 * 2**10) as (sink, script, _):
        script.judge = only(42, refused(400, "document_parsing_exception"))
        (rejection,) = await sink.write(events)
    assert rejection.event is events[42]
    assert len(script.bulks) > 3
    assert [id_ for ids in script.ids for id_ in ids] == [str(number) for number in range(60)]
    records, _ = shaped.shaped(events)
    assert all(len(bulk.body) <= 64 * 2**10 for bulk in bulks(records, FIRST, 64 * 2**10))
    assert [len(bulk.events) for bulk in bulks(records[:3], FIRST, 1)] == [1, 1, 1], "one too long goes alone"


async def test_an_older_state_stays_when_the_newer_of_the_same_batch_is_refused() -> None:
    async with scripted() as (sink, script, _):
        await sink.write([useraction_event(1, version=3), useraction_event(1, version=7)])
    assert [one.action["version"] for one in script.bulks[0]] == [6, 14], "both are sent, in their order"


async def test_what_gives_no_record_asks_no_server() -> None:
    stranger = msgspec.structs.replace(useraction_event(5), type="opencast.unheard")
    async with scripted() as (sink, script, _):
        assert list(await sink.write([stranger])) == []
    assert script.requests == []


async def test_the_time_of_indexing_is_in_the_document() -> None:
    moment = FIRST + timedelta(days=400)
    async with scripted() as (sink, script, _):
        sink._now = lambda: moment
        await sink.write([useraction_event(1)])
    assert datetime.fromisoformat(script.bulks[0][0].body["event"]["ingested"]) == moment
