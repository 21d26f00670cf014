"""Collections of a container that keeps nothing: they go on where the archive's checkpoints say that the last ones ended."""

import shutil
from datetime import timedelta
from pathlib import Path

from harvester.sandbox.github_settings import GitHubSwitches
from tests.github_site import NOON, checkpoints, held, organisation, requests, site_of, true
from tests.site import Site

HOUR = timedelta(hours=1)


def forget(site: Site) -> None:
    """A new container: archive and warehouse are elsewhere and stay, book, queue and letters are gone."""
    for path in (site.folder / "var").iterdir():
        if path.name not in {"archive", "harvest.duckdb"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_b11_a_container_without_state_goes_on_where_the_last_collection_ended(tmp_path: Path) -> None:
    with organisation() as github:
        site = site_of(tmp_path, github)
        assert site.harvest("github", "collect", "--go-on", "--hours", "264").code == 0
        whole = sum(requests(github).values())
        for hour in (1, 2, 3):
            forget(site)
            github.clock.advance(HOUR)
            done = site.harvest("github", "collect", "--go-on")
            assert done.code == 0, done.err
            assert held(site) == true(github)
            asked = sum(requests(github).values())
            last = checkpoints(site)[-1]
            assert NOON + (hour - 1) * HOUR - timedelta(minutes=11) < last.since < NOON + hour * HOUR - timedelta(minutes=55)
            swept = sum(counts.get("swept", 0) for counts in last.counts.values())
            assert bool(swept) == (hour == 1), "open pull requests are swept once a day, not at each run"
            assert hour == 1 or asked < whole / 2


def test_b79_after_two_days_of_downtime_a_container_without_state_leaves_no_hole(tmp_path: Path) -> None:
    with organisation() as github:
        site = site_of(tmp_path, github)
        assert site.harvest("github", "backfill", "--days", "11").code == 0
        before = true(github)["pull_requests"]
        forget(site)
        github.clock.advance(timedelta(days=3))
        assert site.harvest("github", "collect", "--go-on").code == 0
        assert held(site)["pull_requests"] == true(github)["pull_requests"] > before


def test_b46_what_one_repository_lacks_is_read_by_a_later_container_and_the_others_are_not_read_again(tmp_path: Path) -> None:
    with organisation(graphql="absent") as github:
        site = site_of(tmp_path, github)
        assert site.harvest("github", "backfill", "--days", "11").code == 0
        github.sandbox.switch(GitHubSwitches(forbidden=("widgets",)))
        for _ in range(2):
            forget(site)
            github.clock.advance(timedelta(hours=20))
            assert site.harvest("github", "collect", "--go-on").code == 5
        github.sandbox.switch(GitHubSwitches(forbidden=()))
        forget(site)
        github.clock.advance(HOUR)
        done = site.harvest("github", "collect", "--go-on")
        assert done.code == 0, done.err
        there = held(site)
        assert there["pull_requests"] == true(github)["pull_requests"]
        assert all(there[table] >= keys for table, keys in true(github).items()), "commits that were pushed over stay"


def test_what_a_warehouse_did_not_get_is_no_fact_to_go_on_with(tmp_path: Path) -> None:
    with organisation() as github:
        site = site_of(tmp_path, github)
        assert site.harvest("github", "collect", "--hours", "264", HARVESTER_SINKS="").code == 0
        forget(site)
        done = site.harvest("github", "collect", "--go-on", "--hours", "264")
        assert done.code == 0, done.err
        assert held(site) == true(github), "of another sink nothing is known, so all of it is read"


def test_a_reset_is_no_container_without_state_what_was_read_is_read_again(tmp_path: Path) -> None:
    with organisation() as github:
        site = site_of(tmp_path, github)
        assert site.harvest("github", "collect", "--hours", "264").code == 0
        whole = sum(requests(github).values())
        assert site.harvest("coverage", "reset", "github", "--yes").code == 0
        assert site.harvest("github", "collect", "--go-on", "--hours", "264").code == 0
        assert sum(requests(github).values()) > whole / 2


def test_go_on_with_a_range_or_without_an_archive_is_told(tmp_path: Path) -> None:
    with organisation() as github:
        site = site_of(tmp_path, github)
        assert site.harvest("github", "collect", "--go-on", "--since", "2025-06-01").code == 2
        done = site.harvest("github", "collect", "--go-on", HARVESTER_ARCHIVE_PERSIST="false")
        assert (done.code, "PERSIST_TO_GCS" in done.err) == (3, True)
