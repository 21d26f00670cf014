"""`harvest export`: tables for people, out of the DuckDB file. Elasticsearch gives the same: test_cli_export_stores."""

import csv
import io
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from harvester.commands.export import EXPORTS
from harvester.retry import Retry
from tests.exported import ALGEBRA, IPAD, RINGS, export, exported, met, picked, played, site_with, stayed, watched
from tests.site import Site

NAMES = [one.name for one in EXPORTS]
LECTURES = [
    watched(1, "groups", 11, "02T10:00:00", ALGEBRA, type="HEARTBEAT", isPlaying=True),
    played(2, "groups", 11, "02T10:00:05", (0, 1800), ALGEBRA),
    played(3, "groups", 11, "02T11:00:00", (900, 2700), ALGEBRA, session="again", agent=IPAD),
    watched(4, "groups", 12, "02T09:30:00", ALGEBRA, isPlaying=2, type="PLAY", agent=None),
    watched(5, "groups", None, "02T12:00:00", ALGEBRA, session="nobody", type="PAUSE", isPlaying=False),
    played(6, "rings", 12, "04T08:00:00", (0, 3600), RINGS),
    watched(7, "lost", 11, "05T08:00:00", type="PLAY"),
]
SAM = {"id": "acc-sam", "user_name": "Sam Student", "email": "sam@example.edu"}
GUEST = {"id": "", "email": "", "user_name": "Guest"}
MEETINGS = [
    met("a==", "Office hour", "02T14:00:00", "02T15:00:00"),
    stayed("a==", "02T14:00:00", "02T14:20:00", user_id="1", **SAM),
    stayed("a==", "02T14:10:00", "02T14:30:00", user_id="2", **SAM),
    stayed("a==", "02T14:50:00", "02T15:00:00", user_id="3", **SAM),
    stayed("a==", "02T14:00:00", "02T15:00:00", user_id="4", **GUEST),
    stayed("a==", "02T14:00:00", "02T15:00:00", user_id="5", **GUEST | {"user_name": "Late", "status": "in_waiting_room"}),
    met("b==", "Office hour", "09T14:00:00", "09T15:00:00"),
    stayed("b==", "09T14:00:00", "", user_id="1", **SAM | {"user_name": "Sam S."}),
    met("c==", "Nobody came", "10T14:00:00", "10T15:00:00"),
    met("d==", "Nobody was let in", "11T14:00:00", "11T15:00:00", 82000000001),
    stayed("d==", "11T14:00:00", "11T14:30:00", user_id="1", **SAM | {"status": "in_waiting_room"}),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """What no test changes."""
    return site_with(tmp_path_factory.mktemp("site"), [*LECTURES, *MEETINGS])


def test_attendance_says_of_each_person_when_how_long_and_how_much(site: Site) -> None:
    rows = exported(site, "attendance", "--mpid", "groups")
    assert picked(rows, "person", "first_seen", "last_seen", "how", "sessions", "seconds_watched", "share", "heartbeats") == [
        ("11", "2026-11-02T10:00:00Z", "2026-11-02T11:00:00Z", "recorded", "2", "3600", "0.750", "1"),
        ("12", "2026-11-02T09:30:00Z", "2026-11-02T09:30:00Z", "live", "1", "0", "0.000", "0"),
        ("session nobody", "2026-11-02T12:00:00Z", "2026-11-02T12:00:00Z", "recorded", "1", "0", "0.000", "0"),
    ]
    assert picked(rows[:1], "source", "lecture", "title", "course", "series", "start", "length") == [
        ("opencast", "groups", "Groups", "Algebra I", "20260133383", "2026-11-02T09:00:00Z", "3600")
    ]


def test_attendance_of_a_meeting_counts_time_in_two_places_once_and_nobody_who_only_waited(site: Site) -> None:
    rows = exported(site, "attendance", "--meeting", "a==")
    columns = ("title", "person", "name", "email", "sessions", "seconds_watched", "share", "how", "heartbeats")
    assert picked(rows, *columns) == [
        ("Office hour", "Guest", "Guest", "", "1", "3600", "1.000", "meeting", ""),
        ("Office hour", "acc-sam", "Sam Student", "sam@example.edu", "3", "2400", "0.667", "meeting", ""),
    ]


def test_a_meeting_in_which_people_only_waited_is_none(site: Site) -> None:
    for name in ("attendance", "rollcall"):
        done = export(site, name, "--meeting", "d==")
        assert (done.code, done.out.count("\r\n")) == (0, 1)
        assert "0 rows about 0 lectures" in done.err


def test_attendance_lists_lectures_by_source_series_and_start_and_what_is_unknown_is_empty(site: Site) -> None:
    rows = exported(site, "attendance")
    assert list(dict.fromkeys(row["lecture"] for row in rows)) == ["lost", "groups", "rings", "a==", "b=="]
    assert picked(rows[:1], "title", "series", "start", "length", "person", "share") == [("", "", "", "", "11", "")]


def test_rollcall_has_a_row_for_each_lecture_of_whoever_was_in_one(site: Site) -> None:
    rows = exported(site, "rollcall", "--series", "20260133383")
    assert picked(rows, "person", "date", "title", "present", "how", "seconds_watched", "share") == [
        ("11", "2026-11-02", "Groups", "true", "recorded", "3600", "0.750"),
        ("11", "2026-11-03", "Rings", "false", "", "0", "0.000"),
        ("12", "2026-11-02", "Groups", "true", "live", "0", "0.000"),
        ("12", "2026-11-03", "Rings", "true", "recorded", "3600", "1.000"),
    ]


def test_rollcall_of_meetings_goes_by_their_number_and_has_the_newest_name(site: Site) -> None:
    rows = exported(site, "rollcall", "--course", "Office hour")
    assert picked(rows, "person", "name", "lecture", "present") == [
        ("Guest", "Guest", "a==", "true"),
        ("Guest", "Guest", "b==", "false"),
        ("acc-sam", "Sam S.", "a==", "true"),
        ("acc-sam", "Sam S.", "b==", "true"),
    ]


def test_rollcall_has_dates_of_the_zone_that_is_set(site: Site) -> None:
    rows = exported(site, "rollcall", "--mpid", "rings", HARVESTER_TIMEZONE="Europe/Vienna")
    assert picked(rows, "date", "person") == [("2026-11-04", "12")]


def test_viewing_options_split_the_same_actions_by_each_option(site: Site) -> None:
    rows = exported(site, "viewing_options", "--mpid", "groups")
    assert picked(rows, "option", "value", "viewers", "sessions", "actions", "seconds_watched", "heartbeats") == [
        ("all", "", "3", "4", "5", "3600", "1"),
        ("browser", "", "1", "1", "1", "0", "0"),
        ("browser", "Firefox", "2", "2", "3", "1800", "1"),
        ("browser", "Mobile Safari", "1", "1", "1", "1800", "0"),
        ("device", "", "3", "3", "4", "1800", "1"),
        ("device", "iPad", "1", "1", "1", "1800", "0"),
        ("playback", "live", "1", "1", "1", "0", "0"),
        ("playback", "recorded", "2", "3", "4", "3600", "1"),
        ("system", "", "1", "1", "1", "0", "0"),
        ("system", "Linux", "2", "2", "3", "1800", "1"),
        ("system", "iOS", "1", "1", "1", "1800", "0"),
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--start", "20261104", "--end", "20261105"), {"rings"}),
        (("--start", "2026-11-09T14:00"), {"b=="}),
        (("--end", "20261102093001"), {"groups"}),
        (("--series", "93201235621"), {"a==", "b=="}),
        (("--course", "Algebra I", "--start", "20261103"), {"rings"}),
        (("--mpid", "groups", "--meeting", "b=="), {"groups", "b=="}),
        (("--mpid", "* OR 1"), set()),
        (("--course", "x' OR 'x'='x"), set()),
    ],
    ids=lambda given: " ".join(given if isinstance(given, tuple) else sorted(given)),  # the workers have to agree
)
def test_a_selection_takes_what_fits_it_and_nothing_else(site: Site, words: tuple[str, ...], expected: set[str]) -> None:
    assert {row["lecture"] for row in exported(site, "attendance", *words)} == expected


