"""The repositories of the organisations: who is there now, as a stream of its own and for all other streams."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

import msgspec
import structlog

from harvester.coverage import Interval, Timing
from harvester.errors import InvalidEventError, PermanentError
from harvester.event import Event
from harvester.http import Answer, StatusError, TooLargeError
from harvester.protocols import Broken, Page
from harvester.retry import UnusableError
from harvester.sources.github_calls import Calls
from harvester.sources.github_refusals import GoneError, TokenRefusedError, TooHeavyError, missing_scopes
from harvester.sources.github_repository import Repository, repository_of
from harvester.sources.github_rows import checked_event, checked_row, event_of, rows_of
from harvester.sources.github_settings import SCOPES

_log = structlog.get_logger(__name__)
LISTING = Timing(window=None, overlap=timedelta(), settle=timedelta(), pause=timedelta(hours=1))
_LIST = "/orgs/{org}/repos"


class Found(NamedTuple):
    """A repository, and the record that tells of it."""

    repository: Repository
    record: bytes


class Listing(NamedTuple):
    """All that are there now."""

    found: Sequence[Found]
    broken: Sequence[Broken]
    read_at: datetime
    unknown: Sequence[str] = ()
    """The chosen names that are none of the repositories."""
    names: Sequence[str] = ()
    """Of all that are there, chosen or not."""
    lacks: Sequence[str] = ()
    """Scopes that a classic token has not, and that hide private repositories from it."""


class _Known(msgspec.Struct):
    """What the notes keep of a repository, for when it is gone."""

    owner: str
    name: str
    created_at: str
    digest: str = ""
    """Of the record that was told last."""


_notes = msgspec.json.Decoder(dict[str, _Known])
_json = msgspec.json.Encoder()


class Organisations:
    """The lists of the organisations, of which some repositories may be chosen by name."""

    def __init__(self, calls: Calls, orgs: Sequence[str], chosen: Sequence[str]) -> None:
        self._calls = calls
        self._orgs = orgs
        self._chosen = {name.lower() for name in chosen}

    async def listing(self) -> Listing:
        """Raises PermanentError, with what to check, for an organisation that is not there or may not be read."""
        found: list[Found] = []
        broken: list[Broken] = []
        read_at: datetime | None = None
        lacks: Sequence[str] = ()
        for org in self._orgs:
            async for answer in self._pages(org):
                read_at = read_at or self._calls.at(answer)
                lacks = missing_scopes(answer.headers)
                records = rows_of(answer.body)
                broken += [Broken(body, str(why), why.reason) for body, why in records.refused]
                for row in records.rows:
                    try:
                        found.append(Found(repository_of(row), row))
                    except InvalidEventError as error:
                        broken.append(Broken(row, str(error), error.reason))
        wanted = {one.repository.id: one for one in found if self._chosen & _names(one.repository) or not self._chosen}
        unknown = self._chosen - {name for one in found for name in _names(one.repository)}
        names = sorted(one.repository.name for one in found)
        return Listing(list(wanted.values()), broken, read_at or self._calls.now(), sorted(unknown), names, lacks)

    async def _pages(self, org: str) -> AsyncIterator[Answer]:
        try:
            async for answer in self._calls.pages(f"/orgs/{org}/repos", _LIST, {"type": "all", "sort": "full_name"}, kept=True):
                yield answer
        except GoneError as error:
            why = error.lacks or f"check HARVESTER_GITHUB_ORG; {SCOPES}"
            raise GoneError(f"github: there is no organisation {org} for this token: {why}", status=error.status) from error

    async def one(self, repository: int) -> bytes:
        """What is told now of a repository that is in no list any more. GoneError when it is nowhere; others when GitHub does not
        say.
        """
        return (await self._calls.get(f"/repositories/{repository}", "/repositories/{id}", shrinks=True)).body


class Repositories:
    """The repositories themselves: every poll lists them; one is told when it changed, and once that it is gone."""

    name = "repositories"
    timing = LISTING

    def __init__(self, organisations: Organisations, host: str, source: str) -> None:
        self._organisations = organisations
        self._host = host
        self._source = source

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        """All that are there now, whatever the window, and those that are gone since the notes."""
        listing = await self._organisations.listing()
        if window.start > listing.read_at:
            yield Page([], covered=window)
            return
        events: list[Event] = []
        broken = list(listing.broken)
        known = _known(notes)
        told = {str(r.id): _Known(r.owner, r.name, r.created_at, _digest(record)) for r, record in listing.found}
        records = [one for one in listing.found if known.get(str(one.repository.id)) != told[str(one.repository.id)]]
        for key in sorted(known.keys() - told.keys()):
            found = await self._vanished(int(key), known[key])
            if isinstance(found, Found):
                records.append(found)
            else:  # asked for again at the next poll
                told[key] = known[key]
                broken += found
        for repository, record in records:
            data = b'%b,"repository_detail":%b}' % (repository.head(self._host, "rest"), record)
            try:
                events.append(event_of(data, self._source, listing.read_at))
            except InvalidEventError as error:
                broken.append(Broken(data, str(error), error.reason))
        yield Page(events, broken, window, _json.encode(told))

    async def _vanished(self, key: int, known: _Known) -> Found | Sequence[Broken]:
        """What became of one: where it is now, or that it is gone. Else it is not known, and what GitHub told instead."""
        try:
            body = await self._organisations.one(key)
        except GoneError:
            tombstone = {"id": key, "gone": True, "created_at": known.created_at}
            return Found(Repository(key, "", known.owner, known.name, known.created_at), _json.encode(tombstone))
        except TokenRefusedError:
            raise
        except (StatusError, TooLargeError, TooHeavyError, UnusableError) as error:
            _log.warning("it is not told what became of a repository", source=self._source, repository=key, error=str(error))
            return ()
        try:
            row = checked_row(body)
            return Found(repository_of(row), row)
        except InvalidEventError as error:
            return [Broken(body, str(error), error.reason)]

    def event(self, record: bytes, read_at: datetime) -> Event:
        """One record as an event. Raises InvalidEventError."""
        return checked_event(record, self._source, read_at)


def _digest(record: bytes) -> str:
    return blake2b(record, digest_size=8).hexdigest()


def _known(notes: bytes) -> Mapping[str, _Known]:
    try:
        found = _notes.decode(notes) if notes else {}
    except (ValueError, RecursionError):
        return {}
    return {key: known for key, known in found.items() if key.isdecimal()}


def _names(repository: Repository) -> set[str]:
    """What it may be chosen by."""
    return {repository.name.lower(), f"{repository.owner}/{repository.name}".lower()}


def refuse_unknown(listing: Listing) -> None:
    """PermanentError: repositories are named that are not there, or not for this token."""
    if listing.unknown:
        known = ", ".join(listing.names[:20]) or "none that this token may see"
        raise PermanentError(f"github: HARVESTER_GITHUB_REPOS: there is no {', '.join(listing.unknown)}; there are {known}")
