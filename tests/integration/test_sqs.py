"""SQS as a queue: what is sent and how failures of single entries are judged, groups, and what is refused."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from harvester.errors import ConfigError, PayloadTooLargeError, PermanentError, RefusedError, TransientError
from harvester.payload import FOLDER
from harvester.protocols import Message
from harvester.queues import open_queue
from harvester.queues.sqs import prepare
from harvester.queues.sqs_calls import ATTEMPTS
from harvester.queues.sqs_pack import LARGEST
from harvester.queues.sqs_place import place_of
from tests.contracts.queues import bodies, drain, left, messages
from tests.services import Server
from tests.unit.sqsqueues import KEYS, Way, client_of, named, opened, redriven, way_to

NOISE = random.Random(22).randbytes(2 * LARGEST)


def many(amount: int) -> list[Message]:
    return [Message(f"k{n}", f"{n:04}".encode()) for n in range(amount)]


async def address(server: str, url: str, group: str = "") -> str:
    name = place_of(url).queues[group]
    return str((await client_of(server, "get_queue_url", QueueName=name))["QueueUrl"])


async def all_of(url: str, amount: int) -> list[str]:
    """Every message that is there, when there should be so many."""
    async with opened(url) as queue, queue.subscribe("g") as member:
        found = await drain(member, amount)
        found += await member.receive(10_000, 0)
        return bodies(found)


def failing(way: Way, operation: str, which: int, times: int = 1, **how: object) -> None:
    """Entries with an even number among the first `which` are not done, so many times."""
    left_over = [times]

    async def script(asked: dict[str, Any]) -> dict[str, Any]:
        entries = asked["Entries"]
        bad = [entry for index, entry in enumerate(entries) if index < which and index % 2 == 0 and left_over[0] > 0]
        left_over[0] -= 1
        good = [entry for entry in entries if entry not in bad]
        told: dict[str, Any] = {"Successful": [], "Failed": []}
        if good:
            told = {"Failed": [], **await way.onward({**asked, "Entries": good}, operation)}
        told["Failed"] = [
            *told["Failed"],
            *({"Id": entry["Id"], "Code": "InternalError", "SenderFault": False, **how} for entry in bad),
        ]
        return told

    way.scripts[operation] = script


async def test_what_failed_of_a_batch_is_sent_again_alone(sqs: Server) -> None:
    async with way_to(sqs.url) as way:
        failing(way, "SendMessageBatch", 10)
        url = named(way.url, pack=1)
        async with opened(url) as queue:
            await queue.publish(many(10))
        assert way.entries == [("SendMessageBatch", 10), ("SendMessageBatch", 5)]
        assert sorted(await all_of(url, 10)) == bodies_of(10)


async def test_an_entry_that_the_answer_leaves_out_was_not_done(sqs: Server) -> None:
    async with way_to(sqs.url) as way:
        failing(way, "SendMessageBatch", 3)
        script = way.scripts["SendMessageBatch"]

        async def silent(asked: dict[str, Any]) -> dict[str, Any]:
            return {**await script(asked), "Failed": []}

        way.scripts["SendMessageBatch"] = silent
        url = named(way.url, pack=1)
        async with opened(url) as queue:
            await queue.publish(many(10))
        assert way.entries == [("SendMessageBatch", 10), ("SendMessageBatch", 2)]
        assert sorted(await all_of(url, 10)) == bodies_of(10)


async def test_what_fails_for_long_is_an_outage_and_what_is_refused_is_told(sqs: Server) -> None:
    async with way_to(sqs.url) as way, opened(named(way.url, pack=1)) as queue:
        failing(way, "SendMessageBatch", 10, times=ATTEMPTS)  # every other one of those that are left: 5, 3, 2, 1
        with pytest.raises(TransientError, match="1 of 10"):
            await queue.publish(many(10))
        failing(way, "SendMessageBatch", 1, SenderFault=True, Code="InvalidMessageContents")
        with pytest.raises(PermanentError, match="InvalidMessageContents"):
            await queue.publish(many(10))
        failing(way, "SendMessageBatch", 1, SenderFault=True, Code="KmsThrottled")
        await queue.publish(many(10))
        assert (await queue.counts())[""]["published"] == 10


async def test_f21_a_batch_whose_answer_is_lost_is_published_again_and_nothing_is_missing(sqs: Server) -> None:
    async with way_to(sqs.url) as way:

        async def lost(asked: dict[str, Any]) -> dict[str, Any]:
            await way.onward(asked, "SendMessageBatch")
            way.scripts.clear()
            return {"status": 503, "__type": "ServiceUnavailable"}

        way.scripts["SendMessageBatch"] = lost
        url = named(way.url)
        async with opened(url) as queue:
            with pytest.raises(TransientError):
                await queue.publish(many(3))
            await queue.publish(many(3))
        assert set(await all_of(url, 6)) == set(bodies_of(3))


async def test_what_failed_of_a_deletion_is_deleted_again(sqs: Server) -> None:
    async with way_to(sqs.url) as way, opened(named(way.url, pack=1)) as queue:
        await queue.publish(many(10))
        async with queue.subscribe("g") as member:
            mine = await drain(member, 10)
            failing(way, "DeleteMessageBatch", 10)
            await member.commit(mine)
        assert await left(queue, "g") == 0


async def test_many_events_go_in_few_messages_and_keep_their_order_in_each(sqs: Server) -> None:
    async with way_to(sqs.url) as way, opened(named(way.url, pack=100)) as queue:
        await queue.publish(many(250))
        assert way.entries == [("SendMessageBatch", 3)]
        assert await queue.lag("g") == {"waiting": 3, "in_flight": 0}
        async with queue.subscribe("g") as member:
            got = await drain(member, 250)
            assert (await queue.lag("g"))["in_flight"] == 3
        packs = [[body for body in bodies(got) if int(body) // 100 == number] for number in range(3)]
        assert [body for pack in packs for body in pack] == bodies_of(250)


async def test_with_pack_1_other_readers_get_the_envelope_alone(sqs: Server) -> None:
    url = named(sqs.url, pack=1)
    async with opened(url) as queue:
        await queue.publish([Message("opencast/1", b'{"id":"x"}', {"a": "b"})])
    found = await client_of(
        sqs.url, "receive_message", QueueUrl=await address(sqs.url, url), MessageAttributeNames=["All"], WaitTimeSeconds=1
    )
    (message,) = found["Messages"]
    assert json.loads(message["Body"]) == {"id": "x"}
    assert message["MessageAttributes"]["key"]["StringValue"] == "opencast/1"


async def test_f22_at_the_services_own_limit_nothing_is_cut_and_nothing_crashes(sqs: Server, tmp_path: Path) -> None:
    claims = KEYS.model_copy(update={"claims_url": f"file://{tmp_path}"})
    sent = [Message("k", b"t" * 200_000) for _ in range(10)]  # their sum is over
    sent += [Message("k", b"x" * size) for size in (LARGEST - 1, LARGEST, LARGEST + 1)]
    sent += [Message("k", NOISE[:size]) for size in (LARGEST * 3 // 4 - 1000, LARGEST - 1, LARGEST, LARGEST + 1)]
    url = named(sqs.url)
    async with opened(url) as queue:
        with pytest.raises(PayloadTooLargeError) as refused:
            await queue.publish(sent)
        assert refused.value.indexes == (14, 15, 16)
        assert await left(queue, "g") == 0
    async with opened(url, claims) as queue:
        await queue.publish(sent)
        async with queue.subscribe("g") as member:
            got = [delivery.message for delivery in await drain(member, len(sent))]
    assert sorted(got) == sorted(sent)
    assert len([path for path in (tmp_path / FOLDER).iterdir() if path.is_file()]) == 3


async def test_publishing_returns_when_every_group_has_it(sqs: Server) -> None:
    async with way_to(sqs.url) as way:
        url = named(way.url, groups="one,two")
        assert [line.partition(":")[0] for line in await prepare(url, KEYS)] == [
            f"SQS queue {name}" for name in place_of(url).queues.values()
        ]
        assert list(await prepare(url, KEYS)) == []
        async with opened(url) as queue:
            two = await address(sqs.url, url, "two")

            async def away(asked: dict[str, Any]) -> dict[str, Any]:
                if asked["QueueUrl"] == two:
                    return {"status": 503, "__type": "ServiceUnavailable"}
                return await way.onward(asked, "SendMessageBatch")

            way.scripts["SendMessageBatch"] = away
            with pytest.raises(TransientError):
                await queue.publish(many(3))
            way.scripts.clear()
            await queue.publish(many(3))
            assert [sum((await queue.lag(group)).values()) for group in ("one", "two")] == [2, 1]


async def test_a_group_that_is_not_configured_is_told_the_ways_on(sqs: Server) -> None:
    async with opened(named(sqs.url, groups="one,two")) as queue:
        with pytest.raises(ConfigError, match=r"but one, two;.*groups=.*harvest backfill"):
            async with queue.subscribe("three"):
                pass
        assert [group.name for group in await queue.groups()] == ["one", "two"]


async def test_without_groups_the_first_that_reads_has_the_queue_and_a_second_takes_nothing(sqs: Server) -> None:
    async with opened(named(sqs.url)) as queue:
        assert list(await queue.groups()) == []
        async with queue.subscribe("duckdb"), queue.subscribe("duckdb"):
            pass
        assert [group.name for group in await queue.groups()] == ["duckdb"]
        with pytest.raises(RefusedError, match=r"belongs to group duckdb.*\?groups=duckdb,elasticsearch"):
            async with queue.subscribe("elasticsearch"):
                pass


async def test_f25_a_queue_that_the_service_would_take_packs_from_is_not_read(sqs: Server) -> None:
    url = named(sqs.url)
    async with opened(url) as queue:
        assert list(await queue.check()) == []
        await redriven(sqs.url, place_of(url).queues[""])
        (fault,) = await queue.check()
        assert "redrive policy" in fault
        with pytest.raises(RefusedError, match="redrive policy"):
            async with queue.subscribe("g"):
                pass


async def test_q8_a_queue_that_was_deleted_is_no_empty_queue_and_the_next_is_another(sqs: Server) -> None:
    url = named(sqs.url)
    async with opened(url) as queue:
        first = queue.id
        await client_of(sqs.url, "delete_queue", QueueUrl=await address(sqs.url, url))
        with pytest.raises(RefusedError, match="deleted"):
            await queue.publish(many(1))
        with pytest.raises(RefusedError, match="deleted"):
            async with queue.subscribe("g"):
                pass
    born = {"ask": 0}
    async with way_to(sqs.url) as way:

        async def later(asked: dict[str, Any]) -> dict[str, Any]:
            told = await way.onward(asked, "GetQueueAttributes")
            # As if a minute had gone by, which AWS demands before the name is free again.
            told["Attributes"]["CreatedTimestamp"] = str(int(told["Attributes"]["CreatedTimestamp"]) + 60)
            born["ask"] += 1
            return told

        way.scripts["GetQueueAttributes"] = later
        async with opened(url.replace(sqs.url, way.url)) as queue:
            assert queue.id != first
        assert born["ask"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqs://AKIA:secret@eu-west-1/q", "HARVESTER_AWS_ACCESS_KEY_ID"),
        ("sqs://eu-west-1/q.fifo", "standard queue"),
        ("sqs://eu-west-1/", "no name of an SQS queue"),
        ("sqs://eu-west-1/a/b", "no name of an SQS queue"),
        ("sqs://eu-west-1/q?groups=a b,c.d", "is no group"),
        ("sqs://eu-west-1/" + "q" * 75 + "?groups=duckdb", "80 at most"),
        ("sqs://eu-west-1/q?visibility=0", "visibility"),
        ("sqs://eu-west-1/q?visibilty=1", "unknown option"),
    ],
)
def test_a_url_that_cannot_be_is_told_before_anybody_is_asked(url: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_queue(url, KEYS)
    assert told in str(refused.value)
    assert "AKIA:secret" not in str(refused.value)


async def test_s12_signed_requests_go_over_plain_http_to_loopback_only() -> None:
    with pytest.raises(ConfigError, match="HARVESTER_ALLOW_PLAIN"):
        async with opened("sqs://eu-west-1/q?endpoint=http://sqs.example.org:9324"):
            pass


async def test_nobody_there_is_an_outage_and_tells_no_secret() -> None:
    with pytest.raises(TransientError) as away:
        async with opened("sqs://eu-west-1/q?endpoint=http://127.0.0.1:9"):
            pass
    assert "secret-canary" not in str(away.value)


async def test_what_it_cannot_do_is_told_with_the_way_on(sqs: Server) -> None:
    async with opened(named(sqs.url)) as queue:
        await queue.publish(messages("a"))
        for act, way in (
            (queue.peek(0, 1), "harvest trace"),
            (queue.seek("g", 0), "harvest backfill"),
            (queue.forget("g"), "delete"),
        ):
            with pytest.raises(RefusedError, match=way):
                await act


def bodies_of(amount: int) -> list[str]:
    return bodies_in(many(amount))


def bodies_in(sent: list[Message]) -> list[str]:
    return [message.body.decode() for message in sent]
