"""Logs: one stream, one line an event, and no secret in it."""

import io
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
import structlog

from harvester import logs
from harvester.redact import Redactor, is_secret_name

CANARY = "canary-7Qz!&%$x"
SILENT = "import harvester.cli, sys; sys.exit('structlog' in sys.modules or 'pydantic' in sys.modules)"


EARLY = """
import structlog
from harvester.logs import get_logger
get_logger("x").warning("early")
structlog.get_logger().error("plain")
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def started(level: str = "info", *redact: str, terminal: bool = False) -> io.StringIO:
    stream = Terminal() if terminal else io.StringIO()
    logs.setup(level, redact, stream=stream)
    return stream


def test_a_line_is_one_json_object_with_ecs_names() -> None:
    stream = started()
    logs.get_logger("harvester.x").info("drained", batches=3, at=datetime(2026, 1, 2, tzinfo=UTC))
    (line,) = lines(stream)
    assert line["message"] == "drained"
    assert line["log.level"] == "info"
    assert line["log.logger"] == "harvester.x"
    assert line["service.name"] == "event-harvester"
    assert (line["batches"], line["at"]) == (3, "2026-01-02T00:00:00+00:00")
    assert datetime.fromisoformat(str(line["@timestamp"])).tzinfo == UTC


@pytest.mark.parametrize(("level", "told"), [("debug", 3), ("info", 2), ("warn", 1)])
def test_e71_the_level_holds_for_ours_and_for_other_libraries(level: str, told: int) -> None:
    stream = started(level)
    for log in (logs.get_logger("harvester.x"), logging.getLogger("aiohttp.client")):
        log.debug("a")
        log.info("b")
        log.warning("c")
    assert len(lines(stream)) == 2 * told
    assert lines(stream)[-1]["log.level"] == "warn"


def test_other_libraries_warnings_and_plain_structlog_land_in_the_same_stream(capfd: pytest.CaptureFixture[str]) -> None:
    stream = started()
    logging.getLogger("aiohttp").warning("odd %s", "thing")
    structlog.get_logger("theirs").warning("plain", n=1)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old habit", UserWarning, stacklevel=1)
    assert [line["log.logger"] for line in lines(stream)] == ["aiohttp", "theirs", "py.warnings"]
    assert capfd.readouterr().out == ""


def test_nothing_is_ever_written_to_stdout_not_even_before_setup() -> None:
    done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "early" in done.stderr


def test_the_command_loads_neither_logs_nor_settings_before_it_runs() -> None:
    assert subprocess.run([sys.executable, "-c", SILENT], check=False).returncode == 0


@pytest.mark.parametrize("terminal", [False, True])
def test_s05_known_values_are_hidden_wherever_they_stand(terminal: bool) -> None:
    stream = started("info", CANARY, "5551234", terminal=terminal)
    log = logs.get_logger("x")
    told = f"event {CANARY}"
    log.info(
        told,
        text=f"a {CANARY} b",
        deep={"a": [{"b": (CANARY,)}], CANARY: 1},
        pin=5551234,
        bytes=CANARY.encode(),
    )
    log.info("url", url=f"https://h/?q={quote(CANARY, safe='')}", odd=ValueError(CANARY), again=json.dumps(CANARY))
    logging.getLogger("lib").warning("%s and %r", CANARY, CANARY)
    try:
        _fail(CANARY)
    except RuntimeError:
        log.exception("failed")
        logging.getLogger("lib").exception("theirs")
    written = stream.getvalue()
    assert "***" in written
    assert "_fail" in written
    for form in (CANARY, quote(CANARY, safe=""), "5551234", CANARY[:9]):
        assert form not in written


def _fail(value: str) -> None:
    try:
        os.environ[f"no {value}"]
    except KeyError as error:
        raise RuntimeError(f"while {value}") from error


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Authorization",
        "api_key",
        "X-Api-Key",
        "access_token",
        "clientSecret",
        "set-cookie",
        "HARVESTER_X_PASSWORD",
        "pass",
    ],
)
def test_s05_what_stands_under_the_name_of_a_secret_is_hidden(name: str, terminal: bool) -> None:
    stream = started(terminal=terminal)
    logs.get_logger("x").info("request", headers={name: "abc123"}, **{name: "abc123"})
    assert "abc123" not in stream.getvalue()


@pytest.mark.parametrize("name", ["key", "bypass", "tokens_read", "secretary", "compass"])
def test_names_that_only_sound_like_secrets_are_shown(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("redis://:hunter22@host/0", "redis://:***@host/0"),
        ("https://bob:hunter22@host/x", "https://bob:***@host/x"),
        ("GET /x?access_token=hunter22&page=2", "GET /x?access_token=***&page=2"),
        ("Authorization: Basic aHVudGVyMjI=", "Authorization: ***"),
        ("sent Bearer hunter2222 to", "sent Bearer *** to"),
        ("Basic authentication failed", "Basic authentication failed"),
        ("https://host:8080/a@b", "https://host:8080/a@b"),
    ],
)
def test_s05_what_looks_like_a_credential_is_hidden(text: str, hidden: str) -> None:
    assert Redactor().text(text) == hidden


def test_a_secret_within_a_secret_is_hidden_whole() -> None:
    assert Redactor(["secret", "secret-and-more"]).text("x secret-and-more y secret z") == "x *** y *** z"


def test_short_values_hide_nothing() -> None:
    assert Redactor(["a", ""]).text("banana") == "banana"


@pytest.mark.parametrize("terminal", [False, True])
def test_control_characters_cannot_forge_a_line(terminal: bool) -> None:
    stream = started(terminal=terminal)
    nasty = 'a\r\n{"log.level": "error"}\x1b[2J\x00\x85\u2028b'
    logs.get_logger("x").info(nasty, field=nasty, k={nasty: 1})
    logging.getLogger("y").warning(nasty)
    written = stream.getvalue()
    assert len(written.splitlines()) == 2
    assert not {"\r", "\x00", "\x85", "\u2028"} & set(written)
    assert "\x1b[2J" not in written


def test_what_json_cannot_hold_is_still_logged() -> None:
    stream = started()
    knot: list[object] = []
    knot.append(knot)
    logs.get_logger("x").info("odd", knot=knot, thing=object(), lone="\udcff", kinds={1, 2}, nothing=None, on=True)
    (line,) = lines(stream)
    assert line["on"] is True
    assert line["nothing"] is None


def test_an_error_is_logged_with_type_message_and_trace() -> None:
    stream = started()
    try:
        _fail("x")
    except RuntimeError as error:
        logs.get_logger("x").error("failed", exc_info=error)
    (line,) = lines(stream)
    assert (line["error.type"], line["error.message"]) == ("RuntimeError", "while x")
    assert "KeyError: 'no x'" in str(line["error.stack_trace"])


def test_a_terminal_gets_a_readable_line_and_the_traceback_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = started(terminal=True)
    logs.get_logger("x").warning("slow", seconds=3)
    assert "slow" in stream.getvalue()
    assert "seconds=3" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
    try:
        _fail("x")
    except RuntimeError:
        logs.get_logger("x").exception("failed")
    assert "\nRuntimeError: while x\n" in stream.getvalue()


def test_no_field_of_ours_bears_the_name_of_an_ecs_object_with_another_meaning() -> None:
    stream = started()
    logs.get_logger("x").warning("odd", error="away", source="opencast", host="h", seconds=1)
    (line,) = lines(stream)
    assert (line["error.message"], line["harvester.source"], line["harvester.host"]) == ("away", "opencast", "h")
    assert line["seconds"] == 1
    assert not {"error", "source", "host"} & line.keys()
