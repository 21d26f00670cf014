"""The simulated Zoom pushes events as the vendor does, and lies on demand."""

import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web

from harvester.sandbox.zoom_notices import encrypted
from tests.unit.zoom_sandboxes import NOON, ZoomClient, zoom

SECRET = "sandbox-webhook"
HOUR = 3600


class Push(NamedTuple):
    body: bytes
    timestamp: int
    genuine: bool

    @property
    def content(self) -> Any:
        return json.loads(self.body)


class Hook:
    """A webhook that takes what it is sent, and answers as it is told."""

    def __init__(self) -> None:
        self.status = 204
        self.valid = True
        self.pushes: list[Push] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        stamp = request.headers["x-zm-request-timestamp"]
        right = hmac.digest(SECRET.encode(), b"v0:%b:%b" % (stamp.encode(), body), "sha256").hex()
        push = Push(body, int(stamp), request.headers["x-zm-signature"] == f"v0={right}")
        if push.content["event"] == "endpoint.url_validation":
            plain = push.content["payload"]["plainToken"]
            return web.json_response({"plainToken": plain, "encryptedToken": encrypted(SECRET if self.valid else "", plain)})
        self.pushes.append(push)
        return web.Response(status=self.status)


@asynccontextmanager
async def hooked(**switches: Any) -> AsyncIterator[tuple[ZoomClient, Hook]]:
    hook = Hook()
    app = web.Application()
    app.router.add_post("/webhooks/zoom", hook.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks/zoom"
        async with zoom(now=NOON.replace(hour=16), **switches) as client:
            yield client, hook
    finally:
        await runner.cleanup()


async def deliver(client: ZoomClient, seconds: float) -> dict[str, int]:
    """Move the clock and send what is due; the counts."""
    client.advance(seconds=seconds)
    return dict((await client.control("/sandbox/webhooks/deliver"))["counts"])


async def test_events_are_pushed_signed_and_not_in_order() -> None:
    async with hooked() as (client, hook):
        assert (await client.control("/sandbox/webhooks", {"url": hook.url}))["valid"]
        await deliver(client, HOUR)
        state = await client.control("/sandbox/webhooks/deliver")
        assert state["counts"]["accepted"] == len(hook.pushes) > 100
        assert all(push.genuine for push in hook.pushes)
        times = [push.content["event_ts"] for push in hook.pushes]
        assert times != sorted(times)
        events = {push.content["event"] for push in hook.pushes}
        assert {"meeting.started", "meeting.ended", "meeting.participant_joined", "meeting.participant_left"} <= events
        assert len({push.body for push in hook.pushes}) == len(hook.pushes)


async def test_an_address_that_answers_wrong_gets_nothing() -> None:
    async with hooked() as (client, hook):
        hook.valid = False
        assert not (await client.control("/sandbox/webhooks", {"url": hook.url}))["valid"]
        counts = await deliver(client, HOUR)
        assert hook.pushes == []
        assert counts["unsent"] > 100


async def test_a_validation_is_good_for_72_hours() -> None:
    async with hooked() as (client, hook):
        await client.control("/sandbox/webhooks", {"url": hook.url})
        assert (await deliver(client, HOUR))["validated"] == 1
        hook.valid = False
        counts = await deliver(client, 72 * HOUR)
        assert counts["invalid"] >= 1
        assert not (await client.control("/sandbox/webhooks/deliver"))["valid"]


async def test_what_is_refused_comes_three_times_again_and_is_lost_then() -> None:
    async with hooked(meetings_per_day=24) as (client, hook):
        await client.control("/sandbox/webhooks", {"url": hook.url})
        client.running.sandbox.stop_changing()
        hook.status = 500
        client.advance(seconds=HOUR)
        await client.control("/sandbox/webhooks/deliver")
        first = hook.pushes[0].body
        for minutes in (5, 20, 60):
            attempts = [push.body for push in hook.pushes].count(first)
            await deliver(client, minutes * 60 - 1)
            assert [push.body for push in hook.pushes].count(first) == attempts
            counts = await deliver(client, 1)
            assert [push.body for push in hook.pushes].count(first) == attempts + 1
        assert counts["lost"] > 0
        assert "accepted" not in counts


async def test_forged_altered_stale_and_replayed_requests_come_on_demand() -> None:
    async with hooked() as (client, hook):
        await client.control("/sandbox/webhooks", {"url": hook.url})
        await deliver(client, HOUR)
        last = hook.pushes[-1]
        now = client.running.clock.now().timestamp()
        found = {}
        for kind in ("forged", "altered", "stale", "replayed"):
            assert await client.control("/sandbox/webhooks/attack", {"kind": kind}) == {"status": 204}
            found[kind] = hook.pushes[-1]
        assert {kind: push.genuine for kind, push in found.items()} == {
            "forged": False, "altered": False, "stale": True, "replayed": True,
        }  # fmt: skip
        assert now - found["stale"].timestamp > 3000
        assert found["replayed"] == last
