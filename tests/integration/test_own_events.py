"""The harvester's own events from end to end: in tables of their own, in a balanced audit, and only where they are wanted."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from consumers.consume import consume
from harvester.commands.audit import equations
from harvester.coverage import Interval
from harvester.ownevents import CONSUMER, SOURCE, telling
from harvester.queues import open_queue
from tests.consuming import FLOW, processing, run
from tests.fakes import SINK, Clock, KeyedSink, Vendor
from tests.harvesting import opened
from tests.servers.protocols import Server
from tests.site import HOUR, NOON, Site, World, stamp
from tests.taps import open_stores, until
from tests.unit.kafkaqueues import made

WINDOWS, MINUTES = "harvester_windows", "harvester_consumers"


def daemon_site(folder: Path, url: str, **settings: str) -> Site:
    """A site whose daemon begins three hours ago, polls often, covers at once, and tells its last ones on a busy machine, too."""
    quick = {"HARVESTER_POLL_INTERVAL": "0.2", "HARVESTER_COVERAGE_PACE": "0", "HARVESTER_TEST_LAST_TOLD": "30"}
    return Site(folder, url, HARVESTER_OPENCAST_START=stamp(NOON - 3 * HOUR), **quick, **settings)


def reached(site: Site) -> Callable[[], bool]:
    return lambda: (site.book().live_edge or NOON - HOUR) >= NOON


def own_equation(site: Site) -> tuple[int, bool]:
    """How many own events were published, and whether all equations hold."""
    audit = site.audit()["equations"]
    (own,) = [e for e in audit if e["what"] == "harvester"]
    return own["left"][1], all(e["equal"] for e in audit)


def run_until(site: Site, done: Callable[[], bool], *args: str) -> None:
    with site.process(*args) as daemon:
        daemon.until(done)
        assert daemon.stop() == 0


def test_a_daemon_tells_of_its_windows_and_minutes_in_tables_of_their_own(tmp_path: Path, vendor: World) -> None:
    site, truth = daemon_site(tmp_path, vendor.url), vendor.truth(NOON - 3 * HOUR, NOON)
    run_until(site, lambda: reached(site)() and site.lag() == 0, "run")
    told, equal = own_equation(site)
    assert told > 0
    assert equal
    site.consume()
    assert site.held().keys() == truth.keys()
    windows = site.rows("source, stream, window_start, published, calls, lag_seconds", WINDOWS)
    assert {row[:2] for row in windows} == {("opencast", "useractions")}
    assert sum(row[3] for row in windows) == len(truth)
    assert all(row[4] > 0 and row[5] >= 0 for row in windows)
    minutes = site.rows("sink, received, delivered, lag, memory_bytes", MINUTES)
    assert {row[0] for row in minutes} == {"duckdb"}
    assert sum(row[1] for row in minutes) >= len(truth)
    assert len(windows) + len(minutes) == told
    assert own_equation(site) == (told, True), "who consumes until there is nothing left tells nothing"


def test_a_kill_between_publish_and_cover_doubles_no_window(tmp_path: Path, vendor: World) -> None:
    site = daemon_site(tmp_path, vendor.url)
    with site.process("run", "--no-consume", HARVESTER_CRASH_AT="harvest.after_publish:2") as daemon:
        assert daemon.ended() == -9
    run_until(site, reached(site), "run", "--no-consume")
    site.consume()
    first_readings = [row[0] for row in site.rows("window_start", f"{WINDOWS} WHERE published > 0")]
    assert len(first_readings) == len(set(first_readings)) > 0
    assert own_equation(site)[1]


def test_never_means_never_and_always_means_one_shots_too(tmp_path: Path, vendor: World) -> None:
    site = daemon_site(tmp_path, vendor.url, HARVESTER_OWN_EVENTS="never")
    run_until(site, lambda: reached(site)() and site.lag() == 0, "run")
    assert "harvester" not in {e["what"] for e in site.audit()["equations"]}
    assert site.harvest("backfill", "-s", stamp(NOON - 5 * HOUR), HARVESTER_OWN_EVENTS="daemons").code == 0
    assert "harvester" not in {e["what"] for e in site.audit()["equations"]}
    assert site.harvest("backfill", "-s", stamp(NOON - 7 * HOUR), HARVESTER_OWN_EVENTS="always").code == 0
    assert own_equation(site) == (2, True)
    site.consume()
    assert {row[0].hour for row in site.rows("window_start", WINDOWS)} == {5, 6}


def test_nothing_own_is_printed(tmp_path: Path, vendor: World) -> None:
    site, truth = Site(tmp_path, vendor.url, HARVESTER_OWN_EVENTS="always"), vendor.truth(NOON - HOUR, NOON)
    printed = site.harvest("useractions", "-s", stamp(NOON - HOUR), "-o", "-")
    assert {line["action_id"] for line in printed.lines} == truth.keys()
    site.harvest("useractions", "-s", stamp(NOON - HOUR))
    assert own_equation(site)[0] > 0
    printed = site.harvest("consume", "-", "--until-empty")
    assert {line["action_id"] for line in printed.lines} == truth.keys()
    assert len(printed.lines) == len(truth)
    assert own_equation(site)[1]


async def test_on_kafka_the_audit_balances(tmp_path: Path, kafka: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harvester.ownevents._LAST", 30.0)  # a slow broker gets its last ones, too
    clock, sink, stop = Clock(), KeyedSink(), asyncio.Event()
    vendor = Vendor(clock)
    vendor.fill(clock() - 3 * HOUR, 30, HOUR / 10)
    url = await made(kafka.url, "session_timeout=3&partitions=2")
    async with open_stores(tmp_path, clock) as embedded, open_queue(url) as queue:
        stores = embedded._replace(queue=queue)
        async with telling(queue, every=0.05) as tell:
            await (await opened(stores, vendor, tell=tell)).read([Interval(clock() - 3 * HOUR, clock())])
            work = processing(sink, stores.letters, stop=stop)
            consuming = asyncio.create_task(consume(queue, SINK, work, stores.letters, stop, flow=FLOW, tell=tell))
            await until(lambda: len(sink.table) == 33, 30)
            stop.set()
            await consuming
        await run(stores, sink)
        assert len([event for event in sink.table.values() if event.type == CONSUMER]) == 1
        found = await equations(queue)
        assert [(e.left[1], e.equal) for e in found if e.what == SOURCE] == [(4, True)]
        assert all(e.equal for e in found)
        assert sum((await queue.lag(SINK)).values()) == 0
