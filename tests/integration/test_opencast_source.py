"""The Opencast source against a server that behaves like the vendor's: what it yields is the truth of the window."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Any, NamedTuple

import msgspec
import pytest

from harvester.coverage import Interval, cut
from harvester.errors import ConfigError, PermanentError, TransientError
from harvester.event import Event
from harvester.protocols import Stream
from harvester.retry import Retry
from harvester.sandbox.serve import Running, serve
from harvester.sandbox.settings import REST, SandboxSettings
from harvester.sources.opencast import Opencast
from tests.opencast_table import ACTIONS, Got, opened, read

NOW = datetime(2026, 11, 3, 18, tzinfo=UTC)  # a Tuesday
OLD = Interval(datetime(2026, 11, 2, 10, tzinfo=UTC), datetime(2026, 11, 2, 12, tzinfo=UTC))
LAST_HOUR = Interval(NOW - timedelta(hours=1), NOW)


class Site(NamedTuple):
    running: Running
    source: Opencast
    stream: Stream

    def truth(self, window: Interval) -> dict[str, int]:
        return {str(a.id): a.version for a in self.running.truth(*window).actions.values()}

    @property
    def calls(self) -> int:
        return self.running.stats.snapshot().requests_of(ACTIONS)


@asynccontextmanager
async def site(*, source: dict[str, Any] | None = None, **switches: Any) -> AsyncIterator[Site]:
    """A sandbox whose clock stands still at NOW, and the source that reads it."""
    world = SandboxSettings(**{"now": NOW, "speed": 0, "retry_after": 0.01, "slow": 0, **switches})
    async with serve(world) as running:
        login = {"login": world.login if world.login != "none" else "basic", "zone": world.timezone}
        async with opened(running.url, **{**login, **(source or {})}) as opencast:
            [stream] = await opencast.streams()
            running.stats.reset()
            yield Site(running, opencast, stream)


async def read_hours(stream: Stream, span: Interval, width: timedelta = timedelta(hours=1)) -> list[Event]:
    return [event for window in cut(span, width) for event in (await read(stream, window)).events]


def newest(events: Sequence[Event]) -> dict[str, int]:
    return Got(events, (), ()).newest


# --- every kind of server


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"order": "id"},
        {"order": "shuffled"},
        {"order": "restless", "speed": 60},
        {"limit_cap": 7},
        {"limit_cap": 1, "actions_per_day": 200},
        {"session": "flat"},
        {"masked": True},
        {"masked": True, "session": "flat", "playing": "bool"},
        {"timezone": "America/New_York"},
        {"timezone": "Asia/Kathmandu"},
        {"login": "basic"},
        {"login": "digest"},
    ],
    ids=str,
)
async def test_a_window_at_rest_is_read_completely_from_every_kind_of_server(switches: dict[str, Any]) -> None:
    async with site(source={"batch_size": 50}, **switches) as here:
        got = await read(here.stream, OLD)
        assert newest(got.events) == here.truth(OLD)
        assert len(got.events) == len(here.truth(OLD)) > 10
        assert got.broken == []
        assert all(OLD.start <= e.time < OLD.end for e in got.events)
        assert all(
            NOW - timedelta(seconds=2) <= e.read_at <= here.running.clock.latest + timedelta(seconds=5) for e in got.events
        )


async def test_times_subjects_and_versions_are_those_of_the_truth() -> None:
    async with site(timezone="America/New_York") as here:
        actions = here.running.truth(*OLD).actions
        for event in (await read(here.stream, OLD)).events:
            action = actions[int(event.subject)]
            assert (event.time, event.version) == (action.created, action.outpoint)
            data = msgspec.json.decode(event.data)
            assert (data["id"], data["outpoint"], data["inpoint"]) == (action.id, action.outpoint, action.inpoint)


@pytest.mark.parametrize("batch", [1, 2, 3, 100, 1000])
async def test_an_undisturbed_window_costs_at_most_two_calls_more_than_it_has_pages(batch: int) -> None:
    async with site(source={"batch_size": batch}, actions_per_day=600) as here:
        rows = len((await read(here.stream, OLD)).events)
        assert rows > 10
        assert here.calls <= ceil(rows / batch) + 2


async def test_reading_again_gives_the_same_ids() -> None:
    async with site() as here:
        first, second = [{e.id for e in (await read(here.stream, OLD)).events} for _ in range(2)]
        assert first == second


# --- rows that come late and rows that grow


async def test_f03_late_rows_are_found_by_the_reading_after_they_came_to_rest() -> None:
    async with site(growing=False, actions_per_day=20_000) as here:
        early = (await read(here.stream, LAST_HOUR)).newest
        here.running.clock.advance(REST)
        settled = (await read(here.stream, LAST_HOUR)).newest
        assert early.keys() < settled.keys()
        assert settled == here.truth(LAST_HOUR)


async def test_f03_a_grown_footprint_comes_again_as_the_same_subject_with_a_higher_version_and_a_new_id() -> None:
    async with site(late=False, actions_per_day=20_000) as here:
        before = {e.subject: e for e in (await read(here.stream, LAST_HOUR)).events}
        here.running.clock.advance(REST)
        after = {e.subject: e for e in (await read(here.stream, LAST_HOUR)).events}
        assert newest(list(after.values())) == here.truth(LAST_HOUR)
        assert before.keys() == after.keys()
        changed = [(old, after[old.subject]) for old in before.values() if old.id != after[old.subject].id]
        assert changed
        assert all(old.version < new.version and old.time == new.time for old, new in changed)
        assert {msgspec.json.decode(new.data)["type"] for _, new in changed} == {"FOOTPRINT"}


@pytest.mark.parametrize("order", ["moved", "restless"])
async def test_q61_rows_that_grow_come_and_move_while_they_are_paged_are_all_found(order: str) -> None:
    async with site(source={"batch_size": 40}, order=order, speed=200, actions_per_day=10_000) as here:
        before = here.truth(LAST_HOUR)
        got = (await read(here.stream, LAST_HOUR)).newest
        after = here.truth(LAST_HOUR)
        assert before.keys() <= got.keys() <= after.keys()
        assert all(version <= got[subject] for subject, version in before.items())


# --- the clock of the server


CHANGES = pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
        ("Europe/Vienna", datetime(2026, 10, 25, 1, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
        ("Europe/Vienna", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ],
)


@CHANGES
async def test_q59_every_action_around_a_change_of_the_clock_is_found_exactly_once(zone: str, change: datetime) -> None:
    span = Interval(change - timedelta(hours=3), change + timedelta(hours=3))
    now = change + timedelta(hours=20)
    async with site(timezone=zone, now=now, history=timedelta(days=3), actions_per_day=20_000) as here:
        truth = here.truth(span)
        for width in (20, 60, 1440):
            events = await read_hours(here.stream, span, timedelta(minutes=width))
            assert sorted(e.subject for e in events) == sorted(truth)


@CHANGES
@pytest.mark.parametrize("day", [True, False], ids=["by day", "by tail"])
async def test_q59_days_around_a_change_of_the_clock_are_whole_on_a_stock_server(zone: str, change: datetime, day: bool) -> None:
    span = Interval(change - timedelta(hours=40), change + timedelta(hours=40))
    world: dict[str, Any] = {
        "timezone": zone,
        "now": change + timedelta(hours=50),
        "history": timedelta(days=5),
        "actions_per_day": 2_000,
    }
    async with site(patched=False, day=day, **world) as here:
        events = await read_hours(here.stream, span, timedelta(days=1))
        assert sorted(e.subject for e in events) == sorted(here.truth(span))


async def test_f02_neighbouring_windows_cut_between_equal_times_share_no_row_and_lose_none() -> None:
    async with site(actions_per_day=50_000) as here:
        times = sorted({a.created for a in here.running.truth(*OLD).actions.values()})
        cuts = [OLD.start, *times[10:60:7], OLD.end]
        events = [e for a, b in pairwise(cuts) for e in (await read(here.stream, Interval(a, b))).events]
        assert sorted(e.subject for e in events) == sorted(here.truth(OLD))


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Vienna"])
@pytest.mark.parametrize("span", [timedelta(hours=1), timedelta(seconds=10)])
async def test_q59_a_zone_that_is_set_wrong_stops_the_source_and_names_the_setting(zone: str, span: timedelta) -> None:
    async with site(source={"zone": "UTC"}, timezone=zone, actions_per_day=20_000) as here:
        with pytest.raises(PermanentError, match="HARVESTER_OPENCAST_TIMEZONE"):
            await read(here.stream, Interval(NOW - span, NOW))


async def test_f05_now_is_the_vendors_and_never_ahead_of_it() -> None:
    async with site() as here:
        assert NOW - timedelta(seconds=2) <= here.source.now()
        here.running.clock.advance(-timedelta(hours=1))
        await read(here.stream, OLD)
        assert here.source.now() <= NOW - timedelta(hours=1) + timedelta(seconds=5)


# --- bad records


async def test_f44_bad_records_are_broken_alone_and_the_others_arrive() -> None:
    kinds = {"nan": 0.05, "surrogate": 0.05, "not-utf8": 0.05, "deep": 0.05, "no-created": 0.05, "pretty": 0.05, "nul": 0.05}
    async with site(faults=kinds, actions_per_day=5_000) as here:
        truth = here.running.truth(*OLD)
        got = await read(here.stream, OLD)
        assert got.newest == here.truth(OLD)
        assert len(got.broken) == len(truth.broken) > 20
        for number, kind in truth.broken.items():
            [letter] = [b for b in got.broken if b'"id":%d,' % number in b.body]
            assert letter.reason == {"not-utf8": "not_utf8", "deep": "too_deep", "no-created": "schema"}.get(kind, "not_json")
        assert not any(b"\n" in bytes(e.data) for e in got.events)


# --- faults of requests


@pytest.mark.parametrize("kind", ["html", "half-json", "truncated", "reset", "500", "503"])
async def test_f42_an_answer_that_is_no_whole_page_is_transient_with_nothing_covered(kind: str) -> None:
    async with site(source={"batch_size": 50}, fault_burst=1000) as here:
        here.running.sandbox.set_faults({kind: 1.0})
        with pytest.raises(TransientError):
            await read(here.stream, OLD)
        here.running.sandbox.set_faults({})
        got = await read(here.stream, OLD)
        assert got.newest == here.truth(OLD)
        assert all(page.covered is None for page in got.pages)


async def test_f40_faults_between_good_answers_lose_nothing() -> None:
    async with site(source={"batch_size": 20}, faults={"all": 0.4}, actions_per_day=2_000) as here:
        assert (await read(here.stream, OLD)).newest == here.truth(OLD)
        assert sum(here.running.stats.snapshot().faults.values()) > 5


async def test_f40_the_wait_that_a_server_asks_for_is_never_cut_short() -> None:
    patient = {"batch_size": 20, "retry": Retry(attempts=3)}
    async with site(source=patient, faults={"429-seconds": 0.5}, retry_after=0.05, actions_per_day=1_000) as here:
        assert (await read(here.stream, OLD)).newest == here.truth(OLD)
        assert here.running.stats.snapshot().faults["429-seconds"] > 1
        assert here.running.stats.snapshot().early == 0


# --- servers that cannot be read


async def test_q55_a_stock_server_is_refused_by_the_probe_where_only_windows_are_allowed() -> None:
    with pytest.raises(PermanentError, match="ignores start and end"):
        async with site(patched=False, source={"mode": "window"}):
            pass


async def test_q55_a_plugin_that_is_off_is_named_with_the_ways_on() -> None:
    with pytest.raises(PermanentError, match=r"opencast-plugin-usertracking.*/tobira/harvest.*statistics.*access logs"):
        async with site(usertracking=False):
            pass


@pytest.mark.parametrize("login", ["basic", "digest"])
async def test_a_refused_login_names_the_settings(login: str) -> None:
    with pytest.raises(PermanentError, match=r"^opencast: 401 .*HARVESTER_OPENCAST_USER") as caught:
        async with site(login=login, source={"password": "wrong-secret"}):
            pass
    assert "wrong-secret" not in str(caught.value)


async def test_q58_a_login_over_plain_http_to_another_machine_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ConfigError):
        async with opened("http://opencast.example"):
            pass


async def test_two_readers_of_one_server_see_the_same() -> None:
    async with site(source={"batch_size": 30}) as here:
        first, second = await asyncio.gather(read(here.stream, OLD), read(here.stream, OLD))
        assert {e.id for e in first.events} == {e.id for e in second.events}
