"""The archive's consumer, killed at every point that it comes by: what is in the queue is in the archive in the end."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from consumers.verifying import Verdict, verified
from harvester.event import encode_event
from harvester.protocols import Message
from harvester.queues import open_queue
from tests.archiving import read, stored
from tests.crash.rig import CONSUMER_POINTS
from tests.crash.worlds import ROOT
from tests.useractions import useraction_event

EVENTS = [useraction_event(number, version=version) for version in (1, 2) for number in range(200)]


class Found(NamedTuple):
    died: Sequence[bool]
    """At each of the places, and all that manifests name was there then."""
    code: int
    lost: int
    wrong: int
    """Events that never were in the queue, or were changed."""
    verdict: Verdict


def killed(folder: Path, places: Sequence[str], **settings: str) -> Found:
    """All of the queue consumed by a process that is killed at each of these places, and then by one that is not."""
    queue, archive = f"sqlite:///{folder}/var/queue.db", f"file://{folder}/var/archive"
    asyncio.run(published(queue))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HARVESTER_")},
        "PYTHONPATH": str(ROOT),
        "HARVESTER_SINKS": "archive",
        "HARVESTER_QUEUE_URL": queue,
        "HARVESTER_ARCHIVE_URL": archive,
        "HARVESTER_ARCHIVE_SEGMENT_EVENTS": "10",
        "HARVESTER_ARCHIVE_SEGMENT_SECONDS": "0",
        "HARVESTER_LOG_LEVEL": "warn",
        **{f"HARVESTER_OPENCAST_{name}": "127.0.0.1:1" for name in ("URL", "USER", "PASSWORD")},  # nobody is asked
        **settings,
    }
    command = [sys.executable, "-m", "tests.crash.forked", json.dumps([*places, ""]), "consume", "archive", "--until-empty"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    *died, code = json.loads(done.stdout)
    held = {encode_event(event) for event in asyncio.run(read(archive))}
    true = {encode_event(event) for event in EVENTS}
    return Found(died, code, len(true - held), len(held - true), asyncio.run(checked(archive)))


async def published(url: str) -> None:
    async with open_queue(url) as queue:
        await queue.publish([Message(event.key, encode_event(event)) for event in EVENTS])


async def checked(url: str) -> Verdict:
    async with stored(url) as objects:
        return await verified(objects)


def test_f01_f8_a_consumer_of_the_archive_that_is_killed_at_every_named_point_loses_and_changes_nothing(tmp_path: Path) -> None:
    places = [*(f"{point}:1" for point in CONSUMER_POINTS), "sink.in_write:2", "queue.in_commit:2"]
    found = killed(tmp_path, places)
    assert dict(zip(places, found.died, strict=True)) == dict.fromkeys(places, True)
    assert (found.code, found.lost, found.wrong, found.verdict.faults) == (0, 0, 0, [])
    assert found.verdict.events >= len(EVENTS)


def test_with_the_order_switched_the_same_proof_of_the_archive_fails(tmp_path: Path) -> None:
    found = killed(tmp_path, ["queue.after_commit:2", "sink.before_write:2"], HARVESTER_CRASH_ORDER="commit-first")
    assert (found.died, found.code) == ([True, True], 0)
    assert found.lost > 0
