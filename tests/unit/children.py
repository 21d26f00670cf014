"""Processes that a test starts to be killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BATCH = 10
PUBLISH = f"""
import asyncio, sys
from harvester.protocols import Message
from harvester.queues import open_queue

async def main(url, name, batches):
    async with open_queue(url) as queue:
        for batch in range(batches):
            messages = [Message(name, b"%s %d" % (name.encode(), batch * {BATCH} + n)) for n in range({BATCH})]
            await queue.publish(messages, {{"read": {BATCH}, "published": {BATCH}}}, name)
            print(batch, flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""
CONSUME = f"""
import asyncio, sys
from harvester.queues import open_queue

async def main(url, group):
    async with open_queue(url) as queue, queue.subscribe(group) as subscription:
        while deliveries := await subscription.receive({BATCH}, 0):
            print("received", len(deliveries), flush=True)
            await subscription.commit(deliveries, {{"consumed": len(deliveries), "delivered": len(deliveries)}})
            print("committed", len(deliveries), flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def run(code: str, *arguments: str, crash_at: str = "") -> subprocess.CompletedProcess[str]:
    """Python runs `code` to its end, or to the crash point."""
    environment = {**os.environ, "HARVESTER_CRASH_AT": crash_at}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (-signal.SIGKILL if crash_at else 0), done.stderr
    return done


@contextmanager
def running(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Python runs `code` until the block ends; then it is killed."""
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
