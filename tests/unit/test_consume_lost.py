"""Messages that are gone before a sink read them: the loop stops, and the metric that wakes somebody counts them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harvester import measures
from harvester.errors import RefusedError
from tests.consuming import position, publish, run
from tests.fakes import SINK, Clock, KeyedSink
from tests.taps import open_stores


def lost() -> float:
    labels = {"sink": SINK, "reason": "lost", "intentional": "false"}
    return measures.REGISTRY.get_sample_value("harvester_events_dropped_total", labels) or 0.0


def remove(folder: Path, last: int) -> None:
    (file,) = folder.rglob("queue.db")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM messages WHERE position <= ?", (last,))


async def test_f28_what_is_gone_before_it_was_read_is_counted_as_dropped_without_intention(tmp_path: Path) -> None:
    before = lost()
    async with open_stores(tmp_path, Clock()) as stores:
        await publish(stores, 10)
        async with stores.queue.subscribe(SINK):
            pass  # from here on the group is known, and has read nothing
        remove(tmp_path, 3)
        with pytest.raises(RefusedError, match="are gone before group"):
            await run(stores, KeyedSink())
        assert await position(stores) == 0
    assert lost() == before + 3
