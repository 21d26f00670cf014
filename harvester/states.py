"""States: how each part of a process is, since when, and why. /readyz, /status, the metrics and the logs all read it here.

A source (`opencast`), each of its streams (`opencast/useractions`) and a sink (`duckdb`) are components. A component that dies
FATAL_DEATHS times within DEATHS_WITHIN seconds is in a crash loop: *degraded* until so many deaths lie further back.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from harvester import metrics
from harvester.errors import ConfigError, PermanentError, RefusedError, TransientError
from harvester.logs import get_logger

State = Literal["paused", "standby", "running", "starting", "waiting", "degraded", "stopped"]
Kind = Literal["source", "stream", "sink"]
SEVERITY: Mapping[State, int] = {
    "paused": 0,
    "standby": 1,
    "running": 2,
    "starting": 3,
    "waiting": 4,
    "degraded": 5,
    "stopped": 6,
}
"""From what somebody wanted to what only somebody can mend."""
FATAL_DEATHS = 5
DEATHS_WITHIN = 600.0
_REASON = 500
_STAGES: Mapping[Kind, str] = {"source": "read", "stream": "read", "sink": "consume"}

Clock = Callable[[], float]
Wall = Callable[[], datetime]


def wall_clock() -> datetime:
    """This host's now."""
    return datetime.now(UTC)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a component is at one moment."""

    name: str
    kind: Kind
    state: State
    since: datetime
    reason: str = ""
    """Why it is not running; "" when it is."""
    until: datetime | None = None
    """When it tries again, if that is known."""
    last_success: datetime | None = None
    """When it last finished something: a window, a commit."""
    deaths: int = 0
    """How often it died within the last ten minutes."""
    breaker: bool = False
    """Whether too many refusals stopped the sink."""

    @property
    def wrong(self) -> bool:
        return SEVERITY[self.state] >= SEVERITY["waiting"]


class _Now(NamedTuple):
    state: State
    since: datetime
    reason: str
    breaker: bool = False
    until: datetime | None = None


class Component:
    """One component of this process. Told by the loop's thread; `standing` may be asked for by any."""

    def __init__(self, name: str, kind: Kind, clock: Clock = time.monotonic, wall: Wall = wall_clock) -> None:
        self.name = name
        self.kind = kind
        self._clock = clock
        self._wall = wall
        self._now = _Now("starting", wall(), "")
        self._success: datetime | None = None
        self._deaths: deque[float] = deque(maxlen=100)
        self._log = get_logger("service").bind(component=name)
        self._told = False

    def running(self) -> None:
        """It works now."""
        self._be("running")

    def worked(self) -> None:
        """It works, and has just finished something."""
        self._success = self._wall()
        self.running()

    def waiting(self, reason: object, *, seconds: float | None = None, breaker: bool = False) -> None:
        """Something is away or busy; it tries again by itself, in so many seconds if that is known."""
        self._be("waiting", str(reason), breaker=breaker, seconds=seconds)

    def starting(self) -> None:
        """It begins anew, on somebody's word."""
        self._be("starting")

    def standing_by(self, reason: str) -> None:
        """Another process does it now; this one takes over when that ends."""
        self._be("standby", reason)

    def paused(self, reason: str) -> None:
        """Somebody paused it."""
        self._be("paused", reason)

    def failed(self, error: BaseException, *, seconds: float | None = None) -> None:
        """Its task ended by this error and is started anew in so many seconds; what nobody foresaw counts as a death."""
        metrics.error(_STAGES[self.kind], error)
        if isinstance(error, PermanentError | ConfigError | RefusedError):
            self._be("stopped", str(error), seconds=seconds)
            return
        if not isinstance(error, TransientError):
            self._deaths.append(self._clock())
            self.waiting(f"died: {type(error).__name__}: {error}", seconds=seconds)
            self.refresh()
            return
        self.waiting(error, seconds=seconds)

    def standing(self) -> Standing:
        """How it is now."""
        now, deaths = self._now, self._recent()
        state: State = now.state
        if deaths >= FATAL_DEATHS and SEVERITY[state] < SEVERITY["stopped"] and state != "paused":
            state = "degraded"
        reason = f"died {deaths} times in {DEATHS_WITHIN / 60:.0f} minutes; {now.reason}" if state == "degraded" else now.reason
        return Standing(
            name=self.name,
            kind=self.kind,
            state=state,
            since=now.since,
            reason=reason.rstrip("; "),
            until=now.until,
            last_success=self._success,
            deaths=deaths,
            breaker=now.breaker,
        )

    def refresh(self) -> None:
        """Say once that a crash loop began or is over."""
        looping = self._recent() >= FATAL_DEATHS
        if looping and not self._told:
            self._log.error("degraded: it dies again and again; the others go on", deaths=self._recent(), reason=self._now.reason)
        elif self._told and not looping:
            self._log.info("no longer degraded", state=self._now.state)
        self._told = looping

    def _recent(self) -> int:
        since = self._clock() - DEATHS_WITHIN
        return sum(1 for death in tuple(self._deaths) if death > since)

    def _be(self, state: State, reason: str = "", *, breaker: bool = False, seconds: float | None = None) -> None:
        until = None if seconds is None else self._wall() + timedelta(seconds=seconds)
        since = self._now.since if state == self._now.state else self._wall()
        # One assignment: another thread sees the old or the new, never a half of each.
        self._now = _Now(state, since, " ".join(reason.split())[:_REASON], breaker, until)


class States:
    """All components of this process."""

    def __init__(self, clock: Clock = time.monotonic, wall: Wall = wall_clock) -> None:
        self._clock = clock
        self._wall = wall
        self._components: dict[str, Component] = {}

    def component(self, name: str, kind: Kind) -> Component:
        """The component of that name, made at the first call."""
        if name not in self._components:
            self._components[name] = Component(name, kind, self._clock, self._wall)
        return self._components[name]

    def of(self, source: str) -> Sequence[Component]:
        """A source and its streams."""
        return [c for name, c in tuple(self._components.items()) if name == source or name.startswith(f"{source}/")]

    def forget(self, name: str) -> None:
        """There is no such component any more."""
        self._components.pop(name, None)

    def standings(self) -> Sequence[Standing]:
        return [component.standing() for component in tuple(self._components.values())]

    def refresh(self) -> None:
        """To be called every few seconds: crash loops end by time alone."""
        for component in tuple(self._components.values()):
            component.refresh()
        self.measure()

    def measure(self) -> None:
        """Tell the metrics how each is now. May be called by any thread."""
        found = self.standings()
        for name, state in worst(found).items():
            metrics.source_state(name, state)
        for standing in found:
            if standing.kind == "sink":
                metrics.sink_state(standing.name, standing.state)


def worst(standings: Sequence[Standing]) -> Mapping[str, State]:
    """Source → the worst state that it or one of its streams is in."""
    found: dict[str, State] = {}
    for standing in standings:
        if standing.kind != "sink":
            source = standing.name.partition("/")[0]
            found[source] = max(found.get(source, "paused"), standing.state, key=SEVERITY.__getitem__)
    return found
