"""SQS hides what a member works on for a time (F25): prolonged, lost, given back, and taken over from the dead."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harvester.errors import RefusedError
from harvester.protocols import Delivery, Message
from harvester.queues.sqs_member import SqsMember
from tests.contracts.queues import apart, bodies, drain, left, messages
from tests.services import Server
from tests.unit.sqsqueues import KEYS, named, opened, refused, way_to

ROOT = Path(__file__).parents[2]


async def received(member: SqsMember, seconds: float) -> list[Delivery]:
    """What comes within this time."""
    found: list[Delivery] = []
    until = asyncio.get_running_loop().time() + seconds
    while (now := asyncio.get_running_loop().time()) < until:
        found += await member.receive(100, until - now)
    return found


async def written(sink: dict[str, int], deliveries: Sequence[Delivery]) -> None:
    """By key, as every sink writes: the values count how often."""
    for body in bodies(deliveries):
        sink[body] = sink.get(body, 0) + 1


async def test_f25_what_is_worked_on_for_long_comes_to_nobody_else(sqs: Server) -> None:
    async with opened(named(sqs.url, visibility=4)) as queue:
        await queue.publish(messages(*"abc"))
        async with queue.subscribe("g") as slow, queue.subscribe("g") as other:
            mine = await drain(slow, 3)
            assert await received(other, 5) == []
            await slow.receive(0, 0)
            await slow.commit(mine)
        assert await left(queue, "g") == 0


async def test_f25_what_another_took_over_is_written_twice_to_one_effect_and_a_stale_handle_deletes_nothing(sqs: Server) -> None:
    sink: dict[str, int] = {}
    async with way_to(sqs.url) as way:
        way.scripts["ChangeMessageVisibilityBatch"] = refused
        async with opened(named(way.url, visibility=1)) as queue:
            await queue.publish(messages(*"abc"))
            async with queue.subscribe("g") as slow, queue.subscribe("g") as other:
                await written(sink, first := await drain(slow, 3))
                await written(sink, second := await drain(other, 3))
                await slow.commit(first)
                assert await left(queue, "g") == 1
                await other.commit(second)
                assert await left(queue, "g") == 0
    assert sink == {"a": 2, "b": 2, "c": 2}


async def test_f25_what_comes_to_the_member_again_that_works_on_it_is_deleted_by_the_newest_handle(sqs: Server) -> None:
    async with way_to(sqs.url) as way:
        way.scripts["ChangeMessageVisibilityBatch"] = refused
        async with opened(named(way.url, visibility=1)) as queue:
            await queue.publish(messages(*"abc"))
            async with queue.subscribe("g") as member:
                mine = await drain(member, 3)
                assert await received(member, 2.5) == []
                await member.commit(mine)
                assert await left(queue, "g") == 0


async def test_f25_prolonging_goes_on_after_it_failed_for_a_while(sqs: Server) -> None:
    async with way_to(sqs.url) as way, opened(named(way.url, visibility=4)) as queue:
        await queue.publish(messages("a"))
        async with queue.subscribe("g") as slow, queue.subscribe("g") as other:
            mine = await drain(slow, 1)
            failed = asyncio.Event()

            async def once(asked: dict[str, Any]) -> dict[str, Any]:
                failed.set()
                way.scripts.clear()
                return await refused(asked)

            way.scripts["ChangeMessageVisibilityBatch"] = once
            await failed.wait()
            assert await received(other, 4) == []
            await slow.commit(mine)
        assert await left(queue, "g") == 0


async def test_who_leaves_makes_what_he_did_not_finish_visible_at_once(sqs: Server) -> None:
    async with opened(named(sqs.url, visibility=43200)) as queue:
        await apart(queue, *"abc")
        async with queue.subscribe("g") as member:
            done = await drain(member, 3)
            await member.commit(done[:1])
        with pytest.raises(RefusedError):
            await member.commit(done[1:])
        async with queue.subscribe("g") as member:
            assert sorted(bodies(await drain(member, 2))) == sorted(bodies(done[1:]))


async def test_a_poll_that_was_under_way_when_its_member_left_hides_nothing(sqs: Server) -> None:
    async with opened(named(sqs.url, visibility=43200)) as queue:
        async with queue.subscribe("g") as member:
            assert list(await member.receive(10, 0.01)) == []
            await queue.publish(messages("a"))
        async with queue.subscribe("g") as member:
            assert bodies(await drain(member, 1)) == ["a"]


async def test_a_pack_is_deleted_with_its_last_commit_and_not_before(sqs: Server) -> None:
    async with opened(named(sqs.url)) as queue:
        await queue.publish(messages(*"abcdef"))
        async with queue.subscribe("g") as member:
            mine = await drain(member, 6)
            assert bodies(mine) == list("abcdef")
            for part in (mine[:2], mine[3:]):
                await member.commit(part)
                assert await left(queue, "g") == 1
            await member.commit(mine[2:3])
            assert await left(queue, "g") == 0


async def test_f51_packs_of_a_member_that_was_killed_come_to_another(sqs: Server) -> None:
    url = named(sqs.url, visibility=1, pack=7)
    async with opened(url) as queue:
        await queue.publish([Message(f"k{n}", f"{n:03}".encode()) for n in range(100)])
        reader = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _READER,
            url,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert reader.stdout is not None
        try:
            committed, held = [set((await reader.stdout.readline()).decode().split()) for _ in range(2)]
        finally:
            os.kill(reader.pid, signal.SIGKILL)
            await reader.wait()
        assert held
        async with queue.subscribe("g") as member:
            got: set[str] = set()
            while not held <= got or await left(queue, "g"):
                deliveries = await member.receive(100, 1)
                got.update(bodies(deliveries))
                await member.commit(deliveries)
    assert got | committed == {f"{n:03}" for n in range(100)}
    assert got & committed == set()


_READER = f"""
import asyncio, sys
from pydantic import SecretStr
from harvester.access import Access
from harvester.queues import open_queue

async def main():
    access = Access(aws_access_key_id="any", aws_secret_access_key=SecretStr({KEYS.aws_secret_access_key.get_secret_value()!r}))
    async with open_queue(sys.argv[1], access) as queue, queue.subscribe("g") as member:
        for commits in (True, False):
            got = []
            while len(got) < 14:
                got += await member.receive(14 - len(got), 5)
            if commits:
                await member.commit(got)
            print(*(d.message.body.decode() for d in got), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""
