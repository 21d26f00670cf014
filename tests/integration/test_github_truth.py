"""From the simulated GitHub through the source into records: the rows are those that are true, however GitHub is read."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from consumers.records import records_of
from consumers.records.record import Record
from harvester.coverage import Interval
from harvester.retry import Retry
from harvester.sandbox.github_truth import TABLES, GitHubTruth
from harvester.sources.github import GithubSettings, open_github
from tests.unit.github_sandboxes import NOON, github

AGO = timedelta(days=14)
ONLY_GRAPHQL = {("reviews", "updated_at")}
RENAMED = {"private": "is_private", "archived": "is_archived", "gone": "is_gone"}
"""Fields of the truth that a record calls otherwise."""
NOT_OURS = {"has_issues", "current", "author_login"}


async def held(url: str, mode: str) -> dict[str, dict[str, Record]]:
    """Table → subject → the record of its newest state, of all that the source reads."""
    best: dict[tuple[str, str], tuple[int, Record]] = {}
    settings = GithubSettings.model_validate({"token": "sandbox-token", "org": "acme", "url": url, "mode": mode})
    async with open_github(settings, retry=Retry(attempts=2, scale=0)) as source:
        for stream in await source.streams():
            async for page in stream.fetch(Interval(NOON - AGO - timedelta(days=1), NOON), b""):
                assert not page.broken
                for event in page.events:
                    (record,) = records_of(event)
                    name = (type(record).__shape__.table, event.subject)
                    if name not in best or event.version >= best[name][0]:
                        best[name] = (event.version, record)
    return {table: {name: one for (of, name), (_, one) in best.items() if of == table} for table in TABLES}


def expected(truth: GitHubTruth) -> dict[str, Mapping[str, dict[str, Any]]]:
    """What can be read at one moment: neither commits that were forced away, nor repositories that are gone."""
    rows: dict[str, Mapping[str, dict[str, Any]]] = {table: getattr(truth, table) for table in TABLES}
    rows["pr_commits"] = {key: row for key, row in rows["pr_commits"].items() if row["current"]}
    there = {f"{row['repository_id']}/{row['sha']}" for row in rows["pr_commits"].values()}
    rows["commits"] = {key: row for key, row in rows["commits"].items() if key in there}
    rows["repositories"] = {key: row for key, row in rows["repositories"].items() if not row["gone"]}
    return rows


@pytest.mark.parametrize("mode", ["graphql", "rest"])
async def test_b52_every_row_is_true_in_every_column_by_graphql_and_by_rest(mode: str) -> None:
    async with github(history=AGO, repositories=8, pulls_per_day=3, huge_every=0) as client:
        found, truth = await held(client.running.url, mode), expected(client.running.sandbox.truth())
    assert {table: rows.keys() for table, rows in found.items()} == {table: rows.keys() for table, rows in truth.items()}
    for table, rows in truth.items():
        assert rows, f"the sandbox had no {table} to compare"
        for key, row in rows.items():
            for name, value in row.items():
                if name in NOT_OURS or (mode == "rest" and (table, name) in ONLY_GRAPHQL):
                    continue
                ours = getattr(found[table][key], RENAMED.get(name, name))
                assert ours == (value if value != "" else None), (table, key, name)
