"""What every source and its streams do. A new source adds a line to DRIVERS."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import msgspec
import pytest

from harvester.coverage import EPOCH, Interval, Intervals, cut
from harvester.errors import InvalidEventError, TransientError
from harvester.event import Event, decode_event, encode_event
from harvester.protocols import Source, Stream
from harvester.sandbox.serve import serve
from harvester.sandbox.settings import REST, SandboxSettings
from harvester.sandbox.zoom_settings import ZoomSandboxSettings
from harvester.sources.opencast import UserActions
from harvester.sources.opencast_recordings import Recordings, Way
from harvester.sources.opencast_settings import Mode
from tests import github_acme, zoom_university
from tests.opencast_table import Got, opened, read

NOW = datetime(2026, 11, 3, 18, tzinfo=UTC)
SPAN = Interval(NOW - timedelta(hours=6), NOW)
"""What the tests read: its newest records may still come late, or change."""


class Site(NamedTuple):
    """A source, and what its vendor knows about the first of its streams."""

    source: Source
    stream: Stream
    truth: Callable[[Interval], Mapping[str, object]]
    """The newest state of every subject in a window."""
    unreadable: Callable[[Interval], int]
    """How many records of a window cannot become events."""
    spoiled: Callable[[str], AbstractContextManager[None]]
    """As long as it is open, every answer is spoiled in this way."""
    advance: Callable[[timedelta], None]
    """Let time pass at the vendor's."""
    now: Callable[[], datetime]
    """The vendor's clock."""
    state: Callable[[Event], object] = lambda event: event.version
    """What of an event the truth holds: its version, where that is not the time of its reading."""

    when: Callable[[Event], datetime] = lambda event: event.time
    """By which time a window holds an event: when it happened, unless things are read by when they changed."""

    dated: Callable[[Event], bool] = lambda event: True
    """Whether the vendor says when it happened: who tells that a thing was deleted says no more of it."""

    grows: Callable[[Event], bool] = lambda event: True
    """Whether its version grows with time: of a commit that is in two pull requests the lower number counts."""

    def newest(self, got: Got) -> dict[str, object]:
        """The newest state by subject."""
        return {e.subject: self.state(e) for e in sorted(got.events, key=lambda e: e.version)}


class Driver(NamedTuple):
    """One kind of source."""

    name: str
    site: Callable[[], AbstractAsyncContextManager[Site]]
    """At NOW, with some hundred records in SPAN, a few of them unreadable, read in pages far smaller than that. Always the
    same world; the vendor's clock stands still."""
    spoils: tuple[str, ...]
    """The ways in which an answer can be no whole page."""
    hurt: bool = True
    """Whether its world has records that cannot become events."""


@contextmanager
def spoiled(set_faults: Callable[[dict[str, float]], None], usual: dict[str, float], how: str) -> Iterator[None]:
    """Every request fails so, while the block runs."""
    set_faults({**usual, how: 1.0})
    try:
        yield
    finally:
        set_faults(usual)


@asynccontextmanager
async def opencast(mode: Mode, **switches: Any) -> AsyncIterator[Site]:
    records = {"nan": 0.01, "no-created": 0.01}
    usual: dict[str, Any] = {"now": NOW, "speed": 0, "actions_per_day": 3_000, "timezone": "Europe/Vienna"}
    world = SandboxSettings(**usual, faults=records, fault_burst=1000, **switches)
    async with serve(world) as running, opened(running.url, zone="Europe/Vienna", batch_size=60) as source:
        [stream] = await source.streams()
        assert isinstance(stream, UserActions)
        assert stream.mode == mode

        yield Site(
            source,
            stream,
            truth=lambda window: {str(a.id): a.version for a in running.truth(*window).actions.values()},
            unreadable=lambda window: len(running.truth(*window).broken),
            spoiled=partial(spoiled, running.sandbox.set_faults, records),
            advance=running.clock.advance,
            now=running.clock.now,
        )


