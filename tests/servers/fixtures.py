"""The servers as pytest fixtures: started at their first use, ended with the session; a missing one skips or fails its tests."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Any, NoReturn

import pytest

from tests import services
from tests.servers.bigquery import BigQueryServer
from tests.services import ElasticsearchServer, MissingServerError, Server


class Servers:
    """What runs in this session, by name."""

    def __init__(self) -> None:
        self._ends = ExitStack()
        self._found: dict[str, Server | Exception] = {}
        self.told: dict[str, str] = {}
        """For the summary: from where each was taken, or why it was not."""

    def get(self, name: str) -> Server:
        """Starts it when it is asked for the first time. What failed once is not waited for again."""
        if name not in self._found:
            try:
                self._found[name] = server = self._ends.enter_context(services.find(name))
                self.told[name] = f"{server.version} at {server.url}, from {server.origin}"
            except Exception as error:  # noqa: BLE001 - whatever it is, every test that needs the server is to tell it
                self._found[name] = error
                self.told[name] = f"missing: {error}" if isinstance(error, MissingServerError) else f"failed: {error}"
        found = self._found[name]
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        self._ends.close()
        self._found.clear()


KEY = pytest.StashKey[Servers]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[KEY] = Servers()
    try:
        services.demanded()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    if (given := services.given()) and getattr(config.option, "numprocesses", None) not in (None, 0, 1):
        raise pytest.UsageError(
            f"{given[0]} names one server, and several workers would empty it under each other; take one: make test WORKERS=1"
        )


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[KEY].close()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of several gives what it has to tell to who prints it."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["servers"] = session.config.stash[KEY].told


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    told = node.config.stash[KEY].told
    for name, text in node.workeroutput.get("servers", {}).items() if hasattr(node, "workeroutput") else ():
        told[f"{node.gateway.id} {name}"] = text


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if told := config.stash[KEY].told:
        terminalreporter.section("servers")
        for name, text in sorted(told.items()):
            terminalreporter.write_line(f"{name}: {text}")


def judged(error: MissingServerError) -> NoReturn:
    """Skips the test that runs, or fails it when the server is required."""
    required = sorted(set(error.name.split(",")) & services.demanded())
    if required:
        pytest.fail(f"required by {services.REQUIRE}, but missing: {error}", pytrace=False)
    pytest.skip(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    try:
        return (yield)
    except MissingServerError as error:
        judged(error)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    try:
        return (yield)
    except MissingServerError as error:
        judged(error)


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Iterator[Servers]:
    found = pytestconfig.stash[KEY]
    yield found
    found.close()


@pytest.fixture
def kafka(servers: Servers) -> Server:
    """A broker, shared by all tests: each uses topics and groups of its own."""
    return servers.get("kafka")


@pytest.fixture
def redis(servers: Servers) -> Server:
    """A Redis that loses no acknowledged write, shared by all tests: each uses keys of its own."""
    return servers.get("redis")


@pytest.fixture
def bigquery(servers: Servers) -> BigQueryServer:
    """A BigQuery, emptied."""
    server = servers.get("bigquery")
    server.empty()
    assert isinstance(server, BigQueryServer)
    return server


@pytest.fixture
def postgres(servers: Servers) -> Server:
    """A PostgreSQL, emptied."""
    server = servers.get("postgres")
    server.empty()
    return server


@pytest.fixture
def sqs(servers: Servers) -> Server:
    """An SQS, shared by all tests: each uses queues of its own."""
    return servers.get("sqs")


@pytest.fixture
def s3(servers: Servers) -> Server:
    """An S3, shared by all tests: each uses buckets or prefixes of its own."""
    return servers.get("s3")


@pytest.fixture
def gcs(servers: Servers) -> Server:
    """A Cloud Storage, shared by all tests: each uses buckets or prefixes of its own."""
    return servers.get("gcs")


def emptied(server: Server) -> ElasticsearchServer:
    assert isinstance(server, ElasticsearchServer)
    server.empty()
    return server


@pytest.fixture(params=sorted(services.ELASTICSEARCH))
def elasticsearch(servers: Servers, request: pytest.FixtureRequest) -> ElasticsearchServer:
    """Each line of Elasticsearch in turn, emptied."""
    return emptied(servers.get(request.param))


@pytest.fixture
def elasticsearch_any(servers: Servers) -> ElasticsearchServer:
    """The newest line that is to be had here, emptied: for what does not depend on the version."""
    missing = []
    for name in sorted(services.ELASTICSEARCH, reverse=True):
        try:
            return emptied(servers.get(name))
        except MissingServerError as error:
            missing.append(error)
    raise MissingServerError(",".join(error.name for error in missing), "; ".join(error.why for error in missing))
