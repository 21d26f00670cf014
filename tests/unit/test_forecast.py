"""When a backfill ends: what its bar, /status and `harvest status` say."""

from datetime import UTC, datetime, timedelta
from time import time

import pytest

from harvester.budget import Account, Backfill, Bucket, Plan, Room, Terms
from harvester.commands.budgets import lines
from harvester.commands.outlook import Outlook, clock_time
from harvester.forecast import seconds_left
from harvester.report import Told, collect
from harvester.sources.github_limits import Limits

NOW = datetime(2026, 11, 28, 3, tzinfo=UTC)


@pytest.mark.parametrize(("done", "elapsed", "rooms", "left"), [
    (0.25, 100, {}, 300),
    (0.0, 100, {}, None),
    (1.0, 100, {}, 0),
    (0.25, 100, {"core": Room(spent=100, left=400, hourly=4050)}, 300),
    (0.1, 600, {"core": Room(spent=1000, left=900, hourly=4050)}, 7200),
    (0.1, 600, {"core": Room(spent=1, left=9, hourly=50), "graphql": Room(spent=1000, left=900, hourly=4050)}, 7200),
    (0.85, 3, {"graphql": Room(spent=60, left=0, hourly=60, wait=3600)}, 3600),
    (0.5, 3, {"graphql": Room(spent=60, left=80, hourly=60, wait=3600)}, 3),
])  # fmt: skip
def test_a_backfill_ends_by_its_pace_or_when_the_hours_to_come_give_what_is_missing(
    done: float, elapsed: float, rooms: dict[str, Room], left: float | None
) -> None:
    assert seconds_left(done, elapsed, rooms) == left


def test_a_forecast_waits_for_the_reset_and_counts_on_no_more_than_the_vendor_allows() -> None:
    limits = Limits(Terms(hourly=4500, reserve=100, minute=800, flying=100, keeps=0.1))
    reset = f"{time() + 3600:.0f}"
    limits.heard("graphql", {"X-RateLimit-Limit": "150", "X-RateLimit-Remaining": "89", "X-RateLimit-Reset": reset})
    room = limits.room("graphql")
    assert (room.left, room.hourly) == (0, 60)
    assert room.wait == pytest.approx(3600, abs=10)


def test_what_is_expected_is_told_to_those_who_share_the_budget_until_it_is_over() -> None:
    backfill, seconds = Backfill(), [0.0]
    backfill.rooms = lambda: {"core": Room(spent=1000, left=900, hourly=4050)}
    outlook = Outlook("github/pulls/1", backfill, clock=lambda: seconds[0])
    assert outlook.at(0.0) is None
    seconds[0] = 600
    ends = outlook.at(0.1)
    assert ends is not None
    assert timedelta(hours=1.9) < ends - datetime.now(UTC) < timedelta(hours=2.1)
    assert backfill.plan == Plan(name="github/pulls/1", done=0.1, ends=ends.timestamp())
    outlook.over()
    assert backfill.plan is None


def test_b62_status_says_what_is_spent_what_the_vendor_allows_and_when_a_backfill_ends() -> None:
    plan = Plan(name="github/pulls/1", done=0.42, ends=(NOW + timedelta(minutes=70)).timestamp())
    account = Account(hourly=4500, plans={"a": (plan, 0.0)})
    account.buckets = {"core": Bucket(spent={1: 1234}, limit=5000, left=3700), "graphql": Bucket(spent={1: 7})}
    report = collect(Told(accounts={"github-0123": account}), process=None)
    assert lines(report.budgets, report.backfills, NOW) == [
        (
            "· github-0123: 1,234 of 4,500 requests of the hour spent (the vendor allows 5,000, 3,700 are left); "
            "7 of 4,500 points of the hour spent"
        ),
        "· backfill of github/pulls/1: 42% read, ends at 04:10Z",
    ]
    assert clock_time(NOW + timedelta(days=1), NOW) == "2026-11-29 03:00Z"
    assert account.unspent("core") == 3266
