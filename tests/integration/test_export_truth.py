"""What exports and the tiles of people say of a day, beside what the simulated university knows to be true of it.

Both stores give the same (test_cli_export_stores): one of them is enough here.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from dashboards.boards import boards
from dashboards.builder.aggregation import Span
from harvester.sandbox.truth import TrueAction
from harvester.sandbox.zoom_truth import TrueSession
from tests.dashboards import asked, consumed, university
from tests.exported import exported
from tests.site import Site

DAY = Span(datetime(2024, 11, 5, tzinfo=UTC), datetime(2024, 11, 6, tzinfo=UTC))
Row = tuple[Any, ...]


class Known(NamedTuple):
    """An installation that has the day in DuckDB, and the truth."""

    site: Site
    actions: Collection[TrueAction]
    stays: Collection[TrueSession]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    with university(tmp_path_factory.mktemp("university"), DAY) as found:
        consumed(found.site, "duckdb")
        actions = found.lectures.truth(*DAY).actions.values()
        yield Known(found.site, actions, found.meetings.truth(*DAY).sessions.values())


def grouped(things: Collection[Any], key: Any) -> Mapping[Any, list[Any]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for thing in things:
        found[key(thing)].append(thing)
    return found


def person(action: TrueAction) -> str:
    """Who is not logged in is somebody else at each visit."""
    return f"session {action.session}" if action.user in (None, "anonymous") else str(action.user)


def seconds(actions: Collection[TrueAction]) -> list[int]:
    """Each second that was played, as often as it was."""
    return [at for one in actions if one.type == "FOOTPRINT" for at in range(one.inpoint, one.outpoint)]


def amounts(actions: Collection[TrueAction]) -> Row:
    """Sessions, seconds, heartbeats."""
    beats = sum(one.type == "HEARTBEAT" and one.is_playing for one in actions)
    return len({one.session for one in actions}), len(seconds(actions)), beats


def told(rows: Collection[Mapping[str, str]], key: str, *names: str) -> dict[tuple[str, str], Row]:
    """By lecture and `key`; numbers as numbers."""
    whole = {"sessions", "seconds_watched", "heartbeats", "viewers", "actions"}
    return {(row["lecture"], row[key]): tuple(int(row[n]) if n in whole else row[n] for n in names) for row in rows}


def test_attendance_of_recordings_is_who_watched_when_how_and_how_much(known: Known) -> None:
    rows = [row for row in exported(known.site, "attendance") if row["source"] == "opencast"]
    names = ("first_seen", "last_seen", "how", "share", "sessions", "seconds_watched", "heartbeats")
    expected: dict[Any, Row] = {}
    for key, actions in grouped(known.actions, lambda one: (one.mpid, person(one))).items():
        times, lives = [one.created for one in actions], {one.is_live for one in actions}
        how = "both" if len(lives) > 1 else "live" if lives == {True} else "recorded"
        length = actions[0].duration
        share = f"{min(1, len(set(seconds(actions))) / (length / 1000)):.3f}" if length else ""
        shown = (f"{moment:%Y-%m-%dT%H:%M:%S}" for moment in (min(times), max(times)))
        expected[key] = (*shown, how, share, *amounts(actions))
    found = told(rows, "person", *names)
    assert {key: (row[0][:19], row[1][:19], *row[2:]) for key, row in found.items()} == expected
    assert len(rows) == len(expected) > 200
    assert sum(who.startswith("session ") for _, who in expected) > 20


def test_the_roll_call_has_whoever_is_known_and_was_there(known: Known) -> None:
    rows = exported(known.site, "rollcall")
    present = {(row["series"], row["lecture"], row["person"]) for row in rows if row["present"] == "true"}
    watched = {(one.series, one.mpid, one.user) for one in known.actions if one.series and person(one) == one.user}
    assert {row for row in present if row[2] in {one.user for one in known.actions}} == watched
    assert not any(row["person"] == "anonymous" for row in rows)


def test_viewing_options_count_people_visits_and_seconds(known: Known) -> None:
    rows = [row for row in exported(known.site, "viewing_options") if row["option"] in ("all", "playback")]
    names = ("viewers", "actions", "sessions", "seconds_watched", "heartbeats")
    expected: dict[Any, Row] = {}
    for mpid, everything in grouped(known.actions, lambda one: one.mpid).items():
        played = grouped(everything, lambda one: "live" if one.is_live else "recorded")
        for value, actions in [("", everything), *played.items()]:
            expected[mpid, value] = (len({person(one) for one in actions}), len(actions), *amounts(actions))
    assert told(rows, "value", *names) == expected


def test_attendance_of_meetings_is_who_was_inside_and_how_long(known: Known) -> None:
    rows = [row for row in exported(known.site, "attendance") if row["source"] == "zoom"]
    inside = [stay for stay in known.stays if stay.status != "in_waiting_room"]
    expected: dict[Any, Row] = {}
    for key, stays in grouped(inside, lambda stay: (stay.uuid, stay.email or stay.name)).items():
        there = {at for stay in stays for at in range(int(stay.join_time.timestamp()), int(stay.leave_time.timestamp()))}
        expected[key] = (len(stays), len(there))
    # A uuid may begin like a formula: such a cell has a ' before it.
    keys = [(row["lecture"].removeprefix("'"), row["email"] or row["name"]) for row in rows]
    found = {key: (int(row["sessions"]), int(row["seconds_watched"])) for key, row in zip(keys, rows, strict=True)}
    assert found == expected
    assert len(rows) == len(expected) > 50
    assert len(inside) < len(known.stays), "somebody only waited"


def test_the_tile_of_viewers_counts_people(known: Known) -> None:
    (tile,) = (chart for board in boards() for chart in board.charts() if chart.title == "Viewers")
    ((row,),) = asked(known.site.folder / "var/harvest.duckdb", [tile.data], DAY)
    assert row.values == (len({one.user for one in known.actions if person(one) == one.user}),)
