"""Remote logs: everything that is logged arrives, and a collector that is away, slow or mad disturbs nobody."""

import io
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from pydantic import ValidationError

from harvester import logs, remotelogs
from harvester.errors import ConfigError
from harvester.remotelogs import LogsSettings, RemoteHandler, collector
from harvester.settings import load
from tests.unit.collector import Collector, collecting

TOKEN = "c4nary-l0ggly-t0ken"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root, collected = logging.getLogger(), logging.getLogger(logs.COLLECTED)
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    collected.handlers[:] = []
    collected.propagate = True
    logging.captureWarnings(capture=False)


@pytest.fixture
def there() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def started(url: str, **more: object) -> tuple[io.StringIO, RemoteHandler]:
    """The logs of this process, sent to `url` too."""
    settings = LogsSettings.model_validate({"url": url, "token": TOKEN, **more})
    handler = collector(settings)
    assert handler is not None
    stream = io.StringIO()
    logs.setup("info", [TOKEN], stream=stream, remote=handler)
    return stream, handler


def answering(why: str) -> tuple[list[bytes], Callable[[bytes, float], str]]:
    """What was sent, and what sends it with this outcome."""
    taken: list[bytes] = []

    def send(body: bytes, _: float) -> str:
        taken.append(body)
        return why

    return taken, send


def test_e51_what_is_logged_arrives_as_the_same_json_lines(there: Collector) -> None:
    stream, handler = started(there.url + "/bulk/{token}/tag/{tags}/")
    logs.get_logger("x").info("one", n=1)
    logging.getLogger("theirs").warning("two")
    handler.close()
    assert there.lines == [json.loads(line) for line in stream.getvalue().splitlines()]
    assert there.messages() == ["one", "two"]


def test_e52_token_and_tags_stand_in_the_address_as_loggly_wants_them(there: Collector) -> None:
    _, handler = started(there.url + "/bulk/{token}/tag/{tags}/", tags="prod, wien/1")
    logs.get_logger("x").info("one")
    handler.close()
    assert there.paths == [f"/bulk/{TOKEN}/tag/event-harvester,prod,wien%2F1/"]


def test_the_address_is_logglys_when_none_is_set_and_nothing_is_sent_without_a_token() -> None:
    assert collector(LogsSettings()) is None
    target = LogsSettings.model_validate({"token": TOKEN}).target
    assert target is not None
    assert (target.tls, target.host, target.port) == (True, "logs-01.loggly.com", None)
    assert target.path == f"/bulk/{TOKEN}/tag/event-harvester/"


def test_another_collector_gets_the_token_as_a_bearer_or_none(there: Collector) -> None:
    _, handler = started(there.url + "/ingest?type=x")
    logs.get_logger("x").info("one")
    handler.close()
    assert there.paths == ["/ingest?type=x"]
    assert there.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    _, handler = started(there.url, token="")
    logs.get_logger("x").info("two")
    handler.close()
    assert "Authorization" not in there.headers[1]
    assert there.messages() == ["one", "two"]


@pytest.mark.parametrize("name", ["HARVESTER_LOGS_TOKEN", "LOGGLY_TOKEN"])
def test_e51_the_predecessors_name_works_and_the_token_is_never_shown(name: str) -> None:
    loaded = load(LogsSettings, environ={name: TOKEN})
    assert loaded.get(LogsSettings).target is not None
    assert TOKEN in loaded.secrets
    assert TOKEN not in repr(loaded.get(LogsSettings))


@pytest.mark.parametrize(
    "url", ["http://logs.example.org/{token}", "https:///x", "ftp://h/x", "https://u:p@h/x", "https://h:99999/x", "http://["]
)
def test_s12_an_address_that_would_tell_the_token_or_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(LogsSettings, environ={"LOGGLY_TOKEN": TOKEN, "HARVESTER_LOGS_URL": url})
    assert "HARVESTER_LOGS_URL" in str(caught.value)
    assert TOKEN not in str(caught.value)
    with pytest.raises(ValidationError):
        LogsSettings.model_validate({"url": url, "token": TOKEN})


