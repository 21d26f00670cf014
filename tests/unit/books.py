"""A book that grows by the hour, as tests use it."""

from datetime import UTC, datetime, timedelta

from harvester.coverage import Book, Coverage, Intervals
from harvester.protocols import CoverageStore

DAY = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def fact(epoch: str, hour: int) -> Book:
    read = Intervals([(DAY + hour * HOUR, DAY + (hour + 1) * HOUR)])
    return Book(epoch=epoch, queue="q", streams={"a": Coverage(start=DAY, read=read)})


async def hours(store: CoverageStore) -> int:
    """How many hours the book says were read."""
    return (await store.load("s")).streams["a"].read.total // HOUR


async def grow(store: CoverageStore, first: int, last: int) -> str:
    """A book that gains an hour with each write; its epoch."""
    epoch = (await store.load("s")).epoch
    for hour in range(first, last):
        await store.add("s", fact(epoch, hour))
        epoch = epoch or (await store.load("s")).epoch
    return epoch
