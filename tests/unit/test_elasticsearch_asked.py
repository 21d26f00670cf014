"""An answer of some shards, or one that was given up half-way, is never taken for all there is."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from aiohttp import web

from consumers.amending import Amendment
from consumers.records.opencast import Episode, UserAction, series_parts
from consumers.sinks.elasticsearch import ElasticsearchSink
from harvester.commands import export_index
from harvester.commands.export_query import Groups, Measure
from harvester.errors import TransientError
from harvester.retry import Retry
from tests.unit.bulkserver import answer_of, scripted

_NOW = datetime(2026, 11, 28, tzinfo=UTC)
Ask = Callable[[ElasticsearchSink], Awaitable[Any]]


async def exported(sink: ElasticsearchSink) -> None:
    async for _ in export_index.IndexReader(sink._cluster).rows(
        Groups(UserAction, ("event_module", "mpid"), (Measure("count"),))
    ):
        pass


ASKED: dict[str, Ask] = {
    "changed": lambda sink: sink.changed(UserAction, "opencast", _NOW),
    "find": lambda sink: sink.find("101"),
    "amend": lambda sink: sink.amend(
        [Amendment(UserAction, "opencast", "mpid", "m", "episode", series_parts(Episode(title="x")), _NOW)]
    ),
    "export": exported,
}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"timed_out": True, "_shards": {"total": 5, "failed": 0}}, "the time was up"),
        ({"timed_out": False, "_shards": {"total": 5, "failed": 2}}, "2 of 5 shards failed"),
    ],
)
async def test_an_answer_in_part_is_none(said: dict[str, Any], why: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_index, "ONE_SHOT", Retry(attempts=1))
    told: dict[str, Any] = {"timed_out": False, "_shards": {"total": 5, "failed": 0}}

    def whole(_: bytes) -> web.Response:
        return answer_of({"id": "pit", "hits": {"hits": []}, "aggregations": {"found": {"buckets": []}}, **told})

    async with scripted() as (sink, script, _):
        script.whole = whole
        await ASKED[name](sink)
        searches = [request for request in script.requests if "_search" in request]
        assert searches, msgspec.json.encode(script.requests)
        assert all("allow_partial_search_results=false" in request for request in searches)
        told |= said
        with pytest.raises(TransientError, match=why):
            await ASKED[name](sink)
