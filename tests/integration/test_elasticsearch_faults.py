"""What goes wrong with an Elasticsearch, on real ones: nothing is lost, and it goes on when the cause is gone."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harvester.errors import InvalidEventError, TransientError
from harvester.event import Event, encode_event
from harvester.letters import open_letters
from harvester.protocols import Message
from tests.consuming import counted, deliveries, processing
from tests.indexed import Answering, held, index_sink, own_node, put_templates
from tests.indexing import CUSTOM, DAY, consume, expected, letters, publish, site_of, versions
from tests.services import ElasticsearchServer, Node
from tests.site import Site, World
from tests.useractions import useraction_event

PATIENCE = 180.0


@pytest.fixture(scope="module")
def tight() -> Iterator[Node]:
    """A node that is soon at its limits, and that may be killed."""
    limits = {"thread_pool.write.size": 1, "thread_pool.write.queue_size": 2, "http.max_content_length": "256kb"}
    with own_node(**limits) as node:
        yield node


@pytest.fixture
def emptied(tight: Node) -> Node:
    for name in (
        tight.call("GET", "/_cluster/state/metadata?filter_path=metadata.indices.*.state").get("metadata", {}).get("indices", ())
    ):
        tight.call("DELETE", f"/{name}")
    return tight


def session(user: object) -> Mapping[str, Any]:
    return {"sessionId": "node01abc", "userId": user, "userIp": "203.0.113.7", "userAgent": "Mozilla/5.0"}


def test_f31_of_2000_the_one_that_the_mapping_refuses_is_a_letter_and_is_in_after_the_mapping_was_mended(
    tmp_path: Path, elasticsearch: ElasticsearchServer, vendor: World
) -> None:
    put_templates(elasticsearch)
    elasticsearch.call("PUT", CUSTOM, {"template": {"mappings": {"properties": {"huid": {"type": "long"}}}}})
    site = site_of(tmp_path, elasticsearch, vendor)
    events = [useraction_event(number, sessionId=session(7 if number != 777 else "seven")) for number in range(2000)]
    publish(site, events)

    assert consume(site).code == 5
    (letter,) = letters(site)
    assert letter["reason"] == "mapping"
    assert "failed to parse field [huid] of type [long]" in letter["error"]
    assert held(elasticsearch).keys() == {str(number) for number in range(2000) if number != 777}

    elasticsearch.call("PUT", f"/{DAY}/_mapping", {"properties": {"huid": {"type": "long", "ignore_malformed": True}}})
    assert site.harvest("dead-letters", "requeue", letter["id"]).code == 0
    assert consume(site).code == 0
    assert letters(site) == []
    assert held(elasticsearch).keys() == {str(number) for number in range(2000)}
    assert held(elasticsearch)["777"].source["huid"] == "seven"
    site.audit()


def test_a_full_disk_is_waited_out_and_it_goes_on_by_itself_when_there_is_room(
    tmp_path: Path, elasticsearch: ElasticsearchServer, vendor: World
) -> None:
    put_templates(elasticsearch)
    site = site_of(tmp_path, elasticsearch, vendor)
    publish(site, [useraction_event(0)])
    assert consume(site).code == 0
    elasticsearch.call("PUT", f"/{DAY}/_settings", {"index.blocks.read_only_allow_delete": True})
    publish(site, [useraction_event(number) for number in range(1, 50)])
    with site.process("consume", "elasticsearch") as process:
        told = process.logged("write is tried again", PATIENCE)
        assert "cluster_block_exception" in str(told)
        assert site.lag("elasticsearch") == 49
        elasticsearch.call("PUT", f"/{DAY}/_settings", {"index.blocks.read_only_allow_delete": None})
        process.until(lambda: site.lag("elasticsearch") == 0, PATIENCE)
        assert process.stop() == 0
    assert len(held(elasticsearch)) == 50
    assert letters(site) == []


def test_an_index_that_somebody_blocked_stops_the_sink_with_the_request_that_unblocks_it(
    tmp_path: Path, elasticsearch: ElasticsearchServer, vendor: World
) -> None:
    put_templates(elasticsearch)
    site = site_of(tmp_path, elasticsearch, vendor)
    publish(site, [useraction_event(0)])
    assert consume(site).code == 0
    publish(site, [useraction_event(number) for number in range(1, 50)])
    for setting, blocked in (("index.blocks.write", True), ("index.blocks.read_only", True)):
        elasticsearch.call("PUT", f"/{DAY}/_settings", {setting: blocked})
        done = consume(site)
        assert (done.code, site.lag("elasticsearch")) == (1, 49)
        assert f'PUT /{DAY}/_settings {{"{setting}": null}}' in done.err
        elasticsearch.call("PUT", f"/{DAY}/_settings", {setting: None})
    elasticsearch.call("POST", f"/{DAY}/_close")
    done = consume(site)
    assert (done.code, site.lag("elasticsearch")) == (1, 49)
    assert f"POST /{DAY}/_open" in done.err
    elasticsearch.call("POST", f"/{DAY}/_open")
    assert consume(site).code == 0
    assert len(held(elasticsearch)) == 50
    assert letters(site) == []


def test_an_index_that_the_server_may_not_make_stops_the_sink(
    tmp_path: Path, elasticsearch: ElasticsearchServer, vendor: World
) -> None:
    put_templates(elasticsearch)
    elasticsearch.call("PUT", "/_cluster/settings", {"persistent": {"action.auto_create_index": "false"}})
    site = site_of(tmp_path, elasticsearch, vendor)
    publish(site, [useraction_event(0)])
    done = consume(site)
    assert (done.code, site.lag("elasticsearch")) == (1, 1)
    assert "action.auto_create_index" in done.err
    elasticsearch.call("PUT", f"/{DAY}")
    assert consume(site).code == 0
    assert len(held(elasticsearch)) == 1


def test_a_server_that_has_no_room_for_another_index_stops_the_sink_and_no_event_is_a_letter(
    tmp_path: Path, elasticsearch: ElasticsearchServer, vendor: World
) -> None:
    put_templates(elasticsearch)
    elasticsearch.call("PUT", "/_cluster/settings", {"persistent": {"cluster.max_shards_per_node": 1}})
    site = site_of(tmp_path, elasticsearch, vendor)
    publish(site, [useraction_event(0)])
    done = consume(site)
    assert (done.code, site.lag("elasticsearch"), letters(site)) == (1, 1, [])
    assert "cluster.max_shards_per_node" in done.err
    elasticsearch.call("PUT", "/_cluster/settings", {"persistent": {"cluster.max_shards_per_node": None}})
    assert consume(site).code == 0
    assert len(held(elasticsearch)) == 1


async def test_f32_a_body_over_the_servers_limit_is_halved_until_it_fits_and_what_never_fits_is_a_letter(
    tmp_path: Path, emptied: Node
) -> None:
    events = [useraction_event(number, type="x" * 2000) for number in range(400)]
    events[123] = useraction_event(123, type="x" * 400_000)
    async with index_sink(emptied.url) as sink, open_letters(f"sqlite:///{tmp_path}/letters.db") as stored:
        work = processing(sink, stored)
        counts = await work.process(deliveries(*(Message(event.key, encode_event(event)) for event in events)))
        assert counts == counted(400, 399, dead=1)
        assert [(one.reason, one.event_id) async for one in stored.scan("elasticsearch")] == [("too_large", events[123].id)]
    found = await asyncio.to_thread(held, emptied)
    assert found.keys() == {str(number) for number in range(400) if number != 123}


async def test_f31_a_full_write_queue_rejects_some_and_all_get_in_in_the_end(emptied: Node) -> None:
    batches = [[useraction_event(number) for number in range(start, start + 40)] for start in range(0, 2560, 40)]
    rejected = 0

    async def write(batch: Sequence[Event]) -> None:
        nonlocal rejected
        left = list(batch)
        while left:
            try:
                rejections = await sink.write(left)
            except TransientError:
                rejected += len(left)
                continue
            assert not any(isinstance(rejection.error, InvalidEventError) for rejection in rejections)
            left = [rejection.event for rejection in rejections]
            rejected += len(left)

    async with index_sink(emptied.url) as sink:
        await asyncio.gather(*map(write, batches))
    (stats,) = (await asyncio.to_thread(emptied.call, "GET", "/_nodes/stats/thread_pool"))["nodes"].values()
    assert stats["thread_pool"]["write"]["rejected"] > 0
    assert rejected > 0
    assert len(await asyncio.to_thread(held, emptied)) == 2560


@pytest.mark.slow
def test_f33_a_server_killed_in_mid_bulk_and_long_away_loses_and_doubles_nothing_and_stops_no_other_sink(
    tmp_path: Path, emptied: Node, vendor: World
) -> None:
    settings = {"HARVESTER_BATCH_EVENTS": "25", "HARVESTER_IN_FLIGHT": "2", "HARVESTER_ELASTICSEARCH_BULK_BYTES": "64KiB"}
    site = site_of(tmp_path, emptied, vendor, **settings)
    events = [useraction_event(number % 1000, version=1 + number // 1000) for number in range(1500)]
    publish(site, events)
    with site.process("consume", "duckdb", "elasticsearch") as process:
        process.until(lambda: 0 < site.lag("elasticsearch") < 1400, PATIENCE)
        emptied.kill()
        assert site.lag("elasticsearch") > 0, "it was killed at work"
        later = [useraction_event(number, version=9) for number in range(300)]
        publish(site, later)
        process.logged("write is tried again", PATIENCE)
        process.until(lambda: site.lag("duckdb") == 0, PATIENCE)
        assert site.lag("elasticsearch") >= 300
        emptied.start()
        process.until(lambda: site.lag("elasticsearch") == 0, PATIENCE)
        assert process.stop() == 0
    wanted = expected([*events, *later])
    assert versions(emptied) == wanted
    assert {str(number): outpoint for number, outpoint in site.held().items()} == wanted
    assert letters(site) == []
    site.audit()
    _replayed(site, emptied, wanted)


def _replayed(site: Site, server: Answering, wanted: Mapping[str, int]) -> None:
    """All of it once more changes nothing."""
    before = {id_: found.version for id_, found in held(server).items()}
    assert site.harvest("queue", "seek", "elasticsearch", "--to", "beginning", "--yes").code == 0
    assert consume(site).code == 0
    assert versions(server) == wanted
    assert {id_: found.version for id_, found in held(server).items()} == before
