"""The daemon as its operator meets it: status, pause and resume, health checks, and faults that pass by themselves."""

import fcntl
import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.integration.test_cli_run import daemon_site, drained, reached
from tests.services import tool
from tests.site import HOUR, NOON, Site, World, stamp, world


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def listening(folder: Path, url: str, **settings: str) -> Site:
    return daemon_site(folder, url, HARVESTER_LISTEN=f"127.0.0.1:{free_port()}", **settings)


def get(site: Site, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{site.settings['HARVESTER_LISTEN']}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return (0, "") if error.code == 429 else (error.code, error.read().decode())  # who asks all the time waits a while
    except OSError:
        return 0, ""


def states(site: Site) -> Mapping[str, str]:
    """Component → state, as /readyz says; empty while nobody answers."""
    status, body = get(site, "/readyz")
    return {one["name"]: one["state"] for one in json.loads(body)["components"]} if status else {}


def ready(site: Site) -> Any:
    return json.loads(get(site, "/readyz")[1])


def looked_at(site: Site) -> Any:
    """What /status says once the daemon has looked at the end of its work."""
    status, body = get(site, "/status")
    report = json.loads(body) if status else None
    return report if report and report["sources"][0]["live_edge"] and not report["sinks"][0]["lag"] else None


def wrong(site: Site) -> str:
    """The screen of `harvest status` when it says that something is wrong, else nothing."""
    done = site.harvest("status")
    return done.out if done.code == 5 else ""


# Looking


def test_status_before_anything_is_there_says_what_to_do_and_makes_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)
    done = site.harvest("status")
    assert done.code == 0
    assert "nothing was harvested here yet; next: harvest run" in done.out
    assert "where nothing is set up: harvest init" in done.out
    assert not (tmp_path / "var").exists()


def test_status_of_the_stores_tells_lag_gaps_letters_and_the_next_command(tmp_path: Path, vendor: World) -> None:
    site = daemon_site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - 3 * HOUR), "-e", stamp(NOON - 2 * HOUR))
    site.harvest("useractions", "-s", stamp(NOON - HOUR), "-e", stamp(NOON))
    done = site.harvest("status")
    assert done.code == 5
    assert "HARVESTER_LISTEN is not set" in done.out
    assert "next: harvest coverage fill opencast/useractions" in done.out
    assert "next: harvest consume duckdb" in done.out
    report = site.harvest("status", "--json").json
    assert (report["format"], report["state"], report["process"]) == (1, "degraded", None)
    (stream,), (sink,) = report["sources"], report["sinks"]
    assert (stream["name"], stream["gaps"], stream["gap_seconds"]) == ("opencast/useractions", 1, 3600)
    assert (sink["name"], sink["lag"]) == ("duckdb", report["queue"]["messages"])
    site.harvest("coverage", "fill", "useractions")
    site.consume()
    fine = site.harvest("status")
    assert (fine.code, fine.out[:3]) == (0, "ok ")


def test_status_of_a_daemon_is_what_it_serves(tmp_path: Path, vendor: World) -> None:
    site = listening(tmp_path, vendor.url)
    with site.process("run") as daemon:
        daemon.until(lambda: reached(site) and drained(site))
        daemon.until(lambda: site.harvest("status", "--json").out.count('"state":"running"') == 2)
        report = daemon.until(lambda: looked_at(site))
        assert report["process"]["owner"].endswith(f"pid {daemon.pid}")
        assert report["sources"][0]["state"] == report["sinks"][0]["state"] == "running"
        assert report["sources"][0]["live_edge"].startswith("2024-11-05T12:00:00")
        assert report["sources"][0]["lag_seconds"] == pytest.approx(0, abs=60)
        assert site.harvest("status", "--json").json.keys() == report.keys()
        screen = site.harvest("status")
        assert f"daemon at {site.settings['HARVESTER_LISTEN']}" in screen.out
        assert "opencast/useractions  running" in screen.out
        assert daemon.stop() == 0
    gone = site.harvest("status")
    assert gone.code == 5
    assert f"! daemon: nobody answers at {site.settings['HARVESTER_LISTEN']}" in gone.out


def test_status_and_healthcheck_of_somebody_else_who_listens_there(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, HARVESTER_LISTEN=vendor.url.removeprefix("http://"))
    for command in ("status", "healthcheck"):
        assert site.harvest(command).code == 1
    assert "is no daemon of ours" in site.harvest("status").err