@asynccontextmanager
async def episodes(way: Way, **switches: Any) -> AsyncIterator[Site]:
    records = {"nan": 0.03, "no-created": 0.03}
    usual: dict[str, Any] = {"now": NOW, "speed": 0, "history": timedelta(days=2), "episode_changes": 1_000}
    world = SandboxSettings(**usual, faults=records, fault_burst=1000, **switches)
    async with serve(world) as running, opened(running.url, batch_size=25, streams="episodes") as source:
        running.sandbox.stop_changing(NOW)
        [stream] = await source.streams()
        assert isinstance(stream, Recordings)
        assert stream.way == way
        yield Site(
            source,
            stream,
            truth=lambda window: {
                mpid: (e.modified - EPOCH) // timedelta(milliseconds=1)
                for mpid, e in running.sandbox.episodes(*window).items()
                if not e.broken
            },
            unreadable=lambda window: sum(e.broken is not None for e in running.sandbox.episodes(*window).values()),
            spoiled=partial(spoiled, running.sandbox.set_faults, records),
            advance=running.clock.advance,
            now=running.clock.now,
            when=lambda event: EPOCH + timedelta(milliseconds=event.version),
            dated=lambda event: not bytes(event.data).startswith(b'{"deleted"'),
        )


@asynccontextmanager
async def zoom(**switches: Any) -> AsyncIterator[Site]:
    records = {"nan": 0.01, "nameless": 0.01}
    world = ZoomSandboxSettings(now=NOW, speed=0, pace=1e6, page_cap=25, faults=records, fault_burst=1000, **switches)
    async with serve(world) as running, zoom_university.opened(running.url) as source:
        [stream] = await source.streams()

        yield Site(
            source,
            stream,
            truth=partial(zoom_university.truth, running),
            unreadable=partial(zoom_university.unreadable, running),
            spoiled=partial(spoiled, running.sandbox.set_faults, records),
            advance=running.clock.advance,
            now=running.clock.now,
            state=zoom_university.state,
        )


@asynccontextmanager
async def github() -> AsyncIterator[Site]:
    history = timedelta(days=2)
    world = github_acme.world(NOW, repositories=1, traps=False, pulls_per_day=20, history=history, huge_every=0, fault_burst=1000)
    async with serve(world) as running, github_acme.opened(running.url, settle=0) as source:
        [stream] = [stream for stream in await source.streams() if stream.name.startswith("pulls/")]
        yield Site(
            source,
            stream,
            truth=partial(github_acme.pulls, running),
            unreadable=lambda _: 0,
            spoiled=partial(spoiled, running.sandbox.set_faults, {}),
            advance=running.clock.advance,
            now=running.clock.now,
            state=github_acme.state,
            when=github_acme.changed(SPAN),
            grows=lambda event: event.type != "github.commit",
        )


TORN = ("html", "half-json", "truncated", "reset", "500")
SPOILS = (*TORN, "empty")
DRIVERS = [
    Driver("opencast", partial(opencast, "window"), SPOILS),
    # their history is what the tests read, for a bad record without a time may be of any
    Driver("opencast by day", partial(opencast, "day", patched=False, history=SPAN.end - SPAN.start), SPOILS),
    Driver("opencast by tail", partial(opencast, "tail", patched=False, day=False, history=SPAN.end - SPAN.start), SPOILS),
    Driver("episodes", partial(episodes, "feed"), TORN),
    Driver("episodes by search", partial(episodes, "search", tobira="forbidden", search="16", takes_back=False), TORN),
    Driver("episodes by search before 16", partial(episodes, "search", tobira="none", takes_back=False), TORN),
    Driver("zoom", zoom, TORN),
    Driver("zoom by reports", partial(zoom, plan="pro"), TORN),
    Driver("github", github, TORN, hurt=False),
]


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.name)
def driver(request: pytest.FixtureRequest) -> Driver:
    found = request.param
    assert isinstance(found, Driver)
    return found


@pytest.fixture
async def site(driver: Driver) -> AsyncIterator[Site]:
    async with driver.site() as found:
        yield found


# --- complete


