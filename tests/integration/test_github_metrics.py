"""B53, F13: metrics are the same right numbers in every warehouse, change with late data, and twice is once."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consumers.records.velocity import Metric, PullRequestMetric
from consumers.sinks.elasticsearch_cluster import open_cluster
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from consumers.sinks.elasticsearch_templates import load, pieces
from consumers.velocity import MEASURES
from harvester.commands.github_metrics import compute
from harvester.event import Event
from harvester.loading import Loaded
from tests.github_records import (
    SHA,
    comment_event,
    comment_item,
    commit_event,
    commit_node,
    pair_event,
    pull_request_event,
    pull_request_node,
    review_event,
    review_node,
)
from tests.github_stores import STORES, ask, loaded, settings_of, write
from tests.indexed import put_templates
from tests.servers.fixtures import Servers
from tests.services import ElasticsearchServer

BOB = {"__typename": "User", "login": "bob", "databaseId": 12}
CAT = {"__typename": "User", "login": "cat", "databaseId": 14}
BOT = {"__typename": "Bot", "login": "renovate", "databaseId": 13}
GIT = {"name": "Dan of Git", "email": "dan@example.org", "user": None}

# The records of the helpers: #12 is of ann, opened on the 1st at 9:00, merged on the 2nd at 19:30, +30 −4 in 3 files, size/M.
OPEN: dict[str, Any] = {"state": "OPEN", "merged": False, "mergedAt": None, "closedAt": None, "labels": {"nodes": []}}
EVENTS = [
    pull_request_event(),
    # Opened half an hour before midnight in UTC, by bob; neither reviewed nor merged.
    pull_request_event(pull_request_node(13, author=BOB, createdAt="2026-11-01T23:30:00Z", additions=600, **OPEN)),
    # Of an account that is gone; closed, not merged.
    pull_request_event(pull_request_node(14, author=None, **OPEN | {"closedAt": "2026-11-05T00:00:00Z", "state": "CLOSED"})),
    # Undoes #12, by a bot, within the hour.
    pull_request_event(
        pull_request_node(
            15,
            author=BOT,
            title='Revert "Add a widget"',
            headRefName="hotfix/widget",
            createdAt="2026-11-03T08:00:00Z",
            mergedAt="2026-11-03T08:59:59Z",
            closedAt="2026-11-03T08:59:59Z",
        )
    ),
    commit_event(),  # written on 31 October at 8:00, committed on the 1st
    commit_event(commit_node("c" * 40, author=GIT, authoredDate="2026-11-03T08:30:00Z", committedDate="2026-11-03T08:30:00Z")),
    pair_event(SHA, number=12),
    pair_event("c" * 40, number=15),
    review_event(review_node(501, author=BOT, submittedAt="2026-11-01T09:05:00Z")),
    review_event(review_node(502, state="COMMENTED", submittedAt="2026-11-01T09:06:00Z")),
    review_event(review_node(503, author=BOB, state="CHANGES_REQUESTED", submittedAt="2026-11-01T11:00:30Z")),
    review_event(review_node(504, author=CAT, submittedAt="2026-11-02T10:00:00Z")),
    comment_event("review_comment", comment_item(701, user={"login": "bob", "id": 12, "type": "User"})),  # on the 2nd
    comment_event("review_comment", comment_item(702)),  # ann's own, on the 2nd
]

# day, author, type, then the measures in their order
DAILY = {
    ("2026-11-01", "ann", "User"): (1, 0, 0, 1, 1, 0, 0, 0, 0),
    ("2026-11-01", "bob", "User"): (1, 0, 0, 0, 1, 0, 0, 0, 0),
    ("2026-11-01", "ghost", "Unknown"): (1, 0, 0, 0, 0, 0, 0, 0, 0),
    ("2026-11-01", "renovate[bot]", "Bot"): (0, 0, 0, 0, 1, 0, 0, 0, 0),
    ("2026-11-02", "ann", "User"): (0, 1, 1, 0, 0, 1, 30, 4, 3),
    ("2026-11-02", "bob", "User"): (0, 0, 0, 0, 0, 1, 0, 0, 0),
    ("2026-11-02", "cat", "User"): (0, 0, 0, 0, 1, 0, 0, 0, 0),
    ("2026-11-03", "Dan of Git", "Unknown"): (0, 0, 0, 1, 0, 0, 0, 0, 0),
    ("2026-11-03", "renovate[bot]", "Bot"): (1, 1, 1, 0, 0, 0, 30, 4, 3),
    ("2026-11-05", "ghost", "Unknown"): (0, 0, 1, 0, 0, 0, 0, 0, 0),
}
TIMES = ("coding_time", "time_to_first_review", "review_time", "time_to_first_approval", "time_to_merge", "lead_time_to_merge")
SIZES = ("size_lines", "size_band", "review_rounds", "review_depth", "reviewers_count")
FLAGS = ("is_coding_clamped", "is_reverted", "is_hotfix")
PULLS = {
    12: (25 * 60, 120, 32 * 60 + 29, 25 * 60, 34 * 60 + 30, 59 * 60 + 30, 34, "M", 1, 1, 2, False, True, False),
    13: (None, None, None, None, None, None, 604, "XL", 0, 0, 0, None, False, False),
    14: (None, None, None, None, None, None, 34, "M", 0, 0, 0, None, False, False),
    15: (0, None, None, None, 59, 29, 34, "M", 0, 0, 0, True, False, True),
}


@pytest.fixture(params=STORES)
def settings(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Loaded:
    return loaded(settings_of(request.param, servers, tmp_path), tmp_path)


def plain(value: Any) -> Any:
    """BigQuery answers in texts."""
    if isinstance(value, str) and value.removeprefix("-").isdecimal():
        return int(value)
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


async def daily(settings: Loaded) -> dict[tuple[Any, ...], tuple[int, ...]]:
    rows = await ask(settings, "SELECT * FROM {metrics}")
    return {
        (str(row["metric_date"]), row["author"], row["author_type"]): tuple(plain(row[one]) for one in MEASURES) for row in rows
    }


async def pulls(settings: Loaded) -> dict[int, tuple[Any, ...]]:
    rows = await ask(settings, "SELECT * FROM {pr_metrics}")
    return {plain(row["pr_number"]): tuple(plain(row[one]) for one in (*TIMES, *SIZES, *FLAGS)) for row in rows}


def written(told: dict[str, dict[str, int]]) -> dict[str, int]:
    (one,) = told.values()
    return one


async def test_b53_every_store_computes_what_was_worked_out_by_hand_and_follows_late_data(settings: Loaded) -> None:
    await write(settings, *EVENTS)
    assert written(await compute(settings)) == {"metrics": len(DAILY), "pr_metrics": len(PULLS)}
    assert await daily(settings) == DAILY
    assert await pulls(settings) == PULLS
    assert written(await compute(settings)) == {"metrics": 0, "pr_metrics": 0}
    # Late data: #14 was opened again, and a review of another day was not told before.
    late = [
        pull_request_event(pull_request_node(14, author=None, **OPEN), version=2),
        review_event(review_node(505, author=BOT, submittedAt="2026-10-31T23:59:59Z")),
    ]
    await write(settings, *late)
    assert written(await compute(settings)) == {"metrics": 2, "pr_metrics": 1}
    assert await daily(settings) == DAILY | {
        ("2026-10-31", "renovate[bot]", "Bot"): (0, 0, 0, 0, 1, 0, 0, 0, 0),
        ("2026-11-05", "ghost", "Unknown"): (0,) * 9,
    }


async def test_f13_an_index_has_the_rows_of_the_warehouse_beside_it_and_is_filled_again_by_a_range(
    elasticsearch_any: ElasticsearchServer, tmp_path: Path
) -> None:
    given = {"HARVESTER_DUCKDB_PATH": str(tmp_path / "events.duckdb"), "HARVESTER_ELASTICSEARCH_URL": elasticsearch_any.url}
    alone = loaded({**given, "HARVESTER_SINKS": "duckdb"}, tmp_path)
    both = loaded({**given, "HARVESTER_SINKS": "duckdb,elasticsearch"}, tmp_path)
    async with open_cluster(ElasticsearchSettings(url=elasticsearch_any.url)) as cluster:
        for record in (Metric, PullRequestMetric):
            for piece in pieces(record):
                await load(cluster, piece)
    await write(alone, *EVENTS)
    assert (await compute(both)).keys() == {"duckdb", "elasticsearch"}
    assert indexed(elasticsearch_any) == DAILY
    elasticsearch_any.call("DELETE", "/github-metrics")
    assert await compute(both) == {sink: {"metrics": 0, "pr_metrics": 0} for sink in ("elasticsearch", "duckdb")}
    await compute(both, date(2026, 11, 3))
    assert indexed(elasticsearch_any) == {key: row for key, row in DAILY.items() if key[0] >= "2026-11-03"}


def indexed(server: ElasticsearchServer) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """The index as `daily` has the table."""
    server.call("POST", "/github-metrics/_refresh")
    rows = [hit["_source"] for hit in server.call("GET", "/github-metrics/_search?size=100")["hits"]["hits"]]
    return {(row["metric_date"], row["author"], row["author_type"]): tuple(row[one] for one in MEASURES) for row in rows}


@pytest.mark.parametrize("settings", ["duckdb", "postgres"], indirect=True)
async def test_b53_rows_have_the_name_that_the_repository_has_now_and_a_range_is_computed_whole(settings: Loaded) -> None:
    await write(settings, *EVENTS)
    await compute(settings)
    assert written(await compute(settings, date(2026, 11, 2), date(2026, 11, 4))) == {"metrics": 5, "pr_metrics": 1}
    assert written(await compute(settings)) == {"metrics": 0, "pr_metrics": 0}
    await write(settings, renamed(pull_request_event(version=2)))
    assert written(await compute(settings)) == {"metrics": len(DAILY), "pr_metrics": len(PULLS)}
    assert {row["repository"] for row in await ask(settings, "SELECT repository FROM {metrics}")} == {"gadgets"}


def renamed(event: Event) -> Event:
    data = bytes(event.data).replace(b'"name":"widgets"', b'"name":"gadgets"')
    return msgspec.structs.replace(event, data=msgspec.Raw(data), read_at=datetime(2026, 11, 28, tzinfo=UTC))


async def test_b53_a_range_takes_back_what_is_no_more_of_its_days(settings: Loaded) -> None:
    await write(settings, *EVENTS)
    await compute(settings)
    await write(settings, pull_request_event(pull_request_node(14, author=None, **OPEN), version=2))
    await compute(settings, date(2026, 11, 5))
    assert await daily(settings) == DAILY | {("2026-11-05", "ghost", "Unknown"): (0,) * 9}


async def test_f13_a_name_that_is_longer_than_an_id_can_be_stops_no_metrics(
    elasticsearch_any: ElasticsearchServer, tmp_path: Path
) -> None:
    given = {"HARVESTER_DUCKDB_PATH": str(tmp_path / "events.duckdb"), "HARVESTER_ELASTICSEARCH_URL": elasticsearch_any.url}
    put_templates(elasticsearch_any)
    node = commit_node("d" * 40, author=GIT | {"name": "é" * 600})
    await write(loaded({**given, "HARVESTER_SINKS": "duckdb"}, tmp_path), commit_event(node))
    both = loaded({**given, "HARVESTER_SINKS": "duckdb,elasticsearch"}, tmp_path)
    assert (await compute(both))["elasticsearch"]["metrics"] == 1
    assert {author for _, author, _ in await daily(loaded({**given, "HARVESTER_SINKS": "duckdb"}, tmp_path))} == {"é" * 100}
