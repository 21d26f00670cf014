"""A member whose process stands still past its session, and goes on as if nothing had been."""

import asyncio
import os
import signal
import sys

from harvester.queues import open_queue
from tests.servers.protocols import Server
from tests.unit.kafkaqueues import batch, made, received

_MEMBER = """
import asyncio, sys
from harvester.queues import open_queue
from tests.unit.kafkaqueues import received

async def main():
    async with open_queue(sys.argv[1]) as queue, queue.subscribe("g") as subscription:
        got = await received(subscription, 100)
        print("got", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await subscription.commit(got, {"consumed": 100, "delivered": 100})
        print("committed", flush=True)

asyncio.run(main())
"""


async def test_f23_a_member_that_stood_still_past_its_session_moves_and_counts_nothing(kafka: Server) -> None:
    url = await made(kafka.url, "session_timeout=1&partitions=2")
    async with open_queue(url) as queue:
        await queue.publish(batch(0, 100), {"read": 100, "published": 100}, "s")
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", _MEMBER, url, stdin=pipe, stdout=pipe)
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            assert await asyncio.wait_for(child.stdout.readline(), 60) == b"got\n"
            os.kill(child.pid, signal.SIGSTOP)
            async with queue.subscribe("g") as other:
                await other.commit(await received(other, 100), {"consumed": 100, "delivered": 100})
                os.kill(child.pid, signal.SIGCONT)
                child.stdin.write(b"\n")
                await asyncio.wait_for(child.stdout.read(), 60)
                await asyncio.wait_for(child.wait(), 60)
            (group,) = await queue.groups()
            assert (group.lag, group.counts) == (0, {"consumed": 100, "delivered": 100})
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
