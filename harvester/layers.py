"""The places settings come from, each read into entries that know where they stand."""

import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from dotenv.parser import parse_stream

from harvester.faults import Fault

PREFIX = "HARVESTER_"
COMMAND_LINE = "command line"
ENVIRONMENT = "environment"
RUN_SECRETS = Path("/run/secrets")
_TABLE = re.compile(r"^\s*\[+\s*([^\[\]]+?)\s*\]+\s*(#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")


class Entry(NamedTuple):
    """One value in one place. `shown` is the name as a reader of that place spells it."""

    name: str
    value: object
    origin: str
    shown: str


Layer = Mapping[str, Entry]


def plain(values: Mapping[str, object], origin: str) -> Layer:
    """Variables that have no place in a file; None is not given."""
    return {n: Entry(n, v, origin, n) for n, v in values.items() if v is not None}


def dotenv(path: Path, faults: list[Fault]) -> Layer:
    """`.env`: NAME=value lines. Values are taken as written: nothing is expanded, so a password may hold any character."""
    entries: dict[str, Entry] = {}
    text = _text(path, faults)
    if text is None:
        return entries
    for binding in parse_stream(StringIO(text)):
        before = binding.original.string
        origin = f"{path.name}:{binding.original.line + before[: len(before) - len(before.lstrip())].count(chr(10))}"
        if binding.error or (binding.key is not None and binding.value is None):
            faults.append(Fault(path.name, origin, "this line is no NAME=value", "write NAME=value, or # before a comment"))
        elif binding.key is not None:
            entries[binding.key] = Entry(binding.key, binding.value, origin, binding.key)
    return entries


def toml(path: Path, faults: list[Fault]) -> Layer:
    """`harvester.toml`: tables are joined with "_", so `[opencast] url` is HARVESTER_OPENCAST_URL."""
    entries: dict[str, Entry] = {}
    text = _text(path, faults)
    if text is None:
        return entries
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        origin = f"{path.name}:{line[1] if line else text.count(chr(10)) + 1}"
        faults.append(Fault(path.name, origin, f"not TOML: {error}", "put the line right; nothing of this file was read"))
        return entries
    lines = _lines(text)
    for keys, value in _leaves(tables, ()):
        name = PREFIX + "_".join(keys).upper().replace("-", "_")
        shown = f"[{'.'.join(keys[:-1])}] {keys[-1]}" if keys[1:] else keys[0]
        number = next((lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in lines), 0)
        entry = Entry(name, value, f"{path.name}:{number}" if number else path.name, shown)
        other = entries.setdefault(name, entry)
        if other is not entry:
            why = f"it is given twice, also as {other.shown} ({other.origin})"
            faults.append(Fault(shown, entry.origin, why, "leave one of them out"))
    return entries


def secret_files(folder: Path, names: Iterable[str], faults: list[Fault]) -> Layer:
    """Secrets that the container runtime mounted, one file each, named like the variable."""
    entries: dict[str, Entry] = {}
    if not folder.is_dir():
        return entries
    for name in names:
        for path in (folder / name, folder / name.lower()):
            if path.is_file():
                try:
                    entries[name] = Entry(name, read_value(path), str(path), name)
                except ValueError as error:
                    faults.append(Fault(name, str(path), str(error), "write the secret into the file, alone"))
    return entries


def read_value(path: Path, *, secret: bool = False) -> str:
    """A value that stands in a file of its own, without the newline at its end. Raises ValueError saying what is wrong.

    With `secret` the file may not be readable by everyone, unless it is in /run/secrets or on a read-only mount (S03).
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ValueError(f"{path} is no file")
        if secret and mode & stat.S_IROTH and not _sheltered(path):
            raise ValueError(f"{path} can be read by every user of this host: chmod 600 {path}")
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        # Not chained: the error holds the bytes.
        raise ValueError(f"{path} is not UTF-8 (byte {error.start})") from None
    if not text:
        raise ValueError(f"{path} is empty")
    return text


def _sheltered(path: Path) -> bool:
    return path.resolve().is_relative_to(RUN_SECRETS) or bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _text(path: Path, faults: list[Fault]) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except OSError as error:
        faults.append(
            Fault(path.name, str(path), f"cannot be read: {error.strerror}", "make it readable for this user, or remove it")
        )
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        faults.append(Fault(path.name, f"{path.name}:{line}", "not UTF-8", "save the file as UTF-8"))
    return None


def _leaves(table: Mapping[str, object], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Where each key stands; tomllib does not tell."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _TABLE.match(line):
            table = _parts(header[1])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault(table + _parts(key[1]), number)
    return found


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