@pytest.mark.parametrize("name", NAMES)
def test_nothing_found_is_the_header_alone_and_ends_with_0(site: Site, name: str) -> None:
    done = export(site, name, "--start", "20300101")
    assert done.code == 0
    columns = next(one.columns for one in EXPORTS if one.name == name)
    assert done.out == ",".join(column.name for column in columns) + "\r\n"
    assert "nothing fits" in done.err


def test_a_recording_that_got_another_title_and_course_has_the_newest(tmp_path: Path) -> None:
    renamed = {**ALGEBRA, "title": "Semigroups", "course": "Algebra II"}
    site = site_with(
        tmp_path, [*LECTURES[:3], watched(9, "groups", 13, "06T10:00:00", renamed), watched(8, "groups", 14, "07T10:00:00")]
    )
    rows = exported(site, "attendance", "--course", "Algebra II")
    assert set(picked(rows, "title", "course")) == {("Semigroups", "Algebra II")}
    assert picked(rows, "person") == [("11",), ("13",), ("14",)]
    assert exported(site, "attendance", "--course", "Algebra I") == []


def test_viewers_without_anything_to_know_them_by_are_one_row_and_count_as_nobody(tmp_path: Path) -> None:
    site = site_with(tmp_path, [watched(n, "groups", None, f"02T10:00:0{n}", ALGEBRA, session=None) for n in (1, 2)])
    assert picked(exported(site, "attendance"), "person", "sessions", "last_seen") == [("", "0", "2026-11-02T10:00:02Z")]
    assert picked(exported(site, "viewing_options")[:1], "viewers", "sessions", "actions") == [("0", "0", "2")]
    assert exported(site, "rollcall") == []


