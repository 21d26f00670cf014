"""What DuckDB says, as errors that name the next action. It tells most of its troubles apart only in the text."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import duckdb

from harvester.errors import ConfigError, HarvesterError, InvalidEventError, PermanentError, TransientError


class _Case(NamedTuple):
    """Errors of these classes, or with one of these words in their text."""

    words: tuple[str, ...]
    classes: tuple[type[duckdb.Error], ...]
    kind: Callable[[str], HarvesterError]
    hint: str


_CASES = (
    _Case(
        ("Could not set lock", "different configuration than existing connections"),
        (),
        TransientError,
        "it is open in another program, close it there",
    ),
    _Case(
        ("No space left on device", "Disk quota exceeded", "File too large", "max_temp_directory_size"),
        (),
        TransientError,
        "make room on the disk",
    ),
    _Case(
        ("storage version", "newer version of DuckDB"),
        (),
        ConfigError,
        "written by another DuckDB: upgrade duckdb here, or name another file",
    ),
    _Case(
        ("not a valid DuckDB", "Corrupt", "Could not read enough bytes", "checksum", "replaying WAL", "Extension"),
        (duckdb.SerializationException, duckdb.InternalException, duckdb.FatalException),
        ConfigError,
        "no DuckDB file, or damaged. Next: move it and its .wal away, then `harvest queue seek duckdb --to beginning` and "
        "`harvest consume duckdb --until-empty` fill a new one with all that the queue still holds",
    ),
    _Case(
        ("Permission denied", "Is a directory", "Not a directory", "Read-only file system"),
        (),
        ConfigError,
        "give this process access, or name another place",
    ),
    _Case((), (duckdb.OutOfMemoryException,), TransientError, "the batch does not fit: raise memory_limit in the sink's URL"),
    _Case(
        (),
        (duckdb.CatalogException, duckdb.BinderException, duckdb.ParserException),
        ConfigError,
        "something else stands where our table should be: rename it",
    ),
    _Case(
        (),
        (duckdb.DataError, duckdb.InvalidInputException, duckdb.IntegrityError),
        lambda text: InvalidEventError(text, reason="refused"),
        "the batch was refused",
    ),
    _Case((), (duckdb.OperationalError,), TransientError, "tried again"),
)


def named(error: duckdb.Error, path: Path) -> HarvesterError:
    """The error to raise for `error`, met while `path` was opened or written."""
    text = str(error)
    said = f"{path}: {text.partition(chr(10))[0].partition(' However')[0]}"
    for case in _CASES:
        if isinstance(error, case.classes) or any(word in text for word in case.words):
            return case.kind(f"{said} ({case.hint})")
    return PermanentError(f"{said} ({type(error).__name__})")
