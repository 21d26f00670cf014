"""A source behind a veil: whatever it gives has the policy of the installation on."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any

import msgspec

from harvester.coverage import Interval, Timing
from harvester.errors import ConfigError, InvalidEventError
from harvester.event import Event, event_id
from harvester.privacy import PrivacySettings, Veil
from harvester.protocols import Broken, Page, Source, Stream
from harvester.sources import PRIVACY

_WITHHELD = "what it says is withheld (HARVESTER_PRIVACY)"


def veiled(source: Source, kind: str, settings: PrivacySettings) -> Source:
    """The source, or what stands before it where anything is hidden.

    ConfigError for a source that does not say which of its fields are about people.
    """
    veil = veil_of(kind, settings)
    return source if veil is None else VeiledSource(source, veil)


def veil_of(kind: str, settings: PrivacySettings) -> Veil | None:
    """What is put on the records of a kind of source; None where all is kept. ConfigError as `veiled`."""
    if settings.keeps:
        return None
    if kind not in PRIVACY:
        raise ConfigError(
            f"the source {kind} does not say which of its fields are about people, and HARVESTER_PRIVACY hides some: "
            f"leave {kind} out of HARVESTER_SOURCES, or set HARVESTER_PRIVACY=keep"
        )
    module, _, name = PRIVACY[kind].partition(":")
    return Veil(settings, getattr(import_module(module), name))


def veiled_event(event: Event, veil: Veil) -> Event:
    """The event with the veil on, and an id of what is left. Raises InvalidEventError."""
    try:
        data, hidden = veil.record(event.data)
    except (ValueError, RecursionError):
        raise InvalidEventError(_WITHHELD) from None
    subject = "/".join(hidden.get(part, part) for part in event.subject.split("/"))
    return msgspec.structs.replace(
        event, id=event_id(event.source, event.type, subject, data), subject=subject, data=msgspec.Raw(data)
    )


class VeiledSource:
    """The source, of which nothing clear comes out. What it has beside the contract is still there."""

    def __init__(self, source: Source, veil: Veil) -> None:
        self._source, self._veil = source, veil

    @property
    def name(self) -> str:
        return self._source.name

    async def streams(self) -> Sequence[Stream]:
        """Its streams, each behind the veil."""
        return [VeiledStream(stream, self._veil) for stream in await self._source.streams()]

    def now(self) -> datetime:
        """The vendor's clock."""
        return self._source.now()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


class VeiledStream:
    """The stream, whose events, broken records and errors hold nothing that is to be hidden."""

    def __init__(self, stream: Stream, veil: Veil) -> None:
        self._stream, self._veil = stream, veil

    @property
    def name(self) -> str:
        return self._stream.name

    @property
    def timing(self) -> Timing:
        return self._stream.timing

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        """The pages, veiled."""
        pages = self._stream.fetch(window, notes)
        try:
            async for page in pages:
                yield self._page(page)
        finally:
            if isinstance(pages, AsyncGenerator):
                await pages.aclose()

    def event(self, record: bytes, read_at: datetime) -> Event:
        """The event of a record that was kept as a letter, veiled or from before. Raises InvalidEventError."""
        try:
            return veiled_event(self._stream.event(record, read_at), self._veil)
        except InvalidEventError as error:
            raise InvalidEventError(f"{error.reason}: {_WITHHELD}", reason=error.reason) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _page(self, page: Page) -> Page:
        events, broken = [], [self._broken(one) for one in page.broken]
        for event in page.events:
            try:
                events.append(veiled_event(event, self._veil))
            except InvalidEventError as error:
                broken.append(self._broken(Broken(bytes(event.data), str(error), error.reason)))
        return page._replace(events=events, broken=broken)

    def _broken(self, broken: Broken) -> Broken:
        """What is no JSON cannot be looked into: only its length is passed on, and a digest that tells it from others."""
        try:
            body, _ = self._veil.record(broken.body)
        except (ValueError, RecursionError):
            told = {"bytes": len(broken.body), "digest": self._veil.digest(broken.body)}
            body = msgspec.json.encode({"withheld": told})
        return Broken(body, f"{broken.reason}: {_WITHHELD}", broken.reason)
