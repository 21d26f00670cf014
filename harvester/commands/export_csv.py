"""CSV as spreadsheets and programs may read it: RFC 4180 in UTF-8, and no cell that is taken for a formula (S45)."""

import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import click

from harvester import disk
from harvester.commands.times import shown

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_HELD = 2**16
"""Characters that are written at once."""


class Column(NamedTuple):
    """A column of an export: its name in the first line, and what it holds."""

    name: str
    text: str


def cell(value: Any) -> str:
    """As it stands in the file. Unknown: empty. Times: UTC. A text that a spreadsheet would run gets a ' before it.

    Control characters are shown, not kept: a terminal would obey them.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return shown(value)
    if isinstance(value, float):
        return f"{value:.3f}"
    if not isinstance(value, str):
        return str(value)
    guarded = f"'{value}" if value.startswith(_FORMULA) else value
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), guarded)


class Sheet:
    """Rows on their way into a file or onto stdout."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._text = io.StringIO(newline="")
        self._csv = csv.writer(self._text, lineterminator="\r\n")
        self.rows = 0

    def head(self, columns: Sequence[Column]) -> None:
        self._csv.writerow([column.name for column in columns])

    def add(self, row: Sequence[Any]) -> None:
        self._csv.writerow([cell(value) for value in row])
        self.rows += 1
        if self._text.tell() >= _HELD:
            self.flush()

    def flush(self) -> None:
        self._write(self._text.getvalue().encode())
        self._text.seek(0)
        self._text.truncate()


@contextmanager
def open_sheet(path: str) -> Iterator[Sheet]:
    """`-`: stdout. A file appears under its name when it is whole; what was there stays until then."""
    if path == "-":
        sheet = Sheet(lambda data: click.echo(data, nl=False))
        yield sheet
        sheet.flush()
        return
    target = Path(path)
    beside = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            sheet = Sheet(file.write)
            yield sheet
            sheet.flush()
        beside.replace(target)
    except OSError as error:
        raise disk.named(error, target) from error
    finally:
        beside.unlink(missing_ok=True)