def test_healthcheck_is_0_while_the_loop_turns_and_1_otherwise(tmp_path: Path, vendor: World) -> None:
    site = listening(tmp_path, vendor.url)
    none = site.harvest("healthcheck")
    assert (none.code, "nobody answers at" in none.err) == (1, True)
    with site.process("run") as daemon:
        daemon.until(lambda: site.harvest("healthcheck").code == 0)
        daemon.send(signal.SIGSTOP)
        stopped = site.harvest("healthcheck", "--timeout", "0.5")
        assert (stopped.code, "no answer in time" in stopped.err) == (1, True)
        daemon.send(signal.SIGCONT)
        daemon.until(lambda: site.harvest("healthcheck").code == 0)
        assert daemon.stop() == 0
    unset = site.harvest("healthcheck", HARVESTER_LISTEN="")
    assert (unset.code, "HARVESTER_LISTEN is not set" in unset.err) == (1, True)
    everywhere = site.harvest("healthcheck", HARVESTER_LISTEN=f"0.0.0.0:{free_port()}")
    assert "nobody answers at 127.0.0.1" in everywhere.err


def test_consume_serves_its_health_and_knows_the_sources_from_their_books(tmp_path: Path, vendor: World) -> None:
    site = listening(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - HOUR))
    with site.process("consume") as daemon:
        daemon.until(lambda: drained(site))
        assert get(site, "/livez") == (200, "ok\n")
        assert states(site) == {"duckdb": "running"}
        report = daemon.until(lambda: json.loads(get(site, "/status")[1] or "{}"))
        assert (report["sources"][0]["name"], report["sources"][0]["state"]) == ("opencast/useractions", "")
        assert daemon.stop() == 0


# Health


def test_a_vendor_that_is_away_makes_the_daemon_degraded_and_no_less_ready_until_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    site = listening(tmp_path, f"http://127.0.0.1:{port}")
    with site.process("run") as daemon:
        daemon.until(lambda: states(site).get("opencast") == "waiting")
        status, body = get(site, "/readyz")
        assert (status, json.loads(body)["state"]) == (200, "degraded")
        assert get(site, "/startupz")[0] == get(site, "/livez")[0] == 200
        told = daemon.until(lambda: wrong(site))
        assert "cannot reach" in told
        assert "next: it is tried again by itself" in told
        assert daemon.stop() == 0


def test_f33_a_sink_that_is_down_is_told_the_source_goes_on_and_it_catches_up_by_itself(tmp_path: Path, vendor: World) -> None:
    site = listening(tmp_path, vendor.url)
    (tmp_path / "var").mkdir()
    with site.process("run") as daemon:
        with duckdb.connect(str(tmp_path / "var/harvest.duckdb")):
            daemon.until(lambda: reached(site) and states(site)["duckdb"] == "waiting")
            assert ready(site)["ready"]
            assert states(site)["opencast/useractions"] == "running"
            told = daemon.until(lambda: wrong(site) if "duckdb: waiting" in wrong(site) else "")
            assert "next: it is tried again by itself" in told
        daemon.until(lambda: drained(site) and states(site)["duckdb"] == "running", 90)
        assert daemon.stop() == 0
    assert site.held().keys() == vendor.truth(NOON - 3 * HOUR, NOON).keys()


def test_while_its_stores_cannot_be_opened_the_daemon_lives_and_has_not_begun(tmp_path: Path, vendor: World) -> None:
    site = listening(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - HOUR))
    with (
        locked_database(site.queue),
        site.process("run", HARVESTER_QUEUE_URL="sqlite:///var/queue.db?busy_timeout=0.1") as daemon,
    ):
        daemon.until(lambda: get(site, "/startupz")[0] == 503)
        assert get(site, "/livez")[0] == 200
        assert ready(site)["state"] == "starting"
        told = site.harvest("status")
        assert (told.code, "has not begun yet" in told.err) == (1, True)
        assert daemon.running()


@contextmanager
def locked_database(path: Path) -> Iterator[None]:
    """As by a process that writes and writes."""
    import sqlite3

    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        connection.close()


# Pausing


