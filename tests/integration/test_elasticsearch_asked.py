"""What a real Elasticsearch is asked of what it holds: whole answers alone count, and what is rewritten undoes nothing newer."""

from datetime import UTC, datetime
from typing import Any

import pytest

from consumers.amending import Amendment
from consumers.records.opencast import Episode, UserAction, series_parts
from consumers.sinks import elasticsearch_amend
from consumers.sinks.elasticsearch import ElasticsearchSink
from consumers.sinks.elasticsearch_cluster import open_cluster
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from consumers.sinks.elasticsearch_terms import distinct
from harvester.answers import StatusError
from tests.indexed import held, index_sink, put_templates
from tests.services import ElasticsearchServer
from tests.useractions import FOUND, action, useraction_event

MPID = action()["mediapackageId"]


async def test_an_index_that_cannot_answer_is_not_left_out_of_the_answer(elasticsearch_any: ElasticsearchServer) -> None:
    elasticsearch_any.call("PUT", "/useractions-2017.10.06", {"mappings": {"properties": {"mpid": {"type": "keyword"}}}})
    elasticsearch_any.call("PUT", "/useractions-2017.10.06/_doc/1", {"mpid": "a"})
    async with open_cluster(ElasticsearchSettings(url=elasticsearch_any.url)) as cluster:
        assert list(await distinct(cluster, "useractions-*", "mpid")) == ["a"]
        elasticsearch_any.call("PUT", "/useractions-2017.10.07/_doc/2", {"mpid": "made without our template"})
        with pytest.raises(StatusError, match=r"useractions-2017.10.07|\[mpid\]"):
            await distinct(cluster, "useractions-*", "mpid")


async def test_what_was_completed_between_reading_and_writing_keeps_its_newer_look_up(
    elasticsearch_any: ElasticsearchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_templates(elasticsearch_any)
    write = elasticsearch_amend._write
    older = series_parts(Episode(title="older"))
    async with index_sink(elasticsearch_any.url) as sink:
        assert isinstance(sink, ElasticsearchSink)
        assert list(await sink.write([useraction_event(101)])) == []

        async def late(*given: Any) -> int:
            assert list(await sink.write([useraction_event(101, context=FOUND)])) == []
            return await write(*given)

        monkeypatch.setattr(elasticsearch_amend, "_write", late)
        assert await sink.amend([Amendment(UserAction, "opencast", "mpid", MPID, "episode", older, datetime.now(UTC))]) == 0
    assert held(elasticsearch_any)["101"].source["episode"]["title"] == FOUND["title"]
