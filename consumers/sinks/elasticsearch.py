"""The sink Elasticsearch: one index a record class and day, a document a thing, each written by its id and its version."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec

from consumers.amending import Amendment
from consumers.protocols import Held, Rejection
from consumers.records.mapping import record_classes
from consumers.records.record import Record, add_document, document_id, index_name
from consumers.sinks.elasticsearch_amend import amend
from consumers.sinks.elasticsearch_answers import FILTER, refused_items
from consumers.sinks.elasticsearch_cluster import NDJSON, Cluster, open_cluster
from consumers.sinks.elasticsearch_find import held, query, refreshed, search
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from consumers.sinks.elasticsearch_templates import Guard
from consumers.sinks.elasticsearch_terms import distinct
from consumers.sinks.shaped import Shaped, shaping
from harvester import crash
from harvester.answers import StatusError
from harvester.errors import InvalidEventError, TransientError
from harvester.event import Event

_LEAST = 64 * 2**10
_FILTERED = {"filter_path": FILTER}


Place = Callable[[Record, Event], str]
"""The index that a record of an event is written to."""


class _Target(msgspec.Struct, frozen=True, gc=False, rename={"index": "_index", "id": "_id"}):
    index: str
    id: str
    version: int
    version_type: Literal["external_gte"] = "external_gte"


class _Action(msgspec.Struct, frozen=True, gc=False):
    index: _Target


class Bulk(NamedTuple):
    """One request: its body, of which event each of its documents is, and of what kinds they are."""

    body: bytes
    events: list[Event]
    kinds: set[type[Record]]


_encode_into = msgspec.json.Encoder().encode_into


class ElasticsearchSink:
    """Writes by id into the index of the event's own day, and only over a version that is not higher."""

    name = "elasticsearch"

    def __init__(
        self, cluster: Cluster, guard: Guard, *, bulk_bytes: int, now: Callable[[], datetime], place: Place | None = None
    ) -> None:
        self._cluster = cluster
        self._place = place or (cluster.names.index if cluster.names.prefix else index_name)
        self._guard = guard
        self._most = bulk_bytes
        self._now = now
        self._had = 0

    def duplicates(self) -> int:
        """Documents that were there already, in this state or a newer one, since this was asked last."""
        had, self._had = self._had, 0
        return had

    async def write(self, events: Sequence[Event]) -> Sequence[Rejection]:
        """Returns: indexed, or rejected; each document was judged.

        TransientError: no answer, overload, 5xx; what was sent may have been written. InvalidEventError: a request was
        refused whole. PermanentError: a vendor's template missing, login, rights, an index that is blocked or cannot be made.
        """
        crash.point("sink.before_write")
        rejections: list[Rejection] = []
        requests = self._bulks(shaping(events, rejections))
        errors: dict[int, Rejection] = {}
        try:
            if requests:
                placeless = await self._guard.check(set().union(*(bulk.kinds for bulk in requests)))
                if placeless:
                    requests = self._bulks(_placed(shaping(events, []), placeless, rejections))
            # One after another: several states of one thing stay in their order.
            for bulk in requests:
                for rejection in await self._send(bulk):
                    known = errors.setdefault(id(rejection.event), rejection)
                    if isinstance(rejection.error, TransientError) and known is not rejection:
                        errors[id(rejection.event)] = rejection  # tried again, so that its other records get in
        except TransientError:
            self._guard.forget()
            raise
        crash.point("sink.after_write")
        return [*rejections, *errors.values()]

    async def find(self, name: str, source: str = "") -> Sequence[Held]:
        """What the indexes hold of a thing. TransientError: no answer; PermanentError: login or rights."""
        found: list[Held] = []
        for record in record_classes():
            pattern = self._cluster.names.pattern(record)
            await refreshed(self._cluster, pattern)
            found += held(record, await search(self._cluster, query(record, name, source), pattern))
        return found

    async def changed(self, record: type[Record], source: str, since: datetime) -> Sequence[str]:
        """The keys of documents that were changed since. TransientError: no answer; PermanentError: login or rights."""
        wanted = [{"range": {"updated": {"gte": since}}}, {"term": {"event.module": source}}]
        pattern = self._cluster.names.pattern(record)
        return await distinct(self._cluster, pattern, record.__shape__.key, {"bool": {"filter": wanted}})

    async def amend(self, changes: Sequence[Amendment]) -> int:
        """Rewrite what documents say of other things. TransientError: some may have been; PermanentError: login or rights."""
        return sum([await amend(self._cluster, change) for change in changes])

    def _bulks(self, records: Iterable[Shaped]) -> list[Bulk]:
        return list(bulks(records, self._now(), self._most, self._place))

    async def _send(self, bulk: Bulk) -> list[Rejection]:
        try:
            answer = await self._cluster.request("POST", "/_bulk", bulk.body, kind=NDJSON, params=_FILTERED)
        except StatusError as error:
            too_large = error.status in (413, 417)  # the latter, where it was asked first whether a body is taken
            if too_large:
                # Something on the way takes less than we thought: the caller halves this batch, and the next ones are smaller.
                # Of its own length: several in flight are refused at once.
                self._most = min(self._most, max(_LEAST, len(bulk.body) // 2))
            if too_large or error.status == 400:
                raise InvalidEventError(str(error), reason="too_large" if too_large else "refused") from error
            raise
        crash.point("sink.in_write")
        # As for `refused_items`: no text of an error can hold these bytes.
        self._had += answer.count(b'"status":409')
        rejections = []
        for place, refused in refused_items(answer, len(bulk.events)):
            if not isinstance(refused, InvalidEventError | TransientError):
                raise refused
            rejections.append(Rejection(bulk.events[place], refused))
        return rejections


def _placed(
    records: Iterable[Shaped], placeless: Mapping[type[Record], InvalidEventError], rejections: list[Rejection]
) -> Iterator[Shaped]:
    """Those that there is a place for; adds the others to `rejections`."""
    for shaped in records:
        error = placeless.get(type(shaped.record))
        if error is None:
            yield shaped
        else:
            rejections.append(Rejection(shaped.event, error))


def bulks(records: Iterable[Shaped], now: datetime, most: int, place: Place = index_name) -> Iterator[Bulk]:
    """The requests that write `records`, in their order, none longer than `most` bytes unless one document alone is."""
    lines = bytearray()
    events: list[Event] = []
    kinds: set[type[Record]] = set()
    for record, event, rank in records:
        before = len(lines)
        _encode_into(_Action(_Target(place(record, event), document_id(record, event), rank)), lines, -1)
        lines += b"\n"
        add_document(lines, record, event, now)
        lines += b"\n"
        if events and len(lines) > most:
            yield Bulk(bytes(lines[:before]), events, kinds)
            lines, events, kinds = lines[before:], [], set()
        events.append(event)
        kinds.add(type(record))
    if events:
        yield Bulk(bytes(lines), events, kinds)


@asynccontextmanager
async def open_elasticsearch(
    settings: ElasticsearchSettings, *, now: Callable[[], datetime] | None = None, place: Place | None = None
) -> AsyncIterator[ElasticsearchSink]:
    """As set, each record in the index of its event's day or in another `place`; no server is asked before the first write.

    ConfigError: an address, a login or a CA file that cannot serve.
    """
    async with open_cluster(settings) as cluster:
        clock = now or (lambda: datetime.now(UTC))
        yield ElasticsearchSink(cluster, Guard(cluster), bulk_bytes=settings.bulk_bytes, now=clock, place=place)