def test_a_paused_sink_rests_while_the_source_goes_on_and_resumes_without_loss(tmp_path: Path) -> None:
    with world(late=False, growing=False) as vendor:
        site = listening(tmp_path, vendor.url)
        with site.process("run") as daemon:
            daemon.until(lambda: reached(site) and drained(site))
            done = site.harvest("pause", "duckdb")
            assert (done.code, "harvest resume duckdb" in done.err) == (0, True)
            daemon.until(lambda: states(site)["duckdb"] == "paused")
            vendor.advance(HOUR)
            daemon.until(lambda: reached(site, NOON + HOUR))
            assert site.lag() > 0
            assert states(site)["opencast/useractions"] == "running"
            assert daemon.stop() == 0
        refused = site.consume()
        assert refused.code == 4
        assert "duckdb is paused since" in refused.err
        assert "next: harvest resume duckdb" in refused.err
        with site.process("run") as daemon:  # a restart changes nothing
            daemon.until(lambda: states(site).get("duckdb") == "paused")
            daemon.until(lambda: states(site).get("opencast/useractions") == "running")
            assert site.lag() > 0
            daemon.until(lambda: "· duckdb is paused since" in site.harvest("status").out)
            assert site.harvest("status").code == 0
            assert site.harvest("resume", "duckdb").code == 0
            daemon.until(lambda: drained(site))
            assert daemon.stop() == 0
        assert site.held().keys() == vendor.truth(NOON - 3 * HOUR, NOON + HOUR).keys()
        site.audit()


@pytest.mark.parametrize("name", ["opencast", "opencast/useractions"])
def test_a_paused_source_is_not_asked_is_handed_over_and_resumes_without_loss(tmp_path: Path, name: str) -> None:
    with world(late=False, growing=False) as vendor:
        site = listening(tmp_path, vendor.url)
        with site.process("run") as daemon:
            daemon.until(lambda: reached(site))
            assert site.harvest("pause", name).code == 0
            daemon.until(lambda: states(site)["opencast/useractions"] == "paused")
            vendor.calls()
            # An open source carries the vendor's clock on by itself: only one that is opened anew may find it an hour later.
            apart = HOUR if name == "opencast" else 0 * HOUR
            vendor.advance(apart)
            for command in (
                ("useractions",),
                ("useractions", "-o", "-"),
                ("once", "opencast"),
                ("backfill", "-s", stamp(NOON - 5 * HOUR)),
                ("coverage", "fill", "useractions"),
            ):
                refused = site.harvest(*command)
                assert (refused.code, f"{name} is paused since" in refused.err) == (4, True), command
            # Naming the streams of a source may cost a request; none of the records was asked for.
            assert vendor.calls() == 0 or name != "opencast"
            by_hand = site.harvest("useractions", "--although-paused")
            assert by_hand.code == 0, by_hand.err
            assert reached(site, NOON + apart)
            vendor.advance(HOUR)
            assert site.harvest("resume", name).code == 0
            daemon.until(lambda: reached(site, NOON + apart + HOUR) and drained(site))
            assert daemon.stop() == 0
        assert site.held().keys() == vendor.truth(NOON - 3 * HOUR, NOON + apart + HOUR).keys()
        site.audit()


def test_pausing_and_resuming_again_says_so_and_a_name_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert "is not paused" in site.harvest("resume", "opencast").err
    assert site.harvest("pause", "useractions").code == 0
    again = site.harvest("pause", "opencast/useractions")
    assert (again.code, "is paused since" in again.err) == (0, True)
    assert site.harvest("pause", "opencast").code == 0
    assert "it still rests, for opencast is paused" in site.harvest("resume", "useractions").err
    for name in ("opencats", "duckbd", "slack/x"):
        wrong = site.harvest("pause", name)
        assert wrong.code == 2, name
    assert site.harvest("consume", "--although-paused").code == 2
    assert site.harvest("pause", "-").code == 0
    assert set(site.harvest("status", "--json").json["paused"]) == {"opencast", "stdout"}


# Faults that pass


