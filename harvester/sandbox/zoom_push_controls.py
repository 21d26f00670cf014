"""Controls of the pushing of events. No login, no faults.

GET  /sandbox/webhooks
POST /sandbox/webhooks {"url": …, "secret": …}: push there from now on, once it was validated; secret: as it was
POST /sandbox/webhooks/deliver: send what is due by the sandbox's clock
POST /sandbox/webhooks/attack {"kind": "forged" | "altered" | "replayed" | "stale"}: what must not be believed
"""

import msgspec
from aiohttp import web

from harvester.sandbox.controls import answer, order
from harvester.sandbox.zoom_push import Attack, Pusher


class _Address(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: str
    secret: str | None = None


class _AttackOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Attack


class PushControls:
    def __init__(self, pusher: Pusher) -> None:
        self._pusher = pusher

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/sandbox/webhooks", self._state)
        app.router.add_post("/sandbox/webhooks", self._address)
        app.router.add_post("/sandbox/webhooks/deliver", self._deliver)
        app.router.add_post("/sandbox/webhooks/attack", self._attack)

    async def _state(self, _: web.Request) -> web.Response:
        pusher = self._pusher
        return answer({"url": pusher.url, "valid": pusher.valid, "waiting": pusher.waiting, "counts": dict(pusher.counts)})

    async def _address(self, request: web.Request) -> web.Response:
        given = await order(request, _Address)
        await self._pusher.address(given.url, given.secret)
        return await self._state(request)

    async def _deliver(self, request: web.Request) -> web.Response:
        await self._pusher.deliver()
        return await self._state(request)

    async def _attack(self, request: web.Request) -> web.Response:
        given = await order(request, _AttackOrder)
        return answer({"status": await self._pusher.attack(given.kind)})
