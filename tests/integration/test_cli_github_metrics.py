"""`harvest github metrics` as a command: what it says, and how it refuses."""

import asyncio
from pathlib import Path

import pytest

from consumers.sinks import open_sink
from tests.github_records import ALL_GITHUB
from tests.site import Site


async def filled(path: Path) -> None:
    async with open_sink(f"duckdb:///{path}") as sink:
        assert list(await sink.write(list(ALL_GITHUB))) == []


def test_b53_metrics_are_computed_by_a_command_that_says_what_it_wrote(tmp_path: Path) -> None:
    site = Site(tmp_path, HARVESTER_SINKS="duckdb")
    asyncio.run(filled(tmp_path / "var/harvest.duckdb"))
    done = site.harvest("github", "metrics", "--json")
    assert (done.code, done.json) == (0, {"duckdb": {"metrics": 2, "pr_metrics": 1}})
    assert "duckdb: metrics: 2 rows written, pr_metrics: 1 row written" in done.err
    assert site.harvest("github", "metrics", "--json").json == {"duckdb": {"metrics": 0, "pr_metrics": 0}}
    assert site.harvest("github", "metrics", "--since", "2026-11-02", "--json").json["duckdb"]["metrics"] == 1


@pytest.mark.parametrize(("given", "code", "said"), [
    (("--since", "yesterday"), 2, "is no day: write YYYY-MM-DD"),
    (("--since", "2026-11-02", "--until", "2026-11-02"), 2, "is not after the start"),
])  # fmt: skip
def test_b53_a_range_that_is_none_is_refused(tmp_path: Path, given: tuple[str, ...], code: int, said: str) -> None:
    done = Site(tmp_path, HARVESTER_SINKS="duckdb").harvest("github", "metrics", *given)
    assert done.code == code
    assert said in done.err


def test_f13_without_a_warehouse_there_are_no_metrics_and_it_says_what_to_add(tmp_path: Path) -> None:
    done = Site(tmp_path, HARVESTER_SINKS="elasticsearch", HARVESTER_ELASTICSEARCH_URL="http://127.0.0.1:9").harvest(
        "github", "metrics"
    )
    assert done.code == 3
    assert "add duckdb, postgres or bigquery" in done.err
