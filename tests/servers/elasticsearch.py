"""Elasticsearch: one given by address, in Docker, or the vendor's own server as a local process (see node.py)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.servers import docker
from tests.servers.java import java_for
from tests.servers.maven import Archive, check, unpacked
from tests.servers.node import Node, node_of
from tests.servers.process import await_ready
from tests.servers.rest import call, check_ready, version_at

MARK = "cluster.metadata.harvester_tests"
"""A cluster setting that says: this server is for tests, they may empty it."""
BLOCKS = {"cluster.blocks.read_only", "cluster.blocks.read_only_allow_delete"}


@dataclass(frozen=True)
class ElasticsearchServer:
    """One that answers, without login."""

    name: str
    url: str
    version: str
    origin: str

    def call(self, method: str, path: str, body: object = None) -> Any:
        """See `call`."""
        return call(self.url, method, path, body)

    def indices(self) -> list[str]:
        """All but the server's own; told whatever they block."""
        state = self.call("GET", "/_cluster/state/metadata?filter_path=metadata.indices.*.state&expand_wildcards=all")
        return sorted(name for name in state.get("metadata", {}).get("indices", {}) if not name.startswith("."))

    def empty(self) -> None:
        """No index, no template that is not the server's own, no block, no cluster setting but the mark."""
        self._reset()
        if names := ",".join(self.indices()):
            blocks = {f"index.blocks.{block}": None for block in ("read_only", "read_only_allow_delete", "metadata")}
            self.call("PUT", f"/{names}/_settings?expand_wildcards=all", blocks)
            self.call("DELETE", f"/{names}?expand_wildcards=all")
        for kind in ("index_template", "component_template"):
            for found in self.call("GET", f"/_{kind}")[f"{kind}s"]:
                own = (found[kind].get("_meta") or {}).get("managed") or found["name"].startswith(".")
                if not own:
                    self.call("DELETE", f"/_{kind}/{found['name']}")

    def _reset(self) -> None:
        """A read-only cluster takes no other change before the block is lifted, one setting a request."""
        settings = self.call("GET", "/_cluster/settings?flat_settings=true")
        for place in ("persistent", "transient"):
            for block in BLOCKS & settings[place].keys():
                self.call("PUT", "/_cluster/settings", {place: {block: None}})
        self.call("PUT", "/_cluster/settings", {"persistent": {"*": None, MARK: "yes"}, "transient": {"*": None}})

    def for_tests(self) -> "ElasticsearchServer":
        """Itself, marked. AssertionError when it holds what no test made: it is somebody's, and tests would empty it."""
        settings = self.call("GET", "/_cluster/settings?flat_settings=true")["persistent"]
        if MARK not in settings and (names := self.indices()):
            raise AssertionError(
                f"{self.name} at {self.url} holds indexes that no test made ({', '.join(names[:3])}); tests empty the server "
                "that they are given: name an empty one"
            )
        self.call("PUT", "/_cluster/settings", {"persistent": {MARK: "yes"}})
        return self


@dataclass(frozen=True)
class Elasticsearch:
    """One row of `tests.services.SERVERS`."""

    name: str
    archive: Archive
    java: tuple[int, int]
    """The lowest version that will do, and the one that was tried."""
    provide: str

    @property
    def version(self) -> str:
        return self.archive.version

    def address(self, url: str) -> ElasticsearchServer:
        try:
            version = version_at(url)
        except OSError as error:
            raise AssertionError(f"{self.name}: nobody answers at {url}: {error}") from error
        if version.partition(".")[0] != self.version.partition(".")[0]:
            raise AssertionError(f"{self.name}: {url} is an Elasticsearch {version}")
        return ElasticsearchServer(self.name, url.rstrip("/"), version, f"the environment, {url}").for_tests()

    @contextmanager
    def container(self) -> Iterator[ElasticsearchServer]:
        environment = {
            "discovery.type": "single-node",
            "xpack.security.enabled": "false",
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            "ingest.geoip.downloader.enabled": "false",
            "ES_JAVA_OPTS": "-Xms512m -Xmx512m -XX:TieredStopAtLevel=1",
        }
        image = f"elasticsearch:{self.version}"
        with docker.container(self.name, image, 9200, environment) as address:
            url = f"http://{address}"
            await_ready(self.name, lambda: check_ready(url), lambda: None)
            yield ElasticsearchServer(self.name, url, version_at(url), f"Docker, {image}")

    @contextmanager
    def process(self) -> Iterator[ElasticsearchServer]:
        with self.node({}) as node:
            origin = f"a local process, Java {java_for(self.name, *self.java).version}"
            yield ElasticsearchServer(self.name, node.url, version_at(node.url), origin)

    @contextmanager
    def node(self, settings: dict[str, object]) -> Iterator[Node]:
        """A process with a data folder of its own; both are gone after the block."""
        node = node_of(self.name, self.archive, self.java, settings)
        try:
            node.start()
            yield node
        finally:
            node.close()

    def startable(self) -> None:
        java_for(self.name, *self.java)
        check(self.name, self.archive.folder)

    def fetched(self) -> str:
        """The folder of its files, fetched when it was not here."""
        return unpacked(self.name, self.archive).name
