"""What the crash proof writes to: how it is named and set, emptied, read back, and killed where it is a process of its own."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Protocol

import duckdb

from tests.indexed import ALL, Answering, documents, indexes, own_node
from tests.services import Node

_PATIENCE = 60.0
Row = tuple[str, int]
"""An action's id and the outpoint it is held with."""


class Target(Protocol):
    """A sink, its server included."""

    @property
    def name(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, str]: ...
    def empty(self) -> None: ...
    def read(self, folder: Path) -> list[Row]: ...  # all it holds, what is there twice twice
    def grown(self, folder: Path) -> int: ...  # more whenever something was written; OSError while it is away
    def die(self, moments: Iterable[float], kills: int) -> int: ...  # SIGKILL after each; how often while it was written to


class DuckDB:
    """A file in the site's folder: nothing of it runs."""

    name = "duckdb"
    settings: Mapping[str, str] = {}

    def empty(self) -> None:
        """Each site has a file of its own."""

    def read(self, folder: Path) -> list[Row]:
        with duckdb.connect(str(folder / "var" / "harvest.duckdb"), read_only=True) as database:
            rows = database.execute("SELECT action_id, action_outpoint FROM useractions").fetchall()
        return [(str(key), outpoint) for key, outpoint in rows]

    def grown(self, folder: Path) -> int:
        return len(self.read(folder)) if (folder / "var" / "harvest.duckdb").exists() else 0

    def die(self, moments: Iterable[float], kills: int) -> int:
        return 0


DUCKDB = DuckDB()


class Elasticsearch:
    """A real server with our templates; one without a node of its own is not killed."""

    name = "elasticsearch"

    def __init__(self, server: Answering, node: Node | None = None) -> None:
        self._server = server
        self._node = node
        self.settings: Mapping[str, str] = {"HARVESTER_ELASTICSEARCH_URL": server.url}

    def empty(self) -> None:
        for name in indexes(self._server):
            self._server.call("DELETE", f"/{name}")

    def read(self, folder: Path) -> list[Row]:
        found = documents(self._server, ALL, "action_id", "action.outpoint")
        return [(str(one.source["action_id"]), one.source["action"]["outpoint"]) for _, one in found]

    def grown(self, folder: Path) -> int:
        stats = self._server.call("GET", f"/{ALL}/_stats?level=shards&filter_path=indices.*.shards.*.seq_no.max_seq_no")
        shards = (shard for index in stats.get("indices", {}).values() for shard in index["shards"].values())
        return sum(copy["seq_no"]["max_seq_no"] + 1 for copies in shards for copy in copies)

    def die(self, moments: Iterable[float], kills: int) -> int:
        if self._node is None:
            return 0
        struck = 0
        for seconds in islice(moments, kills):
            deadline = time.monotonic() + _PATIENCE
            while not self._written() and time.monotonic() < deadline:
                time.sleep(0.2)
            time.sleep(seconds)  # the moment is the point: any moment must do
            struck += self._written()
            self._node.kill()
            self._node.start()
        return struck

    def _written(self) -> bool:
        """Whether a document was indexed since the server started."""
        stats = self._server.call("GET", "/_stats/indexing?filter_path=_all.total.indexing.index_total")
        return bool(stats) and stats["_all"]["total"]["indexing"]["index_total"] > 0


@contextmanager
def elasticsearch() -> Iterator[Elasticsearch]:
    """A node of its own. MissingServerError where none can be had."""
    with own_node() as node:
        yield Elasticsearch(node, node)
