"""Several workers share the tests; each has servers of its own, so those of one server go to one worker."""

import re
from collections.abc import Sequence
from typing import TypeVar

import pytest

from tests import services

TOGETHER = (frozenset({*services.ELASTICSEARCH, "elasticsearch", "elasticsearch_any"}), frozenset({"kafka", "sqs"}))
"""Servers that take long to start, one row a worker: the names of their fixtures, or what a parameter calls them."""
_T = TypeVar("_T")


def servers_of(item: pytest.Item) -> frozenset[str]:
    """What this test seems to need. One that hides its server is right too: its worker starts the server once more."""
    named = re.split(r"[^a-z0-9]+", item.name.partition("[")[2])
    return frozenset((*getattr(item, "fixturenames", ()), *named))


def in_shares(first: Sequence[_T], second: Sequence[_T], others: Sequence[_T], workers: int) -> list[_T]:
    """All of them, `first` at the beginning of one worker's share and `second` at that of the next.

    Each is given as many in a row as the others (`--dist worksteal`). Who is done early takes from the end of another's share,
    so that what stands at the beginning moves last.
    """
    share = (len(first) + len(second) + len(others)) // workers
    filled = max(0, share - len(first))
    return [*first, *others[:filled], *second, *others[filled:]]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    workers = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    if workers == 1:
        return
    rows: list[list[pytest.Item]] = [[], [], []]
    for item in items:
        needs = servers_of(item)
        rows[next((row for row, names in enumerate(TOGETHER) if needs & names), -1)].append(item)
    first, second, others = rows
    items[:] = in_shares(first, second, others, workers)
