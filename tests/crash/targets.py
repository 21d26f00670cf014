"""What the crash proof writes to: how it is named and set, emptied, read back, and killed where it is a process of its own."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import duckdb

from consumers.protocols import Sink
from consumers.sinks import open_sink
from tests.crash.vendors import VENDORS, Row, Table
from tests.indexed import Answering, documents, index_sink, indexes, own_node
from tests.services import Node

_PATIENCE = 60.0
_OURS = ",".join(f"{table.name}-*" for vendor in VENDORS.values() for table in vendor.tables)


class Target(Protocol):
    """A sink, its server included."""

    @property
    def name(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, str]: ...
    def opened(self, folder: Path) -> AbstractAsyncContextManager[Sink]: ...  # as a process in that folder writes it
    def empty(self) -> None: ...
    def read(self, folder: Path, tables: Sequence[Table]) -> list[Row]: ...  # all it holds, what is there twice twice
    def unfit(self, folder: Path) -> int: ...  # events it holds that no record can be made of: who takes all refuses none
    def grown(
        self, folder: Path, tables: Sequence[Table]
    ) -> int: ...  # more whenever something was written; OSError while it is away
    def die(self, moments: Iterable[float], kills: int) -> int: ...  # SIGKILL after each; how often while it was written to


class DuckDB:
    """A file in the site's folder: nothing of it runs."""

    name = "duckdb"
    settings: Mapping[str, str] = {}

    def opened(self, folder: Path) -> AbstractAsyncContextManager[Sink]:
        return open_sink(f"duckdb:///{folder / 'var' / 'harvest.duckdb'}")

    def empty(self) -> None:
        """Each site has a file of its own."""

    def read(self, folder: Path, tables: Sequence[Table]) -> list[Row]:
        path, found = folder / "var" / "harvest.duckdb", list[Row]()
        if not path.exists():
            return found
        with duckdb.connect(str(path), read_only=True) as database:
            made = {name for (name,) in database.execute("SELECT table_name FROM information_schema.tables").fetchall()}
            for table in (one for one in tables if one.name in made):
                rows = database.execute(f"SELECT {', '.join(table.columns)} FROM {table.name}").fetchall()
                found += [(str(key), tuple(map(plain, state))) for key, *state in rows]
        return found

    def unfit(self, folder: Path) -> int:
        return 0

    def grown(self, folder: Path, tables: Sequence[Table]) -> int:
        return len(self.read(folder, tables))

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

    def opened(self, folder: Path) -> AbstractAsyncContextManager[Sink]:
        return index_sink(self._server.url)

    def empty(self) -> None:
        for name in indexes(self._server, _OURS):
            self._server.call("DELETE", f"/{name}")

    def read(self, folder: Path, tables: Sequence[Table]) -> list[Row]:
        found = list[Row]()
        for table in tables:
            held = [one.source for _, one in documents(self._server, f"{table.name}-*", *table.fields)]
            rows = [[_at(source, field) for field in table.fields] for source in held]
            found += [(str(key), tuple(map(plain, state))) for key, *state in rows]
        return found

    def unfit(self, folder: Path) -> int:
        return 0

    def grown(self, folder: Path, tables: Sequence[Table]) -> int:
        names = ",".join(f"{table.name}-*" for table in tables)
        stats = self._server.call("GET", f"/{names}/_stats?level=shards&filter_path=indices.*.shards.*.seq_no.max_seq_no")
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


def plain(value: object) -> object:
    """Times as the truth has them: DuckDB's are without their zone, which is UTC, those of documents with another word for it."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    return value.replace("+00:00", "Z") if isinstance(value, str) else value


def _at(source: Mapping[str, Any], field: str) -> Any:
    found: Any = source
    for name in field.split("."):
        found = found[name]
    return found


@contextmanager
def elasticsearch() -> Iterator[Elasticsearch]:
    """A node of its own. MissingServerError where none can be had."""
    with own_node() as node:
        yield Elasticsearch(node, node)
