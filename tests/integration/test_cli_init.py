"""`harvest init`: what it writes works, keeps secrets where they belong, and overwrites nothing."""

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site import HOUR, NOON, PASSWORD, ROOT, Site, World, stamp

GIVEN = ("--yes", "--url", "https://engage.example.edu", "--user", "harvester", "--timezone", "Europe/Vienna")


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".stdout", ".stderr"}


def answering(site: Site, *answers: str, source: str = "opencast") -> tuple[int, str]:
    """`harvest init` on a terminal: its exit code, and what the terminal showed."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "harvester", "init", "--source", source],
            cwd=site.folder,
            env={**site.environment(TERM="xterm"), "PYTHONPATH": str(ROOT)},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
    finally:
        os.close(theirs)
    seen, left = b"", list(answers)
    while piece := read(ours):
        seen += piece
        # What is typed before the echo is switched off for a secret would be shown.
        if left and seen.rstrip(b" ").endswith(b":"):
            os.write(ours, left.pop(0).encode() + b"\n")
            seen += b"\n"
    os.close(ours)
    return process.wait(30), seen.decode()


def read(descriptor: int) -> bytes:
    """b"" when the other side of the terminal is closed, which Linux tells as an error."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def test_what_init_writes_passes_config_check_once_the_secret_is_set(tmp_path: Path) -> None:
    site = Site(tmp_path)
    done = site.harvest("init", *GIVEN)
    assert (done.code, done.out) == (0, "")
    assert files(tmp_path) == {"harvester.toml", ".env.example"}
    assert "still needed: HARVESTER_OPENCAST_PASSWORD, in .env or the environment" in done.err
    without = site.harvest("config", "check", "--json")
    assert (without.code, [fault["setting"] for fault in without.json["faults"]]) == (3, ["HARVESTER_OPENCAST_PASSWORD"])
    checked = site.harvest("config", "check", HARVESTER_OPENCAST_PASSWORD="x")
    assert (checked.code, "3 from harvester.toml" in checked.out, checked.err) == (0, True, "")


def test_the_env_example_that_init_writes_is_that_of_the_repository(tmp_path: Path) -> None:
    Site(tmp_path).harvest("init", *GIVEN)
    assert (tmp_path / ".env.example").read_bytes() == (ROOT / ".env.example").read_bytes()


def test_a_harvest_runs_with_what_init_wrote(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path)
    folder = ["--folder", "deep/er", "--queue", "sqlite:///var/other.db"]
    done = site.harvest("init", "--yes", "--url", vendor.url, "--user", "harvester", *folder)
    assert done.code == 0
    assert "next: cd deep/er && harvest config check" in done.err
    inner = Site(tmp_path / "deep/er", HARVESTER_OPENCAST_PASSWORD=PASSWORD)
    assert inner.harvest("useractions", "-s", stamp(NOON - HOUR)).code == 0
    assert (tmp_path / "deep/er/var/other.db").exists()


