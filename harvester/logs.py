"""Logs: JSON lines with the Elastic Common Schema's names on stderr, readable lines when stderr is a terminal.

What other libraries log goes the same way, and to a collector when one is set (remotelogs.py). Secrets are hidden by the name
of their key, by value and by shape, also in tracebacks; control characters are escaped, so that one event is one line.
"""

import json
import logging
import logging.handlers
import os
import sys
import traceback
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import structlog

from harvester import __version__, traces
from harvester.errors import ConfigError
from harvester.redact import HIDDEN, Redactor, is_secret_name

COLLECTED = "harvester.command"
"""The logger of what people are told on the terminal anyway: its lines go to the collector alone."""
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING}
_LEVEL_NAMES = {"warning": "warn", "critical": "fatal"}
_TRACE = "error.stack_trace"
_ECS_OBJECTS = frozenset(
    {"agent", "client", "cloud", "container", "data_stream", "destination", "device", "dll", "dns", "ecs", "email", "event"}
    | {"faas", "file", "gen_ai", "geo", "group", "hash", "host", "http", "interface", "log", "network", "observer"}
    | {"orchestrator", "organization", "os", "package", "pe", "process", "registry", "related", "risk", "rule", "server"}
    | {"service", "source", "span", "threat", "tls", "trace", "transaction", "url", "user", "user_agent", "vlan", "volume"}
    | {"vulnerability", "x509"}
)
"""The field sets of ECS 8.11 and later."""
_DEEPEST = 8

Line = MutableMapping[str, Any]
Logger = structlog.stdlib.BoundLogger


_PROCESSORS: list[structlog.typing.Processor] = [  # a list: structlog's own tools for tests swap its contents
    structlog.stdlib.filter_by_level,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]
# Also for those who ask structlog itself for a logger: unconfigured it prints to stdout, where only data may go.
structlog.configure(
    processors=_PROCESSORS,
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)


# Until `setup` knows of a collector nobody hears of this one; without a handler Python would print it.
logging.getLogger(COLLECTED).addHandler(logging.NullHandler())
logging.getLogger(COLLECTED).propagate = False


def get_logger(name: str) -> Logger:
    """A logger whose calls take an event and fields: `log.info("drained", batches=3)`. Silent below warn until `setup`."""
    return structlog.stdlib.get_logger(name)


def setup(
    level: str,
    redact: Sequence[str] = (),
    *,
    stream: TextIO | None = None,
    remote: logging.Handler | None = None,
    file: Path | None = None,
) -> None:
    """Send all logs of this process to `stream` (stderr), `remote` and the end of `file`, from `level` (debug, info, warn) on,
    without the values `redact`. ConfigError: the file cannot be written.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_console(Redactor(redact)) if stream.isatty() else _json(Redactor(redact)))
    others = [*([remote] if remote else []), *([_kept(file)] if file else [])]
    for other in others:
        other.setFormatter(_json(Redactor(redact)))
    root, collected = logging.getLogger(), logging.getLogger(COLLECTED)
    root.handlers[:] = [handler, *others]
    root.setLevel(_LEVELS[level])
    collected.propagate = False
    collected.handlers[:] = others or [logging.NullHandler()]
    logging.captureWarnings(capture=True)


def _kept(file: Path) -> logging.Handler:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return logging.handlers.WatchedFileHandler(file, encoding="utf-8")  # what rotates files may move it away meanwhile
    except OSError as error:
        raise ConfigError(f"HARVESTER_LOGS_FOLDER: {file} cannot be written: {error.strerror}") from error


def _json(redactor: Redactor) -> logging.Formatter:
    return _formatter(_ecs, _Cleaner(redactor), lambda _, __, line: json.dumps(line))


def _console(redactor: Redactor) -> logging.Formatter:
    plain = structlog.dev.ConsoleRenderer(
        colors=not os.environ.get("NO_COLOR"), exception_formatter=structlog.dev.plain_traceback
    )
    return _formatter(_clock, _Cleaner(redactor, escape=True), plain)


def _formatter(*processors: structlog.typing.Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name],
        processors=[_moment, structlog.stdlib.ProcessorFormatter.remove_processors_meta, _error, *processors],
    )


def _moment(_: object, __: str, line: Line) -> Line:
    """When it was logged, and in which trace: the same wherever it is written."""
    return {**line, "@timestamp": line["_record"].created, **traces.current()}


def _error(_: object, __: str, line: Line) -> Line:
    """The exception that is logged along, as fields."""
    given = line.pop("exc_info", None)
    error = (
        given[1]
        if isinstance(given, tuple)
        else given
        if isinstance(given, BaseException)
        else sys.exception()
        if given
        else None
    )
    if error is not None:
        line["error.type"] = type(error).__name__
        line["error.message"] = str(error)
        line[_TRACE] = "".join(traceback.format_exception(error))
    return line


def _ecs(_: object, __: str, line: Line) -> Line:
    """ECS's names for what it has names for; a field of ours that bears the name of one of its objects stands under `harvester`.

    Else one index could not hold both: `error` as a text and `error.type`, `source` as a text and `source.ip`.
    """
    level, message, text = line.pop("level"), line.pop("event"), line.pop("error", None)
    at = datetime.fromtimestamp(line.pop("@timestamp"), UTC)
    if text is not None:
        line.setdefault("error.message", text)
    own = {f"harvester.{name}" if name in _ECS_OBJECTS else name: value for name, value in line.items()}
    fixed = {
        "@timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "log.level": _LEVEL_NAMES.get(level, level),
        "message": message,
        "log.logger": own.pop("logger"),
        "service.name": "event-harvester",
        "service.version": __version__,
        "process.pid": os.getpid(),
        "ecs.version": "8.11.0",
    }
    return {**fixed, **own}


def _clock(_: object, __: str, line: Line) -> Line:
    # The console shows type and message of an error with its traceback.
    trace = line.pop(_TRACE, None)
    if trace is not None:
        del line["error.type"], line["error.message"]
        line["exception"] = trace
    return {"timestamp": datetime.fromtimestamp(line.pop("@timestamp"), UTC).strftime("%H:%M:%S"), **line}


class _Cleaner:
    """The last step before rendering: what is left are strings, numbers, lists and maps, without secrets."""

    def __init__(self, redactor: Redactor, *, escape: bool = False) -> None:
        self._redactor = redactor
        self._escape = escape

    def __call__(self, _: object, __: str, line: Line) -> Line:
        return {key: self._named(str(key), value, 0) for key, value in line.items()}

    def _named(self, name: str, value: object, depth: int) -> object:
        if is_secret_name(name) and value is not None and not isinstance(value, bool):
            return HIDDEN
        return self._clean(value, depth, lines=name == "exception")

    def _clean(self, value: object, depth: int, *, lines: bool = False) -> object:
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            # A secret may consist of digits.
            return value if self._redactor.text(str(value)) == str(value) else HIDDEN
        if depth < _DEEPEST and isinstance(value, Mapping):
            return {self._text(str(k)): self._named(str(k), v, depth + 1) for k, v in value.items()}
        if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
            return [self._clean(item, depth + 1) for item in value]
        if isinstance(value, datetime):
            return value.isoformat()
        return self._text(value if isinstance(value, str) else repr(value), lines=lines)

    def _text(self, text: str, *, lines: bool = False) -> str:
        text = self._redactor.text(text)
        if not self._escape:
            return text  # JSON escapes by itself
        return "".join(c if c.isprintable() or (lines and c == "\n") else _escaped(c) for c in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", errors="backslashreplace").decode()
