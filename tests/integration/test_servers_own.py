"""The servers of queues, stores and caches that tests use: each can be emptied, killed, paused and started again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aioboto3
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis

from tests import services
from tests.services import Server

KEYS = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "eu-west-1"}


@asynccontextmanager
async def aws(service: Any, url: str) -> AsyncIterator[Any]:
    async with aioboto3.Session(**KEYS).client(service, endpoint_url=url) as client:
        yield client


async def put(brokers: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=brokers, acks="all") as producer:
        await producer.send_and_wait(topic, value)


async def made(brokers: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await admin.close()


async def read(brokers: str, topic: str) -> bytes:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=brokers, group_id="any", auto_offset_reset="earliest")
    async with consumer:
        value = (await consumer.getone()).value
        await consumer.commit()
    assert value is not None
    return bytes(value)


async def test_what_was_made_at_kafka_is_gone_when_it_was_emptied(kafka: Server) -> None:
    await made(kafka.url, "left")
    await put(kafka.url, "left", b"a")
    assert await read(kafka.url, "left") == b"a"
    kafka.empty()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.url)
    await admin.start()
    assert [topic for topic in await admin.list_topics() if not topic.startswith("__")] == []
    assert await admin.list_consumer_groups() == []
    await admin.close()


async def test_a_kafka_that_is_killed_comes_back_with_all_that_it_acknowledged() -> None:
    with services.own("kafka") as node:
        await made(node.url, "kept")
        await put(node.url, "kept", b"a")
        node.kill()
        node.start()
        assert await read(node.url, "kept") == b"a"


async def test_a_redis_that_is_killed_comes_back_with_all_that_it_acknowledged() -> None:
    with services.own("redis") as node:
        async with Redis.from_url(node.url) as client:
            await client.set("kept", b"a")
        node.kill()
        node.start()
        async with Redis.from_url(node.url) as client:
            assert await client.get("kept") == b"a"


async def test_redis_forgets_everything_when_it_is_emptied(redis: Server) -> None:
    async with Redis.from_url(redis.url) as client:
        await client.set("left", b"a")
        redis.empty()
        assert await client.keys("*") == []


async def test_sqs_keeps_to_the_services_limits_and_has_no_queue_when_it_was_emptied(sqs: Server) -> None:
    async with aws("sqs", sqs.url) as client:
        queue = (await client.create_queue(QueueName="left"))["QueueUrl"]
        await client.send_message(QueueUrl=queue, MessageBody="a" * 2**18)
        with pytest.raises(client.exceptions.ClientError):
            await client.send_message(QueueUrl=queue, MessageBody="a\0b")
        sqs.empty()
        assert not (await client.list_queues()).get("QueueUrls")


async def test_s3_writes_on_condition_and_has_no_bucket_when_it_was_emptied(s3: Server) -> None:
    async with aws("s3", s3.url) as client:
        await client.create_bucket(Bucket="left", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        await client.put_object(Bucket="left", Key="a", Body=b"1", IfNoneMatch="*")
        with pytest.raises(client.exceptions.ClientError, match="PreconditionFailed"):
            await client.put_object(Bucket="left", Key="a", Body=b"2", IfNoneMatch="*")
        s3.empty()
        assert (await client.list_buckets())["Buckets"] == []


@pytest.mark.parametrize("name", sorted(services.OWN))
def test_each_can_be_paused_and_goes_on_and_is_gone_with_its_files(name: str) -> None:
    with services.own(name) as node:
        first = node.pid
        node.pause()
        assert Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        node.resume()
        node.stop()
        node.start()
        assert node.pid != first
        last, folder = node.pid, node.folder
    assert not Path(f"/proc/{last}").exists()
    assert not folder.exists()


@pytest.mark.parametrize("name", sorted(services.OWN))
def test_an_address_in_the_environment_is_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with services.find(name) as running:
        monkeypatch.setenv(services.variable(name), running.url)
        with services.find(name) as found:
            assert found.url == running.url
            assert found.origin.startswith("the environment")
    with pytest.raises(AssertionError, match="answers at"), services.find(name):
        pass
