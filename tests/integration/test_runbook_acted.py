"""Pages of the runbook acted out: the words are seen, the commands are run as they stand there, and it is over."""

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.site import HOUR, NOON, Site, World, stamp, world
from tests.unit.test_runbook import SECTIONS, blocks

MORNING = NOON - 4 * HOUR
BACKUP = "/backup/harvester-20261123"


@pytest.fixture
def vendor() -> Iterator[World]:
    with world(late=False, growing=False) as found:
        yield found


def act(site: Site, title: str, number: int = 0, instead: Mapping[str, str] = MappingProxyType({})) -> None:
    """Run a block of commands; `instead`: what differs here from what the page takes as an example."""
    text = blocks("sh", SECTIONS[title])[number]
    for example, here in instead.items():
        assert example in text
        text = text.replace(example, here)
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["harvest"]:
            done = site.harvest(*words[1:])
            assert done.code == 0, (line, done)
        else:
            subprocess.run(words, cwd=site.folder, check=True)


def equal(site: Site, vendor: World) -> bool:
    return site.held() == {one: action.outpoint for one, action in vendor.truth(MORNING, vendor.now()).items()}


def test_a_damaged_duckdb_file_is_filled_anew(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    assert site.harvest("useractions", "-s", stamp(MORNING)).code == 0
    assert site.consume().code == 0
    (tmp_path / "var/harvest.duckdb").write_bytes(b"torn" * 5_000)
    vendor.advance(HOUR)
    assert site.harvest("useractions").code == 0
    with site.process("run") as daemon:
        assert daemon.ended() == 3
        assert "no DuckDB file, or damaged" in daemon.err
    act(site, "The DuckDB file is damaged")
    act(site, "The DuckDB file is damaged", 1)
    assert equal(site, vendor)
    assert (tmp_path / "var/harvest.duckdb.damaged").exists()


def test_a_lost_disk_is_restored_from_the_backup(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    assert site.harvest("useractions", "-s", stamp(MORNING)).code == 0
    assert site.consume().code == 0
    act(site, "Backup", instead={BACKUP: "saved"})
    shutil.rmtree(tmp_path / "var")
    (tmp_path / "var").mkdir()
    vendor.advance(HOUR)
    commands = blocks("sh", SECTIONS["Restore"])[0].splitlines()
    assert commands[:2] == ["mv var var.before", f"cp -r {BACKUP} var"]
    act(site, "Restore", instead={BACKUP: "saved", "harvest run": "harvest useractions"})
    assert site.consume().code == 0
    assert equal(site, vendor)


def test_a_queue_that_is_an_older_copy_is_healed_by_stating_what_it_holds(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    assert site.harvest("useractions", "-s", stamp(MORNING)).code == 0
    assert site.harvest("backup", "saved").code == 0
    vendor.advance(HOUR)
    assert site.harvest("useractions").code == 0
    for path in (tmp_path / "var").glob("queue.db*"):
        path.unlink()
    shutil.copy(tmp_path / "saved/queue.db", tmp_path / "var/queue.db")
    refused = site.harvest("useractions")
    assert (refused.code, "older copy that lacks some of them" in refused.err) == (4, True)
    here = {"20260101000000": stamp(MORNING), "20261122180000": stamp(NOON - HOUR)}
    act(site, "The queue is an older copy", instead=here)
    assert site.consume().code == 0
    assert equal(site, vendor)
    site.audit()
