"""What a process says of itself: is it alive, is it ready, has it begun. Everything here may be asked for by any thread."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from harvester.endpoints import Reply, Routes, exposition
from harvester.pauses import Pause
from harvester.report import Told, about_me, collect
from harvester.states import Standing, States
from harvester.watchdog import DEAD, Watchdog

State = Literal["starting", "ok", "degraded", "stalled", "stopping"]


class Health:
    """The answers of one daemon."""

    def __init__(self, states: States, dog: Watchdog, stop: asyncio.Event) -> None:
        self._states = states
        self._dog = dog
        self._stop = stop
        self.begun = False
        self.waits_for = "the stores are being opened"
        """What it cannot begin without."""
        self.pauses: Callable[[], Mapping[str, Pause]] = dict
        self.told: Told | None = None
        """What the newest look at queue, books and letters found; None before the first."""

    def routes(self) -> Routes:
        return {
            "/metrics": self.metrics,
            "/livez": lambda _: self.livez(),
            "/readyz": lambda _: self.readyz(),
            "/startupz": lambda _: self.startupz(),
            "/status": lambda _: self.status(),
        }

    def metrics(self, accept: str = "") -> Reply:
        """The metrics, with the states of now."""
        self._states.measure()
        return exposition(accept)

    def livez(self) -> Reply:
        """Whether the event loop turned within the last DEAD seconds. Nothing outside is asked."""
        age = self._dog.age
        if age > DEAD:
            return _words(503, f"the event loop has not turned for {age:.0f} s; the log says where it stands")
        return _words(200, "ok")

    def startupz(self) -> Reply:
        """Whether it has begun: its own stores are open. No vendor and no sink can hold that up."""
        return _words(200, "ok") if self.begun else _words(503, self.waits_for)

    def status(self) -> Reply:
        """What `harvest status --json` says: the states of now, and the numbers of the newest look."""
        if self.told is None:
            return _words(503, self.waits_for)
        told = self.told._replace(standings=self._states.standings(), pauses=self.pauses())
        return Reply(200, msgspec.json.encode(collect(told, process=about_me())))

    def readyz(self) -> Reply:
        """503 only when this process does not work. A vendor or a sink that is away makes it degraded, and no less ready."""
        standings = self._states.standings()
        why, state = "", overall(standings)
        if not self.begun:
            why, state = self.waits_for, "starting"
        elif self._stop.is_set():
            why, state = "what is in flight is finished", "stopping"
        elif self._dog.age > DEAD:
            why, state = "the event loop stands still", "stalled"
        body = {"ready": not why, "state": state, "reason": why, "pid": os.getpid(), "components": standings}
        return Reply(503 if why else 200, msgspec.json.encode(body))


def overall(standings: Sequence[Standing]) -> State:
    """One word for all components."""
    return "degraded" if any(standing.wrong for standing in standings) else "ok"


def _words(status: int, text: str) -> Reply:
    return Reply(status, f"{text}\n".encode(), "text/plain; charset=utf-8")
