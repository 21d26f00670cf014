"""`harvest demo` in small: both sources, the same people in both, and a screen on which every claim is counted."""

import asyncio
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from harvester.commands import demo_found
from harvester.commands.demo import Size, show
from harvester.commands.demo_folder import QUERY
from harvester.commands.demo_found import PEOPLE, Compared
from harvester.sandbox.actions import viewers
from harvester.sandbox.zoom_people import DOMAIN, cast
from tests.site import Site

SMALL = Size(days=1, actions_per_day=700, meetings_per_day=15, faults=0.06, records=0.05, slow=0.01)
FOLDER = Path("var/demo")
MIDNIGHT = datetime(2024, 11, 6, tzinfo=UTC)
"""At the end of a Tuesday that is past on every host."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The folder of a demo by whether people are hidden in it; `screen` there is what it showed."""
    return {hidden: _shown(tmp_path_factory.mktemp("demo"), hidden=hidden) for hidden in (False, True)}


def _shown(home: Path, *, hidden: bool) -> Path:
    lines: list[str] = []
    (home / FOLDER).mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr("sys.argv", [".venv/bin/harvest"])
        patch.setattr("click.echo", lambda text="", **_: lines.append(text))
        code = asyncio.run(show(FOLDER, MIDNIGHT, size=SMALL, pseudonymous=hidden))
    assert code == 0, "\n".join(lines)
    (home / FOLDER / "screen").write_text("\n".join(lines))
    return home / FOLDER


@pytest.mark.parametrize("hidden", [False, True], ids=["clear", "pseudonymous"])
def test_the_screen_shows_both_sources_complete_and_what_it_is_made_of(shown: dict[bool, Path], hidden: bool) -> None:
    screen = (shown[hidden] / "screen").read_text()
    lines = screen.splitlines()
    assert max(map(len, lines)) <= 100
    assert "UNEQUAL" not in screen
    assert screen.count("missing 0, doubled 0, stale 0") == 3
    for word in ("opencast/useractions", "zoom/meetings", "actions in the table", "meetings in the table", "people in both"):
        assert word in screen
    assert "Nothing lost, nothing doubled." in screen
    assert "calls beyond the limits of Zoom: 0" in screen


@pytest.mark.parametrize("hidden", [False, True], ids=["clear", "pseudonymous"])
def test_the_query_on_the_screen_joins_the_same_people_when_they_are_hidden(shown: dict[bool, Path], hidden: bool) -> None:
    screen = (shown[hidden] / "screen").read_text()
    assert "\n".join(f"  {line}" for line in PEOPLE.splitlines()) in screen
    rows = people(shown[hidden])
    assert len(rows) == 5
    assert all(f"  {row[0]}" in screen for row in rows)
    clear = {str(viewer.user) for viewer in viewers("sandbox")}
    assert all((row[0] in clear) is not hidden for row in rows)
    everybody = [table(folder, demo_found.EVERYBODY) for folder in shown.values()]
    kept, veiled = (Counter(row[1:] for row in found) for found in everybody)
    assert kept == veiled
    assert kept.total() > 50


def test_the_program_that_the_screen_names_asks_again(shown: dict[bool, Path]) -> None:
    folder = shown[False]
    done = subprocess.run([sys.executable, folder / QUERY], capture_output=True, text=True, check=True)
    assert all(str(row[0]) in done.stdout for row in people(folder))


def test_the_commands_that_the_screen_names_find_the_demo(shown: dict[bool, Path]) -> None:
    folder = shown[False]
    site = Site(folder.parents[1], HARVESTER_CONFIG=str(FOLDER / "harvester.toml"))
    audit = site.audit()
    assert {"opencast/useractions", "zoom/meetings", "sink duckdb"} <= {equation["what"] for equation in audit["equations"]}
    letters = site.harvest("dead-letters", "list", "--json").lines
    assert {letter["group"] for letter in letters} >= {"opencast", "zoom"}
    shown_coverage = site.harvest("coverage", "show", "--json").json
    assert len(shown_coverage) == 2


def test_one_university_teaches_in_both() -> None:
    huids = {str(viewer.user) for viewer in viewers("sandbox") if viewer.user not in (None, "anonymous")}
    people = cast("sandbox").people
    assert {person.huid for person in people} == huids
    assert {person.email for person in people} == {f"{huid}@{DOMAIN}" for huid in huids}


@pytest.mark.parametrize(
    ("held", "found"),
    [
        ([("a", 1), ("b", 2)], (0, 0, 0)),
        ([("a", 1)], (1, 0, 0)),
        ([("a", 1), ("b", 2), ("b", 2)], (0, 1, 0)),
        ([("a", 1), ("b", 2), ("c", 3)], (0, 1, 0)),
        ([("a", 1), ("b", 1)], (0, 0, 1)),
    ],
)
def test_what_is_missing_doubled_or_stale_is_counted(held: list[tuple[str, int]], found: tuple[int, int, int]) -> None:
    beside = Compared("things", {"a": 1, "b": 2}, held)
    assert (beside.missing, beside.doubled, beside.stale) == found
    assert beside.equal is (found == (0, 0, 0))


def people(folder: Path) -> list[tuple[object, ...]]:
    return table(folder, PEOPLE)


def table(folder: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(folder / "harvest.duckdb"), read_only=True) as database:
        return database.execute(query).fetchall()
