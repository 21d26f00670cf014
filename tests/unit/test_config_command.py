"""`harvest config`: what people see when they ask what is set, and what is wrong."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from consumers.sinks import SINKS
from harvester.commands.config import command
from harvester.options import options_of
from harvester.settings import families

CANARY = "canary-7Qz!x"
WHOLE = f"""\
HARVESTER_OPENCAST_URL=https://opencast.example.org
HARVESTER_OPENCAST_USER=harvester
HARVESTER_OPENCAST_PASSWORD={CANARY}
"""
THREE_WRONG = f"""\
# our Opencast
MATTERHORN_ENGAGE_HOST=opencast.example.org
MATTERHORN_REST_USER=harvester
HARVESTER_OPENCAST_PASSWORT={CANARY}

HARVESTER_TIMEZONE=Europe/Zurch
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.upper().startswith("HARVESTER_")]:
        monkeypatch.delenv(name)
    for option in (o for model in families() for o in options_of(model)):
        for name in option.names:
            monkeypatch.delenv(name, raising=False)


def harvest_config(*args: str, dotenv: str = "", **environ: str) -> Result:
    Path(".env").write_text(dotenv, encoding="utf-8")
    return CliRunner().invoke(command, list(args), env=environ, catch_exceptions=False)


def test_check_tells_three_faults_at_once_with_place_reason_and_remedy() -> None:
    done = harvest_config("check", dotenv=THREE_WRONG)
    assert done.exit_code == 3
    assert (
        done.stdout
        == """\
3 settings are wrong:

  1  HARVESTER_OPENCAST_PASSWORT  (.env:4)
     there is no such setting
     → did you mean HARVESTER_OPENCAST_PASSWORD?

  2  HARVESTER_TIMEZONE  (.env:6)
     "Europe/Zurch" is no time zone
     → did you mean Europe/Zurich?

  3  HARVESTER_OPENCAST_PASSWORD  (not set)
     it is needed: password of that account
     → set it in the environment or .env, or HARVESTER_OPENCAST_PASSWORD_FILE = the path of a file with it

"""
    )
    assert "deprecated: MATTERHORN_ENGAGE_HOST is now called HARVESTER_OPENCAST_URL" in done.stderr
    assert "run `harvest config check` again" in done.stderr
    assert CANARY not in done.output


def test_check_of_good_settings_says_ok() -> None:
    done = harvest_config("check", dotenv=WHOLE, HARVESTER_LOG_LEVEL="debug")
    assert done.exit_code == 0
    assert done.stdout.startswith("ok: ")
    assert "3 from .env" in done.stdout
    assert "1 from environment" in done.stdout
    assert done.stderr == ""


def test_check_of_an_empty_folder_is_no_fault_and_says_what_a_source_needs() -> None:
    done = harvest_config("check")
    assert done.exit_code == 0
    assert done.stdout.startswith("ok: nothing is set")
    assert "opencast is not set up; it needs HARVESTER_OPENCAST_URL" in done.stderr
    assert "harvest init asks for them" in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        (
            "HARVESTER_QUEUE_URL",
            "sqlight:///queue.db",
            "no such queue 'sqlight'; there are kafka, sqlite, sqs (did you mean sqlite?)",
        ),
        ("HARVESTER_COVERAGE_URL", "disk:///coverage", "no such store of coverage 'disk'; there are file"),
        ("HARVESTER_LETTERS_URL", "sqlight:///letters.db", "no such store of letters 'sqlight'"),
        ("HARVESTER_CACHE_URL", "mem://", "no such cache 'mem'; there are memory"),
        ("HARVESTER_SINKS", "duckbd", f"no such sink 'duckbd'; there are {', '.join(sorted(SINKS))} (did you mean duckdb?)"),
        ("HARVESTER_SOURCES", "opencats", "no such source 'opencats'"),
        ("HARVESTER_QUEUE_URL", "sqlite:///queue.db?size=3", "unknown option 'size'"),
        ("HARVESTER_OPENCAST_URL", "http://opencast.example.org", "in the clear"),
        ("HARVESTER_OPENCAST_CA_FILE", "/nowhere/ca.pem", "/nowhere/ca.pem"),
    ],
)
def test_check_finds_what_reads_well_and_cannot_work(name: str, value: str, part: str) -> None:
    done = harvest_config("check", dotenv=WHOLE, **{name: value})
    assert done.exit_code == 3
    assert done.stdout.startswith("One setting is wrong:")
    assert part in done.stdout


