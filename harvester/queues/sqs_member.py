"""One member of a group on SQS: receives packs, keeps them hidden from others while they are worked on, deletes what is done."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from harvester.crash import point
from harvester.errors import HarvesterError, RefusedError, TransientError
from harvester.payload import Payloads
from harvester.protocols import NO_COUNTS, Delivery
from harvester.queues.sqs_calls import SqsCalls
from harvester.queues.sqs_pack import ENTRIES, unpacked

LONGEST_POLL = 2
"""Seconds. Whoever leaves waits for the poll that is under way: what came with it would stay hidden."""
_LEAVING = 5.0
"""Seconds that leaving may take."""
_log = structlog.get_logger(__name__)


class _Held(msgspec.Struct):
    """A pack that was received and not deleted."""

    handle: str
    """The newest one."""
    until: float
    """Until when nobody else sees it, by the monotonic clock."""
    left: set[int]
    """What of it is not committed."""


class SqsMember:
    """Made by `SqsQueue.subscribe`. `count` is told what a commit counts."""

    def __init__(
        self,
        calls: SqsCalls,
        url: str,
        group: str,
        payloads: Payloads,
        visibility: int,
        count: Callable[[Mapping[str, int]], None],
    ) -> None:
        self._calls = calls
        self._url = url
        self._group = group
        self._payloads = payloads
        self._visibility = visibility
        self._count = count
        self._held: dict[str, _Held] = {}
        self._ready: deque[Delivery] = deque()
        self._polling: asyncio.Task[Sequence[Mapping[str, Any]]] | None = None
        self._asked_at = 0.0
        self._keeping = asyncio.create_task(self._keep())
        self._ended = False

    async def receive(self, limit: int, wait: float) -> Sequence[Delivery]:
        """With `wait` 0 it lasts as long as the shortest poll that asks every server of SQS, a second: "empty" is meant then."""
        if self._keeping.done():
            await self._keeping
        if limit <= 0:
            return []
        until = time.monotonic() + wait
        while not self._ready:
            left = until - time.monotonic()
            if not await self._poll(limit, left, patient=wait <= 0) or left <= 0:
                break
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    async def _poll(self, limit: int, left: float, *, patient: bool) -> bool:
        """Take what one poll brings; False when it is still under way, to be taken by the next call."""
        if self._polling is None:
            seconds = min(LONGEST_POLL, max(1, math.ceil(left)))
            self._asked_at = time.monotonic()
            self._polling = asyncio.create_task(self._calls.receive(self._url, min(ENTRIES, limit), seconds, self._visibility))
        await asyncio.wait([self._polling], timeout=None if patient else max(0.0, left))
        if not self._polling.done():
            return False
        polled, self._polling = self._polling, None
        await self._take(polled.result())
        return True

    async def _take(self, received: Sequence[Mapping[str, Any]]) -> None:
        fresh: dict[str, _Held] = {}
        for message in received:
            id_, handle = str(message["MessageId"]), str(message["ReceiptHandle"])
            held = self._held.get(id_)
            if held is not None:  # it was visible again while we worked on it: the work goes on, under the new handle
                held.handle, held.until = handle, self._asked_at + self._visibility
            else:
                self._held[id_] = fresh[id_] = _Held(handle, self._asked_at + self._visibility, set())
        try:
            for message in received:
                id_ = str(message["MessageId"])
                if id_ in fresh:
                    await self._unpack(id_, fresh[id_], message)
        except BaseException:
            # What no delivery stands for would never be committed: it is given back whole.
            self._drop(fresh)
            await self._give_back(fresh.values())
            raise

    async def _unpack(self, id_: str, held: _Held, message: Mapping[str, Any]) -> None:
        attributes = {name: str(value.get("StringValue", "")) for name, value in message.get("MessageAttributes", {}).items()}
        messages = await self._payloads.restored(unpacked(str(message["Body"]), attributes))
        held.left = set(range(len(messages)))
        self._ready.extend(Delivery(one, f"{id_}/{index}") for index, one in enumerate(messages))

    def _drop(self, packs: Mapping[str, _Held]) -> None:
        for id_ in packs:
            self._held.pop(id_, None)
        self._ready = deque(d for d in self._ready if str(d.position).partition("/")[0] not in packs)

    async def commit(self, deliveries: Sequence[Delivery], counts: Mapping[str, int] = NO_COUNTS) -> None:
        if self._ended:
            raise RefusedError(f"group {self._group} is no longer read here, another member may have it")
        point("queue.before_commit")
        done: dict[str, _Held] = {}
        fresh = not deliveries
        for delivery in deliveries:
            id_, _, index = str(delivery.position).rpartition("/")
            held = self._held.get(id_)
            if held is None:
                continue
            fresh = fresh or int(index) in held.left
            held.left.discard(int(index))
            if not held.left:
                done[id_] = held
        await self._calls.delete(self._url, [held.handle for held in done.values()])
        for id_ in done:
            self._held.pop(id_, None)
        point("queue.in_commit")
        if fresh:
            self._count(counts)
        point("queue.after_commit")

    async def _keep(self) -> None:
        """Hide what is held for longer, whenever half of the time is over. What was lost to another member is left alone."""
        while True:
            await asyncio.sleep(self._visibility / 8)
            half = time.monotonic() + self._visibility / 2
            due = {held.handle: held for held in self._held.values() if held.until <= half}
            if not due:
                continue
            began = time.monotonic()
            try:
                lost = await self._calls.hide(self._url, list(due), self._visibility)
            except TransientError as error:
                _log.warning("packs could not be kept", group=self._group, packs=len(due), error=str(error))
                continue
            for handle, held in due.items():
                # One that is lost is asked for no more, unless a new handle comes: its time is over either way.
                held.until = began + self._visibility if handle not in lost else math.inf

    async def leave(self) -> None:
        """Give everything back: others see it at once. What cannot be given back comes to them when its time is over."""
        self._ended = True
        self._keeping.cancel()
        try:
            async with asyncio.timeout(_LEAVING):
                came = await asyncio.gather(self._polling, return_exceptions=True) if self._polling else []
                for message in came[0] if came and not isinstance(came[0], BaseException) else []:
                    self._held[str(message["MessageId"])] = _Held(str(message["ReceiptHandle"]), 0.0, set())
                await self._give_back(self._held.values())
        except (HarvesterError, TimeoutError) as error:
            _log.warning("packs were not given back", group=self._group, packs=len(self._held), error=str(error))
        await asyncio.gather(self._keeping, *([self._polling] if self._polling else []), return_exceptions=True)

    async def _give_back(self, packs: Any) -> None:
        await self._calls.hide(self._url, [held.handle for held in packs], 0)
