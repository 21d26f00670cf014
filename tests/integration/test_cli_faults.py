"""A vendor that fails in every way, a disk that is full, and secrets that nobody may read."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import duckdb
import pytest

from harvester.sandbox.faults import REQUESTS
from tests.site import HOUR, NOON, PASSWORD, Site, World, stamp, world

SPAN = (NOON - 20 * HOUR, NOON - 15 * HOUR)
RANGE = ("-s", stamp(SPAN[0]), "-e", stamp(SPAN[1]))


def is_the_truth(site: Site, vendor: World) -> bool:
    site.audit()
    return site.held() == {n: a.outpoint for n, a in vendor.truth(*SPAN).items()}


@pytest.mark.parametrize("kind", [k for k in REQUESTS if k != "429-bare"])
def test_each_fault_of_a_request_is_survived_and_the_truth_arrives(tmp_path: Path, kind: str) -> None:
    with world(faults={kind: 0.45}, actions_per_day=600) as vendor:
        site = Site(tmp_path, vendor.url)
        done = site.harvest("useractions", "-s", stamp(SPAN[0]), "-e", stamp(SPAN[0] + HOUR))
        assert done.code == 0
        assert vendor.running.stats.snapshot().faults[kind] > 0
        vendor.running.faults.set({})
        site.consume()
        assert site.held().keys() == vendor.truth(SPAN[0], SPAN[0] + HOUR).keys()


def test_with_every_fault_at_once_everything_arrives_or_is_a_letter(tmp_path: Path) -> None:
    with world(faults={"all": 0.2, "records": 0.03}, seed="d") as vendor:
        site = Site(tmp_path, vendor.url, HARVESTER_OPENCAST_BATCH_SIZE="30")
        assert site.harvest("useractions", *RANGE).code == 5
        met = vendor.running.stats.snapshot().faults
        assert len(met) >= 5, met
        for _ in range(20):
            site.harvest("dead-letters", "requeue", "--reason", "pending")
            assert site.consume().code in (0, 5)
            if not site.harvest("dead-letters", "list", "--reason", "pending", "--json").out:
                break
        assert is_the_truth(site, vendor)
        assert sum(site.audit()["letters"].values()) == len(vendor.broken(*SPAN))


def test_q8_a_vendor_that_stays_away_ends_with_1_and_nothing_is_covered(tmp_path: Path) -> None:
    site = Site(tmp_path, "http://127.0.0.1:9")
    done = site.harvest("useractions", *RANGE)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert site.book().read == ()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("no right to mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_f27_on_a_full_disk_harvesting_waits_consuming_goes_on_and_afterwards_nothing_is_missing(
    tmp_path: Path, small_disk: Path
) -> None:
    with world(late=False, growing=False) as vendor:
        full = {"HARVESTER_QUEUE_URL": f"sqlite:///{small_disk}/queue.db?ballast=2MiB"}
        quick = {"HARVESTER_POLL_INTERVAL": "0.1", "HARVESTER_COVERAGE_PACE": "0"}
        site = Site(tmp_path / "site", vendor.url, **full, **quick, HARVESTER_OPENCAST_START=stamp(NOON - HOUR))
        (site.folder / "var").mkdir()
        with ExitStack() as busy, site.process("run") as daemon:
            busy.enter_context(duckdb.connect(str(site.folder / "var/harvest.duckdb")))
            daemon.until(lambda: site.book().read)
            assert site.lag() > 0, "the sink is busy, so everything waits in the queue"
            filler = small_disk / "filler"
            _fill(filler)
            vendor.advance(2 * HOUR)
            daemon.until(lambda: "no room left" in daemon.err)
            busy.close()
            daemon.until(lambda: site.lag() == 0)
            assert (site.book().live_edge or NOON) < NOON + HOUR
            filler.unlink()
            daemon.until(lambda: (site.book().live_edge or NOON) >= NOON + 2 * HOUR, 60)
            daemon.until(lambda: site.lag() == 0)
            assert daemon.stop() == 0
        assert site.held().keys() == vendor.truth(NOON - HOUR, NOON + 2 * HOUR).keys()
        site.audit()


def _fill(path: Path) -> None:
    """Leave no room on the disk."""
    with path.open("wb", buffering=0) as file:
        for size in (2**16, 2**12, 1):
            while True:
                try:
                    if not file.write(b"x" * size):
                        break
                except OSError:
                    break


COMMANDS = [
    "config show --origin",
    "config check",
    "useractions -i 60",
    "useractions --password {secret} -o - -i 10",
    "useractions -s nonsense",
    "useractions --nope",
    "once opencast --dry-run --limit 2",
    "backfill -s 20241105080000 --json",
    "consume duckdb --until-empty",
    "coverage show",
    "coverage gaps --json",
    "dead-letters list --json",
    "queue peek",
    "queue groups",
    "queue check",
    "audit --json",
]


def test_s03_no_secret_is_in_any_output_log_letter_or_file(tmp_path: Path) -> None:
    letters = {"HARVESTER_LETTERS_URL": "file://var/letters"}
    proxied = "http://proxyuser:pr0xy-canary@127.0.0.1:9"
    with world(faults={"503": 0.1, "half-json": 0.02, "records": 0.05}) as vendor:
        site = Site(tmp_path, vendor.url, HARVESTER_LOG_LEVEL="debug", MATTERHORN_REST_PASS=PASSWORD)
        told = [site.harvest(*command.format(secret=PASSWORD).split()) for command in COMMANDS]
        told.append(site.harvest("useractions", HARVESTER_OPENCAST_PASSWORD="wr0ng-canary", MATTERHORN_REST_PASS=""))
        told.append(site.harvest("useractions", HARVESTER_OPENCAST_URL=f"http://bob:{PASSWORD}@127.0.0.1:9"))
        told.append(site.harvest("useractions", HARVESTER_OPENCAST_PROXY=proxied))
        told.append(site.harvest("useractions", **letters, HARVESTER_QUEUE_URL=f"kafka://bob:{PASSWORD}@127.0.0.1:9"))
        told.append(site.harvest("useractions", MATTERHORN_REST_PASS="another-canary"))
    assert {0, 1, 2, 3} <= {done.code for done in told}
    places = [(f"output {n}", (done.out + done.err).encode()) for n, done in enumerate(told)]
    places += [(path.name, path.read_bytes()) for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert len(places) > 30
    for secret in (PASSWORD, "wr0ng-canary", "pr0xy-canary", "another-canary"):
        assert [name for name, content in places if secret.encode() in content] == [], secret
