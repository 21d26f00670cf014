"""Episodes: what the search service of Opencast knows of the recording that an action is in (opencast.md §2.2, §3.2, §6)."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from typing import Any, Protocol

import msgspec

from consumers.caches.flight import SingleFlight
from consumers.enrichers import with_context
from consumers.fuse import Fuse
from consumers.protocols import Cache
from consumers.records.opencast import Episode, media_package
from consumers.records.opencast_episode import described
from harvester.answers import StatusError
from harvester.errors import PermanentError, TransientError
from harvester.event import Event
from harvester.opencast_answers import SEARCH, hit_of

EXPIRE = timedelta(seconds=900)
IN_FLIGHT = 24
"""Look-ups at once: the search service is asked for one recording at a time, and behind a cold cache for every one there is."""
GLANCE = 1.0
"""Seconds that one batch a pause waits for a service that was too slow, to see whether it still is."""
# Longer than any of Opencast's own (128): such an id was forged, and is not worth a request.
LONGEST_ID = 255
_RECORDING = "opencast.episode"
_REFUSED = (400, 414, 422)
_NOTHING = b"null"
_random = SystemRandom()
_encode = msgspec.json.Encoder().encode


OnLookups = Callable[[str, int], None]
"""Told how many recordings a batch asked for were a hit, negative (known to have nothing), a miss, and then an error."""


class Found(Protocol):
    """An answer of the search service."""

    @property
    def body(self) -> bytes: ...


class Get(Protocol):
    """What of an HTTP client is used: raises TransientError or PermanentError after its own retries."""

    async def get(self, path_or_url: str, /, *, id: str) -> Found: ...  # noqa: A002 - the parameter's name at Opencast


class Episodes:
    """`context["episode"]`: the derived episode, null when the service knows of none. One look-up a recording and `ttl`.

    Who is not patient waits for no service that is away: a fuse sees to that, and a trial is made beside the batches. Nor
    for one that is slow: a look-up has `patience`, all of a batch together three times that, and when it was not enough
    the batches after it go without, but for one a pause that waits for `GLANCE`. What is missing then stays pending.
    `source` is the source whose actions are meant: another Opencast has another enricher.
    """

    name = "episode"

    def __init__(
        self,
        http: Get,
        cache: Cache,
        *,
        source: str = "opencast",
        ttl: timedelta = EXPIRE,
        patience: timedelta = timedelta(seconds=5),
        fuse: Fuse | None = None,
        hurry: Fuse | None = None,
        on_lookups: OnLookups = lambda *_: None,
    ) -> None:
        self._http = http
        self._cache = cache
        self._source = source
        self._ttl = ttl
        self._patience = patience.total_seconds()
        self._fuse = fuse or Fuse(longest=timedelta(seconds=15))  # a trial costs nobody anything
        self._hurry = hurry or Fuse(failures=1)
        """Blown while the service is too slow for batches that others wait behind."""
        self._on_lookups = on_lookups
        self._flights: SingleFlight[bytes | None] = SingleFlight()
        self._turns = asyncio.Semaphore(IN_FLIGHT)
        self._patient_turns = asyncio.Semaphore(IN_FLIGHT // 2)
        self._beside: asyncio.Task[bytes | None] | None = None
        self.lookups = 0
        """Requests made."""

    @property
    def away(self) -> bool:
        """Whether the service did not answer, and it is too early to ask again."""
        return self._fuse.resting

    def concerns(self, event: Event) -> bool:
        """User actions of the source."""
        return event.type == "opencast.useraction" and event.source == self._source

    async def enrich(self, events: Sequence[Event], *, patient: bool = False) -> Sequence[Event]:
        """The events with their episodes. One that names no recording has none; the record function refuses it later.

        A recording that changed is in the cache from then on as it is now.
        """
        if changed := [event for event in events if event.type == _RECORDING and event.source == self._source]:
            await self._renew(changed)
        wanted = [self._mpid(event) for event in events]
        found = await self._find({mpid: None for mpid in wanted if mpid}.keys(), patient=patient)
        found[""] = msgspec.Raw(_NOTHING)
        return [
            event if mpid is None or mpid not in found else with_context(event, self.name, found[mpid])
            for event, mpid in zip(events, wanted, strict=True)
        ]

    def _mpid(self, event: Event) -> str | None:
        """The recording to look up, "" when it names none; None for events to leave alone."""
        if not self.concerns(event) or self.name in event.context:
            return None
        mpid = media_package(event) or ""
        return mpid if len(mpid) <= LONGEST_ID else ""

    async def fresh(self, mpid: str) -> Episode | None:
        """The recording as the service knows it now, None when it knows none, whatever is cached: that is renewed.

        TransientError, PermanentError: it could not be asked.
        """
        value = await self._ask(mpid)
        await self._cache.set_many({self._key(mpid): value}, self._ttl)
        return msgspec.json.decode(value, type=Episode | None)

    async def _renew(self, changed: Sequence[Event]) -> None:
        """Keep what recordings are now for as long as a look-up of that moment would be kept; older ones are left out."""
        now, items = datetime.now(UTC), dict[str, bytes]()
        left = self._ttl
        for event in sorted(changed, key=lambda event: event.version):
            remaining = self._ttl - (now - event.read_at)
            value = _told(event)
            if value is not None and remaining > timedelta():
                items[self._key(event.subject)] = value
                left = min(left, remaining)
        if items:
            await self._cache.set_many(items, left)

    async def end(self) -> None:
        """Leave no request behind."""
        if self._beside is not None:
            self._beside.cancel()
            await asyncio.wait([self._beside])

    async def _find(self, mpids: Collection[str], *, patient: bool) -> dict[str, msgspec.Raw]:
        """What is known or can be learnt now; recordings that cannot be looked up are left out."""
        cached = await self._cache.get_many([self._key(mpid) for mpid in mpids]) if mpids else []
        values = dict(zip(mpids, cached, strict=True))
        missing = [mpid for mpid, value in values.items() if value is None]
        known = len(values) - len(missing)
        nothing = sum(value == _NOTHING for value in values.values())
        self._tell(hit=known - nothing, negative=nothing, miss=len(missing))
        if missing:
            values.update(await (self._patiently(missing) if patient else self._quickly(missing)))
            self._tell(error=sum(value is None for value in values.values()))
        return {mpid: msgspec.Raw(value) for mpid, value in values.items() if value is not None}

    def _tell(self, **results: int) -> None:
        for result, amount in results.items():
            if amount:
                self._on_lookups(result, amount)

    async def _patiently(self, mpids: Sequence[str]) -> dict[str, bytes | None]:
        """Those that are found in a minute or so: what is found is written then, and the rest need not be asked again for it.

        In half of the turns, so that who is in a hurry finds one.
        """

        async def one(mpid: str) -> bytes | None:
            async with self._patient_turns:
                return await self._flights.run(mpid, self._look_up_patiently)

        return await _found_within(12 * self._patience, {mpid: one(mpid) for mpid in mpids})

    async def _quickly(self, mpids: Sequence[str]) -> dict[str, bytes | None]:
        """Those that are found in the time there is."""
        if self._fuse.blown:
            self._try_beside(_random.choice(mpids))
            return {}
        again = self._hurry.blown
        if not self._hurry.allows():
            return {}
        flights = {mpid: self._flights.run(mpid, self._look_up) for mpid in mpids}
        found = await _found_within(GLANCE if again else 3 * self._patience, flights)
        if len(found) < len(mpids):
            self._hurry.failed()
        elif not self._fuse.blown:
            self._hurry.succeeded()
        return found

    def _try_beside(self, mpid: str) -> None:
        """The trial of a blown fuse, when it is time for one: no batch waits for it."""
        if not self._fuse.resting and (self._beside is None or self._beside.done()):
            self._beside = asyncio.create_task(self._flights.run(mpid, self._look_up_patiently))

    def _key(self, mpid: str) -> str:
        return f"episode/1/{self._source}/{mpid}"

    async def _look_up_patiently(self, mpid: str) -> bytes | None:
        return await self._look_up(mpid, patience=6 * self._patience)

    async def _look_up(self, mpid: str, patience: float | None = None) -> bytes | None:
        """The episode as it is cached, b"null" for none, None when the service is away."""
        async with self._turns:
            if not self._fuse.allows():
                return None
            self.lookups += 1
            try:
                async with asyncio.timeout(self._patience if patience is None else patience):
                    value = await self._ask(mpid)
            except TimeoutError:
                self._fuse.failed()
                self._hurry.failed()
                return None
            except (TransientError, PermanentError):
                self._fuse.failed()
                return None
            self._fuse.succeeded()
        # Misses are kept like hits: recordings of one batch do not all expire in the same second.
        await self._cache.set_many({self._key(mpid): value}, self._ttl * _random.uniform(0.9, 1.1))
        return value

    async def _ask(self, mpid: str) -> bytes:
        try:
            answer = await self._http.get(SEARCH, id=mpid)
        except StatusError as error:
            if error.status in _REFUSED:  # it is the id that is refused; the service is there
                return _NOTHING
            raise
        return _encode(derived(answer.body, mpid))


async def _found_within(seconds: float, flights: Mapping[str, Coroutine[Any, Any, bytes | None]]) -> dict[str, bytes | None]:
    """What has landed by then; the rest is given up."""
    tasks = {mpid: asyncio.create_task(flight) for mpid, flight in flights.items()}
    late = set(tasks.values())
    try:
        _, late = await asyncio.wait(late, timeout=seconds)
    finally:
        for task in late:
            task.cancel()
    if late:
        await asyncio.wait(late)
    return {mpid: task.result() for mpid, task in tasks.items() if task not in late}


def _told(event: Event) -> bytes | None:
    """The episode that the event of a recording tells, as it is cached; None when it tells none that can be read."""
    try:
        data = msgspec.json.decode(event.data)
        return _NOTHING if "deleted" in data else _encode(described(data["search"]))
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None


def derived(body: bytes, mpid: str) -> Episode | None:
    """The episode from an answer of any Opencast (§3.2).

    None when nothing there is the recording `mpid`. TransientError when it is no search result at all.
    """
    hit = hit_of(body, mpid)
    return None if hit is None else described(msgspec.json.decode(hit))