@pytest.mark.parametrize("user", [None, "", "anonymous"])
def test_whoever_is_not_logged_in_is_another_one_at_each_visit_and_in_no_roll_call(tmp_path: Path, user: str | None) -> None:
    visits = [(1, "one"), (2, "two"), (3, "two"), (4, None)]
    site = site_with(tmp_path, [watched(n, "groups", user, f"02T10:00:0{n}", ALGEBRA, session=session) for n, session in visits])
    rows = exported(site, "attendance")
    assert picked(rows, "person", "sessions") == [("", "0"), ("session one", "1"), ("session two", "1")]
    assert picked(exported(site, "viewing_options")[:1], "viewers", "sessions", "actions") == [("2", "2", "4")]
    assert exported(site, "rollcall") == []


FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝")


def test_s45_no_text_of_a_vendor_is_a_formula_and_all_of_it_is_there(tmp_path: Path) -> None:
    evil = [f'{first}HYPERLINK("http://x","y"), \n"quoted"' for first in FORMULAS]
    site = site_with(
        tmp_path,
        [
            watched(n, f"{text[0]}{n}", f"{text[0]}1+1", "02T10:00:00", {**ALGEBRA, "title": text, "course": text})
            for n, text in enumerate(evil)
        ],
    )
    for name in NAMES:
        done = export(site, name)
        assert done.code == 0, done.err
        _, *rows = csv.reader(io.StringIO(done.out, newline=""))
        cells = {cell for row in rows for cell in row}
        assert {cell for cell in cells if cell.startswith(FORMULAS)} == set()
        assert {f"'{text}".replace("\r", "\\r") for text in evil} - cells == set()


def test_it_is_csv_as_rfc_4180_has_it_in_utf_8(tmp_path: Path) -> None:
    title = 'Größen, "Maße"\nund ∞'
    site = site_with(tmp_path, [watched(1, "groups", 11, "02T10:00:00", {**ALGEBRA, "title": title})])
    done = site.harvest("export", "attendance", "--output", "out.csv")
    assert (done.code, done.out) == (0, "")
    data = (tmp_path / "out.csv").read_bytes()
    assert data.endswith(b"\r\n")
    assert b'"Gr\xc3\xb6\xc3\x9fen, ""Ma\xc3\x9fe""\nund \xe2\x88\x9e"' in data
    assert list(csv.reader(io.StringIO(data.decode(), newline="")))[1][2] == title


def test_s44_control_characters_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    site = site_with(tmp_path, [watched(1, "groups", 11, "02T10:00:00", {**ALGEBRA, "title": "a\x1b[2Jb\x9bc\x7f"})])
    done = export(site, "attendance")
    assert "a\\x1b[2Jb\\x9bc\\x7f" in done.out


