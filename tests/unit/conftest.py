"""The stores that many unit tests work on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes import Clock
from tests.taps import Stores, conserve, open_stores


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def stores(tmp_path: Path, clock: Clock) -> AsyncIterator[Stores]:
    """The real stores; after every test the counts account for everything."""
    async with open_stores(tmp_path, clock) as stores:
        yield stores
        await conserve(stores.queue)
