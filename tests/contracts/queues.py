"""Every queue that the contract is held against. A new driver adds a row to DRIVERS."""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from pydantic import SecretStr

from harvester.access import NOBODY, Access
from harvester.protocols import Delivery, Message, Queue, Subscription
from harvester.queues import DRIVERS as MODULES

Opener = Callable[[], AbstractAsyncContextManager[Queue]]
Maker = Callable[[str], Awaitable[Opener]]
_RUN = uuid4().hex[:8]


class Driver(NamedTuple):
    """One kind of queue, and what of the contract its server leaves to it."""

    name: str
    url: Callable[[Path, str, str], str]
    """Of the queue that this name has for this directory at this server; the same each time.

    Messages over 1 KiB are too large for it.
    """
    server: str = ""
    """The row of tests.services that it needs, "" for none."""
    access: Callable[[str], Access] = lambda _: NOBODY
    """Who we are at that server."""
    one_member: bool = True
    """Whether a second member of a group is refused; otherwise the two share the messages."""
    seekable: bool = True
    """Whether positions are numbers that an operator can set and look at; otherwise he has the beginning and the end."""
    log: bool = True
    """Whether messages are kept when a group has read them; otherwise nobody can look at them or move a group: RefusedError."""
    ordered: bool = True
    """Whether messages of one key stay in order; otherwise the version that each event bears orders its states at the sink."""
    counted: bool = True
    """Whether counts are kept with the queue; otherwise they are those of the process that asks."""

    def __str__(self) -> str:
        return self.name


def unique(directory: Path, name: str) -> str:
    """A name for a shared server: of this queue of this test in this run, and of no other."""
    return f"{_RUN}-{blake2b(f'{directory}/{name}'.encode(), digest_size=6).hexdigest()}"


def _keys(server: str) -> Access:
    return Access(aws_access_key_id="any", aws_secret_access_key=SecretStr("secret"), aws_endpoint_url=server)


def _sqs(options: str) -> Callable[[Path, str, str], str]:
    def url(directory: Path, name: str, _: str) -> str:
        groups = "g,one,two"
        return f"sqs://eu-west-1/{unique(directory, name)}?groups={groups}&max_message=1KiB&visibility=30{options}"

    return url


DRIVERS = [
    Driver("sqlite", lambda directory, name, _: f"sqlite:///{directory}/{name}.db?max_message=1KiB&ballast=0"),
    Driver(
        "kafka",
        lambda directory, name, server: (
            f"kafka://{server}/{unique(directory, name)}?max_message=1KiB&session_timeout=3&partitions=3"
        ),
        server="kafka",
        one_member=False,
        seekable=False,
    ),
    *(
        Driver(name, _sqs(options), "sqs", _keys, one_member=False, seekable=False, log=False, ordered=False, counted=False)
        for name, options in (("sqs", ""), ("sqs pack=1", "&pack=1"))
    ),
]


async def prepared(url: str, access: Access) -> Sequence[str]:
    """What the driver makes at its server before it can be opened; [] when it needs nothing."""
    module = import_module(MODULES[url.partition(":")[0]].partition(":")[0])
    prepare = getattr(module, "prepare", None)
    return await prepare(url, access) if prepare else []


def messages(*bodies: str, key: str = "k") -> list[Message]:
    return [Message(key, body.encode()) for body in bodies]


def bodies(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.message.body.decode() for delivery in deliveries]


async def drain(subscription: Subscription, amount: int) -> list[Delivery]:
    """`amount` messages, in as many calls as the driver needs."""
    deliveries: list[Delivery] = []
    until = time.monotonic() + 20
    while len(deliveries) < amount and time.monotonic() < until:
        deliveries += await subscription.receive(amount - len(deliveries), 0.5)
    return deliveries


async def apart(queue: Queue, *bodies: str) -> None:
    """Publish each by itself, so that each is committed by itself wherever a driver keeps them."""
    for message in messages(*bodies):
        await queue.publish([message])


async def left(queue: Queue, group: str) -> int:
    return sum((await queue.lag(group)).values())
