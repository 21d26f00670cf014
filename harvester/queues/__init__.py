"""Queues, picked by URL."""

from contextlib import AbstractAsyncContextManager

from harvester import drivers
from harvester.access import NOBODY, Access
from harvester.protocols import Queue

DRIVERS = {
    "kafka": "harvester.queues.kafka:open_queue",
    "sqlite": "harvester.queues.sqlite:open_queue",
    "sqs": "harvester.queues.sqs:open_queue",
}


def open_queue(url: str, access: Access = NOBODY) -> AbstractAsyncContextManager[Queue]:
    """The queue at `url`: `sqlite:///var/queue.db`, `kafka://host:9092/prefix`, `sqs://region/name`; `access`: who we are.

    ConfigError: no such scheme or option, or the driver's library is not installed.
    """
    opened: AbstractAsyncContextManager[Queue] = drivers.driver("queue", url, DRIVERS)(url, access)
    return opened


def known(url: str) -> str:
    """The driver that `url` asks for, which is not imported yet. ConfigError: there is none of that name."""
    return drivers.known("queue", url, DRIVERS)
