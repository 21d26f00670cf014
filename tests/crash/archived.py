"""The archive as what the crash proof writes to: in the site's folder, read back as a replay reads it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from consumers.protocols import Sink
from consumers.records import records_of
from consumers.records.record import Record
from consumers.verifying import verified
from harvester.errors import InvalidEventError
from harvester.event import Event
from tests.archiving import listed, newest, opened, stored
from tests.crash.targets import plain
from tests.crash.vendors import Row, Table


class Archive:
    """Nothing of it runs. Segments are small and not waited for, so that there are many moments to die at."""

    name = "archive"
    settings: Mapping[str, str] = {
        "HARVESTER_SINKS": "archive",
        "HARVESTER_ARCHIVE_URL": "file://var/archive",
        "HARVESTER_ARCHIVE_SEGMENT_EVENTS": "100",
        "HARVESTER_ARCHIVE_SEGMENT_SECONDS": "0",
    }

    def opened(self, folder: Path) -> AbstractAsyncContextManager[Sink]:
        return _opened(folder)

    def empty(self) -> None:
        """Each site has a folder of its own."""

    def read(self, folder: Path, tables: Sequence[Table]) -> list[Row]:
        """Each thing in its newest state, once all of it was found to be whole."""
        found = asyncio.run(_whole(_url(folder)))
        assert found == [], f"the archive is not whole: {found[:3]}"
        records = [record for event in self._newest(folder) for record in _records(event) or ()]
        return [row for record in records for table in tables if (row := _row(record, table))]

    def unfit(self, folder: Path) -> int:
        return sum(_records(event) is None for event in self._newest(folder))

    def _newest(self, folder: Path) -> Sequence[Event]:
        return asyncio.run(newest(_url(folder)))

    def grown(self, folder: Path, tables: Sequence[Table]) -> int:
        return sum(segment.events for segment in asyncio.run(listed(_url(folder))))

    def die(self, moments: Iterable[float], kills: int) -> int:
        return 0


ARCHIVE = Archive()


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[Sink]:
    async with opened(_url(folder)) as sink:
        yield sink


def _url(folder: Path) -> str:
    return f"file://{folder / 'var' / 'archive'}"


async def _whole(url: str) -> list[str]:
    async with stored(url) as objects:
        return (await verified(objects)).faults


def _records(event: Event) -> Sequence[Record] | None:
    """None where none can be made: a sink would have refused it, the archive keeps it as it came."""
    try:
        return records_of(event)
    except InvalidEventError:
        return None


def _row(record: Record, table: Table) -> Row | None:
    """As the table has it; None when it belongs into another."""
    if record.__shape__.table != table.name:
        return None
    values: list[Any] = []
    for field in table.fields:
        found: Any = record
        for name in field.split("."):
            found = getattr(found, name)
        values.append(found)
    key, *state = values
    return str(key), tuple(map(plain, state))
