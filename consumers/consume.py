"""The loop of a sink: receive → (decode → enrich → write → dead-letter) → commit.

Write, then commit: a position moves only after the sink confirmed each event, or the event is a durable letter. So a crash
anywhere repeats events and never loses one.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from consumers.batch import BreakerError, Processing, StoppedError
from harvester import crash
from harvester.errors import TransientError
from harvester.limits import Bound
from harvester.logs import get_logger
from harvester.protocols import DeadLetters, Delivery, Letter, Queue, Subscription

_COMMIT_FIRST = os.environ.get("HARVESTER_CRASH_ORDER") == "commit-first"
"""Only the crash proof sets this: with the order switched it must find losses, else it proves nothing."""


class Flow(NamedTuple):
    """How much is worked on at once, and how often the loop looks around."""

    batch_events: int = 1000
    in_flight: int = 8
    in_flight_bytes: int = 64 * 2**20
    wait: float = 1.0
    """Seconds one receive waits for messages."""
    due_every: float = 5.0
    """Seconds between two looks for due letters."""
    breaker_pause: float = 60.0
    """Seconds a stopped sink waits before it tries again."""


async def consume(
    queue: Queue,
    group: str,
    processing: Processing,
    letters: DeadLetters,
    stop: asyncio.Event,
    *,
    flow: Flow = Flow(),
    until_empty: bool = False,
    on_commit: Callable[[Mapping[str, int]], None] | None = None,
) -> None:
    """Until `stop` is set (what is in flight is finished first), or until the queue and the due letters are empty.

    PermanentError: the sink cannot work. With `until_empty` an open breaker raises BreakerError instead of waiting.
    """
    log = get_logger("consume").bind(sink=group)
    while not stop.is_set():
        try:
            async with queue.subscribe(group) as subscription:
                run = _Run(subscription, group, processing, letters, flow, on_commit, lambda: queue.lag(group))
                await run.run(stop, until_empty=until_empty)
            return
        except BreakerError as error:
            processing.metrics.breaker(open=True)
            if until_empty:
                raise
            log.error("stopped by the breaker", reason=str(error), retry_after=flow.breaker_pause)
        await processing.pause(flow.breaker_pause)


class _Batch(NamedTuple):
    deliveries: Sequence[Delivery]
    task: asyncio.Task[dict[str, int]]
    size: int


class _Run:
    """One membership: batches in flight, committed in the order received."""

    def __init__(
        self,
        subscription: Subscription,
        group: str,
        processing: Processing,
        letters: DeadLetters,
        flow: Flow,
        on_commit: Callable[[Mapping[str, int]], None] | None,
        lag: Callable[[], Awaitable[Mapping[str, int]]],
    ) -> None:
        self._lag = lag
        self._metrics = processing.metrics
        self._subscription = subscription
        self._group = group
        self._processing = processing
        self._letters = letters
        self._flow = flow
        self._on_commit = on_commit
        self._bound = Bound(events=flow.batch_events * flow.in_flight, size=flow.in_flight_bytes)
        self._pending: deque[_Batch] = deque()
        self._receiving: asyncio.Task[Sequence[Delivery]] | None = None
        self._repairing: asyncio.Task[int] | None = None
        self._look_for_due_at = 0.0
        self._empty = False

    async def run(self, stop: asyncio.Event, *, until_empty: bool) -> None:
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await self._commit_finished()
                await self._repair()
                if until_empty and self._empty and not self._pending and self._repairing is None:
                    return
                await self._turn(stopping, until_empty=until_empty)
            await self._drain()
        finally:
            tasks = [stopping, *(b.task for b in self._pending), *(t for t in (self._receiving, self._repairing) if t)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _turn(self, stopping: "asyncio.Task[bool]", *, until_empty: bool) -> None:
        """Receive one batch, or see one finished. While too much is in flight nothing is received: that is the back-pressure."""
        room = len(self._pending) < self._flow.in_flight and not self._bound.full
        if until_empty and self._empty and self._pending:
            room = False  # nothing more is coming: wait for what is in flight instead of asking again and again
        if self._receiving is None and room:
            wait = 0.0 if until_empty else self._flow.wait
            self._receiving = asyncio.create_task(self._subscription.receive(self._flow.batch_events, wait))
        elif not room:
            await self._subscription.receive(0, 0)
        heads = [b.task for b in list(self._pending)[:1]]
        tasks = [t for t in (self._receiving, self._repairing) if t]
        await asyncio.wait([*heads, *tasks, stopping], timeout=self._flow.wait, return_when=asyncio.FIRST_COMPLETED)
        if self._receiving is not None and self._receiving.done():
            deliveries, self._receiving = self._receiving.result(), None
            self._empty = not deliveries
            if deliveries:
                await self._begin(deliveries)

    async def _begin(self, deliveries: Sequence[Delivery]) -> None:
        size = sum(len(d.message.body) for d in deliveries)
        if _COMMIT_FIRST:
            await self._subscription.commit(deliveries, {"consumed": len(deliveries), "delivered": len(deliveries)})
        self._pending.append(_Batch(deliveries, asyncio.create_task(self._process(deliveries, size)), size))
        await asyncio.sleep(0)  # into the bound, or in front of it: then it is full and nothing more is received

    async def _process(self, deliveries: Sequence[Delivery], size: int) -> dict[str, int]:
        # The task waits for room and not the loop, which makes it: only what is committed is let out.
        await self._bound.acquire(len(deliveries), size)
        return await self._processing.process(deliveries)

    async def _commit_finished(self) -> None:
        """Commit the unbroken run of finished batches at the head, in one act."""
        done: list[_Batch] = []
        counts: dict[str, int] = {}
        failure: BaseException | None = None
        while self._pending and self._pending[0].task.done():
            failure = _failure(self._pending[0].task)
            if failure is not None:
                break
            batch = self._pending.popleft()
            done.append(batch)
            self._bound.release(len(batch.deliveries), batch.size)
            for name, amount in batch.task.result().items():
                counts[name] = counts.get(name, 0) + amount
        if done:
            crash.point("consume.before_commit")
            if not _COMMIT_FIRST:
                await self._subscription.commit([d for b in done for d in b.deliveries], counts)
            self._metrics.breaker(open=False)
            self._metrics.buffer(self._bound.events, self._bound.size)
            if self._on_commit:
                self._on_commit(counts)
        if failure is not None:
            raise failure

    async def _repair(self) -> None:
        """Due letters go the same way as deliveries, one batch of them at a time beside the others."""
        if self._repairing is not None:
            if not self._repairing.done():
                return
            task, self._repairing = self._repairing, None
            failure = _failure(task)
            if isinstance(failure, StoppedError):
                return
            if failure is not None:
                raise failure
            if task.result():
                await self._subscription.commit([], {"repaired": task.result()})
        if time.monotonic() < self._look_for_due_at:
            return
        letters = await self._due()
        self._metrics.lag(sum((await self._lag()).values()))
        if letters:
            self._repairing = asyncio.create_task(self._processing.repair(letters))

    async def _due(self) -> Sequence[Letter]:
        """One batch of due letters, in events and in bytes."""
        letters: list[Letter] = []
        size = 0
        async for letter in self._letters.scan(self._group, due=datetime.now(UTC)):
            letters.append(letter)
            size += len(letter.body)
            if len(letters) >= self._flow.batch_events or size >= self._flow.in_flight_bytes // self._flow.in_flight:
                return letters
        self._look_for_due_at = time.monotonic() + self._flow.due_every
        return letters

    async def _drain(self) -> None:
        """After the stop: finish what is in flight; what cannot be written now stays uncommitted and comes again."""
        try:
            while self._pending:
                await asyncio.wait([self._pending[0].task])
                await self._commit_finished()
        except StoppedError:
            return


def _failure(task: "asyncio.Task[Any]") -> BaseException | None:
    """What ended a task that is done. One that was cancelled from within failed, too: else the sink would end in silence."""
    return TransientError("a batch was cancelled from within") if task.cancelled() else task.exception()