async def test_every_record_of_a_window_is_there_and_none_is_left_out(site: Site) -> None:
    got = await read(site.stream, SPAN)
    assert len(got.newest) > 100
    assert site.newest(got) == site.truth(SPAN)


@pytest.mark.parametrize("width", [timedelta(hours=1), timedelta(minutes=7), timedelta(seconds=7013.37)], ids=str)
async def test_f02_windows_of_any_width_hold_together_what_one_holds(site: Site, width: timedelta) -> None:
    events = [event for window in cut(SPAN, width) for event in (await read(site.stream, window)).events]
    assert {e.subject for e in events} == site.truth(SPAN).keys()


async def test_f03_what_comes_late_or_changes_is_there_at_the_next_reading(site: Site) -> None:
    early = await read(site.stream, SPAN)
    site.advance(REST)
    late = await read(site.stream, SPAN)
    assert site.newest(late) == site.truth(SPAN)
    assert site.newest(early) != site.newest(late)
    # what is read by when it changed leaves the window with a change
    compared = {event.subject for event in late.events if site.grows(event)} & early.newest.keys()
    assert all(late.newest[subject] >= early.newest[subject] for subject in compared)
    assert compared


async def test_a_window_in_which_nothing_happened_has_no_events(site: Site) -> None:
    future = Interval(NOW + timedelta(days=400), NOW + timedelta(days=401))
    got = await read(site.stream, future)
    assert (got.events, got.broken) == ([], [])


async def test_f44_records_that_cannot_become_events_are_told_with_their_bytes_and_a_reason(site: Site, driver: Driver) -> None:
    got = await read(site.stream, SPAN)
    assert len({b.body for b in got.broken}) == site.unreadable(SPAN)
    assert got.broken or not driver.hurt
    for broken in got.broken:
        assert broken.error
        assert broken.reason.replace("_", "").isalpha()
        with pytest.raises(InvalidEventError):
            site.stream.event(broken.body, site.source.now())


# --- events


async def test_ids_are_the_same_at_every_reading_and_by_every_reader(site: Site, driver: Driver) -> None:
    first = {e.id: bytes(e.data) for e in (await read(site.stream, SPAN)).events}
    again = {e.id: bytes(e.data) for e in (await read(site.stream, SPAN)).events}
    async with driver.site() as other:
        elsewhere = {e.id: bytes(e.data) for e in (await read(other.stream, SPAN)).events}
    assert first == again == elsewhere


async def test_an_id_is_that_of_one_state_of_one_thing(site: Site) -> None:
    events = (await read(site.stream, SPAN)).events
    site.advance(REST)
    events = [*events, *(await read(site.stream, SPAN)).events]
    states: dict[str, tuple[str, bytes]] = {}
    for event in events:
        assert states.setdefault(event.id, (event.subject, bytes(event.data))) == (event.subject, bytes(event.data))
    assert len(states) == len({(e.subject, bytes(e.data)) for e in events})


async def test_an_event_says_where_when_and_what_in_the_words_of_the_envelope(site: Site) -> None:
    for event in (await read(site.stream, SPAN)).events:
        assert event.source == site.source.name
        assert event.type.startswith(f"{site.source.name.partition('/')[0]}.")
        assert SPAN.start <= site.when(event) < SPAN.end
        assert event.time.tzinfo is UTC
        assert abs(event.read_at - site.now()) < timedelta(seconds=10)
        assert event.version >= 0
        assert event.context == {}
        assert b"\n" not in bytes(event.data)
        assert msgspec.json.decode(event.data)
        assert decode_event(encode_event(event)) == event


async def test_the_time_is_the_same_for_all_versions_of_a_subject(site: Site) -> None:
    early = {e.subject: e for e in (await read(site.stream, SPAN)).events}
    site.advance(REST)
    for event in (await read(site.stream, SPAN)).events:
        dated = site.dated(event) and site.dated(early.get(event.subject, event))
        assert event.time == early.get(event.subject, event).time or not dated
        assert event.version >= early.get(event.subject, event).version or not site.grows(event)


