"""Webhooks at the real daemon, pushed to by the simulated Zoom: they bring news early, and are worth nothing else."""

import json
import re
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from harvester.sandbox.clock import milliseconds, moment_of
from harvester.sandbox.serve import RunningZoom, serve
from harvester.sandbox.zoom_notices import signed
from harvester.sandbox.zoom_settings import ZoomSandboxSettings
from harvester.sandbox.zoom_world import Meeting
from tests.servers.process import free_port
from tests.site import HOUR, NOON, Process, Site, stamp
from tests.threaded import threaded

SECRET = "sandbox-webhook-c4nary"
AFTERNOON = NOON + 4 * HOUR
PAUSE = 0.3
LISTS = "/v2/metrics/meetings"


class University:
    """A simulated Zoom that serves from a thread; its clock stands still until it is moved, and no row of it is late."""

    def __init__(self, running: RunningZoom) -> None:
        self.running = running

    def control(self, path: str, order: object = None) -> Any:
        body = b"" if order is None else json.dumps(order).encode()
        with urllib.request.urlopen(urllib.request.Request(self.running.url + path, body, method="POST"), timeout=20) as answer:
            return json.loads(answer.read())

    def now(self) -> datetime:
        return self.running.clock.now()

    def advance(self, by: timedelta) -> None:
        self.running.clock.advance(by)

    def lists(self) -> int:
        """How often lists of meetings were asked for so far."""
        return sum(self.running.stats.snapshot().requests.get(LISTS, {}).values())

    def uuids(self, start: datetime, end: datetime) -> set[str]:
        """The meetings that began in this time and are past."""
        return {uuid for uuid, one in self.running.truth(start, end).meetings.items() if one.start_time}

    def ends(self) -> Meeting:
        """A meeting of several that is over in the next hour; the clock is set to a minute before."""
        now = milliseconds(self.now())
        day = now // 86_400_000
        found = [m for m in self.running.sandbox.account.days(day, day) if now < m.end < now + 3_600_000 and m.size > 2]
        meeting = min((m for m in found if not m.deleted and not m.blank), key=lambda m: m.end)
        self.running.clock.set(moment_of(meeting.end - 60_000))
        return meeting


@contextmanager
def university() -> Iterator[University]:
    settings = ZoomSandboxSettings(now=AFTERNOON, speed=0, late=False, meetings_per_day=60, webhook_secret=SECRET)
    with threaded(lambda: serve(settings), "zoom") as running:
        yield University(running)


def site_of(folder: Path, zoom: University, **more: str) -> Site:
    """An installation that reads the last six hours of it, and polls each quarter of an hour."""
    return Site(
        folder,
        **{
            "HARVESTER_SOURCES": "zoom",
            "ZOOM_ACCOUNT_ID": "sandbox-account",
            "ZOOM_CLIENT_ID": "sandbox-client",
            "ZOOM_CLIENT_SECRET": "sandbox",
            "HARVESTER_ZOOM_URL": f"{zoom.running.url}/v2",
            "HARVESTER_ZOOM_OAUTH_URL": f"{zoom.running.url}/oauth/token",
            "HARVESTER_ZOOM_START": stamp(AFTERNOON - 6 * HOUR),
            "HARVESTER_ZOOM_SETTLE": "21600",
            "HARVESTER_ZOOM_WEBHOOK_SECRET": SECRET,
            "HARVESTER_ZOOM_WEBHOOK_PAUSE": str(PAUSE),
            "HARVESTER_LISTEN": f"127.0.0.1:{free_port()}",
            "HARVESTER_LISTEN_TOKEN": "a-token-that-zoom-does-not-have",
            "HARVESTER_COVERAGE_PACE": "0",
            **more,
        },
    )


def hook(site: Site) -> str:
    return f"http://{site.settings['HARVESTER_LISTEN']}/webhooks/zoom"