def test_nothing_is_overwritten_without_force_and_with_it_the_old_is_kept(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (tmp_path / "harvester.toml").write_text("mine")
    done = site.harvest("init", *GIVEN)
    assert (done.code, files(tmp_path)) == (4, {"harvester.toml"})
    assert "harvester.toml is there already: nothing was written" in done.err
    assert "--force" in done.err
    assert (tmp_path / "harvester.toml").read_text() == "mine"
    assert site.harvest("init", *GIVEN, "--force").code == 0
    assert (tmp_path / "harvester.toml.old").read_text() == "mine"
    assert 'url = "https://engage.example.edu"' in (tmp_path / "harvester.toml").read_text()


def test_what_is_missing_off_a_terminal_is_told_all_at_once(tmp_path: Path) -> None:
    done = Site(tmp_path).harvest("init")
    assert (done.code, files(tmp_path)) == (2, set())
    assert "--url, --user" in done.err


def test_beside_a_queue_that_hosts_share_the_letters_have_to_be_named_here_too(tmp_path: Path) -> None:
    site, queue = Site(tmp_path), ("--queue", "kafka://broker/prefix")
    done = site.harvest("init", *GIVEN, *queue)
    assert (done.code, files(tmp_path)) == (2, set())
    assert "--letters" in done.err
    assert site.harvest("init", *GIVEN, *queue, "--letters", "s3://bucket/letters").code == 0
    assert site.harvest("config", "check", HARVESTER_OPENCAST_PASSWORD="x").code == 0


def test_every_wrong_answer_is_told_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    wrong = ["--url", "http://engage.example.edu", "--timezone", "Mars/x", "--queue", "sqlight:///q.db"]
    done = Site(tmp_path).harvest("init", "--yes", "--user", "h", *wrong)
    assert (done.code, files(tmp_path)) == (3, set())
    for part in ("HARVESTER_QUEUE_URL", "no such queue 'sqlight'", "HARVESTER_OPENCAST_TIMEZONE"):
        assert part in done.err
    done = Site(tmp_path).harvest("init", "--yes", "--user", "h", *wrong[:2])
    assert (done.code, files(tmp_path)) == (3, set())
    assert "in the clear" in done.err


def test_other_settings_of_the_process_do_not_get_into_the_files(tmp_path: Path) -> None:
    Site(tmp_path).harvest("init", *GIVEN, HARVESTER_OPENCAST_PASSWORD="c4nary", HARVESTER_BATCH_EVENTS="77")
    assert not any(text in (tmp_path / name).read_text() for name in files(tmp_path) for text in ("c4nary", "= 77"))


def test_on_a_terminal_it_asks_and_the_password_stands_in_env_alone_for_its_user_alone(tmp_path: Path) -> None:
    site = Site(tmp_path)
    nasty = 'it\'s "c4nary" \\ #1 $HOME'
    code, seen = answering(site, "https://engage.example.edu", "harvester", "Mars/x", "Europe/Vienna", "", "", nasty)
    assert code == 0, seen
    assert "Error: " in seen, "a wrong answer is asked again"
    assert "c4nary" not in seen
    assert files(tmp_path) == {"harvester.toml", ".env.example", ".env"}
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert not any("c4nary" in (tmp_path / name).read_text() for name in ("harvester.toml", ".env.example"))
    checked = site.harvest("config", "check")
    assert (checked.code, "1 from .env" in checked.out) == (0, True)


@pytest.mark.parametrize("name", ["harvester.toml", ".env.example"])
def test_a_place_that_cannot_be_written_is_told_in_a_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    done = Site(tmp_path).harvest("init", *GIVEN, "--folder", f"file/{name}")
    assert done.code == 3
    assert "Traceback" not in done.err
    assert "--folder" in done.err


def test_several_sinks_are_a_comma_list_and_one_that_there_is_not_is_asked_again(tmp_path: Path) -> None:
    sinks = ("duckdb,elastic", "duckdb, elasticsearch", "http://127.0.0.1:9200")
    code, seen = answering(Site(tmp_path), "https://engage.example.edu", "harvester", "UTC", "", *sinks, "secret", "", "")
    assert code == 0, seen
    assert "no such sink 'elastic'" in seen
    assert "next: harvest config check, then harvest setup load_index_templates, then harvest doctor" in seen
    shown = Site(tmp_path).harvest("config", "show")
    assert "duckdb,elasticsearch" in shown.out.replace(" ", "")
    assert "http://127.0.0.1:9200" in shown.out


def test_zoom_has_questions_of_its_own_and_what_is_written_can_be_used(tmp_path: Path) -> None:
    site = Site(tmp_path)
    lacking = site.harvest("init", "--source", "zoom", "--yes")
    assert (lacking.code, files(tmp_path)) == (2, set())
    assert "--account-id, --client-id" in lacking.err
    foreign = site.harvest("init", "--source", "zoom", "--yes", "--account-id", "A", "--client-id", "C", "--user", "u")
    assert (foreign.code, "zoom has no --user" in foreign.err) == (2, True)
    done = site.harvest("init", "--source", "zoom", "--yes", "--account-id", "A", "--client-id", "C")
    assert done.code == 0, done.err
    assert "still needed: HARVESTER_ZOOM_CLIENT_SECRET" in done.err
    checked = site.harvest("config", "check", HARVESTER_ZOOM_CLIENT_SECRET="x")
    assert checked.code == 0, checked.out
    told = site.harvest("config", "show", HARVESTER_ZOOM_CLIENT_SECRET="x").out
    assert "HARVESTER_SOURCES=zoom" in told
    assert "HARVESTER_ZOOM_ACCOUNT_ID=A" in told


def test_on_a_terminal_zoom_is_asked_for_account_client_and_secret(tmp_path: Path) -> None:
    code, shown = answering(Site(tmp_path), "A", "C", "", "", PASSWORD, "", source="zoom")
    assert code == 0, shown
    assert "account id of the server-to-server OAuth app" in shown
    assert "https://api.zoom.us" not in shown
    assert PASSWORD not in shown
    assert f"HARVESTER_ZOOM_CLIENT_SECRET={PASSWORD}" in (tmp_path / ".env").read_text().replace('"', "").replace("'", "")
