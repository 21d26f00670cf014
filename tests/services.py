"""Real servers for tests and proofs: found, started, ended. Needs nothing but the standard library, and no pytest.

Each is looked for in this order: an address in the environment (HARVESTER_TEST_ELASTICSEARCH9=http://…), Docker where an engine
answers, a local process from the files under `.cache/servers/`, fetched once. Where all ways are closed, MissingServerError says
why and which command opens one; a test is skipped then, or fails when HARVESTER_TEST_REQUIRE names the server.

`python -m tests.services required` prints what an unattended run of this machine should require; `fetch` fetches what it lacks,
and what is large only where HARVESTER_TEST_REQUIRE names it.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from tests.servers.bigquery import BigQuery
from tests.servers.elasticsearch import Elasticsearch, ElasticsearchServer
from tests.servers.gcs import Gcs
from tests.servers.jars import Jars
from tests.servers.kafka import Kafka
from tests.servers.maven import Archive
from tests.servers.node import Node
from tests.servers.own import Own
from tests.servers.postgres import Postgres
from tests.servers.protocols import Kind, MissingServerError, OwnKind, Server
from tests.servers.redis import Redis
from tests.servers.rest import RefusedError
from tests.servers.s3 import S3
from tests.servers.sqs import Sqs

__all__ = [
    "SERVERS",
    "ElasticsearchServer",
    "MissingServerError",
    "Node",
    "Own",
    "RefusedError",
    "Server",
    "demanded",
    "find",
    "given",
    "node",
    "own",
    "required",
    "tool",
]

REQUIRE = "HARVESTER_TEST_REQUIRE"
DISTRIBUTION = "org.elasticsearch.distribution.integ-test-zip"

ELASTICSEARCH = {
    "elasticsearch8": Elasticsearch(
        name="elasticsearch8",
        archive=Archive(
            DISTRIBUTION, "elasticsearch", "8.19.21", "215d5f3dbf0609a149f6218a9e47b6ae2df34ebbff3c5754e35f15a5e5393c8a"
        ),
        java=(17, 17),
        provide="apt-get install openjdk-17-jre-headless maven",
    ),
    "elasticsearch9": Elasticsearch(
        name="elasticsearch9",
        archive=Archive(
            DISTRIBUTION, "elasticsearch", "9.5.3", "bec49f3b8d00e75c8d1cec85c35298635ec9fbd3ae80ef5aeb6bc05abdb3db2d"
        ),
        java=(21, 25),
        provide="apt-get install maven openjdk-21-jdk-headless, or any full JDK 21 or newer with JAVA_HOME set to it",
    ),
}
OWN: Mapping[str, OwnKind] = {
    "bigquery": BigQuery(),
    "gcs": Gcs(),
    "kafka": Kafka(
        Jars(
            ("org.apache.kafka:kafka_2.13:4.3.1", "org.slf4j:slf4j-simple:1.7.36"),
            "929899bc0205a413e019af82b4ea9cd72ca842beec55d2912c6e09780eb2d3d6",
        )
    ),
    "postgres": Postgres(),
    "redis": Redis(),
    "s3": S3(),
    "sqs": Sqs(
        Jars(
            ("org.elasticmq:elasticmq-server_2.13:1.7.1",),
            "6b57a0a18f71ed651ad89306f5d01d15120fb78ec74e31299e484f8e3985bc24",
        )
    ),
}
SERVERS: Mapping[str, Kind] = {**ELASTICSEARCH, **OWN}
"""One row a server: what a new one adds here is all that the finding needs."""
TOOLS: Mapping[str, str] = {
    "promtool": "apt-get install prometheus, or bash .ci/setup, which places only the programs",
    "prometheus": "the same as promtool",
    "wget": "apt-get install wget",
    "systemd-analyze": "apt-get install systemd",
    "faketime": "apt-get install faketime",
}
"""Programs that tests run, and how one is had."""
ALWAYS = frozenset(
    {"bigquery", "elasticsearch8", "gcs", "kafka", "postgres", "redis", "s3", "sqs", "promtool", "prometheus", "faketime", "wget"}
)
"""What an unattended run requires on every machine: the system's packages are enough for it."""


