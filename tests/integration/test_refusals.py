"""Events that the mapping of a real Elasticsearch refuses: `python -m benchmarks refusals` in small, and with commands."""

import asyncio
from pathlib import Path

from benchmarks import index
from benchmarks.actions import batched
from benchmarks.paths import opened_queue, opened_sink
from benchmarks.refusals import FEW, MENDED, begun, messages, proof, too_many
from tests.services import ElasticsearchServer
from tests.site import Site, world

EVENTS = 2000


async def test_f31_what_the_mapping_refuses_is_a_letter_and_is_written_when_the_mapping_is_mended(
    elasticsearch_any: ElasticsearchServer, tmp_path: Path
) -> None:
    async with opened_sink(elasticsearch_any.url) as sink:
        mended = await proof(elasticsearch_any.url, sink, tmp_path / "place", EVENTS)
    assert mended.reasons == {"mapping": EVENTS // FEW}


async def test_f35_when_a_fifth_is_refused_the_sink_stops_and_says_why(
    elasticsearch_any: ElasticsearchServer, tmp_path: Path
) -> None:
    async with opened_sink(elasticsearch_any.url) as sink:
        told = await too_many(elasticsearch_any.url, sink, tmp_path / "place", EVENTS)
    assert "200 of 1000 events were refused" in told
    assert "failed to parse field [huid] of type [long]" in told
    assert "--accept-rejections" in told


def test_after_the_mapping_is_mended_one_command_makes_all_letters_due_and_none_is_left(
    elasticsearch_any: ElasticsearchServer, tmp_path: Path
) -> None:
    url = elasticsearch_any.url

    async def harvested(place: Path) -> None:
        await asyncio.to_thread(place.mkdir)
        await begun(url, EVENTS)
        async with opened_queue(place) as queue:
            for some in batched(messages(EVENTS, FEW), 1000):
                await queue.publish(some)

    with world() as vendor:
        site = Site(tmp_path / "site", vendor.url, HARVESTER_ELASTICSEARCH_URL=url)
        asyncio.run(harvested(site.folder / "var"))
        refused = site.harvest("consume", "elasticsearch", "--until-empty")
        assert refused.code == 5, refused.err
        assert f"delivered {EVENTS - EVENTS // FEW:,}" in refused.err
        again = site.harvest("dead-letters", "requeue", "--reason", "mapping")
        assert f"{EVENTS // FEW} letters are due" in again.err
        # Not mended yet: they come back, with one more attempt, and wait for a person again.
        site.harvest("consume", "elasticsearch", "--until-empty")
        letters = site.harvest("dead-letters", "list", "--json").lines
        assert {(x["reason"], x["attempts"], x["due"]) for x in letters} == {("mapping", 2, None)}
        assert len(letters) == EVENTS // FEW
        asyncio.run(index.ask(url, "PUT", f"/{index.PATTERN}/_mapping", MENDED))
        site.harvest("dead-letters", "requeue", "--reason", "mapping")
        assert site.harvest("consume", "elasticsearch", "--until-empty").code == 0
        assert site.harvest("dead-letters", "list").err.strip() == "no letters"
    assert asyncio.run(index.count(url)) == EVENTS
