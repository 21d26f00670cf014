"""Where the contract of queues finds the queue it is held against."""

from pathlib import Path

import pytest

from harvester.queues import open_queue
from tests.contracts.queues import DRIVERS, Driver, Maker, Opener, prepared
from tests.servers.fixtures import Servers


@pytest.fixture(params=DRIVERS, ids=str)
def queue_driver(request: pytest.FixtureRequest) -> Driver:
    """Each driver in turn."""
    found = request.param
    assert isinstance(found, Driver)
    return found


@pytest.fixture
def queue_named(queue_driver: Driver, tmp_path: Path, servers: Servers) -> Maker:
    """Makes the queue of a name, and gives what opens it, as often as one likes."""

    async def made(name: str) -> Opener:
        server = servers.get(queue_driver.server).url if queue_driver.server else ""
        url, access = queue_driver.url(tmp_path, name, server), queue_driver.access(server)
        await prepared(url, access)
        return lambda: open_queue(url, access)

    return made


@pytest.fixture
async def opened(queue_named: Maker) -> Opener:
    """Opens the test's queue."""
    return await queue_named("queue")
