"""`harvest github verify`: what is missing, doubled or stale in a warehouse is named, and nothing else is."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from harvester.commands import github_stores
from tests.github_site import organisation, site_of
from tests.site import Site

TABLE = "pull_requests"


def change(site: Site, *statements: str) -> list[Any]:
    """The rows of the last of them."""
    with duckdb.connect(site.folder / "var/harvest.duckdb") as connection:
        for statement in statements:
            found = connection.execute(statement).fetchall()
        return found


@pytest.mark.parametrize("mode", ["graphql", "rest"])
def test_what_is_stored_is_compared_with_the_totals_of_github_and_a_lost_row_is_named(tmp_path: Path, mode: str) -> None:
    with organisation() as running:
        site = site_of(tmp_path, running, HARVESTER_SINKS="duckdb", HARVESTER_GITHUB_MODE=mode)
        assert site.harvest("github", "backfill", "--days", "10").code == 0
        clean = site.harvest("github", "verify", "--json")
        assert (clean.code, clean.json["drift"]) == (0, []), clean.out + clean.err
        stored = change(site, f"SELECT count(*) FROM {TABLE}")[0][0]
        assert clean.json["pull_requests"] == stored + clean.json["before"] > stored > 10
        deep = site.harvest("github", "verify", "--deep", "--json")
        assert (deep.code, deep.json["drift"]) == (0, []), deep.out
        lost, doubled, stale = change(site, f"SELECT repository, pr_number FROM {TABLE} ORDER BY repository, pr_number LIMIT 3")
        where = "repository = '{}' AND pr_number = {}"
        change(site, f"DELETE FROM {TABLE} WHERE {where.format(*lost)}")
        said = site.harvest("github", "verify")
        assert said.code == 5
        assert f"duckdb: acme/{lost[0]}: GitHub has " in said.out
        assert f"1 missing: #{lost[1]}" in said.out
        assert "next: harvest github load-gcs" in said.err
        change(
            site,
            f"INSERT INTO {TABLE} SELECT * FROM {TABLE} WHERE {where.format(*doubled)}",
            f"UPDATE {TABLE} SET updated_at = updated_at - INTERVAL 1 SECOND WHERE {where.format(*stale)}",
        )
        drift = site.harvest("github", "verify", "--deep", "--json")
        (found,) = [one for one in drift.json["drift"] if one["repository"] == f"acme/{lost[0]}"]
        assert (found["missing"], found["doubled"], found["stale"]) == ([lost[1]], 1, [stale[1]])
        change(site, "DELETE FROM review_comments WHERE comment_id = (SELECT min(comment_id) FROM review_comments)")
        remarks = site.harvest("github", "verify", "--deep", "--json").json["drift"]
        assert sum(one.get("review_comments", 0) for one in remarks) == 1
        # What is archived mends it.
        assert site.harvest("github", "load-gcs").code == 0
        (left,) = site.harvest("github", "verify", "--deep", "--json").json["drift"]
        assert {name for name, value in left.items() if value} == {"sink", "repository", "told", "stored", "doubled"}


def test_without_a_warehouse_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    given = {"HARVESTER_GITHUB_ORG": "acme", "HARVESTER_GITHUB_TOKEN": "x"}
    done = Site(tmp_path, HARVESTER_SINKS="archive", **given).harvest("github", "verify")
    assert done.code == 3
    assert "duckdb, postgres or bigquery" in done.err


def test_remarks_of_before_reading_began_or_after_it_ended_are_no_drift(tmp_path: Path) -> None:
    with organisation() as running:
        site = site_of(tmp_path, running, HARVESTER_SINKS="duckdb")
        assert site.harvest("github", "backfill", "--days", "5").code == 0
        # Of the predecessor, say: older than what is read.
        old = "SELECT * REPLACE (-1 AS comment_id, subject || '/old' AS subject, updated_at - INTERVAL 100 DAY AS updated_at)"
        change(site, f"INSERT INTO review_comments {old} FROM review_comments ORDER BY comment_id LIMIT 1")
        deep = site.harvest("github", "verify", "--deep", "--json")
        assert (deep.code, deep.json["drift"]) == (0, []), deep.out
        running.clock.advance(timedelta(days=1))
        later = site.harvest("github", "verify", "--deep", "--json")
        assert later.json["pull_requests"] > deep.json["pull_requests"]
        assert (later.code, later.json["drift"]) == (0, []), later.out
        change(site, "DELETE FROM review_comments WHERE comment_id > 0")
        assert min(one["review_comments"] for one in site.harvest("github", "verify", "--deep", "--json").json["drift"]) > 0


def test_all_repositories_are_asked_for_at_once_also_where_each_is_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, asks = list[str](), github_stores._DuckDB.ask

    async def ask(store: github_stores._DuckDB, statement: str) -> list[github_stores.Row]:
        asked.append(statement)
        return await asks(store, statement)

    monkeypatch.setattr(github_stores._DuckDB, "ask", ask)
    with organisation(repositories=4) as running:
        site = site_of(tmp_path, running, HARVESTER_SINKS="duckdb")
        assert site.harvest("github", "backfill", "--days", "3").code == 0
        asked.clear()
        deep = site.harvest("github", "verify", "--deep", "--json")
        assert (deep.code, deep.json["repositories"]) == (0, 4)
        assert len(asked) == 3


def test_repositories_that_are_not_to_be_read_are_not_told_as_gone(tmp_path: Path) -> None:
    with organisation() as running:
        site = site_of(tmp_path, running, HARVESTER_SINKS="duckdb")
        assert site.harvest("github", "backfill", "--days", "3").code == 0
        some = site.harvest("github", "verify", "--json", HARVESTER_GITHUB_REPOS="widgets,lectures")
        assert (some.code, some.json["repositories"]) == (0, 2)
        assert not any("does not list" in line for line in some.json["not_compared"])
        assert any("HARVESTER_GITHUB_REPOS does not name" in line for line in some.json["not_compared"])


def test_what_was_wiped_is_archived_anew_when_it_is_read_again_as_the_command_says(tmp_path: Path) -> None:
    with organisation() as running:
        site = site_of(tmp_path, running, HARVESTER_SINKS="duckdb,archive")
        assert site.harvest("github", "backfill", "--days", "5").code == 0
        ((number,),) = change(site, "SELECT DISTINCT repository_id FROM pull_requests WHERE repository = 'lectures'")
        told = site.harvest("github", "wipe-gcs", "--repo", "lectures").err
        assert "harvest backfill github --stream pulls/NUMBER --start TIME --again" in told
        assert site.harvest("github", "wipe-gcs", "--repo", "lectures", "--confirm").code == 0
        again = site.harvest("backfill", "github", "--stream", f"pulls/{number}", "--start", "20250605120000", "--again")
        assert again.code == 0, again.err
        assert site.harvest("github", "backfill", "--days", "5", "--repos", "lectures").code == 0
        amounts = site.harvest("github", "gcs-summary", "--json").json["amounts"]
        there = {one["data_type"] for one in amounts if one["repository"] == "acme/lectures"}
        assert {"pull_requests", "commits", "reviews"} <= there
