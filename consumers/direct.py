"""Printing: harvest, enrich and write in one process, without a queue between."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from consumers.batch import write_halving
from consumers.protocols import Enricher, Sink
from harvester import __version__
from harvester.errors import InvalidEventError, TransientError
from harvester.event import Event, decode_event
from harvester.protocols import NO_COUNTS, DeadLetters, Letter, Message, letter_id


class DirectQueue:
    """Takes what a source publishes and gives it to a sink at once: published = written. It has no groups and keeps nothing."""

    def __init__(self, sink: Sink, enrichers: Sequence[Enricher], letters: DeadLetters) -> None:
        self.id = sink.name
        self._sink = sink
        self._enrichers = enrichers
        self._letters = letters

    async def publish(self, messages: Sequence[Message], counts: Mapping[str, int] = NO_COUNTS, owner: str = "") -> None:  # noqa: ARG002
        """Returns = written. What the sink refuses becomes a letter; TransientError when it is busy."""
        if not messages:
            return
        events: Sequence[Event] = [decode_event(m.body) for m in messages]
        for enricher in self._enrichers:
            events = await enricher.enrich(events)
        rejections = await write_halving(self._sink, events)
        bodies = {id(event): message.body for event, message in zip(events, messages, strict=True)}
        letters = []
        for event, error in rejections:
            if isinstance(error, TransientError):
                raise error
            letters.append(self._letter(bodies[id(event)], event.id, event.key, error))
        if letters:
            await self._letters.add(letters)

    def _letter(self, body: bytes, event_id: str, key: str, error: InvalidEventError) -> Letter:
        now = datetime.now(UTC)
        return Letter(
            id=letter_id(self._sink.name, event_id, body),
            group=self._sink.name,
            stage="write",
            reason=error.reason,
            error=f"{type(error).__name__}: {error}"[:1024],
            body=body,
            key=key,
            event_id=event_id,
            first=now,
            last=now,
            version=__version__,
        )
