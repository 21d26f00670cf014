"""One batch on its way through a sink: decode → enrich → write → dead-letter. Everything but the position."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from consumers.breaker import Breaker
from consumers.letters import NOT_ENRICHED, again_at, letter_of
from consumers.protocols import Counting, Enricher, Rejection, Sink
from harvester import crash, traces
from harvester.errors import HarvesterError, InvalidEventError, PermanentError, TransientError
from harvester.event import Event, decode_event
from harvester.logs import get_logger
from harvester.metrics import SinkMetrics
from harvester.protocols import DeadLetters, Delivery, Letter
from harvester.retry import TOLD_CAP

_LONGEST_PAUSE = 60.0
_TRIES = 3
"""How often a batch is tried before an exception that nobody named counts as the fault of one of its events."""


class BreakerError(HarvesterError):
    """Too many events were refused; nothing of the batch was committed."""


class StoppedError(HarvesterError):
    """Asked to stop while a batch could not be written."""


class Repaired(NamedTuple):
    """What became of due letters."""

    done: int
    pending: int
    """Written without their enrichment once more."""


class _Work(NamedTuple):
    """Events with the bytes they came as, in one order."""

    events: Sequence[Event]
    bodies: Sequence[bytes]
    positions: Sequence[int | str]
    attempts: Sequence[int] = ()
    """How often each was tried before; of due letters alone, which can wait for their enrichment."""

    def halves(self) -> Sequence["_Work"]:
        half = len(self.events) // 2
        cuts = (slice(half), slice(half, None))
        return [_Work(self.events[c], self.bodies[c], self.positions[c], self.attempts[c]) for c in cuts]


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
        on_wait: Callable[[Exception, float], None] = lambda *_: None,
    ) -> None:
        self._sink = sink
        self._letters = letters
        self._stop = stop
        self._enrichers = enrichers
        self._wants = wants
        self._breaker = breaker or Breaker()
        self.metrics = metrics or SinkMetrics(sink.name)
        self._first_pause = first_pause
        self.on_wait = on_wait
        """Told of what is waited out, the breaker too, and for how many seconds."""
        self._told_pending = False
        self._log = get_logger("consume").bind(sink=sink.name)

    async def pause(self, seconds: float) -> None:
        """Wait, but not a moment longer than until the stop."""
        # Not wait_for: Python 3.11's forgets a cancellation that comes together with the stop.
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
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
            self._tell_pending(len(pending))
        self._measure(deliveries, work, counts, time.monotonic() - began)
        return counts

    @property
    def away(self) -> bool:
        """Whether a service of an enricher does not answer: no use to try what is pending."""
        return any(enricher.away for enricher in self._enrichers)

    async def repair(self, letters: Sequence[Letter]) -> Repaired:
        """Try due letters again, on the same path as deliveries. The breaker does not hear of them: a person asked for it."""
        again: list[Letter] = []
        events, kept = [], []
        for letter in letters:
            try:
                events.append(decode_event(letter.body))
                kept.append(letter)
            except InvalidEventError as error:
                again.append(
                    letter_of(self._sink.name, letter.body, "decode", error, position=letter.position, event_id=letter.event_id)
                )
        work = _Work(events, [x.body for x in kept], [x.position for x in kept], [x.attempts for x in kept])
        refused, pending = await self._finish(work)
        again += [*refused, *pending]
        if again:
            await self._letters.add(again)
        open_ids = {letter.id for letter in again}
        done = [letter for letter in letters if letter.id not in open_ids]
        if done:
            await self._letters.finish(done)
        self.metrics.repaired(len(done))
        if self._told_pending and done and not pending:
            self._told_pending = False
            self._log.info("what is pending is being completed", letters=len(done))
        return Repaired(len(done), len(pending))

    def _tell_pending(self, events: int) -> None:
        """Once, until some of it is repaired."""
        if not self._told_pending:
            self._told_pending = True
            self._log.warning(
                "events are written without their enrichment, which is made later by itself",
                events=events,
                next=f"harvest dead-letters list --group {self._sink.name} --reason pending",
            )

    def _decode(self, deliveries: Sequence[Delivery]) -> tuple[_Work, list[Letter]]:
        events: list[Event] = []
        bodies: list[bytes] = []
        positions: list[int | str] = []
        letters: list[Letter] = []
        wants = self._wants
        for (key, body, _), position in deliveries:
            try:
                event = decode_event(body)
            except InvalidEventError as error:
                letters.append(letter_of(self._sink.name, body, "decode", error, position=position, key=key))
                continue
            if wants is None or wants(event):
                events.append(event)
                bodies.append(body)
                positions.append(position)
        return _Work(events, bodies, positions), letters

    async def _finish(self, work: _Work, tries: int = _TRIES) -> tuple[list[Letter], list[Letter]]:
        """Enrich and write; letters for the refused, and for those written without their enrichment.

        An exception that nobody named is tried again, then the batch is halved until the event that causes it is alone (F34).
        """
        pause = self._first_pause
        for left in reversed(range(tries)):
            try:
                return await self._through(work)
            except (HarvesterError, OSError):
                raise
            except Exception as error:  # noqa: BLE001 - a poison event may raise anything
                self._log.exception("a batch failed", error=str(error), events=len(work.events), tries_left=left)
                if left:
                    pause = await self._back_off(pause, error)
                elif len(work.events) == 1:
                    guilty = InvalidEventError(f"{type(error).__name__}: {error}", reason="exception")
                    return [self._letter(work, 0, "write", guilty)], []
        refused, pending = [], []
        for half in work.halves():
            more_refused, more_pending = await self._finish(half, 1)
            refused += more_refused
            pending += more_pending
        return refused, pending

    async def _through(self, work: _Work) -> tuple[list[Letter], list[Letter]]:
        events = work.events
        for enricher in self._enrichers:
            events = await enricher.enrich(events, patient=bool(work.attempts))
            if len(events) != len(work.events):
                raise PermanentError(f"enricher {enricher.name} was given {len(work.events)} events and gave back {len(events)}")
        crash.point("consume.after_enrich")
        rejections = await self._write(events)
        errors = {id(r.event): r.error for r in rejections}
        refused, pending = [], []
        for i in self._unfinished(events, errors):
            if (error := errors.get(id(events[i]))) is not None:
                refused.append(self._letter(work, i, "write", error))
            else:
                due = again_at(work.attempts[i] if work.attempts else 0)
                pending.append(self._letter(work, i, "enrich", NOT_ENRICHED, due=due))
        return refused, pending

    def _unfinished(self, events: Sequence[Event], errors: Mapping[int, object]) -> Sequence[int]:
        """Where events are that were refused, or written without what an enricher should have added."""
        found = {i for i, event in enumerate(events) if id(event) in errors} if errors else set()
        for enricher in self._enrichers:
            name, concerns = enricher.name, enricher.concerns
            found.update(i for i, event in enumerate(events) if name not in event.context and concerns(event))
        return sorted(found)

    async def _write(self, events: Sequence[Event]) -> list[Rejection]:
        """Returns when each event is durable or refused for good; waits out what passes."""
        refused: list[Rejection] = []
        todo, pause = events, self._first_pause
        while todo:
            try:
                with traces.span("index", "client", {"harvester.sink": self._sink.name, "db.operation.batch.size": len(todo)}):
                    rejections = await write_halving(self._sink, todo)
            except TransientError as error:
                self._log.warning("write is tried again", error=str(error), events=len(todo), wait=pause)
                pause = await self._back_off(pause, error)
                continue
            refused += [r for r in rejections if isinstance(r.error, InvalidEventError)]
            busy = [r for r in rejections if isinstance(r.error, TransientError)]
            todo = [r.event for r in busy]
            if busy:
                longest = max((r.error for r in busy), key=_told)
                self._log.warning("write is tried again", error=str(longest), events=len(todo), wait=pause)
                pause = await self._back_off(pause, longest)
        return refused

    async def _back_off(self, pause: float, error: Exception) -> float:
        _let_go(error)
        seconds = _told(error) or pause * random.uniform(0.5, 1)  # noqa: S311 - jitter
        self.on_wait(error, seconds)
        await self.pause(seconds)
        if self._stop.is_set():
            raise StoppedError(str(error)) from error
        return min(pause * 2, _LONGEST_PAUSE)

    def _letter(self, work: _Work, i: int, stage: str, error: HarvesterError, *, due: datetime | None = None) -> Letter:
        event, body, position = work.events[i], work.bodies[i], work.positions[i]
        return letter_of(self._sink.name, body, stage, error, position=position, event_id=event.id, key=event.key, due=due)

    def _measure(self, deliveries: Sequence[Delivery], work: _Work, counts: Mapping[str, int], seconds: float) -> None:
        self.metrics.consumed(counts["consumed"])
        self.metrics.delivered(counts["delivered"])
        self.metrics.filtered(counts["filtered"])
        self.metrics.dead_lettered(counts["dead_lettered"])
        self.metrics.pending(counts.get("pending", 0))
        if isinstance(self._sink, Counting):
            self.metrics.duplicate(self._sink.duplicates())
        self.metrics.batch(len(deliveries), sum([len(d[0].body) for d in deliveries]), seconds)
        if work.events:
            self.metrics.latency((datetime.now(UTC) - work.events[0].time).total_seconds())


async def write_halving(sink: Sink, events: Sequence[Event]) -> list[Rejection]:
    """Write; a batch that is refused whole is halved until the guilty event is alone."""
    try:
        rejections = list(await sink.write(events))
    except InvalidEventError as error:
        if len(events) == 1:
            return [Rejection(events[0], error)]
        half = len(events) // 2
        return [*await write_halving(sink, events[:half]), *await write_halving(sink, events[half:])]
    if rejections and not {id(r.event) for r in rejections} <= {id(e) for e in events}:
        # Taken for written, it would be lost.
        raise PermanentError(f"{sink.name}: an event was rejected that it was not given")
    return rejections


def _let_go(error: BaseException | None) -> None:
    """Of what the calls that ended in `error` were working on: whole requests, which would be held as long as it is."""
    while error is not None:
        # Not clear_frames: an error that several batches met has their frames, too, and those that wait would be closed.
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _told(error: Exception) -> float:
    """Seconds that the other side asked to wait; 0 is no answer: obeying it would be a storm without end."""
    return min(error.retry_after or 0.0, TOLD_CAP) if isinstance(error, TransientError) else 0.0
