"""Elasticsearch as tests use it: our templates put there, everything it holds read back, and the sink that writes to it."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, NamedTuple, Protocol

from consumers.protocols import Sink
from consumers.sinks import open_sink
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from consumers.sinks.elasticsearch_templates import all_pieces
from tests import services
from tests.services import MissingServerError, Node

ALL = "useractions-*"
_PAGE = 5000


class Answering(Protocol):
    """A server or a node of tests.services."""

    @property
    def url(self) -> str: ...
    def call(self, method: str, path: str, body: object = None) -> Any: ...


class Held(NamedTuple):
    """A document and the version it is held with."""

    place: str
    version: int
    source: Mapping[str, Any]


@asynccontextmanager
async def index_sink(url: str, **settings: Any) -> AsyncIterator[Sink]:
    async with open_sink("elasticsearch", ElasticsearchSettings(url=url, **settings)) as sink:
        yield sink


def put_templates(server: Answering) -> None:
    """As `harvest setup load_index_templates` does."""
    for piece in all_pieces():
        server.call("PUT", piece.path, piece.body)


@contextmanager
def own_node(**settings: object) -> Iterator[Node]:
    """A node of the newest line that is to be had here, with our templates, to be killed at will."""
    with ExitStack() as stack:
        missing = []
        for name in sorted(services.ELASTICSEARCH, reverse=True):
            try:
                node = stack.enter_context(services.node(name, **settings))
                break
            except MissingServerError as error:
                missing.append(error)
        else:
            raise MissingServerError(",".join(error.name for error in missing), "; ".join(error.why for error in missing))
        put_templates(node)
        yield node


def indexes(server: Answering, pattern: str = ALL) -> list[str]:
    """The names of those there are."""
    state = server.call("GET", f"/_cluster/state/metadata/{pattern}?filter_path=metadata.indices.*.state")
    return sorted(state.get("metadata", {}).get("indices", {}))


def documents(server: Answering, pattern: str = ALL, *fields: str) -> list[tuple[str, Held]]:
    """Every document of these indexes with its id, in no order; one that stands in two indexes comes twice.

    Without `fields` all of it.
    """
    found: list[tuple[str, Held]] = []
    if not indexes(server, pattern):
        return found
    server.call("POST", f"/{pattern}/_refresh")
    pit, after = server.call("POST", f"/{pattern}/_pit?keep_alive=5m")["id"], None
    try:
        while True:
            asked = {
                "size": _PAGE,
                "version": True,
                "_source": [*fields] or True,
                "pit": {"id": pit, "keep_alive": "5m"},
                "sort": ["_shard_doc"],
            }
            asked |= {"track_total_hits": False} | ({"search_after": after} if after else {})
            hits = server.call("POST", "/_search", asked)["hits"]["hits"]
            found += [(hit["_id"], Held(hit["_index"], hit["_version"], hit["_source"])) for hit in hits]
            if len(hits) < _PAGE:
                return found
            after = hits[-1]["sort"]
    finally:
        server.call("DELETE", "/_pit", {"id": pit})


def held(server: Answering, pattern: str = ALL) -> dict[str, Held]:
    """Every document by its id, each there once."""
    found = documents(server, pattern)
    by_id = dict(found)
    assert len(by_id) == len(found), "doubled"
    return by_id
