"""A sink that writes NDJSON to a `_bulk` endpoint, as small as it can be and still be honest about what it was answered."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from elastic_transport import ConnectionError as UnreachableError
from elasticsearch import AsyncElasticsearch
from elasticsearch.serializer import JsonSerializer, NdjsonSerializer, Serializer

from consumers.protocols import Rejection, rank
from consumers.records import records_of
from consumers.records.record import document, document_id, index_name
from consumers.sinks.shaped import complete
from harvester.errors import InvalidEventError, TransientError
from harvester.event import Event

# Without items.*.status the place of a refused document in the answer would be lost.
_PATH = "/_bulk?filter_path=errors,items.*.status,items.*.error"
_ACTION = b'{"index":{"_index":"%b","_id":"%b","version":%d,"version_type":"external_gte"}}\n'
_HEADERS = {"Content-Type": "application/x-ndjson", "Accept": "application/json"}


class _Answer(msgspec.Struct):
    errors: bool
    items: msgspec.Raw = msgspec.Raw(b"[]")


class _AnswerReader(JsonSerializer):
    """Reads whether there were errors, and leaves the items unread until there are."""

    def loads(self, data: bytes) -> Any:
        return msgspec.json.decode(data, type=_Answer)


class _Written(NdjsonSerializer):
    """The body is bytes already; the client's own serializer would copy it twice."""

    def dumps(self, data: Any) -> bytes:
        assert isinstance(data, bytearray)
        return data  # type: ignore[return-value]  # the transport sends either


class BulkSink:
    """Made by `open_bulk`."""

    name = "bulk"

    def __init__(self, client: AsyncElasticsearch) -> None:
        self._client = client

    async def write(self, events: Sequence[Event]) -> Sequence[Rejection]:
        """One request. TransientError when the server is away or refused anything."""
        body, rejections, now = bytearray(), list[Rejection](), datetime.now(UTC)
        for event in events:
            try:
                made = records_of(event)
            except InvalidEventError as error:
                rejections.append(Rejection(event, error))
                continue
            number = rank(event, complete=complete(event))
            for record in made:
                name, id_ = index_name(record, event), document_id(record, event)
                body += _ACTION % (name.encode(), id_.encode(), number)
                body += document(record, event, now)
                body += b"\n"
        try:
            answer = await self._client.perform_request("POST", _PATH, headers=_HEADERS, body=body)
        except UnreachableError as error:
            raise TransientError(f"bulk: {error}") from error
        if answer.body.errors:
            raise TransientError(f"bulk: refused: {bytes(answer.body.items)[:200]!r}")
        return rejections


@asynccontextmanager
async def open_bulk(url: str) -> AsyncIterator[BulkSink]:
    """The official client with its retries off: the loop repeats."""
    reader, written = _AnswerReader(), _Written()
    serializers: dict[str, Serializer] = {f"application/{vendor}json": reader for vendor in ("", "vnd.elasticsearch+")}
    serializers |= {f"application/{vendor}x-ndjson": written for vendor in ("", "vnd.elasticsearch+")}
    async with AsyncElasticsearch(url, serializers=serializers, max_retries=0, request_timeout=60) as client:
        yield BulkSink(client)
