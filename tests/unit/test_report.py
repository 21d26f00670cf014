"""The status: every part has a row, what is wrong is named with the next command, and what is fine is not complained of."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from harvester.commands.status import duration, screen
from harvester.coverage import Coverage, Intervals
from harvester.pauses import Pause
from harvester.protocols import Group, Size
from harvester.report import Report, Told, about_me, collect
from harvester.states import Kind, Standing, State

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WHOLE = Coverage(
    start=NOON - 9 * HOUR, read=Intervals([(NOON - 9 * HOUR, NOON)]), settled=Intervals([(NOON - 9 * HOUR, NOON - HOUR)])
)
HOLED = Coverage(start=NOON - 9 * HOUR, read=Intervals([(NOON - 9 * HOUR, NOON - 5 * HOUR), (NOON - 3 * HOUR, NOON)]))


def standing(name: str, kind: Kind, state: State = "running", reason: str = "", *, breaker: bool = False) -> Standing:
    return Standing(name=name, kind=kind, state=state, since=NOON, reason=reason, last_success=NOON, breaker=breaker)


def group(name: str, lag: int = 0, owner: str = "") -> Group:
    return Group(name, 10, lag, owner, {})


FINE = Told(
    standings=[standing("opencast", "source"), standing("opencast/useractions", "stream"), standing("duckdb", "sink")],
    coverages={"opencast": {"useractions": WHOLE}},
    now={"opencast": NOON + timedelta(seconds=90)},
    groups=[group("duckdb", 3, "host pid 1")],
    size=Size(1000, 2**20, NOON),
)


def test_what_is_fine_is_told_with_its_numbers_and_no_complaint() -> None:
    report = collect(FINE, process=about_me())
    assert (report.state, report.problems) == ("ok", [])
    (stream,), (sink,) = report.sources, report.sinks
    assert (stream.name, stream.state, stream.lag_seconds, stream.gaps) == ("opencast/useractions", "running", 90, 0)
    assert (stream.live_edge, stream.watermark) == (NOON, NOON - HOUR)
    assert (sink.name, sink.state, sink.lag, sink.reader, sink.breaker) == ("duckdb", "running", 3, "host pid 1", "closed")
    assert (report.queue.messages, report.queue.bytes) == (1000, 2**20)
    assert report.queue.oldest_age_seconds > 0


def test_a_report_is_read_back_as_it_was_told() -> None:
    report = collect(FINE, process=about_me())
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


@pytest.mark.parametrize("state", ["waiting", "degraded", "stopped"])
def test_what_is_wrong_with_a_source_is_wrong_with_its_streams_and_names_the_next_step(state: State) -> None:
    report = collect(
        FINE._replace(standings=[standing("opencast", "source", state, "no route"), *FINE.standings[1:]]), process=None
    )
    (stream,) = report.sources
    assert (report.state, stream.state, stream.reason) == ("degraded", state, "no route")
    (problem,) = report.problems
    assert problem.name == "opencast/useractions"
    assert "no route" in problem.what
    assert "harvest" in problem.next


def test_q13_the_reason_and_the_end_of_a_wait_are_told() -> None:
    waits = msgspec.structs.replace(standing("opencast", "source", "waiting", "429"), until=NOON + timedelta(seconds=90))
    report = collect(FINE._replace(standings=[waits, *FINE.standings[1:]]), process=None)
    assert (report.sources[0].reason, report.sources[0].until) == ("429", NOON + timedelta(seconds=90))
    assert report.problems[0].next.startswith("it is tried again by itself at 12:01:30Z")


def test_a_stream_that_rests_alone_is_paused_although_its_source_runs() -> None:
    report = collect(
        FINE._replace(standings=[standing("opencast", "source"), standing("opencast/useractions", "stream", "paused")]),
        process=None,
    )
    assert (report.sources[0].state, report.problems) == ("paused", [])


def test_a_source_of_which_no_stream_is_known_has_a_row_of_its_own() -> None:
    report = collect(Told(standings=[standing("opencast", "source", "starting")]), process=about_me())
    assert [(one.name, one.state, one.lag_seconds) for one in report.sources] == [("opencast", "starting", None)]


def test_gaps_are_told_with_the_command_that_fills_them() -> None:
    report = collect(FINE._replace(coverages={"opencast": {"useractions": HOLED}}), process=None)
    assert (report.sources[0].gaps, report.sources[0].gap_seconds) == (1, 7200)
    assert report.problems[0].next == "harvest coverage fill opencast/useractions"


def test_letters_that_wait_for_a_person_are_a_problem_and_pending_ones_are_none() -> None:
    letters = {"duckdb": {"pending": 40, "mapping": 2, "schema": 1}, "opencast": {"pending": 1}}
    report = collect(FINE._replace(letters=letters), process=None)
    assert report.sinks[0].pending == 40
    (problem,) = report.problems
    assert (problem.name, problem.what) == ("duckdb", "3 dead letters: mapping 2, schema 1")
    assert problem.next == "harvest dead-letters list --group duckdb"


def test_an_open_breaker_is_told_with_its_reason() -> None:
    sink = standing("duckdb", "sink", "waiting", "900 of 1000 were refused", breaker=True)
    report = collect(FINE._replace(standings=[*FINE.standings[:2], sink]), process=None)
    assert report.sinks[0].breaker == "open"
    assert "900 of 1000" in report.problems[0].what
    assert "--accept-rejections" in report.problems[0].next


def test_a_group_that_nobody_feeds_is_a_problem_once_something_waits_for_it() -> None:
    idle = [group("duckdb"), group("old", 12)]
    report = collect(Told(groups=idle, lags={"duckdb": 0}), process=None)
    assert [(one.name, one.state) for one in report.sinks] == [("duckdb", "idle"), ("old", "idle")]
    (problem,) = report.problems
    assert (problem.name, "12 messages" in problem.what) == ("old", True)
    assert "harvest consume old" in problem.next
    assert problem.next.endswith("harvest queue forget old, which drops these 12 messages for it"), "the price is told"


def test_a_sink_that_is_set_is_never_offered_to_be_forgotten() -> None:
    report = collect(Told(groups=[group("duckdb", 12)], lags={"duckdb": 12}), process=None)
    assert report.problems[0].next == "harvest consume duckdb"


def test_a_sink_waits_for_the_collection_that_runs_and_that_is_no_problem() -> None:
    told = Told(groups=[group("archive", 12), group("old", 1)], lags={"duckdb": 12})
    report = collect(told._replace(collects={"archive": "host pid 7", "duckdb": "host pid 7"}), process=None)
    states = {one.name: (one.state, one.reader) for one in report.sinks}
    assert states == {"archive": ("running", "host pid 7"), "duckdb": ("running", "host pid 7"), "old": ("idle", "")}
    assert [problem.name for problem in report.problems] == ["old"]


def test_what_waits_between_two_collections_is_told_with_the_collection_that_feeds_it_and_is_never_to_be_forgotten() -> None:
    report = collect(Told(groups=[group("archive", 12)], collects={"archive": ""}), process=None)
    (problem,) = report.problems
    assert problem.what == "nobody feeds it, and 12 messages wait for it"
    assert problem.next == "harvest github collect, which completes what was cut off and feeds it; or harvest consume archive"


def test_a_sink_that_was_never_fed_has_everything_before_it() -> None:
    report = collect(Told(lags={"duckdb": 7}), process=None)
    assert (report.sinks[0].lag, report.problems[0].name) == (7, "duckdb")


def test_what_is_paused_is_told_and_is_no_problem_also_without_a_daemon() -> None:
    told = Told(
        coverages={"opencast": {"useractions": WHOLE}},
        groups=[group("duckdb", 5)],
        pauses={"opencast": Pause(NOON, "ann"), "duckdb": Pause(NOON, "ben")},
    )
    report = collect(told, process=None)
    assert (report.sources[0].state, report.sinks[0].state, report.problems) == ("paused", "paused", [])
    assert report.paused["duckdb"] == "paused since 2026-01-10T12:00:00Z by ben"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min 59 s"),
        (7260, "2 h 1 min"),
        (90000, "1 d 1 h"),
        (-5, "0 s"),
    ],
)
def test_times_are_said_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_tables_of_the_screen_fit_a_terminal_of_80_columns() -> None:
    bad = [standing("opencast/useractions", "stream", "degraded"), standing("elasticsearch", "sink", "degraded")]
    busy = group("elasticsearch", 1_234_567, "host.example.edu pid 123456")
    told = FINE._replace(standings=[FINE.standings[0], *bad], groups=[busy], letters={"elasticsearch": {"pending": 9_999_999}})
    told = told._replace(now={"opencast": NOON + timedelta(hours=11, minutes=59)})
    lines = screen(collect(told, process=about_me()), "127.0.0.1:9464")
    tables = lines[1 : next(place for place, line in enumerate(lines) if line.startswith("QUEUE"))]
    assert [line.split()[0] for line in tables if line.startswith("S")] == ["SOURCE", "SINK"]
    assert [line for line in tables if len(line) > 80] == []
    assert any("the oldest that is not committed waits for at most " in line for line in lines), "ages are kept by the minute"


def test_what_is_pending_is_no_problem_and_the_screen_says_what_becomes_of_it() -> None:
    report = collect(FINE._replace(letters={"duckdb": {"pending": 2}}), process=about_me())
    lines = screen(report, "127.0.0.1:9464")
    assert (report.state, lines[0][:3]) == ("ok", "ok ")
    assert any(
        line.startswith("· duckdb: 2 events are written without enrichment, and completed without your doing") for line in lines
    )
    assert not any("pending" in line or "enrichment" in line for line in screen(collect(FINE, process=None), ""))


def test_owners_of_streams_and_members_of_groups_are_named() -> None:
    streams = [standing("opencast", "source"), standing("opencast/useractions", "stream", "standby", "b pid 2 harvests it")]
    told = FINE._replace(
        standings=[*streams, standing("duckdb", "sink")],
        owners={"opencast": {"useractions": "b pid 2"}},
        groups=[group("duckdb", 3, "a pid 1, b pid 2")],
    )
    report = collect(told, process=about_me())
    assert (report.sources[0].state, report.sources[0].owner, report.problems) == ("standby", "b pid 2", [])
    lines = screen(report, "127.0.0.1:9464")
    assert "· b pid 2 harvests opencast/useractions" in lines
    assert "· duckdb is fed by a pid 1, b pid 2" in lines
    assert any(line.endswith("2 members") for line in lines)
    mine = collect(told._replace(owners={"opencast": {"useractions": about_me().owner}}), process=about_me())
    assert not any("harvests" in line for line in screen(mine, ""))