async def test_one_record_alone_becomes_the_event_that_fetch_makes_of_it(site: Site) -> None:
    for event in (await read(site.stream, SPAN)).events:
        assert site.stream.event(bytes(event.data), event.read_at) == event


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", b"[1]", b"<html>", b'{"id":NaN}', b"\xff", b"[" * 100_000], ids=lambda b: str(b[:12])
)
async def test_f42_what_is_no_record_is_an_invalid_event(site: Site, body: bytes) -> None:
    with pytest.raises(InvalidEventError):
        site.stream.event(body, site.now())


# --- pages, what they cover, notes


async def test_f42_a_broken_page_covers_nothing_and_the_next_reading_is_complete(site: Site, driver: Driver) -> None:
    for how in driver.spoils:
        pages = aiter(site.stream.fetch(SPAN, b""))
        with site.spoiled(how), pytest.raises(TransientError):
            await anext(pages)
    assert site.newest(await read(site.stream, SPAN)) == site.truth(SPAN)


async def test_f04_a_window_that_breaks_off_behind_a_page_covers_no_more_than_that_page_said(site: Site, driver: Driver) -> None:
    pages = aiter(site.stream.fetch(SPAN, b""))
    first = await anext(pages)
    with site.spoiled(driver.spoils[0]), pytest.raises(TransientError):
        [_ async for _ in pages]
    if first.covered is not None:
        assert {e.subject for e in first.events} >= site.truth(first.covered).keys()


async def test_what_pages_cover_lies_in_the_window_and_is_all_of_it_where_any_span_is_safe(site: Site) -> None:
    got = await read(site.stream, SPAN)
    covered = Intervals(page.covered for page in got.pages if page.covered is not None)
    assert covered - [SPAN] == Intervals()
    if site.stream.timing.window is None:
        assert covered == Intervals([SPAN])
    seen: set[str] = set()
    for page in got.pages:
        seen |= {e.subject for e in page.events}
        if page.covered is not None:
            assert seen >= site.truth(page.covered).keys()


async def test_notes_that_are_lost_or_not_ours_leave_nothing_out(site: Site) -> None:
    for notes in (b"", b"\xff not ours", b"{}", b"[null]"):
        assert site.newest(await read(site.stream, SPAN, notes)) == site.truth(SPAN)


async def test_notes_of_a_page_may_leave_out_only_what_did_not_change(site: Site) -> None:
    got = await read(site.stream, SPAN)
    notes = [page.notes for page in got.pages if page.notes is not None][-1:] or [b""]
    site.advance(REST)
    again = await read(site.stream, SPAN, notes[0])
    held, truth = site.newest(got) | site.newest(again), site.truth(SPAN)
    assert {subject: held.get(subject) for subject in truth} == truth


# --- the source


async def test_names_are_the_same_at_every_opening_and_each_is_there_once(site: Site, driver: Driver) -> None:
    names = [stream.name for stream in await site.source.streams()]
    assert len(set(names)) == len(names)
    assert all(name and name.isprintable() and " " not in name for name in names)
    assert [stream.name for stream in await site.source.streams()] == names
    async with driver.site() as other:
        assert [stream.name for stream in await other.source.streams()] == names
        assert other.source.name == site.source.name


async def test_timing_is_something_that_a_loop_can_work_with(site: Site) -> None:
    for stream in await site.source.streams():
        assert stream.timing.window is None or stream.timing.window > timedelta()
        assert stream.timing.overlap >= timedelta()
        assert stream.timing.settle >= timedelta()
        assert stream.timing.horizon is None or stream.timing.horizon > stream.timing.overlap


async def test_f05_now_follows_the_vendors_clock_wherever_it_goes(site: Site) -> None:
    for by in (timedelta(), timedelta(hours=5), timedelta(hours=-3)):
        site.advance(by)
        await read(site.stream, Interval(SPAN.start, SPAN.start + timedelta(minutes=5)))
        assert abs(site.source.now() - site.now()) < timedelta(seconds=10)
