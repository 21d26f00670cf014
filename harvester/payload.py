"""Messages that are larger than a queue takes: compressed first, then kept as an object that the message claims.

The one place for every queue with a limit. What fits passes untouched. A claimed object is named after what it holds, so that
publishing again writes it again and makes no second one. It is never deleted here: nobody knows when the last group, or a letter,
has done with it. The rule is a life cycle of the bucket, longer than the queue keeps messages; see docs/decisions/0022.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256

import structlog

from harvester.access import Access
from harvester.errors import PayloadTooLargeError, PermanentError
from harvester.objects import open_objects
from harvester.protocols import Message, Objects

ENCODING, SIZE, HASH, CLAIM = "harvester-encoding", "harvester-size", "harvester-sha256", "harvester-claim"
"""Headers: "zlib"; length and SHA-256 of the body as it was published; the name of the object that holds it."""
ROOM = 512
"""Bytes that these headers take at most, written as JSON: a driver keeps them free beside its limit."""
FOLDER = "claims/"
_LEVEL = 6
_log = structlog.get_logger(__name__)


class Payloads:
    """`size` tells what a message takes in the queue, `limit` how much it may be. Without `objects` nothing can be claimed."""

    def __init__(self, limit: int, size: Callable[[Message], int], objects: Objects | None = None) -> None:
        self._limit = limit
        self._size = size
        self._objects = objects

    async def fitted(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The same messages, each within the limit; what they claim is durable.

        PayloadTooLargeError(indexes): some cannot be made to fit. TransientError: the store of objects is busy or away.
        """
        size, limit = self._size, self._limit
        large = [index for index, message in enumerate(messages) if size(message) > limit]
        if not large:
            return messages
        packed = await asyncio.to_thread(lambda: [_compressed(messages[index]) for index in large])
        fitting, refused = list(messages), []
        for index, small in zip(large, packed, strict=True):
            if size(small) > limit and self._objects is None:
                refused.append(index)
            fitting[index] = small
        if refused:
            raise PayloadTooLargeError(
                f"{len(refused)} messages are larger than {limit} bytes, even compressed; "
                f"set HARVESTER_CLAIMS_URL to keep such in a bucket",
                indexes=refused,
            )
        for index in large:
            if size(fitting[index]) > limit:
                fitting[index] = await self._claimed(fitting[index])
        return fitting

    async def restored(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages as they were published.

        One whose object is gone, or is not what was published, comes as it is, its body the name of that object: no event, so it
        becomes a letter. TransientError: the store of objects is busy or away.
        """
        changed = [index for index, message in enumerate(messages) if message.headers and ENCODING in message.headers]
        if not changed:
            return messages
        found = list(messages)
        for index in changed:
            found[index] = await self._restored(found[index])
        return found

    async def _claimed(self, message: Message) -> Message:
        assert self._objects is not None
        name = FOLDER + message.headers[HASH]
        await self._objects.put(name, message.body)
        return Message(message.key, name.encode(), {**message.headers, CLAIM: name})

    async def _restored(self, message: Message) -> Message:
        name = message.headers.get(CLAIM)
        stored = message.body if name is None else await self._object(name)
        body = await asyncio.to_thread(_original, stored, message.headers) if stored is not None else None
        if body is None:
            _log.error("payload is gone or damaged", claim=name or "", key=message.key)
            return message
        headers = {name: value for name, value in message.headers.items() if name not in (ENCODING, SIZE, HASH, CLAIM)}
        return Message(message.key, body, headers)

    async def _object(self, name: str) -> bytes | None:
        if self._objects is None:
            raise PermanentError(f"a message claims the object {name}: set HARVESTER_CLAIMS_URL as whoever published it has it")
        stored = await self._objects.get(name)
        return None if stored is None else stored.body


@asynccontextmanager
async def open_payloads(access: Access, limit: int, size: Callable[[Message], int]) -> AsyncIterator[Payloads]:
    """For messages of a queue, with the store of objects that `access` names, if it names one."""
    if not access.claims_url:
        yield Payloads(limit, size)
        return
    async with open_objects(access.claims_url, access) as objects:
        yield Payloads(limit, size, objects)


def _compressed(message: Message) -> Message:
    ours = {ENCODING: "zlib", SIZE: str(len(message.body)), HASH: sha256(message.body).hexdigest()}
    return Message(message.key, zlib.compress(message.body, _LEVEL), {**message.headers, **ours})


def _original(stored: bytes, headers: Mapping[str, str]) -> bytes | None:
    """The body that was published; None when it is not that."""
    try:
        size = int(headers[SIZE])
        # One byte more than there should be: a bomb stops there.
        body = zlib.decompressobj().decompress(stored, size + 1)
    except (KeyError, ValueError, zlib.error):
        return None
    return body if len(body) == size and sha256(body).hexdigest() == headers.get(HASH) else None
