"""Collections of GitHub: archived first, then in the warehouse, completed after a kill, and honest about what is missing."""

import signal
from datetime import timedelta
from pathlib import Path

import pytest

from tests.github_site import NOON, checkpoints, held, organisation, requests, site_of, true


def test_b17_b43_b46_b79_a_backfill_archives_and_writes_what_is_true_and_says_so(tmp_path: Path) -> None:
    with organisation() as github:
        site = site_of(tmp_path, github)
        done = site.harvest("github", "backfill", "--days", "11", "--json")
        assert done.code == 0, done.err
        assert held(site) == true(github)
        assert site.harvest("archive", "verify").code == 0
        [kept] = checkpoints(site)
        assert done.json["collection_id"] == kept.collection_id
        assert (kept.state, kept.kind, kept.organisation) == ("complete", "backfill", "acme")
        assert kept.completed == kept.repositories
        assert not any(one.left for one in kept.streams.values())
        assert NOON - timedelta(seconds=7) < kept.until < NOON
        assert kept.sinks["archive"]["delivered"] == kept.sinks["duckdb"]["delivered"] > 0
        assert kept.manifests
        for table in ("pull_requests", "commits", "reviews"):
            assert sum(counts.get(table, 0) for counts in kept.counts.values()) >= len(true(github)[table]) > 0
        assert f"collection {kept.collection_id}: " in done.err
        assert f"collection {kept.collection_id} complete" in done.err


def test_b11_what_was_read_is_not_asked_for_again_by_the_next_collection(tmp_path: Path) -> None:
    with organisation() as github:
        site = site_of(tmp_path, github)
        assert site.harvest("github", "backfill", "--days", "11").code == 0
        done = site.harvest("github", "collect", "--repos", " widgets , Lectures")
        assert done.code == 0, done.err
        requests(github)  # a sweep is among them: once a day
        assert site.harvest("github", "collect").code == 0
        assert site.harvest("github", "collect", "--repos", "widgets").code == 0
        requests(github)
        assert site.harvest("github", "collect").code == 0
        again = requests(github)
        assert again.keys() == {"/orgs/{org}/repos", "/graphql"}, "the canary told that nothing changed"
        assert sum(again.values()) <= 3
        assert checkpoints(site)[1].repositories == ["lectures", "widgets"]


@pytest.mark.parametrize("wait", [1, 6])
def test_b47_a_collection_that_was_killed_is_completed_first_and_little_is_read_again(tmp_path: Path, wait: int) -> None:
    with organisation(latency=0.03) as github:
        straight = site_of(tmp_path / "straight", github, HARVESTER_GITHUB_MAX_WORKERS="2")
        assert straight.harvest("github", "backfill", "--days", "11").code == 0
        usual = requests(github)
        site = site_of(tmp_path / "killed", github, HARVESTER_GITHUB_MAX_WORKERS="2", HARVESTER_COVERAGE_PACE="0")
        with site.process("github", "backfill", "--days", "11") as process:
            process.until(
                lambda: (
                    len(github.stats.snapshot().requests.get("/graphql", {}))
                    and sum(sum(outcomes.values()) for outcomes in github.stats.snapshot().requests.values()) > 3 + wait
                )
            )
            process.send(signal.SIGKILL)
            process.ended()
        [cut] = checkpoints(site)
        assert cut.state == "running"
        done = site.harvest("github", "collect")
        assert done.code == 0, done.err
        assert done.err.index(cut.collection_id) < done.err.index("complete")
        first, second = checkpoints(site)
        assert (first.collection_id, first.state, second.state) == (cut.collection_id, "complete", "complete")
        assert first.completed == first.repositories
        assert held(site) == true(github) == held(straight)
        spent = requests(github)
        assert spent["/graphql"] <= usual["/graphql"] + 2 + len(first.streams), (spent, usual)
