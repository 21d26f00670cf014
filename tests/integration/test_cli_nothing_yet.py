"""A folder where nothing was harvested: who only looks makes nothing and is told what to do; who is refused leaves nothing."""

from pathlib import Path

import pytest

from tests.site import HOUR, NOON, Site, World, stamp

LOOKS = [
    "queue check",
    "queue lag",
    "queue groups",
    "queue peek",
    "queue seek duckdb --to end --yes",
    "queue forget x --yes",
    "audit",
]


def made(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name not in (".stdout", ".stderr")]


@pytest.mark.parametrize("command", LOOKS)
def test_a_look_into_a_queue_that_is_not_there_makes_nothing_and_says_what_to_do(tmp_path: Path, command: str) -> None:
    done = Site(tmp_path).harvest(*command.split())
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "harvest: there is no queue at var/queue.db: nothing was harvested here yet; next: harvest useractions, "
        "or check HARVESTER_QUEUE_URL / the folder you are in\n"
    )
    assert made(tmp_path) == []


@pytest.mark.parametrize(
    "command",
    ["archive verify", "replay --dry-run", "replay", "github gcs-summary", "github load-gcs", "github wipe-gcs --repo widgets"],
)
def test_an_archive_that_does_not_exist_is_no_empty_one_and_is_told_with_its_place_and_setting(
    tmp_path: Path, command: str
) -> None:
    done = Site(tmp_path).harvest(*command.split())
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith(
        f"harvest: there is no archive: the folder {tmp_path}/var/archive does not exist (HARVESTER_ARCHIVE_URL=file://var/archive)"
    )
    assert "next: " in done.err
    assert made(tmp_path) == []
    (tmp_path / "empty").mkdir()
    empty = Site(tmp_path, HARVESTER_ARCHIVE_URL=f"file://{tmp_path}/empty").harvest(*command.split())
    assert (empty.code, "there is no archive" in empty.err) == (2 if "wipe" in command else 0, False)


@pytest.mark.parametrize(("command", "words"), [("list", "no letters"), ("requeue --all", "0 letters are due")])
def test_no_dead_letters_are_no_fault_and_make_nothing(tmp_path: Path, command: str, words: str) -> None:
    done = Site(tmp_path).harvest("dead-letters", *command.split())
    assert (done.code, done.out, done.err) == (0, "", f"{words}\n")
    assert made(tmp_path) == []


@pytest.mark.parametrize("command", ["show", "show opencast", "gaps"])
def test_a_look_at_coverage_that_is_not_there_makes_no_folder(tmp_path: Path, command: str) -> None:
    done = Site(tmp_path).harvest("coverage", *command.split())
    assert done.code == 0
    assert Site(tmp_path).harvest("coverage", *command.split(), "--json").code == 0
    assert Site(tmp_path).harvest("coverage", "show", "opncast").code == 2
    assert made(tmp_path) == []


@pytest.mark.parametrize("act", ["list", "requeue", "purge --yes"])
def test_a_group_or_a_reason_that_there_is_not_is_named_with_those_there_are(tmp_path: Path, act: str) -> None:
    for words in (("--group", "opencastt"), ("--group", "nobody"), ("--reason", "maping")):
        done = Site(tmp_path).harvest("dead-letters", *act.split(), *words)
        assert (done.code, done.out) == (2, ""), words
        assert "there are" in done.err
        assert ("opencast" if words[0] == "--group" else "mapping") in done.err
    assert made(tmp_path) == []


def test_a_slip_in_the_name_of_a_source_is_no_thing_that_was_never_seen(tmp_path: Path) -> None:
    done = Site(tmp_path).harvest("trace", "opencastt/5")
    assert (done.code, done.out) == (2, "")
    assert "did you mean opencast?" in done.err
    assert Site(tmp_path).harvest("trace", "opencast/5").code == 1
    assert Site(tmp_path).harvest("trace", "Xb1/cd9fRT+ab12cd34ef56==").code == 1, "an id may hold a slash"


def test_an_audit_after_the_queue_was_deleted_fails_and_names_the_queue_of_the_book(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - HOUR))
    for path in site.queue.parent.glob("queue.db*"):
        path.unlink()
    done = site.harvest("audit")
    assert (done.code, "the book of opencast names queue" in done.err) == (1, True)
    assert not site.queue.exists()


def test_an_audit_of_a_queue_that_is_not_the_one_of_the_book_fails(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - HOUR))
    for path in site.queue.parent.glob("queue.db*"):
        path.unlink()
    site.harvest("consume", "--until-empty")  # makes a new one
    done = site.harvest("audit")
    assert (done.code, "UNEQUAL  book of opencast" in done.out) == (1, True)
    assert list(site.harvest("audit", "--json").json["foreign"]) == ["opencast"]


@pytest.mark.parametrize("command", ["useractions", "run --no-consume", "backfill -s 20241104", "coverage fill"])
def test_a_harvest_that_is_refused_leaves_no_new_queue_behind(tmp_path: Path, vendor: World, command: str) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - HOUR))
    done = site.harvest(*command.split(), HARVESTER_QUEUE_URL="sqlite:///elsewhere/queue.db")
    assert done.code == 4
    assert "not there yet (elsewhere/queue.db)" in done.err
    assert "harvest coverage reset opencast --yes" in done.err
    assert not (tmp_path / "elsewhere").exists()


def test_audit_shows_what_seek_passed_over_until_it_is_read_after_all(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - 2 * HOUR))
    site.consume()
    amount = len(site.held())
    assert "skipped" not in site.harvest("audit").out
    site.harvest("queue", "seek", "duckdb", "--to", "beginning")
    assert "skipped" not in site.harvest("audit").out
    site.harvest("queue", "seek", "duckdb", "--to", str(amount - 2), "--yes")
    site.consume()
    done = site.harvest("audit")
    assert (done.code, f"skipped  {'duckdb':<24} {amount - 3:,} messages passed over by seek" in done.out) == (0, True)
    assert site.audit()["skipped"] == {"duckdb": amount - 3}
    site.harvest("queue", "seek", "duckdb", "--to", "5")
    assert site.audit()["skipped"] == {"duckdb": 4}
    site.harvest("queue", "seek", "duckdb", "--to", "beginning")
    assert site.audit()["skipped"] == {}


def test_coverage_after_a_reset_says_that_nothing_is_read_and_what_is_next(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - HOUR))
    site.harvest("coverage", "reset", "useractions", "--yes")
    done = site.harvest("coverage", "show")
    assert (done.code, done.out) == (0, "opencast/useractions\n  nothing is read; next: harvest useractions\n")
