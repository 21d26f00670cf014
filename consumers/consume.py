"""The loop of a sink: receive → (decode → enrich → write → dead-letter) → commit.

Write, then commit: a position moves only after the sink confirmed each event, or the event is a durable letter. So a crash
anywhere repeats events and never loses one.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from consumers.batch import BreakerError, Processing
from consumers.gathering import Gathered
from consumers.minutes import Minutes
from consumers.repairs import Repairs, failure
from consumers.writing import StoppedError
from harvester import crash, traces
from harvester.errors import HarvesterError, RefusedError
from harvester.limits import Bound
from harvester.logs import get_logger
from harvester.ownevents import Tell, silent
from harvester.protocols import DeadLetters, Delivery, Grouped, Subscription
from harvester.turns import Turn

_COMMIT_FIRST = os.environ.get("HARVESTER_CRASH_ORDER") == "commit-first"
"""Only the crash proof sets this: with the order switched it must find losses, else it proves nothing."""


class Flow(NamedTuple):
    """How much is worked on at once, and how often the loop looks around."""

    batch_events: int = 1000
    in_flight: int = 8
    in_flight_bytes: int = 64 * 2**20
    gather: float = 0.0
    """Seconds that a batch may wait to become full, 0 for a sink to which small ones cost no more."""
    wait: float = 1.0
    """Seconds one receive waits for messages."""
    due_every: float = 5.0
    """Seconds between two looks for due letters, and between two at lag and letters for the metrics."""
    minute: float = 60.0
    """Seconds that one own event tells of."""
    breaker_pause: float = 60.0
    """Seconds a stopped sink waits before it tries again."""


async def consume(
    queue: Grouped,
    group: str,
    processing: Processing,
    letters: DeadLetters,
    stop: asyncio.Event,
    *,
    flow: Flow = Flow(),
    turn: Turn | None = None,
    until_empty: bool = False,
    on_commit: Callable[[Mapping[str, int]], None] | None = None,
    tell: Tell = silent,
) -> None:
    """Until `stop` is set (what is in flight is finished first), or until the queue and the due letters are empty.

    `turn`: the lease of whoever takes the group's due letters; None: there is no other member. `on_commit` hears of what was
    given to the queue's commit: with several members that may be more than the queue counted, when partitions were lost.
    PermanentError: the sink cannot work. With `until_empty` an open breaker raises BreakerError instead of waiting. `tell` takes
    the own events of this member.
    """
    log, minutes = get_logger("consume").bind(sink=group), Minutes(group, tell, every=flow.minute)
    while not stop.is_set():
        try:
            async with queue.subscribe(group) as subscription:
                run = _Run(
                    subscription, group, processing, letters, flow, on_commit, lambda: queue.lag(group), turn, minutes=minutes
                )
                await run.run(stop, until_empty=until_empty)
            minutes.end()
            return
        except RefusedError as error:
            processing.metrics.lost(error.lost)
            raise
        except BreakerError as error:
            processing.metrics.breaker(open=True)
            processing.on_wait(error, flow.breaker_pause)
            if until_empty:
                raise
            log.error("stopped by the breaker", reason=str(error), retry_after=flow.breaker_pause)
        await processing.patience.pause(flow.breaker_pause)


class _Turns:
    """Whether it is our turn to take due letters. A member that cannot know goes on with what the queue gives."""

    def __init__(self, turn: Turn | None, every: float) -> None:
        self._turn = turn
        self._every = every
        self._log = get_logger("consume")
        self._told = ""

    @property
    def ours(self) -> bool:
        return self._turn is None or self._turn.ours

    async def follow(self) -> None:
        """Until it is cancelled, or at once where there is no other member."""
        while self._turn is not None:
            await asyncio.sleep(self._every)
            await self.take()

    async def take(self) -> None:
        """Take it when it is free, keep it while it is ours."""
        try:
            if self._turn is not None and not await self._turn.kept():
                await self._turn.take()
            self._told = ""
        except RefusedError:
            self._told = ""
        except HarvesterError as error:
            if str(error) != self._told:
                self._log.warning("due letters wait: it is not known whose turn it is", error=str(error))
            self._told = str(error)

    async def give_back(self) -> None:
        if self._turn is not None:
            await self._turn.give_back()


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
        turn: Turn | None,
        *,
        minutes: Minutes,
    ) -> None:
        self._lag = lag
        self._minutes = minutes
        self._turns = _Turns(turn, flow.due_every)
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
        self._repairs = Repairs(
            letters,
            group,
            processing,
            most=flow.in_flight // 2,
            batch=(flow.batch_events, flow.in_flight_bytes // flow.in_flight),
            every=flow.due_every,
        )
        self._gathered = Gathered(flow.batch_events, flow.in_flight_bytes // flow.in_flight, flow.gather)
        self._measure_at = 0.0
        self._empty = False

    async def run(self, stop: asyncio.Event, *, until_empty: bool) -> None:
        stopping = asyncio.create_task(stop.wait())
        await self._turns.take()
        turning = asyncio.create_task(self._turns.follow())
        try:
            while not stop.is_set():
                await self._commit_finished()
                await self._repair()
                if until_empty and self._empty and not self._pending and self._repaired:
                    return
                await self._step(stopping, until_empty=until_empty)
            await self._drain()
        finally:
            tasks = [stopping, turning, *(b.task for b in self._pending), *self._repairs.tasks]
            tasks += [self._receiving] if self._receiving else []
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._turns.give_back()

    @property
    def _repaired(self) -> bool:
        """Whether no letter is due; as far as we take them."""
        return self._repairs.idle if self._turns.ours else not self._repairs.tasks

    async def _step(self, stopping: "asyncio.Task[bool]", *, until_empty: bool) -> None:
        """Receive one batch, or see one finished. While too much is in flight nothing is received: that is the back-pressure."""
        room = len(self._pending) < self._flow.in_flight and not self._bound.full
        if until_empty and self._empty and self._pending:
            room = False  # nothing more is coming: wait for what is in flight instead of asking again and again
        if self._receiving is None and room:
            wait = 0.0 if until_empty else self._flow.wait
            self._receiving = asyncio.create_task(self._subscription.receive(self._gathered.room, wait))
        elif self._receiving is None:
            await self._subscription.receive(0, 0)
        heads = [b.task for b in list(self._pending)[:1]]
        tasks = [*heads, *self._repairs.tasks, *([self._receiving] if self._receiving else [])]
        await asyncio.wait([*tasks, stopping], timeout=self._flow.wait, return_when=asyncio.FIRST_COMPLETED)
        if self._receiving is not None and self._receiving.done():
            deliveries, self._receiving = self._receiving.result(), None
            self._empty = not deliveries
            self._gathered.add(deliveries)
        if self._gathered.ripe(last=until_empty and self._empty):
            await self._begin(self._gathered.take())

    async def _begin(self, deliveries: Sequence[Delivery]) -> None:
        size = sum(len(d.message.body) for d in deliveries)
        if _COMMIT_FIRST:
            await self._subscription.commit(deliveries, {"consumed": len(deliveries), "delivered": len(deliveries)})
        self._pending.append(_Batch(deliveries, asyncio.create_task(self._process(deliveries, size)), size))
        await asyncio.sleep(0)  # into the bound, or in front of it: then it is full and nothing more is received

    async def _process(self, deliveries: Sequence[Delivery], size: int) -> dict[str, int]:
        # The task waits for room and not the loop, which makes it: only what is committed is let out.
        await self._bound.acquire(len(deliveries), size)
        began = time.monotonic()
        with traces.receiving("consume", deliveries, {"harvester.sink": self._group}):
            counts = await self._processing.process(deliveries)
        self._minutes.worked(time.monotonic() - began)
        return counts

    async def _commit_finished(self) -> None:
        """Commit the unbroken run of finished batches at the head, in one act."""
        done: list[_Batch] = []
        counts: dict[str, int] = {}
        failed: BaseException | None = None
        while self._pending and self._pending[0].task.done():
            failed = failure(self._pending[0].task)
            if failed is not None:
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
            self._minutes.committed(counts, [b.deliveries for b in done])
            self._metrics.breaker(open=False)
            self._metrics.buffer(self._bound.events, self._bound.size)
            if self._on_commit:
                self._on_commit(counts)
        if failed is not None:
            raise failed

    async def _repair(self) -> None:
        """Due letters go the same way as deliveries, in the bulks that those leave free."""
        room = 0 if self._bound.full else self._flow.in_flight - len(self._pending)
        done = self._repairs.turn(room, ours=self._turns.ours)
        if done:
            await self._subscription.commit([], {"repaired": done})
            self._minutes.repaired(done)
        if time.monotonic() >= self._measure_at:
            self._measure_at = time.monotonic() + self._flow.due_every
            lag, held = sum((await self._lag()).values()), (await self._letters.counts()).get(self._group, {})
            self._metrics.lag(lag)
            self._metrics.letters(held)
            self._minutes.look(lag, sum(held.values()))

    async def _drain(self) -> None:
        """After the stop: finish what is in flight; what cannot be written now stays uncommitted and comes again."""
        self._processing.deaths.release()
        if self._gathered.ripe(last=True):
            await self._begin(self._gathered.take())
        try:
            while self._pending:
                await asyncio.wait([self._pending[0].task])
                await self._commit_finished()
        except StoppedError:
            return
