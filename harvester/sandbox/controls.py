"""The sandbox's own endpoints: its clock, its faults, its counts and the truth. No login, no faults.

GET  /truth?start=ISO&end=ISO[&format=ndjson]
GET  /sandbox/clock · POST {"now": ISO} or {"advance_seconds": N}
POST /sandbox/stop-changing [{"at": ISO}]
GET  /sandbox/faults · POST {"429-date": 0.1, …} in place of all rates
GET  /sandbox/switches · POST {"patched": false, …}: another release, or a plugin that is switched off
GET  /sandbox/stats · POST: tell and begin anew
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Generic, Protocol, TypeVar

import msgspec
from aiohttp import web

from harvester.errors import ConfigError
from harvester.sandbox.clock import SandboxClock
from harvester.sandbox.faults import Faults
from harvester.sandbox.stats import Stats

Shape = TypeVar("Shape")
Switches = TypeVar("Switches", bound=msgspec.Struct)


class Controlled(Protocol[Switches]):
    """What can be steered."""

    clock: SandboxClock
    faults: Faults
    stats: Stats

    def truth_pieces(self, start: datetime | None, end: datetime | None, *, lines: bool) -> Iterator[bytes]: ...
    def stop_changing(self, at: datetime | None = None) -> datetime: ...
    def set_faults(self, rates: dict[str, float]) -> None: ...
    @property
    def switches(self) -> Switches: ...
    def switch(self, switches: Switches) -> None: ...


class _ClockOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    now: datetime | None = None
    advance_seconds: float = 0


class _StopOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    at: datetime | None = None


class Controls(Generic[Switches]):
    def __init__(self, sandbox: Controlled[Switches]) -> None:
        self._sandbox = sandbox

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/truth", self._truth)
        app.router.add_get("/sandbox/clock", self._clock)
        app.router.add_post("/sandbox/clock", self._move_clock)
        app.router.add_post("/sandbox/stop-changing", self._stop_changing)
        app.router.add_get("/sandbox/faults", self._faults)
        app.router.add_post("/sandbox/faults", self._set_faults)
        app.router.add_get("/sandbox/switches", self._switches)
        app.router.add_post("/sandbox/switches", self._switch)
        app.router.add_get("/sandbox/stats", self._stats)
        app.router.add_post("/sandbox/stats", self._reset_stats)

    async def _clock(self, _: web.Request) -> web.Response:
        return answer({"now": self._sandbox.clock.now()})

    async def _move_clock(self, request: web.Request) -> web.Response:
        given = await order(request, _ClockOrder)
        if given.now is not None:
            self._sandbox.clock.set(_aware(given.now))
        self._sandbox.clock.advance(timedelta(seconds=given.advance_seconds))
        return await self._clock(request)

    async def _stop_changing(self, request: web.Request) -> web.Response:
        given = await order(request, _StopOrder)
        at = _aware(given.at) if given.at else self._sandbox.clock.now()
        return answer({"stopped": at, "rests": self._sandbox.stop_changing(at)})

    async def _faults(self, _: web.Request) -> web.Response:
        return answer(self._sandbox.faults.rates)

    async def _set_faults(self, request: web.Request) -> web.Response:
        rates = await order(request, dict[str, float])
        try:
            self._sandbox.set_faults(rates)
        except ConfigError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return await self._faults(request)

    async def _switches(self, _: web.Request) -> web.Response:
        return answer(self._sandbox.switches)

    async def _switch(self, request: web.Request) -> web.Response:
        try:
            self._sandbox.switch(await order(request, type(self._sandbox.switches)))
        except ConfigError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return await self._switches(request)

    async def _stats(self, _: web.Request) -> web.Response:
        return answer(self._sandbox.stats.snapshot()._asdict())

    async def _reset_stats(self, request: web.Request) -> web.Response:
        told = await self._stats(request)
        self._sandbox.stats.reset()
        return told

    async def _truth(self, request: web.Request) -> web.StreamResponse:
        """Written a piece at a time, so that others are served in between."""
        start, end = (_instant(request.query.get(name)) for name in ("start", "end"))
        lines = request.query.get("format") == "ndjson"
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson" if lines else "application/json"})
        await response.prepare(request)
        for piece in self._sandbox.truth_pieces(start, end, lines=lines):
            await response.write(piece)
        await response.write_eof()
        return response


def http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)


def answer(content: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json")


async def order(request: web.Request, shape: type[Shape]) -> Shape:
    """What the body orders; none is an order with all its defaults."""
    try:
        return msgspec.json.decode(await request.read() or b"{}", type=shape)
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        # a plus sign that was not escaped arrives as a blank
        return _aware(datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text))
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"not an ISO time: {text!r}") from error


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
