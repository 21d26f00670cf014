"""GitHub at size, in small: the same run as `python -m tests.github size`, of some days; and its judge."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harvester.sandbox.github import GitHubSandbox
from harvester.sandbox.github_truth import TABLES, GitHubTruth
from tests.github.judge import NOT_OURS, OURS, Judge, Judgement, together
from tests.github.size import NOW, Plan, everything, prove, world
from tests.github.stores import FILE, in_file

SMALL = Plan(
    repositories=12,
    pulls=30,
    days=5,
    live=3,
    every=timedelta(hours=16),
    idle_every=timedelta(hours=12),
    restart_after=5,
    backfill_ratio=2,
    idle_ratio=1,
)


async def test_what_arrives_is_true_within_every_limit_for_a_fraction_of_the_calls(tmp_path: Path) -> None:
    report = await prove(SMALL, tmp_path)
    assert report.wrong() == []
    assert report.faults > 0
    assert all(one.true > 10 for one in report.tables.values())
    store = in_file(tmp_path / FILE)
    for statement, expected in (
        ("DELETE FROM reviews WHERE subject = (SELECT min(subject) FROM reviews)", Judgement(missing=1)),
        ("INSERT INTO pull_requests SELECT * FROM pull_requests LIMIT 1", Judgement(doubled=1)),
        ("UPDATE commits SET message = 'x' WHERE subject = (SELECT max(subject) FROM commits)", Judgement(stale=1)),
        (
            "UPDATE pr_commits SET subject = '1/1/x' WHERE subject LIKE (SELECT max(subject) FROM pr_commits)",
            Judgement(unknown=1),
        ),
    ):
        before = together(report.judge.of(await everything(store, report.judge)).values())
        await store.ask(statement)
        after = together(report.judge.of(await everything(store, report.judge)).values())
        change = Judgement(*(now - then for now, then in zip(after, before, strict=True)))
        assert change.doubled + change.stale + change.unknown + change.missing in (1, 2), statement
        assert all(found >= wanted for found, wanted in zip(change, expected, strict=True)), statement


@pytest.fixture(scope="module")
def sandbox() -> GitHubSandbox:
    made = GitHubSandbox(world(SMALL), ticker=lambda: 0.0)
    made.clock.set(NOW + timedelta(days=3))
    return made


def ours(truth: GitHubTruth) -> dict[str, list[dict[str, Any]]]:
    """The rows as a sink holds them that holds all that is true."""
    return {
        table: [
            {"subject": key, **{OURS.get(name, name): None if value == "" else value for name, value in row.items()}}
            for key, row in getattr(truth, table).items()
        ]
        for table in TABLES
    }


def there(sandbox: GitHubSandbox, table: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows of repositories that are there, of commits that still are."""
    truth = sandbox.truth()
    gone = {row["repository_id"] for row in truth.repositories.values() if row["gone"]}
    current = {f"{row['repository_id']}/{row['sha']}" for row in truth.pr_commits.values() if row["current"]}
    for nth, (key, row) in enumerate(getattr(truth, table).items()):
        if row["repository_id"] not in gone and row.get("current", True) and (table != "commits" or key in current):
            yield nth, row


@pytest.mark.parametrize("table", TABLES)
def test_the_judge_sees_a_row_that_is_gone_copied_made_up_or_wrong_in_any_column(sandbox: GitHubSandbox, table: str) -> None:
    truth = sandbox.truth()
    judge, held = Judge(truth, sandbox.world.repositories, NOW + timedelta(days=2)), ours(truth)
    assert together(judge.of(held).values()).faults == 0
    nth, row = next(there(sandbox, table))
    rows = held[table]
    for changed, expected in (
        ([*rows[:nth], *rows[nth + 1 :]], (1, 0, 0, 0)),
        ([*rows, rows[nth]], (0, 1, 0, 0)),
        ([*rows, {**rows[nth], "subject": "1/2"}], (0, 0, 0, 1)),
        ([], (sum(1 for _ in there(sandbox, table)), 0, 0, 0)),
    ):
        found = judge.of({**held, table: changed})[table]
        assert found[1:] == expected or (changed == [] and found.missing >= expected[0])
    for name in row.keys() - NOT_OURS:
        wrong = {**rows[nth], OURS.get(name, name): datetime(2001, 1, 1, tzinfo=UTC)}
        assert judge.of({**held, table: [*rows[:nth], wrong, *rows[nth + 1 :]]})[table].stale == 1, name


def test_the_judge_forgives_and_counts_a_review_that_lacks_the_time_which_rest_does_not_tell(sandbox: GitHubSandbox) -> None:
    judge, held = Judge(sandbox.truth(), sandbox.world.repositories, NOW), ours(sandbox.truth())
    nth, _ = next(there(sandbox, "reviews"))
    rows = held["reviews"]
    for more, stale, untold in (({}, 0, 1), ({"state": "PENDING"}, 1, 0)):
        told = [*rows[:nth], {**rows[nth], "updated_at": None, **more}, *rows[nth + 1 :]]
        assert (judge.of({"reviews": told})["reviews"].stale, judge.untold) == (stale, untold)


def test_the_judge_takes_old_names_of_a_repository_and_no_others(sandbox: GitHubSandbox) -> None:
    truth = sandbox.truth()
    judge, held = Judge(truth, sandbox.world.repositories, NOW), ours(truth)
    renamed = next(each for each in sandbox.world.repositories if len(each.names) > 1)
    now, before = renamed.name(sandbox.moment()), renamed.names[0][1]
    nth = next(nth for nth, row in enumerate(held["reviews"]) if row["repository_id"] == renamed.id)
    row = held["reviews"][nth]
    for name, stale in ((before, 0), ("elsewhere", 1)):
        told = {**row, "repository": name, "url": row["url"].replace(f"/acme/{now}/", f"/acme/{name}/")}
        assert judge.of({"reviews": [told]})["reviews"].stale == stale
    assert judge.of({"reviews": [{**row, "repository": before}]})["reviews"].stale == 1  # its address is of the other name
