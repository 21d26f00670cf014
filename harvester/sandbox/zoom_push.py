"""Pushes events to a webhook as Zoom does: validated first, signed, out of order, and again after 5, 20 and 60 minutes.

All times are the sandbox's: who stands its clock still moves it and says `deliver`.
"""

import asyncio
import heapq
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Literal, NamedTuple, Protocol

import aiohttp
import msgspec
from aiohttp import web

from harvester.sandbox.clock import SandboxClock, milliseconds
from harvester.sandbox.dice import share
from harvester.sandbox.zoom_account import Account, Moment
from harvester.sandbox.zoom_notices import body_of, encrypted, notices, signed
from harvester.sandbox.zoom_settings import ZoomSandboxSettings

RETRIES = (300_000, 1_200_000, 3_600_000)
"""How long after the last attempt the next is, ms; after the last one the event is lost."""
VALIDITY = 72 * 3_600_000
"""An address is validated anew when so much time has passed, ms."""
_PATIENCE = 3.0
_DELAY = 20_000
_STALE = 3600
_PACE = 0.2

Attack = Literal["forged", "altered", "replayed", "stale"]
"""A wrong signature; a body changed after it was signed; the last accepted request again; rightly signed, an hour ago."""


class Pushing(Protocol):
    """What events are taken from."""

    settings: ZoomSandboxSettings
    account: Account
    clock: SandboxClock

    def moment(self) -> Moment: ...


class Parcel(NamedTuple):
    """An event on its way."""

    due: int
    nth: int
    body: bytes
    attempts: int = 0


class _Validated(msgspec.Struct):
    plainToken: str = ""  # noqa: N815 -- the vendor's name
    encryptedToken: str = ""  # noqa: N815


class Pusher:
    def __init__(self, sandbox: Pushing) -> None:
        self._sandbox = sandbox
        self.url = sandbox.settings.webhook_url
        self.secret = sandbox.settings.webhook_secret
        self.counts: Counter[str] = Counter()
        """accepted, refused (attempts), lost (all attempts), unsent (while no address was valid), validated, invalid."""
        self._validated: int | None = None
        self._told = sandbox.moment().now
        self._parcels: list[Parcel] = []
        self._made = 0
        self._last: tuple[bytes, dict[str, str]] | None = None
        self._turn = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    @property
    def waiting(self) -> int:
        """Events on their way."""
        return len(self._parcels)

    @property
    def valid(self) -> bool:
        return self._validated is not None

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """Pushes while the application runs."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE)) as self._session:
            work = asyncio.create_task(self._push_for_ever())
            yield
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    async def _push_for_ever(self) -> None:
        while True:
            if self.url:
                await self.deliver()
            await asyncio.sleep(_PACE if self.valid else 5 * _PACE)

    async def address(self, url: str, secret: str | None) -> None:
        """Push there from now on, if it can be validated."""
        async with self._turn:
            self.url, self.secret = url, self.secret if secret is None else secret
            self._validated, self._parcels, self._told = None, [], self._sandbox.moment().now
        await self.deliver()

    async def deliver(self) -> None:
        """Send everything that is due by now, one after another."""
        async with self._turn:
            now = self._sandbox.moment().now
            if self.url and (self._validated is None or now - self._validated >= VALIDITY):
                self._validated = now if await self._validate() else None
            self._collect(now)
            while self._parcels and self._parcels[0].due <= now:
                await self._send(heapq.heappop(self._parcels), now)

    def _collect(self, now: int) -> None:
        """Put what happened since on its way, with a delay each, so that the order is lost."""
        settings, moment = self._sandbox.settings, self._sandbox.moment()._replace(now=now)
        happened = notices(self._sandbox.account, self._told, moment)
        self._told = max(self._told, now)
        if not self.valid:
            self.counts["unsent"] += len(happened)
            return
        for notice in happened:
            body = body_of(notice, account_id=settings.account_id, hipaa=settings.hipaa)
            self._made += 1
            delay = int(share(settings.seed, "push", body) ** 3 * _DELAY)
            heapq.heappush(self._parcels, Parcel(notice.at + delay, self._made, body))

    async def _send(self, parcel: Parcel, now: int) -> None:
        headers = signed(self.secret, now // 1000, parcel.body)
        status = await self._post(parcel.body, headers)
        if status in {200, 204}:
            self.counts["accepted"] += 1
            self._last = (parcel.body, headers)
            return
        self.counts["refused"] += 1
        if parcel.attempts == len(RETRIES):
            self.counts["lost"] += 1
            return
        heapq.heappush(self._parcels, parcel._replace(due=now + RETRIES[parcel.attempts], attempts=parcel.attempts + 1))

    async def _validate(self) -> bool:
        now = milliseconds(self._sandbox.clock.now())
        plain = f"plain-{now}"
        body = msgspec.json.encode({"event": "endpoint.url_validation", "event_ts": now, "payload": {"plainToken": plain}})
        answer = _Validated()
        with suppress(aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
            async with self._client.post(self.url, data=body, headers=signed(self.secret, now // 1000, body)) as response:
                if response.status == 200:
                    answer = msgspec.json.decode(await response.read(), type=_Validated)
        right = answer.plainToken == plain and answer.encryptedToken == encrypted(self.secret, plain)
        self.counts["validated" if right else "invalid"] += 1
        return right

    async def attack(self, kind: Attack) -> int | None:
        """Send a request that must not be believed. Its answer's status; None: nobody answered, or there is nothing to replay."""
        now = milliseconds(self._sandbox.clock.now())
        body = msgspec.json.encode({"event": "meeting.ended", "event_ts": now, "payload": {"account_id": "", "object": {}}})
        headers = signed(self.secret, now // 1000, body)
        match kind:
            case "forged":
                headers = signed(f"not {self.secret}", now // 1000, body)
            case "altered":
                body = body.replace(b"ended", b"started")
            case "stale":
                headers = signed(self.secret, now // 1000 - _STALE, body)
            case "replayed":
                if self._last is None:
                    return None
                body, headers = self._last
        return await self._post(body, headers)

    async def _post(self, body: bytes, headers: dict[str, str]) -> int | None:
        try:
            async with self._client.post(self.url, data=body, headers=headers, allow_redirects=False) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return None

    @property
    def _client(self) -> aiohttp.ClientSession:
        assert self._session is not None, "the application does not run"
        return self._session