def measured(site: Site) -> Mapping[str, float]:
    """What the daemon counts of webhooks: outcome, or `early` → how often."""
    asked = urllib.request.Request(
        f"http://{site.settings['HARVESTER_LISTEN']}/metrics", headers={"Authorization": "Bearer a-token-that-zoom-does-not-have"}
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        text = answer.read().decode()
    found = re.findall(r'webhook_notices_total\{outcome="(\w+)",source="zoom"\} (\S+)', text)
    early = re.findall(r'(early)_polls_total\{source="zoom",stream="meetings"\} (\S+)', text)
    return {name: float(amount) for name, amount in [*found, *early]}


def held(site: Site) -> set[str]:
    """The meetings in the sink, which must not be written meanwhile."""
    return {uuid for (uuid,) in site.rows("uuid", "meetings")}


def read(site: Site, zoom: University) -> bool:
    """Whether all of now is read, and has come through the queue."""
    edge = site.book("zoom").live_edge
    return edge is not None and edge >= zoom.now() and site.lag() == 0


def whole(site: Site, zoom: University) -> bool:
    """Whether everything that is past by now is in the sink, and nothing else."""
    return held(site) == zoom.uuids(AFTERNOON - 6 * HOUR, zoom.now())


def begun(daemon: Process, zoom: University, site: Site) -> None:
    """It has read everything, and Zoom pushes to it."""
    daemon.until(lambda: read(site, zoom))
    assert zoom.control("/sandbox/webhooks", {"url": hook(site)})["valid"]


def post(site: Site, body: bytes, headers: Mapping[str, str]) -> int:
    with urllib.request.urlopen(urllib.request.Request(hook(site), body, dict(headers)), timeout=20) as answer:
        return int(answer.status)


def test_a_notice_brings_a_meeting_before_the_next_poll_and_those_of_others_do_nothing(tmp_path: Path) -> None:
    with university() as zoom:
        site, meeting = site_of(tmp_path, zoom), zoom.ends()
        with site.process("run") as daemon:
            begun(daemon, zoom, site)
            assert meeting.uuid not in held(site)
            others_do_nothing(daemon, zoom, site)
            zoom.advance(timedelta(seconds=85))
            began = time.monotonic()
            sent = zoom.control("/sandbox/webhooks/deliver")["counts"]
            assert sent["accepted"] > 2
            assert "refused" not in sent
            daemon.until(lambda: read(site, zoom))
            seconds = time.monotonic() - began
            sys.stdout.write(f"in the sink {seconds:.1f} s after it was pushed; the next poll was due after 900 s\n")
            assert meeting.uuid in held(site)
            counted = measured(site)
            assert counted["accepted"] - 1 + counted["unwanted"] == sent["accepted"]
            assert counted["validated"] == 1
            assert daemon.stop() == 0
            assert "c4nary" not in daemon.err + daemon.out
        site.consume()
        assert whole(site, zoom)
        stored = [path for path in (tmp_path / "var").rglob("*") if path.is_file()]
        assert len(stored) >= 4
        assert not [path for path in stored if b"c4nary-" in path.read_bytes()], "nothing of a notice is a record"
        site.audit()


def others_do_nothing(daemon: Process, zoom: University, site: Site) -> None:
    """After one good notice, of a meeting that never was: forged ones, an old one, and the very same again."""
    invented = {
        "event": "meeting.ended",
        "event_ts": 1,
        "payload": {"object": {"uuid": "c4nary-uuid==", "topic": "c4nary-topic"}},
    }
    body, asked = json.dumps(invented).encode(), zoom.lists()
    genuine = signed(SECRET, int(zoom.now().timestamp()), body)
    assert post(site, body, genuine) == 200
    daemon.until(lambda: zoom.lists() == asked + 2)
    for kind in ("forged", "altered", "stale"):
        assert zoom.control("/sandbox/webhooks/attack", {"kind": kind}) == {"status": 204}
    assert post(site, body, genuine) == 204
    time.sleep(3 * PAUSE)  # by then they would have called for a poll
    counted = measured(site)
    assert zoom.lists() == asked + 2
    assert [counted[name] for name in ("early", "accepted", "forged", "stale", "replayed")] == [1, 1, 2, 1, 1]


def test_notices_that_were_lost_for_an_hour_cost_time_alone(tmp_path: Path) -> None:
    with university() as zoom:
        site = site_of(tmp_path, zoom, HARVESTER_ZOOM_POLL="2", HARVESTER_POLL_INTERVAL="2")
        with site.process("run") as daemon:
            begun(daemon, zoom, site)
            assert not zoom.control("/sandbox/webhooks", {"url": f"http://127.0.0.1:{free_port()}/webhooks/zoom"})["valid"]
            before = len(zoom.uuids(AFTERNOON - 6 * HOUR, zoom.now()))
            zoom.advance(HOUR)
            began = time.monotonic()
            assert zoom.control("/sandbox/webhooks/deliver")["counts"]["unsent"] > 50
            daemon.until(lambda: read(site, zoom), 90)
            seconds = time.monotonic() - began
            counted = measured(site)
            assert (counted["accepted"], counted["early"]) == (0, 0)
            assert zoom.control("/sandbox/webhooks", {"url": hook(site)})["valid"], "and the address is good again"
            assert daemon.stop() == 0
        site.consume()
        assert whole(site, zoom)
        news = len(held(site)) - before
        assert news > 2
        sys.stdout.write(f"{news} meetings of the lost hour came {seconds:.1f} s after it, with the poll of every 2 s\n")
        site.audit()
