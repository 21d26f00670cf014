"""Books in a bucket: `s3://bucket/prefix?endpoint=https://host&region=eu-west-1&lease=30`.

The store has to enforce conditions on writes, as AWS does: that is tried with a probe before the first write of a process.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from harvester.access import NOBODY, Access
from harvester.coverage import Book, Coverage
from harvester.coverages.objects import ObjectCoverages, utc_now
from harvester.errors import ConflictError, RefusedError
from harvester.objects import s3
from harvester.protocols import CoverageStore, Objects
from harvester.url import parse

PROBE = "probe"


class S3CoverageOptions(s3.S3Options, frozen=True, kw_only=True):
    """What the URL can say."""

    lease: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """Seconds until a lease ends that its holder does not renew."""


def open_coverages(
    url: str, access: Access = NOBODY, *, now: Callable[[], datetime] = utc_now
) -> AbstractAsyncContextManager[CoverageStore]:
    """The books under the prefix of that bucket, which is there already: `prepare` makes it."""
    options = parse(url).options(S3CoverageOptions)
    return _opened(_place(url), options, access, now)


async def prepare(url: str, access: Access = NOBODY) -> Sequence[str]:
    """Make the bucket when there is none; what was made, a line each."""
    place = _place(url)
    async with s3.opened(place, access) as objects:
        return [f"bucket {place.bucket}: created"] if await objects.create_bucket() else []


def _place(url: str) -> s3.Place:
    found = parse(url)
    wanted = {name: value for name, value in found.query.items() if name in s3.S3Options.__struct_fields__}
    plain = s3.place_of(f"s3://{found.host}{found.path}")
    return s3.Place(found, plain.bucket, plain.prefix, found._replace(query=wanted).options(s3.S3Options))


@asynccontextmanager
async def _opened(
    place: s3.Place, options: S3CoverageOptions, access: Access, now: Callable[[], datetime]
) -> AsyncIterator["S3Coverages"]:
    async with s3.opened(place, access) as objects:
        yield S3Coverages(objects, ObjectCoverages(objects, now=now, term=timedelta(seconds=options.lease)))


class S3Coverages:
    """Made by `open_coverages`."""

    def __init__(self, objects: s3.S3Objects, books: ObjectCoverages) -> None:
        self._objects = objects
        self._books = books
        self._proven = False
        self._proving = asyncio.Lock()

    async def load(self, source: str) -> Book:
        return await self._books.load(source)

    async def add(self, source: str, new: Book) -> None:
        await self._prove()
        await self._books.add(source, new)

    async def reset(self, source: str, stream: str, coverage: Coverage) -> None:
        await self._prove()
        await self._books.reset(source, stream, coverage)

    def lease(self, source: str, stream: str, owner: str) -> AbstractAsyncContextManager[None]:
        return self._books.lease(source, stream, owner)

    async def owners(self, source: str) -> Mapping[str, str]:
        return await self._books.owners(source)

    async def _prove(self) -> None:
        async with self._proving:
            if not self._proven:
                await prove(self._objects, self._objects.where)
                self._proven = True


async def prove(objects: Objects, where: str, name: str = PROBE) -> None:
    """Write an object of ours, and try to overwrite it on conditions that do not hold. RefusedError: the store lets that pass."""
    await objects.put(name, b"Tells whether this store enforces conditions on writes.\n")
    for condition in ("", '"0123456789abcdef0123456789abcdef"'):
        try:
            await objects.put(name, b"This store ignores conditions on writes.\n", replaces=condition)
        except ConflictError:
            continue
        raise RefusedError(
            f"{where} ignores If-{'Match' if condition else 'None-Match'}: two harvesters could undo each other's coverage. "
            f"Use a store that enforces conditional writes, or HARVESTER_COVERAGE_URL=redis://… or file://…"
        )