def variable(name: str) -> str:
    """Where its address stands in the environment."""
    return f"HARVESTER_TEST_{name.upper()}"


def given() -> list[str]:
    """The variables that name a server which somebody else runs."""
    return [variable(name) for name in SERVERS if os.environ.get(variable(name))]


@contextmanager
def find(name: str) -> Iterator[Server]:
    """A running server for the length of the block. MissingServerError where none can be had here."""
    kind = SERVERS[name]
    if address := os.environ.get(variable(name)):
        yield kind.address(address)
        return
    closed = []
    for way in (kind.container, kind.process):
        with ExitStack() as stack:
            try:
                server = stack.enter_context(way())
            except MissingServerError as error:
                closed.append(error.why)
                continue
            yield server
            return
    raise MissingServerError(name, f"{'; '.join(closed)}. {_advice(kind)}")


@contextmanager
def node(name: str, **settings: object) -> Iterator[Node]:
    """A local process of its own, to be killed and started at will; `settings` are lines of its elasticsearch.yml.

    MissingServerError where no local process can be had, also when an address or Docker provides the shared server: they give
    no process to kill.
    """
    kind = ELASTICSEARCH[name]
    with ExitStack() as stack:
        try:
            found = stack.enter_context(kind.node(settings))
        except MissingServerError as error:
            raise _no_process(kind, error) from error
        yield found


@contextmanager
def own(name: str, **settings: object) -> Iterator[Own]:
    """The same of the rows of OWN; `settings` are lines of the server's configuration."""
    kind = OWN[name]
    with ExitStack() as stack:
        try:
            found = stack.enter_context(kind.node(settings))
        except MissingServerError as error:
            raise _no_process(kind, error) from error
        yield found


def _no_process(kind: Kind, error: MissingServerError) -> MissingServerError:
    return MissingServerError(kind.name, f"a server to be killed is a local process: {error.why}. {_advice(kind)}")


def _advice(kind: Kind) -> str:
    return f"Provide it: {kind.provide}; or name one that runs: {variable(kind.name)}=<its address>"


def tool(name: str) -> str:
    """Where a program of TOOLS is. MissingServerError: it is not here."""
    found = shutil.which(name)
    if found is None:
        raise MissingServerError(name, f"there is no {name} on the PATH. Provide it: {TOOLS[name]}")
    return found


def demanded() -> frozenset[str]:
    """What HARVESTER_TEST_REQUIRE names: missing is a failure there. ValueError for a name that no row has."""
    names = frozenset(name for name in os.environ.get(REQUIRE, "").replace(" ", "").split(",") if name)
    if unknown := sorted(names - SERVERS.keys() - TOOLS.keys()):
        raise ValueError(f"{REQUIRE} names {', '.join(unknown)}; there are {', '.join(sorted({**SERVERS, **TOOLS}))}")
    return names


def required() -> list[str]:
    """What an unattended run of this machine should require."""
    servers = [name for name, kind in SERVERS.items() if name in ALWAYS or os.environ.get(variable(name)) or _startable(kind)]
    return [*servers, *(name for name in TOOLS if name in ALWAYS or shutil.which(name))]


def _startable(kind: Kind) -> bool:
    try:
        kind.startable()
    except MissingServerError:
        return False
    return True


def main(order: str) -> int:
    if order == "required":
        sys.stdout.write(",".join(required()) + "\n")
        return 0
    if order == "fetch":
        for name, kind in SERVERS.items():
            try:
                if name not in demanded():
                    kind.startable()
                sys.stdout.write(f"{name}: {kind.fetched()}\n")
            except MissingServerError as error:
                sys.stdout.write(f"{name}: not fetched, {error.why}\n")
        return 0
    sys.stderr.write("usage: python -m tests.services required|fetch\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) == 2 else ""))
