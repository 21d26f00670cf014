"""What every command has in common: help, spellings, and how it refuses."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from consumers.sinks import SINKS
from harvester.cli import COMMANDS, cli
from tests.site import Site


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words, groups too."""
    yield (), cli
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield (name,), command
        if isinstance(command, click.Group):
            yield from (((name, below), one) for below, one in command.commands.items())


EVERY = list(commands())
SPOKEN = [" ".join(words) for words, _ in EVERY]


@pytest.mark.parametrize("spoken", SPOKEN)
def test_e12_help_is_there_on_every_level(tmp_path: Path, spoken: str) -> None:
    done = Site(tmp_path).harvest(*spoken.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Usage: harvest {spoken}".rstrip() in done.out
    assert list(tmp_path.glob("[!.]*")) == [], "help makes no file"


@pytest.mark.parametrize(("words", "command"), EVERY, ids=SPOKEN)
def test_e12_no_help_screen_shows_a_mark_of_its_layout(words: tuple[str, ...], command: click.Command) -> None:
    shown = command.get_help(click.Context(command, info_name=" ".join(("harvest", *words))))
    assert not {"\\", "\b", "\f"} & set(shown)
    assert not re.search(r"harvest \S+.* {3,}\S.*harvest ", shown), "examples stand on lines of their own"
    assert not re.search(r"\[required\]\s+\[required\]", shown)


@pytest.mark.parametrize(
    ("typed", "meant"), [("usractions", "useractions"), ("dead_leters", "dead-letters"), ("Config", "config")]
)
def test_a_mistyped_command_is_told_with_the_one_that_was_meant(tmp_path: Path, typed: str, meant: str) -> None:
    done = Site(tmp_path).harvest(typed)
    assert (done.code, done.out) == (2, "")
    assert f"Did you mean '{meant}'?" in done.err


@pytest.mark.parametrize(("words", "command"), EVERY, ids=SPOKEN)
def test_e12_help_shows_the_default_and_the_variable_of_every_option(words: tuple[str, ...], command: click.Command) -> None:
    prefix = (command.context_settings or {}).get("auto_envvar_prefix")
    context = click.Context(command, info_name="harvest", auto_envvar_prefix=prefix)
    for option in command.params:
        if not isinstance(option, click.Option) or option.is_eager:
            continue
        record = option.get_help_record(context)
        assert record is not None, f"{words} hides {option.name}"
        shown = " ".join(record)
        assert option.is_flag or option.multiple or re.search(r"default|required", shown), f"{words} {shown} shows no default"
        if option.envvar or option.callback:
            assert re.search(r"\[env", shown), f"{words} {shown} shows no variable"


def test_e1_to_e11_e70_every_option_of_useractions_is_there_by_its_long_and_short_name(tmp_path: Path) -> None:
    shown = Site(tmp_path).harvest("useractions", "--help").out
    pairs = "-s/--start -e/--end -w/--wait -H/--engage_host -u/--user -p/--password -o/--output -q/--queue-name -b/--batch-size"
    for pair in [*pairs.split(), "-i/--interval"]:
        short, long = pair.split("/")
        assert f"{short}, {long}" in shown
    assert "--disable-start-end-span-check" in shown
    assert "--update-last-ts / --no-update-last-ts" in shown
    for variable in (
        "MATTERHORN_ENGAGE_HOST",
        "MATTERHORN_REST_USER",
        "MATTERHORN_REST_PASS",
        "SQS_QUEUE_NAME",
        "DEFAULT_INTERVAL",
    ):
        assert variable in shown


def test_q5_the_help_says_that_the_span_check_is_switched_off(tmp_path: Path) -> None:
    shown = " ".join(Site(tmp_path).harvest("useractions", "--help").out.split())
    assert "Fetch the whole span at once, however long." in shown


@pytest.mark.parametrize("spelling", ["--dry-run", "--dry_run"])
@pytest.mark.parametrize("command", ["dead-letters", "dead_letters"])
def test_q3_a_dash_and_an_underscore_are_the_same_character(tmp_path: Path, command: str, spelling: str) -> None:
    done = Site(tmp_path).harvest(command, "requeue", "--all", spelling)
    assert (done.code, done.err) == (0, "0 letters would be due\n")


@pytest.mark.parametrize(
    "args",
    [
        ["nope"],
        ["useractions", "--nope"],
        ["useractions", "--batch-size", "many"],
        ["useractions", "--batch-size", "0"],
        ["useractions", "--wait", "-1"],
        ["useractions", "--span-policy", "hope"],
        ["useractions", "-o", "file.json"],
        ["useractions", "-o", "-", "--json"],
        ["--log-level", "loud", "audit"],
        ["once", "nope"],
        ["once", "opencast", "--limit", "3"],
        ["once", "opencast", "--dry-run", "--json"],
        ["backfill", "nope", "-s", "20240101"],
        ["backfill"],
        ["run", "--source", "nope"],
        ["coverage", "show", "nope"],
        ["coverage", "reset", "nope", "--yes"],
        ["coverage", "set", "opencast", "-s", "20240101"],
        ["coverage", "set", "nope/x", "-s", "20240101", "--yes"],
        ["dead-letters", "purge", "--yes"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_says_what_is_right(tmp_path: Path, args: list[str]) -> None:
    site = Site(tmp_path, "http://127.0.0.1:9")
    done = site.harvest(*args)
    assert (done.code, done.out) == (2, "")
    assert "Error: " in done.err
    assert not (tmp_path / "var/coverage/nope.json").exists()


@pytest.mark.parametrize("command", ["useractions", "run", "consume", "once opencast", "backfill -s 20240101", "coverage fill"])
def test_missing_and_wrong_settings_are_told_all_at_once_and_end_with_3(tmp_path: Path, command: str) -> None:
    done = Site(tmp_path, HARVESTER_TIMEZONE="Mars", MAX_START_END_SPAN="abc").harvest(*command.split())
    assert (done.code, done.out) == (3, "")
    assert "5 settings are wrong" in done.err
    for name in ("OPENCAST_URL", "OPENCAST_USER", "OPENCAST_PASSWORD", "TIMEZONE"):
        assert f"HARVESTER_{name}" in done.err
    assert "MAX_START_END_SPAN" in done.err
    assert list(tmp_path.glob("[!.]*")) == [], "nothing is made before the settings are right"


@pytest.mark.parametrize("command", ["run", "useractions", "queue lag", "audit"])
def test_faults_of_every_kind_are_told_in_one_go_by_every_command(tmp_path: Path, command: str) -> None:
    wrong = {"HARVESTER_TIMEZONE": "Mars/x", "HARVESTER_SINKS": "nosuch", "HARVESTER_QUEUE_URL": "nats://x"}
    wrong |= {"HARVESTER_SOURCES": "opencats", "HARVESTER_CACHE_URL": "mem://", "HARVESTER_COVERAGE_URL": "disk://x"}
    done = Site(tmp_path, "http://127.0.0.1:9", **wrong).harvest(*command.split())
    assert (done.code, done.out) == (3, "")
    for name in wrong:
        assert f". {name} (" in done.err
    assert "no such source 'opencats'; there are github, opencast, zoom (did you mean opencast?)" in done.err


@pytest.mark.parametrize("command", ["consume duckbd", "consume duckdb duckbd --until-empty", "run --sink duckbd"])
def test_a_mistyped_sink_is_wrong_usage_and_told_before_anything_starts(tmp_path: Path, command: str) -> None:
    done = Site(tmp_path, "http://127.0.0.1:9").harvest(*command.split())
    assert (done.code, done.out) == (2, "")
    assert f"no such sink 'duckbd'; there are {', '.join(sorted(SINKS))} (did you mean duckdb?)" in done.err
    assert "started" not in done.err
    assert list(tmp_path.glob("[!.]*")) == []


def test_exit_codes_stand_in_the_help(tmp_path: Path) -> None:
    shown = " ".join(Site(tmp_path).harvest("--help").out.split())
    for code in ("0 complete", "1 failed", "2 wrong usage", "3 wrong or missing", "4 refused", "5 partial", "130 interrupted"):
        assert code in shown


def test_a_reader_that_goes_away_is_told_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m harvester config show | head -n 1"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
