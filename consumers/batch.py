"""One batch on its way through a sink: decode → enrich → write → dead-letter. Everything but the position."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from consumers.breaker import Breaker
from consumers.deaths import Deaths
from consumers.letters import NOT_ENRICHED, again_at, killer_again, killer_letter, letter_of
from consumers.protocols import NO_TEMPLATE, Counting, Enricher, Sink
from consumers.writing import Patience, write_patiently
from harvester import crash
from harvester.coverage import EPOCH
from harvester.errors import HarvesterError, InvalidEventError, PermanentError
from harvester.event import Event, decode_event
from harvester.logs import get_logger
from harvester.metrics import SinkMetrics
from harvester.protocols import DeadLetters, Delivery, Letter

_SKEW = timedelta(hours=1)
_TRIES = 3
"""How often a batch is tried before an exception that nobody named counts as the fault of one of its events."""


class BreakerError(HarvesterError):
    """Too many events were refused; nothing of the batch was committed."""


class Repaired(NamedTuple):
    """What became of due letters."""

    done: int
    pending: int
    """Written without their enrichment once more."""


class _Worked(NamedTuple):
    """What became of deliveries, the position apart."""

    events: int = 0
    """That a sink wants, and that could be decoded."""
    oldest: datetime | None = None
    dead: Sequence[Letter] = ()
    """Of what never came to the sink: undecodable, or known to kill."""
    refused: Sequence[Letter] = ()
    pending: Sequence[Letter] = ()


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
        deaths: Deaths | None = None,
        metrics: SinkMetrics | None = None,
        first_pause: float = 1.0,
        on_wait: Callable[[Exception, float], None] = lambda *_: None,
    ) -> None:
        self._sink = sink
        self._letters = letters
        self._enrichers = enrichers
        self._wants = wants
        self._breaker = breaker or Breaker()
        self.deaths = deaths or Deaths()
        self.metrics = metrics or SinkMetrics(sink.name)
        self.metrics.deaths(self.deaths.times)
        self.on_wait = on_wait
        """Told of what is waited out, the breaker too, and for how many seconds."""
        self.patience = Patience(stop, self.deaths, first_pause=first_pause, on_wait=on_wait)
        self._told_pending = False
        self._log = get_logger("consume").bind(sink=sink.name)

    async def process(self, deliveries: Sequence[Delivery]) -> dict[str, int]:
        """One batch up to the commit; the counts that belong into it."""
        began = time.monotonic()
        keys = [position for _, position in deliveries]
        parts = await self.deaths.each(keys, lambda cut: self._worked(deliveries[cut]), lambda i: self._killer(deliveries[i]))
        done = parts[0] if len(parts) == 1 else _joined(parts)
        gone = len(done.dead) + len(done.refused)
        without = sum(letter.reason == NO_TEMPLATE for letter in done.refused)
        if self._breaker.opens(done.events + len(done.dead) - without, gone - without):
            raise BreakerError(
                f"{self._sink.name}: {gone} of {len(deliveries)} events were refused, e.g. "
                f"{(done.refused or done.dead)[0].error}; nothing was committed. Mend the cause, or go on with "
                f"--accept-rejections."
            )
        letters = [*done.dead, *done.refused, *done.pending]
        if letters:
            await self._letters.add(letters)
        crash.point("consume.after_write")
        counts = {
            "consumed": len(deliveries),
            "delivered": done.events - len(done.refused),
            "filtered": len(deliveries) - len(done.dead) - done.events,
            "dead_lettered": gone,
        }
        if done.pending:
            counts["pending"] = len(done.pending)
            self._tell_pending(len(done.pending))
        self._measure(deliveries, done.oldest, counts, time.monotonic() - began)
        return counts

    async def _worked(self, deliveries: Sequence[Delivery]) -> _Worked:
        work, undecodable = self._decode(deliveries)
        crash.point("consume.after_receive")
        oldest = _became(work.events[0]) if work.events else None
        return _Worked(len(work.events), oldest, undecodable, *await self._finish(work))

    async def _killer(self, delivery: Delivery) -> _Worked:
        self._log.error(
            "an event kills the process: it becomes a dead letter",
            position=str(delivery.position),
            key=delivery.message.key,
            next=f"harvest dead-letters list --group {self._sink.name} --reason killed",
        )
        return _Worked(dead=[killer_letter(self._sink.name, delivery)])

    @property
    def away(self) -> bool:
        """Whether a service of an enricher does not answer: no use to try what is pending."""
        return any(enricher.away for enricher in self._enrichers)

    async def repair(self, letters: Sequence[Letter]) -> Repaired:
        """Try due letters again, on the same path as deliveries. The breaker does not hear of them: a person asked for it."""
        ids = [letter.id for letter in letters]
        parts = await self.deaths.each(ids, lambda cut: self._repaired(letters[cut]), lambda i: self._kept(letters[i]))
        done, pending = (sum(amounts) for amounts in zip(*parts, strict=True))
        self.metrics.repaired(done)
        if self._told_pending and done and not pending:
            self._told_pending = False
            self._log.info("what is pending is being completed", letters=done)
        return Repaired(done, pending)

    async def _kept(self, letter: Letter) -> Repaired:
        """It kills the process: it waits for a person again."""
        await self._letters.add([killer_again(letter)])
        self.deaths.acquit(letter.id)
        return Repaired(0, 0)

    async def _repaired(self, letters: Sequence[Letter]) -> Repaired:
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
        pause = self.patience.first_pause
        for left in reversed(range(tries)):
            try:
                return await self._through(work)
            except (HarvesterError, OSError):
                raise
            except Exception as error:  # noqa: BLE001 - a poison event may raise anything
                self._log.exception("a batch failed", error=str(error), events=len(work.events), tries_left=left)
                if left:
                    pause = await self.patience.back_off(pause, error)
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
        rejections = await write_patiently(self._sink, events, self.patience, self._log)
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

    def _letter(self, work: _Work, i: int, stage: str, error: HarvesterError, *, due: datetime | None = None) -> Letter:
        event, body, position = work.events[i], work.bodies[i], work.positions[i]
        return letter_of(self._sink.name, body, stage, error, position=position, event_id=event.id, key=event.key, due=due)

    def _measure(
        self, deliveries: Sequence[Delivery], oldest: datetime | None, counts: Mapping[str, int], seconds: float
    ) -> None:
        self.metrics.consumed(counts["consumed"])
        self.metrics.delivered(counts["delivered"])
        self.metrics.filtered(counts["filtered"])
        self.metrics.dead_lettered(counts["dead_lettered"])
        self.metrics.pending(counts.get("pending", 0))
        if isinstance(self._sink, Counting):
            self.metrics.duplicate(self._sink.duplicates())
        self.metrics.batch(len(deliveries), sum([len(d[0].body) for d in deliveries]), seconds)
        if oldest:
            self.metrics.latency((datetime.now(UTC) - oldest).total_seconds())


def _became(event: Event) -> datetime:
    """When this state of a thing came to be: by its version where that is a time, as a change has one, else when it happened."""
    try:
        changed = EPOCH + timedelta(milliseconds=event.version)
    except OverflowError:
        return event.time
    return changed if event.time < changed < event.read_at + _SKEW else event.time


def _joined(parts: Sequence[_Worked]) -> _Worked:
    return _Worked(
        sum(part.events for part in parts),
        next((part.oldest for part in parts if part.oldest), None),
        [letter for part in parts for letter in part.dead],
        [letter for part in parts for letter in part.refused],
        [letter for part in parts for letter in part.pending],
    )