@pytest.mark.parametrize("status", [500, 403, 302])
def test_e51_lines_that_are_refused_are_kept_and_arrive_once_they_are_taken(there: Collector, status: int) -> None:
    there.status = status
    stream, handler = started(there.url + "/{token}")
    logs.get_logger("x").info("one")
    until(lambda: "cannot be sent" in stream.getvalue())
    assert f"HTTP {status}" in stream.getvalue()
    there.status = 200
    until(lambda: "one" in there.messages())
    until(lambda: "sent to the collector again" in stream.getvalue())
    handler.close()
    assert there.messages().count("one") == 1
    assert TOKEN not in stream.getvalue()


def test_e51_a_collector_that_is_not_there_is_told_once_and_never_with_the_token() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    stream, handler = started(f"http://127.0.0.1:{port}/{{token}}")
    logs.get_logger("x").info("one")
    until(lambda: "cannot be sent" in stream.getvalue())
    handler.close()
    assert stream.getvalue().count("cannot be sent") == 1
    assert "were not sent" in stream.getvalue()
    assert TOKEN not in stream.getvalue()


def test_e51_while_nobody_answers_logging_never_waits_and_the_oldest_lines_make_room() -> None:
    taken, send = answering("away")
    handler = RemoteHandler(send, room=100)
    stream = io.StringIO()
    logs.setup("info", stream=stream, remote=handler)
    for number in range(1_000):
        logs.get_logger("x").info("line", n=number)
    until(lambda: "cannot be sent" in stream.getvalue())
    handler.close()
    lost = json.loads(stream.getvalue().splitlines()[-1])
    assert lost["message"] == "log lines were not sent to the collector"
    assert lost["lines"] == 1_001
    assert b'"n": 999' in taken[-1]
    assert b'"n": 0}' not in taken[-1]


def test_the_room_is_bounded_in_bytes_too_and_a_line_longer_than_a_request_is_counted() -> None:
    taken, send = answering("")
    handler = RemoteHandler(send, room_bytes=100_000)
    stream = io.StringIO()
    logs.setup("info", stream=stream, remote=handler)
    for _ in range(3):
        logs.get_logger("x").info("long", text="x" * 40_000)
    logs.get_logger("x").info("longer", text="x" * (2 << 20))
    until(lambda: any(b"sent to the collector again" in body for body in taken))
    handler.close()
    assert sum(body.count(b'"long"') for body in taken) == 2
    assert b"longer" not in b"".join(taken)
    assert any(json.loads(line).get("dropped") == 2 for line in stream.getvalue().splitlines())


def test_e51_a_black_hole_holds_up_neither_the_harvest_nor_its_end(there: Collector) -> None:
    there.answers.clear()
    stream, handler = started(there.url)
    began = time.monotonic()
    for _ in range(2_000):
        logs.get_logger("x").info("line")
    logged = time.monotonic() - began
    assert there.asked.wait(30)
    began = time.monotonic()
    handler.close()
    assert time.monotonic() - began < 2 * remotelogs._LEAVE + 10
    assert logged < 30
    assert "were not sent" in stream.getvalue()


def test_what_people_are_told_anyway_goes_to_the_collector_alone(there: Collector) -> None:
    stream, handler = started(there.url)
    logs.get_logger(logs.COLLECTED).info("command ended", exit_code=0)
    handler.close()
    assert there.messages() == ["command ended"]
    assert stream.getvalue() == ""


def test_a_line_that_cannot_be_rendered_is_counted_and_ends_nothing(there: Collector, capfd: pytest.CaptureFixture[str]) -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError("odd")

    _, handler = started(there.url)
    logs.get_logger("x").info("odd", thing=Odd())
    logs.get_logger("x").info("even")
    handler.close()
    assert there.messages() == ["even"]
    capfd.readouterr()