def test_check_tells_faults_of_every_kind_in_one_go() -> None:
    done = harvest_config(
        "check",
        dotenv=WHOLE.replace("https:", "http:"),
        HARVESTER_TIMEZONE="Mars/x",
        HARVESTER_QUEUE_URL="nats://x",
        HARVESTER_LETTERS_URL="sqlite:///letters.db?size=3",
        HARVESTER_SINKS="nosuch,duckbd,duckdb",
    )
    assert done.exit_code == 3
    assert done.stdout.startswith("5 settings are wrong:")
    for part in (
        '"Mars/x" is no time zone',
        "no such queue 'nats'",
        f"no such sink 'nosuch'; there are {', '.join(sorted(SINKS))}; no such sink 'duckbd'",
        "(did you mean duckdb?)",
        "unknown option 'size'",
        "HARVESTER_OPENCAST_ALLOW_PLAIN_HTTP",
    ):
        assert part in done.stdout


def test_check_as_json_is_one_object() -> None:
    done = harvest_config("check", "--json", dotenv=THREE_WRONG)
    found = json.loads(done.stdout)
    assert done.exit_code == 3
    assert (found["format"], found["ok"], len(found["faults"]), len(found["warnings"])) == (1, False, 3, 2)
    assert found["faults"][1] == {
        "setting": "HARVESTER_TIMEZONE",
        "where": ".env:6",
        "why": '"Europe/Zurch" is no time zone',
        "fix": "did you mean Europe/Zurich?",
    }
    assert json.loads(harvest_config("check", "--json").stdout)["not_set_up"].keys() == {"opencast"}


def test_show_lists_every_setting_with_its_origin_and_hides_secrets() -> None:
    Path("harvester.toml").write_text('log_level = "warn"\n')
    done = harvest_config("show", "--origin", dotenv=WHOLE, DEFAULT_INTERVAL="5")
    lines = {line.partition("=")[0]: line for line in done.stdout.splitlines() if "=" in line}
    assert lines.keys() == {o.name for model in families() for o in options_of(model)}
    assert lines["HARVESTER_OPENCAST_PASSWORD"].split() == ["HARVESTER_OPENCAST_PASSWORD=***", "#", ".env:3"]
    assert lines["HARVESTER_LOG_LEVEL"].endswith("# harvester.toml:1")
    assert lines["HARVESTER_DEFAULT_INTERVAL"].endswith("# environment, as DEFAULT_INTERVAL")
    assert lines["HARVESTER_SINKS"].split() == ["HARVESTER_SINKS=duckdb", "#", "default"]
    assert CANARY not in done.output
    assert done.exit_code == 0


def test_what_show_prints_is_a_dotenv_of_the_same_settings() -> None:
    nasty = '/a "b" #c\\d'
    first = harvest_config("show", HARVESTER_DUCKDB_PATH=nasty, HARVESTER_BATCH_BYTES="2048")
    kept = "\n".join(line for line in first.stdout.splitlines() if not line.endswith("="))
    again = harvest_config("show", dotenv=kept)
    assert again.stdout == first.stdout
    assert json.dumps(nasty) in first.stdout


def test_show_works_while_settings_are_wrong_and_says_so() -> None:
    done = harvest_config("show", dotenv=THREE_WRONG)
    assert done.exit_code == 0
    assert "HARVESTER_TIMEZONE=Europe/Zurch" in done.stdout
    assert "harvest config check" in done.stderr
    assert CANARY not in done.output


def test_show_as_json_is_one_object_without_secrets() -> None:
    found = json.loads(harvest_config("show", "--json", dotenv=WHOLE).stdout)
    settings = {s["name"]: s for s in found["settings"]}
    assert settings["HARVESTER_OPENCAST_PASSWORD"]["value"] == "***"
    assert settings["HARVESTER_OPENCAST_PASSWORD"]["secret"] is True
    assert (settings["HARVESTER_OPENCAST_USER"]["origin"], settings["HARVESTER_SINKS"]["given"]) == (".env:2", False)


def test_show_hides_a_password_within_an_address() -> None:
    done = harvest_config("show", HARVESTER_OPENCAST_PROXY="http://bob:hunter22@proxy:3128")
    assert "http://bob:***@proxy:3128" in done.stdout


@pytest.mark.parametrize("args", [("--help",), ("show", "--help"), ("check", "--help")])
def test_e12_help_is_there_on_every_level(args: tuple[str, ...]) -> None:
    assert "Usage:" in harvest_config(*args).stdout
