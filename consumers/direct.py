"""Printing: harvest, enrich and write in one process, without a queue between."""

from collections.abc import Mapping, Sequence

from consumers.letters import letter_of
from consumers.protocols import Enricher, Sink
from consumers.writing import write_halving
from harvester.errors import TransientError
from harvester.event import Event, decode_event
from harvester.protocols import NO_COUNTS, DeadLetters, Message


class DirectQueue:
    """Takes what a source publishes and gives it to a sink at once: published = written. It has no groups and keeps nothing."""

    def __init__(self, sink: Sink, enrichers: Sequence[Enricher], letters: DeadLetters) -> None:
        self.id = sink.name
        self._sink = sink
        self._enrichers = enrichers
        self._letters = letters
        self.refused: list[str] = []
        """Keys of the events that became letters."""

    async def publish(self, messages: Sequence[Message], counts: Mapping[str, int] = NO_COUNTS, owner: str = "") -> None:  # noqa: ARG002
        """Returns = written. What the sink refuses becomes a letter; TransientError when it is busy."""
        if not messages:
            return
        events: Sequence[Event] = [decode_event(m.body) for m in messages]
        for enricher in self._enrichers:
            events = await enricher.enrich(events, patient=True)  # what is printed is not repaired later
        rejections = await write_halving(self._sink, events)
        bodies = {id(event): message.body for event, message in zip(events, messages, strict=True)}
        letters = []
        for event, error in rejections:
            if isinstance(error, TransientError):
                raise error
            body = bodies[id(event)]
            letters.append(letter_of(self._sink.name, body, "write", error, event_id=event.id, key=event.key))
        if letters:
            await self._letters.add(letters)
            self.refused += [letter.key for letter in letters]
