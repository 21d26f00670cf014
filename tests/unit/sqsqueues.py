"""Queues on a real SQS for tests, and a way to it that fails as it is told."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
from aiohttp import web
from pydantic import SecretStr

from harvester.access import Access
from harvester.aws import open_client
from harvester.queues import open_queue
from harvester.queues.sqs import SqsQueue

KEYS = Access(aws_access_key_id="any", aws_secret_access_key=SecretStr("secret-canary"))


def named(server: str, **options: object) -> str:
    """The URL of a queue that nobody else has."""
    more = "".join(f"&{name}={value}" for name, value in options.items())
    return f"sqs://eu-west-1/test-{uuid4().hex}?endpoint={server}{more}"


@asynccontextmanager
async def opened(url: str, access: Access = KEYS) -> AsyncIterator[SqsQueue]:
    async with open_queue(url, access) as queue:
        assert isinstance(queue, SqsQueue)
        yield queue


class Way:
    """In front of an SQS. `scripts` answer operations instead of it: they may ask `onward`, and change what they like."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.url = ""
        self.scripts: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {}
        self.asked: Counter[str] = Counter()
        self.entries: list[tuple[str, int]] = []
        """Operation and entries of each batch."""
        self._session: aiohttp.ClientSession | None = None
        self._headers: dict[str, str] = {}

    async def answer(self, request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        asked = await request.json()
        self._headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "content-length")}
        self.asked[operation] += 1
        if "Entries" in asked:
            self.entries.append((operation, len(asked["Entries"])))
        script = self.scripts.get(operation)
        told = await (script(asked) if script else self.onward(asked, operation))
        return web.Response(status=int(told.pop("status", 200)), text=json.dumps(told), content_type="application/x-amz-json-1.0")

    async def onward(self, asked: dict[str, Any], operation: str) -> dict[str, Any]:
        """What the server says."""
        assert self._session is not None
        headers = {**self._headers, "X-Amz-Target": f"AmazonSQS.{operation}"}
        async with self._session.post(self.server, json=asked, headers=headers) as told:
            found = json.loads(await told.read() or b"{}")
            assert isinstance(found, dict)
            return {**found, "status": told.status}


@asynccontextmanager
async def way_to(server: str) -> AsyncIterator[Way]:
    way = Way(server)
    app = web.Application(client_max_size=2**23)
    app.router.add_post("/{path:.*}", way.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    way.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with aiohttp.ClientSession() as session:
            way._session = session
            yield way
    finally:
        await runner.cleanup()


async def refused(_: dict[str, Any]) -> dict[str, Any]:
    """A script: the service is unavailable."""
    return {"status": 503, "__type": "ServiceUnavailable", "message": "told"}


async def client_of(server: str, operation: str, **parameters: object) -> Any:
    """What an operator does with the tools of AWS."""
    async with open_client("sqs", KEYS, "sqs", endpoint=server, region="eu-west-1") as client:
        return await getattr(client, operation)(**parameters)


async def redriven(server: str, name: str) -> None:
    """Give the SQS queue of this name a redrive policy, as an operator may."""
    dead = await client_of(server, "create_queue", QueueName=f"dead-{uuid4().hex}")
    told = await client_of(server, "get_queue_attributes", QueueUrl=dead["QueueUrl"], AttributeNames=["QueueArn"])
    policy = json.dumps({"deadLetterTargetArn": told["Attributes"]["QueueArn"], "maxReceiveCount": 3})
    url = (await client_of(server, "get_queue_url", QueueName=name))["QueueUrl"]
    await client_of(server, "set_queue_attributes", QueueUrl=url, Attributes={"RedrivePolicy": policy})
