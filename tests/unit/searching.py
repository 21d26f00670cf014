"""A search service in this process, and actions whose recordings it is asked for."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from harvester.errors import HarvesterError
from harvester.event import Event
from harvester.opencast_answers import SEARCH
from tests.useractions import useraction_event


class Body(NamedTuple):
    body: bytes


class Service:
    """A search service in this process. `failing` is raised instead of an answer; `gate` holds answers back."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failing: HarvesterError | None = None
        self.gate: asyncio.Event | None = None
        self.expected, self.arrived = 0, asyncio.Event()
        self.at_once = self.most_at_once = 0
        self.unknown: set[str] = set()

    async def get(self, path_or_url: str, /, *, id: str) -> Body:  # noqa: A002
        assert path_or_url == SEARCH
        self.asked.append(id)
        if len(self.asked) == self.expected:
            self.arrived.set()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.failing is not None:
                raise self.failing
            return Body(found(id) if id not in self.unknown else b'{"search-results": {"total": "0"}}')
        finally:
            self.at_once -= 1


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def found(mpid: str) -> bytes:
    package = {"id": mpid, "title": f"Lecture of {mpid}", "duration": "95000"}
    return msgspec.json.encode({"search-results": {"total": 1, "result": {"id": mpid, "mediapackage": package}}})


def actions(*mpids: str) -> list[Event]:
    return [useraction_event(number, mediapackageId=mpid) for number, mpid in enumerate(mpids, 1)]


def titles(events: Sequence[Event]) -> list[Any]:
    """The titles in the context; None for "nothing to find", ... while pending."""
    contexts = [msgspec.json.decode(event.context["episode"]) if "episode" in event.context else ... for event in events]
    return [context["title"] if isinstance(context, dict) else context for context in contexts]
