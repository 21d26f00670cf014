"""Collections of GitHub: archived first, then in the warehouse, completed after a kill, and honest about what is missing."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harvester.commands.github_checkpoints import name_of
from harvester.errors import TransientError
from harvester.sandbox.github_settings import GitHubSwitches
from tests.github_site import NOON, checkpoints, held, organisation, requests, requests_so_far, site_of, true
from tests.site import Site


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


@pytest.mark.parametrize("share", [0.4, 0.9])
def test_b47_a_collection_that_was_killed_is_completed_first_and_little_is_read_again(tmp_path: Path, share: float) -> None:
    with organisation(latency=0.03) as github:
        straight = site_of(tmp_path / "straight", github, HARVESTER_GITHUB_MAX_WORKERS="1")
        assert straight.harvest("github", "backfill", "--days", "11").code == 0
        usual = sum(requests(github).values())
        site = site_of(tmp_path / "killed", github, HARVESTER_GITHUB_MAX_WORKERS="1", HARVESTER_COVERAGE_PACE="0")
        with site.process("github", "backfill", "--days", "11") as process:
            process.until(lambda: sum(requests_so_far(github).values()) > share * usual)
            process.send(signal.SIGKILL)
            process.ended()
        [cut] = checkpoints(site)
        assert cut.state == "running"
        done = site.harvest("github", "backfill", "--days", "5")
        assert done.code == 0, done.err
        assert done.err.index(cut.collection_id) < done.err.index("complete")
        first, second = checkpoints(site)
        assert (first.collection_id, first.state, second.state) == (cut.collection_id, "complete", "complete")
        assert first.completed == first.repositories
        assert held(site) == true(github) == held(straight)
        at_work, page, beginning = 2, 2, 4  # streams at once; a page is a list and its details; repositories, and the canary
        assert sum(requests(github).values()) <= usual + at_work * page + beginning


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """The warehouse is away while the block runs: another process holds its file."""
    assert site.harvest("github", "init").code == 0
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(site.folder / "var/harvest.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            other.communicate()


def test_b43_what_a_warehouse_that_is_away_lacks_is_archived_and_the_next_collection_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harvester.commands.github_draining.TRIES", 2)
    with organisation() as github:
        site = site_of(tmp_path, github)
        with locked(site):
            done = site.harvest("github", "backfill", "--days", "11")
        assert done.code == 5
        [kept] = checkpoints(site)
        assert (kept.state, kept.completed) == ("partial", kept.repositories)
        assert [hole.part for hole in kept.holes] == ["duckdb"]
        assert "not written: duckdb: " in done.err
        assert site.harvest("archive", "verify").code == 0
        requests(github)
        assert site.harvest("github", "collect").code == 0
        assert "R/issues/comments" not in requests(github)
        assert held(site) == true(github)


async def away(*_: object) -> None:
    """A store that does not answer."""
    raise TransientError("the archive is away")


def test_b43_a_warehouse_gets_nothing_that_the_archive_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.sinks.archive.ArchiveSink.write", away)
    monkeypatch.setattr("harvester.commands.github_draining.TRIES", 2)
    with organisation() as github:
        site = site_of(tmp_path, github)
        assert site.harvest("github", "backfill", "--days", "11").code == 5
        assert [hole.part for hole in checkpoints(site)[0].holes] == ["archive"]
        assert not (tmp_path / "var/harvest.duckdb").exists()


def test_b14_q28_a_repository_that_fails_is_a_hole_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    with organisation(forbidden=("widgets",), graphql="absent") as github:
        site = site_of(tmp_path, github)
        done = site.harvest("github", "backfill", "--days", "11")
        assert done.code == 5, done.err
        [kept] = checkpoints(site)
        assert kept.state == "partial"
        assert set(kept.repositories) - set(kept.completed) == {"widgets"}
        assert {hole.repository for hole in kept.holes} == {"widgets"}
        assert all("single sign-on" in hole.why for hole in kept.holes)
        assert f"harvest github resume --collection-id {kept.collection_id}" in done.err
        warnings = [json.loads(line) for line in done.err.splitlines() if '"a fetch failed"' in line]
        assert {line["log.level"] for line in warnings} == {"warn"}
        told = {(line["organisation"], line["repository"], line["part"], line["status"]) for line in warnings}
        assert told == {("acme", "widgets", part, 403) for part in ("pulls", "review_comments", "issue_comments")}
        github.sandbox.switch(GitHubSwitches(forbidden=()))
        done = site.harvest("github", "resume", "--collection-id", kept.collection_id)
        assert done.code == 0, done.err
        assert checkpoints(site)[0].completed == kept.repositories
        assert held(site) == true(github)


def test_a_token_that_is_refused_fails_the_collection_after_few_requests(tmp_path: Path) -> None:
    with organisation() as github:
        done = site_of(tmp_path, github).harvest("github", "collect", HARVESTER_GITHUB_TOKEN="other")
        assert done.code == 1
        assert "the token was refused: check HARVESTER_GITHUB_TOKEN" in done.err
        assert sum(requests(github).values()) <= 2


def status(site: Site) -> Any:
    """What it says, with the sources that are set by default: GitHub is none of them."""
    return site.harvest("status", "--json").json


def test_b47_a_signal_ends_a_collection_with_130_and_says_who_completes_it(tmp_path: Path) -> None:
    with organisation(latency=0.1) as github:
        site = site_of(tmp_path, github, HARVESTER_GITHUB_MAX_WORKERS="1")
        with site.process("github", "backfill", "--days", "11") as process:
            process.until(lambda: site.lag("archive") > 0 and site.lag() > 0 and sum(requests_so_far(github).values()) > 10)
            github.sandbox.switch(GitHubSwitches(latency=1))  # it reads on while it is looked at
            fed = {one["name"]: (one["state"], one["reader"]) for one in status(site)["sinks"]}
            assert {fed["archive"][0], fed["duckdb"][0]} == {"running"}
            assert all(f"pid {process.pid}" in reader for _, reader in fed.values())
            assert not [one for one in status(site)["problems"] if one["name"] in fed], "it is no problem that they wait"
            assert process.stop() == 130
            assert "completes it first" in process.err
        waits = [one for one in status(site)["problems"] if one["name"] == "archive"]
        assert [one["next"].partition(",")[0] for one in waits] == ["harvest github collect"]
        assert "forget" not in str(status(site)), "whoever follows that loses what the archive lacks"
        [kept] = checkpoints(site)
        assert kept.state == "running"
        assert any(one.read_to for one in kept.streams.values())


def test_b22_scheduled_goes_on_after_a_failed_cycle_and_ends_with_0_by_a_signal(tmp_path: Path) -> None:
    with organisation() as github:
        site = site_of(tmp_path, github, HARVESTER_GITHUB_LOOKBACK_DAYS="11")
        github.faults.set({"401": 1.0})
        with site.process("github", "scheduled", "--interval", "0.0002") as process:
            process.logged("a collection failed")
            github.faults.set({})
            process.until(lambda: sum(line["message"] == "collection ended" for line in process.log) > 1)
            assert process.stop() == 0
            ended = [line for line in process.log if line["message"] == "collection ended"]
        assert {line["state"] for line in ended} == {"complete"}
        assert held(site) == true(github)
        first, second = checkpoints(site)[:2]
        assert first.since < NOON - timedelta(days=10)
        assert second.since > NOON - timedelta(hours=1), "from where streams stand, less the overlap"


def test_b47_one_of_some_repositories_that_was_killed_before_its_first_page_is_read_and_not_called_complete_unread(
    tmp_path: Path,
) -> None:
    with organisation() as github, pytest.MonkeyPatch.context() as patch:
        site = site_of(tmp_path, github)
        patch.setattr("harvester.commands.github_collection.Collection.run", away)
        assert site.harvest("github", "backfill", "--days", "11", "--repos", "widgets").code == 1
        patch.undo()
        assert checkpoints(site)[0].state == "running"
        done = site.harvest("github", "collect", "--repos", "lectures", "--hours", "1")
        assert done.code == 0, done.err
        first = checkpoints(site)[0]
        assert (first.state, first.repositories) == ("complete", ["widgets"])
        assert first.counts["widgets"]["pull_requests"] > 0


def test_a_repository_that_was_renamed_since_a_kill_counts_once_under_its_new_name(tmp_path: Path) -> None:
    with organisation() as github:
        site = site_of(tmp_path, github)
        assert site.harvest("github", "collect").code == 0
        [kept] = checkpoints(site)
        path = tmp_path / "var/archive" / name_of("acme", kept.collection_id)
        kept.state = "running"
        path.write_bytes(msgspec.json.encode(kept).replace(b'"widgets"', b'"called-otherwise-then"'))
        assert site.harvest("github", "collect").code == 0
        assert checkpoints(site)[0].repositories == checkpoints(site)[0].completed == checkpoints(site)[1].repositories


def test_b79_dead_letters_of_before_a_kill_are_still_told_by_who_completes_it(tmp_path: Path) -> None:
    with organisation() as github:
        site = site_of(tmp_path, github)
        assert site.harvest("github", "collect").code == 0
        [kept] = checkpoints(site)
        kept.state, kept.dead_letters = "running", 2
        path = tmp_path / "var/archive" / name_of("acme", kept.collection_id)
        path.write_bytes(msgspec.json.encode(kept))
        assert site.harvest("github", "collect").code == 5
        assert (checkpoints(site)[0].state, checkpoints(site)[0].dead_letters) == ("partial", 2)


def test_b22_two_collections_never_run_at_once(tmp_path: Path) -> None:
    with organisation(latency=0.2) as github:
        site = site_of(tmp_path, github, HARVESTER_GITHUB_MAX_WORKERS="1")
        with site.process("github", "collect") as process:
            process.until(lambda: requests_so_far(github))
            done = site.harvest("github", "collect")
            assert done.code == 4
            assert str(process.pid) in done.err


def test_q30_days_of_downtime_leave_no_hole_behind_the_next_collection(tmp_path: Path) -> None:
    with organisation() as github:
        site = site_of(tmp_path, github)
        assert site.harvest("github", "backfill", "--days", "11").code == 0
        before = true(github)["pull_requests"]
        github.clock.advance(timedelta(days=4))
        assert site.harvest("github", "collect", "--hours", "1").code == 0
        assert held(site)["pull_requests"] == true(github)["pull_requests"] > before
