"""The sink archive: events as they came, in objects that are written once and never changed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from secrets import token_hex

import msgspec

from consumers.protocols import Pace, Rejection
from consumers.segments import Manifest, Packed, Segment, manifest_name, packed
from consumers.sinks.archive_settings import ArchiveSettings
from harvester import crash
from harvester.access import NOBODY, Access
from harvester.errors import ConfigError, ConflictError, PermanentError, TransientError
from harvester.event import Event
from harvester.objects import open_objects
from harvester.objects.file import cannot
from harvester.protocols import Objects
from harvester.url import directory_path, parse

_AT_ONCE = 16


class ArchiveSink:
    """Writes the segments of a batch, then the manifest that makes them a part of the archive. Takes every event."""

    name = "archive"

    def __init__(self, objects: Objects, settings: ArchiveSettings, *, now: Callable[[], datetime]) -> None:
        self.pace = Pace(settings.segment_events, settings.segment_seconds)
        self._objects = objects
        self._chunk = settings.chunk
        self._now = now
        self._writer = token_hex(4)
        self._number = 0
        self._previous = ""
        self._one = asyncio.Lock()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def write(self, events: Sequence[Event]) -> Sequence[Rejection]:
        """Returns: all durable, and named by a manifest. Written again after a TransientError they may be there twice.

        PermanentError: no access, or an object there is not what its name says.
        """
        if not events:
            return []
        crash.point("sink.before_write")
        # Of before its segments: who wipes what is there by then wipes what this manifest names of it, too.
        began = self._now()
        segments = await asyncio.to_thread(packed, events, self._chunk)
        await self._put_all(segments)
        crash.point("sink.in_write")
        await self._name([one.segment for one in segments], began)
        crash.point("sink.after_write")
        return []

    async def _put_all(self, segments: Sequence[Packed]) -> None:
        tasks = [asyncio.ensure_future(self._put(one)) for one in segments]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _put(self, one: Packed) -> None:
        async with self._turns:
            try:
                await self._objects.put(one.segment.name, one.body, replaces="")
            except ConflictError:
                if await self._there(one.segment.name) != one.body:
                    raise PermanentError(
                        f"{one.segment.name}: altered since it was written; next: harvest archive verify, then bring it back "
                        f"from a copy, or delete it"
                    ) from None

    async def _there(self, name: str) -> bytes:
        """What somebody wrote under that name. TransientError: a request of ours that was given up is writing it only now."""
        found = await self._objects.get(name)
        if found is None:
            raise TransientError(f"{name}: it is being written, by a request of ours that was given up")
        return found.body

    async def _name(self, segments: Sequence[Segment], began: datetime) -> None:
        async with self._one:
            done = False
            while not done:
                number = self._number + 1
                manifest = Manifest(writer=self._writer, number=number, previous=self._previous, written=began, segments=segments)
                name, body = manifest_name(manifest), msgspec.json.encode(manifest)
                try:
                    await self._objects.put(name, body, replaces="")
                    done = True
                except ConflictError:
                    # An attempt of ours that seemed to fail was written all the same: it keeps its number.
                    body = await self._there(name)
                self._number, self._previous = number, sha256(body).hexdigest()


@asynccontextmanager
async def open_archive(
    settings: ArchiveSettings, access: Access = NOBODY, *, now: Callable[[], datetime] | None = None
) -> AsyncIterator[ArchiveSink]:
    """The archive that is set; no server is asked before the first write. `access` says who we are there.

    ConfigError: the address cannot serve, a folder cannot be made there, or its driver's library is not installed.
    """
    place = parse(settings.url)
    if place.scheme == "file" and (why := await asyncio.to_thread(cannot, directory_path(place))):
        raise ConfigError(
            f"the archive cannot be kept at {place.text}: {why}; next: set HARVESTER_ARCHIVE_URL to a writable folder, "
            f"such as file:///srv/archive, or to gs://BUCKET or s3://BUCKET; or give this process the right to write there"
        )
    async with open_objects(settings.url, access) as objects:
        yield ArchiveSink(objects, settings, now=now or (lambda: datetime.now(UTC)))
