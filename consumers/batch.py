"""One batch on its way through a sink: decode → enrich → write → dead-letter. Everything but the position."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from consumers.breaker import Breaker
from consumers.protocols import Enricher, Rejection, Sink
from harvester import __version__, crash
from harvester.errors import HarvesterError, InvalidEventError, TransientError
from harvester.event import Event, decode_event
from harvester.logs import get_logger
from harvester.metrics import SinkMetrics
from harvester.protocols import DeadLetters, Delivery, Letter, letter_id

_PENDING_AGAIN = timedelta(minutes=1)
_LONGEST_PAUSE = 60.0


class BreakerError(HarvesterError):
    """Too many events were refused; nothing of the batch was committed."""


class StoppedError(HarvesterError):
    """Asked to stop while a batch could not be written."""


class _Work(NamedTuple):
    """Events with the bytes they came as, in one order."""

    events: Sequence[Event]
    bodies: Sequence[bytes]
    positions: Sequence[str]


class Processing:
    """What happens to each batch of one sink. `stop` ends every wait."""

    def __init__(
        self,
        sink: Sink,
        letters: DeadLetters,
        stop: asyncio.Event,
        *,
        enrichers: Sequence[Enricher] = (),
        wants: Callable[[Event], bool] | None = None,
        breaker: Breaker | None = None,
        metrics: SinkMetrics | None = None,
        first_pause: float = 1.0,
    ) -> None:
        self._sink = sink
        self._letters = letters
        self._stop = stop
        self._enrichers = enrichers
        self._wants = wants
        self._breaker = breaker or Breaker()
        self._metrics = metrics or SinkMetrics(sink.name)
        self._first_pause = first_pause
        self._log = get_logger("consume").bind(sink=sink.name)

    async def pause(self, seconds: float) -> None:
        """Wait, but not a moment longer than until the stop."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    async def process(self, deliveries: Sequence[Delivery]) -> dict[str, int]:
        """One batch up to the commit; the counts that belong into it."""
        began = time.monotonic()
        work, letters = self._decode(deliveries)
        undecodable = len(letters)
        crash.point("consume.after_receive")
        refused, pending = await self._finish(work)
        if self._breaker.opens(len(work.events) + undecodable, len(refused) + undecodable):
            raise BreakerError(
                f"{self._sink.name}: {len(refused) + undecodable} of {len(deliveries)} events were refused, e.g. "
                f"{(refused or letters)[0].error}; nothing was committed. Mend the cause, or go on with --accept-rejections."
            )
        letters += [*refused, *pending]
        if letters:
            await self._letters.add(letters)
        crash.point("consume.after_write")
        gone = undecodable + len(refused)
        filtered = len(deliveries) - undecodable - len(work.events)
        counts = {
            "consumed": len(deliveries),
            "delivered": len(work.events) - len(refused),
            "filtered": filtered,
            "dead_lettered": gone,
        }
        if pending:
            counts["pending"] = len(pending)
        self._measure(deliveries, work, counts, time.monotonic() - began)
        return counts

    async def repair(self, letters: Sequence[Letter]) -> int:
        """Try due letters again, on the same path as deliveries; how many are done with."""
        again: list[Letter] = []
        events, kept = [], []
        for letter in letters:
            try:
                events.append(decode_event(letter.body))
                kept.append(letter)
            except InvalidEventError as error:
                again.append(self._letter(letter.body, letter.position, "decode", error, event_id=letter.event_id))
        refused, pending = await self._finish(_Work(events, [x.body for x in kept], [x.position for x in kept]))
        again += [*refused, *pending]
        if again:
            await self._letters.add(again)
        open_ids = {letter.id for letter in again}
        done = [letter.id for letter in letters if letter.id not in open_ids]
        await self._letters.remove(done)
        return len(done)

    def _decode(self, deliveries: Sequence[Delivery]) -> tuple[_Work, list[Letter]]:
        events, bodies, positions, letters = [], [], [], []
        for message, position in deliveries:
            try:
                event = decode_event(message.body)
            except InvalidEventError as error:
                letters.append(self._letter(message.body, str(position), "decode", error, key=message.key))
                continue
            if self._wants is None or self._wants(event):
                events.append(event)
                bodies.append(message.body)
                positions.append(str(position))
        return _Work(events, bodies, positions), letters

    async def _finish(self, work: _Work) -> tuple[list[Letter], list[Letter]]:
        """Enrich and write; letters for the refused, and for those written without their enrichment."""
        events = work.events
        for enricher in self._enrichers:
            events = await enricher.enrich(events)
        crash.point("consume.after_enrich")
        rejections = await self._write(events)
        errors = {id(r.event): r.error for r in rejections}
        refused, pending = [], []
        for i, event in enumerate(events):
            if (error := errors.get(id(event))) is not None:
                refused.append(self._letter(work.bodies[i], work.positions[i], "write", error, event_id=event.id, key=event.key))
            elif self._lacking(event):
                due = datetime.now(UTC) + _PENDING_AGAIN
                error = TransientError("written without enrichment: the look-up could not be made")
                pending.append(
                    self._letter(work.bodies[i], work.positions[i], "enrich", error, event_id=event.id, key=event.key, due=due)
                )
        return refused, pending

    def _lacking(self, event: Event) -> bool:
        return any(e.name not in event.context and e.concerns(event) for e in self._enrichers)

    async def _write(self, events: Sequence[Event]) -> list[Rejection]:
        """Returns when each event is durable or refused for good; waits out what passes."""
        refused: list[Rejection] = []
        todo, pause = events, self._first_pause
        while todo:
            try:
                rejections = await self._bisected(todo)
            except TransientError as error:
                self._log.warning("write is tried again", error=str(error), events=len(todo), wait=pause)
                pause = await self._back_off(pause, error)
                continue
            refused += [r for r in rejections if isinstance(r.error, InvalidEventError)]
            busy = [r for r in rejections if isinstance(r.error, TransientError)]
            todo = [r.event for r in busy]
            if busy:
                pause = await self._back_off(pause, busy[0].error)
        return refused

    async def _bisected(self, events: Sequence[Event]) -> list[Rejection]:
        """A batch that is refused whole is halved until the guilty event is alone."""
        try:
            return list(await self._sink.write(events))
        except InvalidEventError as error:
            if len(events) == 1:
                return [Rejection(events[0], error)]
        half = len(events) // 2
        return [*await self._bisected(events[:half]), *await self._bisected(events[half:])]

    async def _back_off(self, pause: float, error: TransientError | InvalidEventError) -> float:
        told = error.retry_after if isinstance(error, TransientError) else None
        await self.pause(told if told is not None else pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
        if self._stop.is_set():
            raise StoppedError(str(error)) from error
        return min(pause * 2, _LONGEST_PAUSE)

    def _letter(
        self,
        body: bytes,
        position: str,
        stage: str,
        error: HarvesterError,
        *,
        event_id: str = "",
        key: str = "",
        due: datetime | None = None,
    ) -> Letter:
        now = datetime.now(UTC)
        return Letter(
            id=letter_id(self._sink.name, event_id, body),
            group=self._sink.name,
            stage=stage,
            reason=error.reason if isinstance(error, InvalidEventError) else "pending",
            error=f"{type(error).__name__}: {error}"[:1024],
            body=body,
            key=key,
            position=position,
            event_id=event_id,
            first=now,
            last=now,
            due=due,
            version=__version__,
        )

    def _measure(self, deliveries: Sequence[Delivery], work: _Work, counts: Mapping[str, int], seconds: float) -> None:
        self._metrics.consumed(counts["consumed"])
        self._metrics.delivered(counts["delivered"])
        self._metrics.filtered(counts["filtered"])
        self._metrics.dead_lettered(counts["dead_lettered"])
        self._metrics.batch(len(deliveries), sum(len(d.message.body) for d in deliveries), seconds)
        if work.events:
            self._metrics.latency((datetime.now(UTC) - work.events[0].time).total_seconds())