def test_a_file_is_there_when_it_is_whole_and_until_then_the_old_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    target = site.folder / "out.csv"
    target.write_text("old")
    monkeypatch.setattr("harvester.commands.export_people.covered", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(site, "attendance", "--output", str(target))
    assert target.read_text() == "old"
    assert [path.name for path in site.folder.glob("out*")] == ["out.csv"]
    monkeypatch.undo()
    assert export(site, "attendance", "--output", str(target)).code == 0
    assert target.read_text().startswith("source,lecture")


def test_what_was_written_is_said_on_stderr_alone(site: Site) -> None:
    done = export(site, "attendance")
    assert "attendance: 8 rows about 5 lectures, from var/harvest.duckdb, " in done.err
    assert done.out.count("\r\n") == 9


@pytest.mark.parametrize(
    "words",
    [
        ("attendance", "--start", "20261102", "--end", "20261102"),
        ("attendance", "--start", "yesterday"),
        ("attendance", "--from", "kafka"),
        ("viewing_options", "--meeting", "a=="),
        ("grades",),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(site: Site, words: tuple[str, ...]) -> None:
    done = export(site, *words)
    assert (done.code, done.out) == (2, "")


def test_without_a_file_it_says_how_to_have_one(tmp_path: Path) -> None:
    done = export(Site(tmp_path), "attendance")
    assert (done.code, done.out) == (3, "")
    for words in ("there is no var/harvest.duckdb", "HARVESTER_DUCKDB_PATH", "harvest consume duckdb", "--from elasticsearch"):
        assert words in done.err
    (tmp_path / "var").mkdir()
    (tmp_path / "var/harvest.duckdb").write_text("no database, but as long as one would have to be " * 99)
    done = export(Site(tmp_path), "attendance")
    assert (done.code, done.out) == (3, "")
    assert "damaged" in done.err


def test_a_place_that_cannot_be_written_is_said(site: Site) -> None:
    done = export(site, "attendance", "--output", "no/such/folder.csv")
    assert (done.code, done.out) == (2, "")
    assert "there is no folder no/such" in done.err
    (site.folder / "taken.csv").mkdir()
    done = export(site, "attendance", "--output", "taken.csv")
    assert (done.code, done.out) == (3, "")
    assert "taken.csv: Is a directory" in done.err


def test_the_first_sink_that_can_be_read_is_read_and_by_its_own_address(tmp_path: Path) -> None:
    site_with(tmp_path, LECTURES)
    (tmp_path / "var/harvest.duckdb").rename(tmp_path / "other.duckdb")
    site = Site(tmp_path, HARVESTER_SINKS="stdout,duckdb:///other.duckdb")
    assert len(exported(site, "attendance", "--mpid", "rings")) == 1
    done = export(site, "attendance", HARVESTER_SINKS="elasticsearch,duckdb", ES_HOST="localhost:1")
    assert done.code == 1
    assert "localhost:1" in done.err


def test_a_file_of_an_older_program_that_lacks_a_column_or_a_table_is_read_as_if_nothing_were_known(tmp_path: Path) -> None:
    site = site_with(tmp_path, LECTURES)
    with closing(duckdb.connect(tmp_path / "var/harvest.duckdb")) as connection:
        for column in ("ua_device", "ua_os_name", "ua_name"):
            connection.execute(f"ALTER TABLE useractions DROP COLUMN {column}")
        assert connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'sessions'").fetchone() == (0,)
    rows = exported(site, "viewing_options", "--mpid", "rings")
    assert picked(rows, "option", "value") == [
        ("all", ""),
        ("browser", ""),
        ("device", ""),
        ("playback", "recorded"),
        ("system", ""),
    ]


def test_while_another_program_writes_the_file_it_waits_and_then_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harvester.commands.export_tables.ONE_SHOT", Retry(attempts=1, scale=0))
    script = "import duckdb; c = duckdb.connect('var/harvest.duckdb'); print('open', flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], cwd=site.folder, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        done = export(site, "attendance")
        other.communicate("\n")
    assert (done.code, done.out) == (1, "")
    assert "close it there" in done.err
    assert len(exported(site, "attendance")) == 8


def test_an_interrupted_export_ends_with_130_and_leaves_no_file(tmp_path: Path) -> None:
    site = site_with(tmp_path, [played(1, "groups", 11, "02T10:00:00", (0, 60), ALGEBRA)])
    with closing(duckdb.connect(tmp_path / "var/harvest.duckdb")) as connection:
        connection.execute(
            "INSERT INTO useractions BY NAME "
            "SELECT u.* REPLACE (n AS action_id, 'lecture-' || n % 200 AS mpid, 'u' || n AS huid) "
            "FROM useractions AS u, (SELECT unnest(range(10, 200000)) AS n)"
        )
    with site.process("export", "attendance", "--output", "out.csv") as process:
        process.until(lambda: list(tmp_path.glob("*.part")))
        assert process.stop(signal.SIGINT) == 130
        assert "Traceback" not in process.err
    assert list(tmp_path.glob("*.csv*")) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_help_says_what_each_column_holds(tmp_path: Path, name: str) -> None:
    shown = " ".join(Site(tmp_path).harvest("export", name, "--help").out.split())
    for column in next(one.columns for one in EXPORTS if one.name == name):
        assert f"{column.name} {column.text}" in shown
