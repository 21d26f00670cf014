"""A metadata outage while events flow into a real Elasticsearch: the small version of `python -m benchmarks outage`."""

from pathlib import Path

from benchmarks.outage import proof
from benchmarks.paths import opened_sink
from tests.services import ElasticsearchServer


async def test_f36_an_outage_stops_nothing_makes_nothing_poorer_and_all_is_complete_when_it_is_over(
    elasticsearch_any: ElasticsearchServer, tmp_path: Path
) -> None:
    async with opened_sink(elasticsearch_any.url) as sink:
        found = await proof(elasticsearch_any.url, sink, tmp_path, events=1500, rate=1000)
    assert found.pending >= 1500  # all that came meanwhile, and the repeats of what was there
    assert (found.poorer, found.incomplete, found.missing) == (0, 0, 0)