def test_f13_a_coverage_store_that_is_away_pauses_the_source_and_it_resumes_by_itself(tmp_path: Path) -> None:
    with world(late=False, growing=False) as vendor:
        site = listening(tmp_path, vendor.url, HARVESTER_COVERAGE_URL="file://var/coverage?patience=0.1")
        with site.process("run") as daemon:
            daemon.until(lambda: reached(site) and drained(site))
            with (tmp_path / "var/coverage/opencast.lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                vendor.advance(HOUR)
                daemon.until(lambda: states(site)["opencast/useractions"] == "waiting")
                vendor.calls()
                before = len(daemon.log)
                daemon.until(lambda: sum("tried again" in line["message"] for line in daemon.log[before:]) >= 2)
                assert vendor.calls() == 0
                assert ready(site)["ready"]
                assert states(site)["duckdb"] == "running"
                assert not reached(site, NOON + HOUR)
            daemon.until(lambda: reached(site, NOON + HOUR) and drained(site), 90)
            assert states(site)["opencast/useractions"] == "running"
            assert daemon.stop() == 0
        assert site.held().keys() == vendor.truth(NOON - 3 * HOUR, NOON + HOUR).keys()
        site.audit()


def test_f06_a_daemon_that_was_suspended_goes_on_and_loses_nothing(tmp_path: Path) -> None:
    with world(late=False, growing=False) as vendor:
        site = listening(tmp_path, vendor.url, HARVESTER_OPENCAST_WAIT="0.02", HARVESTER_OPENCAST_BATCH_SIZE="10")
        with site.process("run") as daemon:
            daemon.until(lambda: reached(site, NOON - 2 * HOUR))  # it is in the middle of its work
            daemon.send(signal.SIGSTOP)
            vendor.advance(HOUR)
            time.sleep(3)
            daemon.send(signal.SIGCONT)
            daemon.logged("the whole process stood still")
            daemon.until(lambda: reached(site, NOON + HOUR) and drained(site), 90)
            assert daemon.stop() == 0
            assert "Traceback" not in daemon.err
        assert site.held().keys() == vendor.truth(NOON - 3 * HOUR, NOON + HOUR).keys()
        site.audit()


def test_f06_a_host_clock_that_jumps_two_hours_either_way_holds_nothing_up_and_loses_nothing(tmp_path: Path) -> None:
    program, clock = Path(tool("faketime")), tmp_path / "clock"
    clock.write_text("+0")
    (library, *_) = sorted(program.parents[1].glob("lib/*/faketime/libfaketimeMT.so.1"))
    fake = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with world(late=False, growing=False) as vendor:
        site = listening(tmp_path, vendor.url)
        with site.process("run", **fake) as daemon:
            daemon.until(lambda: reached(site))
            for hours, jump in enumerate(("-2h", "+2h", "+0"), 1):
                clock.write_text(jump)
                vendor.advance(HOUR)
                daemon.until(lambda hours=hours: reached(site, NOON + hours * HOUR) and drained(site))  # type: ignore[misc]
                assert ready(site)["state"] == "ok"
            assert daemon.stop() == 0
            assert "Traceback" not in daemon.err
        assert site.held().keys() == vendor.truth(NOON - 3 * HOUR, NOON + 3 * HOUR).keys()
        site.audit()


# Metrics


def test_f16_every_metric_and_label_that_can_be_known_is_there_before_anything_happened(tmp_path: Path) -> None:
    site = listening(tmp_path, f"http://127.0.0.1:{free_port()}")
    with site.process("run") as daemon:
        daemon.until(lambda: states(site).get("opencast") == "waiting")
        scrape = daemon.until(lambda: found if "harvester_queue_depth{" in (found := get(site, "/metrics")[1]) else "")
        assert daemon.stop() == 0
    for series in (
        'source_state{source="opencast",state="waiting"} 1.0',
        'sink_state{sink="duckdb",state="stopped"} 0.0',
        'circuit_state{sink="duckdb",state="open"} 0.0',
        'events_delivered_total{sink="duckdb"} 0.0',
        'events_duplicate_total{sink="duckdb"} 0.0',
        'dlq_events{reason="mapping",sink="duckdb"} 0.0',
        'errors_total{error_type="TransientError",stage="enrich"} 0.0',
        'cache_requests_total{result="hit"} 0.0',
        'ratelimit_wait_seconds_total{source="opencast"} 0.0',
        'queue_depth{queue="sqlite"} 0.0',
        'queue_oldest_age_seconds{queue="sqlite"} 0.0',
        'consumer_lag{sink="duckdb"} 0.0',
        "build_info{",
        'config_info{hash="',
        "loop_lag_seconds ",
    ):
        assert f"\nharvester_{series}" in scrape, series
    assert 'errors_total{error_type="TransientError",stage="read"} 0.0' not in scrape


def test_f16_a_scrape_is_clean_for_promtool(tmp_path: Path, vendor: World) -> None:
    promtool = tool("promtool")
    site = listening(tmp_path, vendor.url)
    with site.process("run") as daemon:
        daemon.until(lambda: reached(site) and drained(site))
        status, scrape = get(site, "/metrics")
        assert daemon.stop() == 0
    assert status == 200
    checked = subprocess.run([promtool, "check", "metrics"], input=scrape, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr, checked.stdout) == (0, "", "")
