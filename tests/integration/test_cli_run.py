"""`harvest run`, the daemon: it ends when told, its parts do not stop each other, and it can be watched."""

import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from harvester.coverage import Coverage, Intervals
from tests.site import HOUR, NOON, Process, Site, World, stamp, world


def daemon_site(folder: Path, url: str, **settings: str) -> Site:
    """A site whose daemon begins three hours ago and polls often."""
    quick = {"HARVESTER_POLL_INTERVAL": "0.2", "HARVESTER_COVERAGE_PACE": "0"}
    return Site(folder, url, HARVESTER_OPENCAST_START=stamp(NOON - 3 * HOUR), **quick, **settings)


def reached(site: Site, moment: datetime = NOON) -> bool:
    return (site.book().live_edge or NOON - 9 * HOUR) >= moment


def drained(site: Site) -> bool:
    return site.lag() == 0


def subscribed(site: Site) -> bool:
    """Whether a consumer has begun."""
    return site.lag() not in (-1, 0)


def actions(world: World, intervals: Intervals) -> set[int]:
    """What is true of these times."""
    return {n for i in intervals for n in world.truth(i.start, i.end)}


@contextmanager
def deaf() -> Iterator[str]:
    """A server that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_run_harvests_feeds_and_goes_on(tmp_path: Path) -> None:
    with world(late=False, growing=False) as vendor:
        site = daemon_site(tmp_path, vendor.url)
        with site.process("run") as daemon:
            daemon.until(lambda: reached(site))
            vendor.advance(HOUR)
            daemon.until(lambda: reached(site, NOON + HOUR) and drained(site))
            assert daemon.stop() == 0
        assert site.held().keys() == vendor.truth(NOON - 3 * HOUR, NOON + HOUR).keys()
        site.audit()


def test_f50_a_signal_before_anything_is_open_ends_with_130(tmp_path: Path, vendor: World) -> None:
    slow = {"PYTHONPROFILEIMPORTTIME": "1"}  # tells on stderr that it has begun to import
    with daemon_site(tmp_path, vendor.url).process("useractions", **slow) as early:
        early.until(lambda: "harvester.cli" in early.err)
        assert early.stop() == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_f50_a_signal_drains_and_ends_with_0(tmp_path: Path, vendor: World, number: signal.Signals) -> None:
    site = daemon_site(tmp_path, vendor.url, HARVESTER_OPENCAST_WAIT="0.05", HARVESTER_OPENCAST_BATCH_SIZE="10")
    with site.process("run") as daemon:
        daemon.until(lambda: reached(site, NOON - 2 * HOUR))
        began = time.monotonic()
        assert daemon.stop(number) == 0
        assert time.monotonic() - began < 25
        assert daemon.out == ""
    site.consume()
    site.audit()
    assert site.held().keys() >= actions(vendor, site.book().read)


def test_f50_q13_a_stop_does_not_wait_for_a_vendor_that_never_answers(tmp_path: Path) -> None:
    with deaf() as url, daemon_site(tmp_path, url).process("run") as daemon:
        daemon.logged("started")
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 20


def test_f50_q13_a_stop_does_not_wait_out_a_retry(tmp_path: Path) -> None:
    refusing = world(faults={"429-seconds": 1}, fault_burst=1000, retry_after=300)
    with refusing as vendor, daemon_site(tmp_path, vendor.url).process("run", "--no-consume") as daemon:
        waiting = daemon.logged("waiting")
        assert (waiting["reason"], waiting["seconds"]) == ("rate_limited", 300)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 20


def test_f50_a_second_signal_ends_with_130_at_once(tmp_path: Path, vendor: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        site = daemon_site(tmp_path, f"http://127.0.0.1:{server.getsockname()[1]}")
        site.harvest("useractions", "-s", stamp(NOON - HOUR), HARVESTER_OPENCAST_URL=vendor.url)
        with site.process("consume") as consumer:
            asked, _ = server.accept()  # a batch is in flight, and its look-ups get no answer
            with asked:
                consumer.send(signal.SIGTERM)
                consumer.logged("stopping")
                consumer.send(signal.SIGTERM)
                assert consumer.ended(20) == 130
        assert not drained(site)


def test_f50_a_drain_ends_before_its_time_is_over_and_loses_nothing(tmp_path: Path, vendor: World) -> None:
    with deaf() as url:
        site = daemon_site(tmp_path, url, HARVESTER_DRAIN_TIMEOUT="2")
        site.harvest("useractions", "-s", stamp(NOON - HOUR), HARVESTER_OPENCAST_URL=vendor.url)
        with site.process("consume") as consumer:
            consumer.until(lambda: subscribed(site))
            began = time.monotonic()
            assert consumer.stop() == 0
            assert time.monotonic() - began < 10  # its look-ups alone would wait longer
    site.settings["HARVESTER_OPENCAST_URL"] = vendor.url
    site.consume()
    assert site.held().keys() == vendor.truth(NOON - HOUR, NOON).keys()
    site.audit()


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("useractions", signal.SIGINT),
        ("useractions -o - --update-last-ts", signal.SIGTERM),
        ("backfill -s 20241101", signal.SIGTERM),
    ],
)
def test_f50_a_one_shot_that_is_cut_ends_with_130_and_claims_only_what_is_durable(
    tmp_path: Path, vendor: World, command: str, number: signal.Signals
) -> None:
    site = daemon_site(tmp_path, vendor.url, HARVESTER_OPENCAST_WAIT="0.03", HARVESTER_OPENCAST_BATCH_SIZE="20")
    name = "opencast.stdout" if "-o" in command else "opencast"
    with site.process(*command.split()) as cut:
        cut.until(lambda: site.book(name).read)
        assert cut.stop(number) == 130
        out = cut.out
    assert not reached(site)
    claimed = actions(vendor, site.book(name).read)
    assert claimed
    if name == "opencast":
        site.consume()
        assert site.held().keys() >= claimed
        site.audit()
    else:
        assert all(f'"action_id":{n},' in out for n in claimed)


def test_a_consume_that_is_cut_before_the_queue_is_empty_ends_with_130(tmp_path: Path, vendor: World) -> None:
    site = daemon_site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - 3 * HOUR))
    with deaf() as url, site.process("consume", "--until-empty", HARVESTER_OPENCAST_URL=url, HARVESTER_DRAIN_TIMEOUT="1") as cut:
        cut.until(lambda: subscribed(site))
        assert cut.stop() == 130


def test_a_dead_source_does_not_stop_the_sinks(tmp_path: Path, vendor: World) -> None:
    with world(usertracking=False) as unplugged:
        site = daemon_site(tmp_path, vendor.url)
        site.harvest("useractions", "-s", stamp(NOON - HOUR))
        with site.process("run", HARVESTER_OPENCAST_URL=unplugged.url) as daemon:
            daemon.until(lambda: drained(site))
            said = daemon.logged("the others go on")
            assert "plugin" in said["error.message"]
            assert daemon.stop() == 0
    assert site.held().keys() == vendor.truth(NOON - HOUR, NOON).keys()


def test_a_dead_sink_does_not_stop_the_source_and_catches_up_later(tmp_path: Path, vendor: World) -> None:
    site = daemon_site(tmp_path, vendor.url)
    (tmp_path / "var").mkdir()
    with duckdb.connect(str(tmp_path / "var/harvest.duckdb")), site.process("run") as daemon:
        daemon.until(lambda: reached(site))
        daemon.logged("write is tried again")
        assert not drained(site)
        assert daemon.stop() == 0
    with site.process("run") as daemon:
        daemon.until(lambda: drained(site))
        assert daemon.stop() == 0
    assert site.held().keys() == vendor.truth(NOON - 3 * HOUR, NOON).keys()
    site.audit()


def test_f07_a_span_over_the_limit_stops_the_stream_and_not_the_daemon(tmp_path: Path, vendor: World) -> None:
    site = daemon_site(tmp_path, vendor.url, MAX_START_END_SPAN="3600", HARVESTER_SPAN_POLICY="abort")
    with site.process("run") as daemon:
        said = daemon.logged("the others go on")
        by_hand = "harvest useractions --disable-start-end-span-check --although-paused"
        for line in ("harvest pause opencast", by_hand, "harvest resume opencast"):
            assert f"     {line}\n" in said["error.message"]
        assert site.book() == Coverage()
        assert site.harvest("pause", "opencast").code == 0
        daemon.until(lambda: site.harvest(*by_hand.split()[1:]).code == 0)
        assert site.harvest("resume", "opencast").code == 0
        vendor.calls()
        daemon.until(vendor.calls)  # it polls again
        daemon.until(lambda: drained(site))
        assert daemon.stop() == 0


def test_f09_a_book_deleted_under_the_daemon_begins_again_as_a_first_run(tmp_path: Path, vendor: World) -> None:
    site = daemon_site(tmp_path, vendor.url)
    with site.process("run") as daemon:
        daemon.until(lambda: reached(site))
        (tmp_path / "var/coverage/opencast.json").unlink()
        daemon.logged("the book was reset or deleted")
        daemon.until(lambda: reached(site))
        assert site.coverage()["start"] == "2024-11-05T09:00:00Z"
        site.harvest("coverage", "reset", "useractions", "--yes")
        daemon.until(lambda: reached(site))
        daemon.until(lambda: drained(site))
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.err
    assert site.held().keys() == vendor.truth(NOON - 3 * HOUR, NOON).keys()
    site.audit()


def test_f12_two_daemons_without_leases_are_safe_and_their_book_is_the_union(tmp_path: Path) -> None:
    with world(late=False, growing=False) as vendor:
        first = daemon_site(tmp_path, vendor.url)
        with first.process("run", "--no-consume") as one:
            one.until(lambda: reached(first))
            (tmp_path / "var/coverage/opencast+useractions.lease").unlink()
            with first.process("run", "--no-consume") as two, first.process("backfill", "-s", stamp(NOON - 9 * HOUR)) as three:
                assert three.ended() == 0
                for _ in range(5):
                    vendor.advance(HOUR / 2)
                    one.until(lambda: reached(first, vendor.now()))
                assert (one.stop(), two.stop()) == (0, 0)
        found = first.coverage()
        assert (found["start"], found["gaps"], len(found["read"])) == ("2024-11-05T03:00:00Z", [], 1)
        first.consume()
        assert first.held().keys() == vendor.truth(NOON - 9 * HOUR, NOON + 5 * HOUR / 2).keys()
        first.audit()


def test_shows_5_an_unchanged_source_gives_nothing_more_from_the_second_poll_on(tmp_path: Path, vendor: World) -> None:
    site = daemon_site(tmp_path, vendor.url)
    with site.process("run", "--no-consume") as daemon:
        daemon.until(lambda: reached(site))

        def counted() -> dict[str, Any]:
            equation = next(e for e in site.audit()["equations"] if e["what"] == "opencast/useractions")
            return dict(equation["right"])

        first = counted()
        asked = 0
        vendor.calls()
        while asked < 10:  # a poll of a few minutes asks for two pages
            time.sleep(0.05)
            asked += vendor.calls()
        daemon.until(lambda: counted()["filtered"] > first["filtered"])
        assert counted()["published"] == first["published"] == len(vendor.truth(NOON - 3 * HOUR, NOON))
        assert daemon.stop() == 0


def scraped(daemon: Process) -> tuple[str, dict[str, float]]:
    """The address that is listened on, and the metrics there."""
    address = daemon.logged("started")["metrics"]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        lines = [line.rpartition(" ") for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return address, {name: float(value) for name, _, value in lines}


def test_run_serves_metrics_and_livez(tmp_path: Path, vendor: World) -> None:
    site = daemon_site(tmp_path, vendor.url, HARVESTER_LISTEN="127.0.0.1:0", HARVESTER_OWN_EVENTS="never")
    amount = len(vendor.truth(NOON - 3 * HOUR, NOON))
    stream, sink = '{source="opencast",stream="useractions"}', '{sink="duckdb"}'
    with site.process("run") as daemon:
        daemon.until(lambda: reached(site) and drained(site))
        address, found = scraped(daemon)
        assert found[f"harvester_events_read_total{stream}"] >= amount
        assert found[f"harvester_events_published_total{stream}"] == amount
        assert found[f"harvester_events_consumed_total{sink}"] == amount
        assert found[f"harvester_events_delivered_total{sink}"] == amount
        assert found[f"harvester_watermark_timestamp_seconds{stream}"] == (NOON - 3 * HOUR).timestamp()
        with urllib.request.urlopen(f"http://{address}/livez", timeout=5) as answer:
            assert answer.status == 200
        assert daemon.stop() == 0


def test_a_busy_port_ends_with_3_and_says_what_where_why_and_what_next(tmp_path: Path, vendor: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listening = daemon_site(tmp_path, vendor.url).harvest("run", HARVESTER_LISTEN=f"127.0.0.1:{port}")
        assert listening.code == 3
        for part in (f"HARVESTER_LISTEN=127.0.0.1:{port}", "another process listens there", "choose another port"):
            assert part in listening.err
        sandbox = Site(tmp_path).harvest("sandbox", "--port", str(port))
        assert sandbox.code == 3
        for part in (f"127.0.0.1:{port}", "another program listens there", "harvest sandbox --port 0"):
            assert part in sandbox.err
