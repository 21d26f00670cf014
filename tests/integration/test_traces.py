"""Traces: one through all processes, decoded as a collector gets them; nothing while they are off."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harvester import traces
from harvester.errors import ConfigError
from harvester.protocols import Delivery, Message
from tests.integration.test_cli_daemon import free_port
from tests.integration.test_cli_run import daemon_site, drained, reached
from tests.site import World, world


class Collector:
    """What an OTLP/HTTP collector was sent: every span, as the protocol has it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.spans: list[Any] = []
        self.services: set[str] = set()

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


@contextmanager
def collector() -> Iterator[Collector]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked = ExportTraceServiceRequest.FromString(body)
            assert self.path == "/v1/traces"
            for resource in asked.resource_spans:
                found.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
                found.spans += [span for scope in resource.scope_spans for span in scope.spans]
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        found = Collector(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def vendor() -> Iterator[World]:
    with world() as found:
        yield found


def messages(spans: Sequence[Any]) -> int:
    return sum(a.value.int_value for span in spans for a in span.attributes if a.key == traces.MESSAGES)


def test_one_trace_goes_from_the_poll_through_the_queue_to_the_sink_of_another_process(tmp_path: Path, vendor: World) -> None:
    with collector() as found:
        site = daemon_site(tmp_path, vendor.url, HARVESTER_TRACES_URL=found.url, HARVESTER_OWN_EVENTS="never")
        with site.process("run", "--no-consume") as harvester:
            harvester.until(lambda: reached(site))
            assert harvester.stop() == 0
        published = {(span.trace_id, span.span_id) for span in found.named("publish")}
        polled = {span.span_id: span for span in found.named("poll")}
        assert published
        assert all(span.parent_span_id in polled for span in found.named("publish"))
        with site.process("consume") as consumer:
            consumer.until(lambda: drained(site))
            assert consumer.stop() == 0
    consumed = found.named("consume")
    assert consumed
    assert {(span.trace_id, span.parent_span_id) for span in consumed} <= published
    linked = {(link.trace_id, link.span_id) for span in consumed for link in span.links}
    assert linked <= published
    assert {(span.trace_id, span.parent_span_id) for span in found.named("index")} <= {(s.trace_id, s.span_id) for s in consumed}
    assert found.named("index")
    assert found.services == {"event-harvester"}
    assert messages(consumed) == messages(found.named("publish")) > 0


def test_lines_of_the_log_bear_their_trace(tmp_path: Path) -> None:
    with collector() as found, world(faults={"500": 0.5}) as refusing:
        site = daemon_site(tmp_path, refusing.url, HARVESTER_TRACES_URL=found.url, HARVESTER_LOG_LEVEL="info")
        with site.process("run") as daemon:
            daemon.until(lambda: reached(site) and drained(site))
            assert daemon.stop() == 0
        lines = [json.loads(line) for line in daemon.err.splitlines() if line.startswith("{")]
    traced = {(line["trace.id"], line["span.id"]) for line in lines if "trace.id" in line}
    assert traced
    assert traced <= {(span.trace_id.hex(), span.span_id.hex()) for span in found.spans}


def test_a_collector_that_is_away_holds_nothing_up(tmp_path: Path, vendor: World) -> None:
    site = daemon_site(tmp_path, vendor.url, HARVESTER_TRACES_URL=f"http://127.0.0.1:{free_port()}")
    with site.process("run") as daemon:
        daemon.until(lambda: reached(site) and drained(site))
        assert daemon.stop() == 0


def test_while_they_are_off_nothing_is_imported_and_messages_are_as_they_were() -> None:
    message = Message("k", b"{}")
    assert traces.marked([message])[0] is message
    assert traces.span("poll") is traces.receiving("consume", [Delivery(message, 1)])
    assert traces.current() == {}
    program = "import sys, harvester.harvest, consumers.consume; sys.exit('opentelemetry' in str(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


async def test_the_first_publish_is_the_parent_the_others_are_linked_and_nonsense_is_neither() -> None:
    one, two = (f"00-{digit * 32}-{digit * 16}-01" for digit in "12")
    deliveries = [
        Delivery(Message("k", b"", {"traceparent": header}), at) for at, header in enumerate(["nonsense", one, two, one, ""])
    ]
    with collector() as found:
        async with traces.exporting(found.url):
            with traces.receiving("consume", deliveries):
                assert traces.current()["trace.id"] == "1" * 32
            with pytest.raises(ValueError, match="secret"), traces.span("index"):
                raise ValueError("secret")
        (consumed,), (index,) = found.named("consume"), found.named("index")
    assert (consumed.trace_id.hex(), consumed.parent_span_id.hex()) == ("1" * 32, "1" * 16)
    assert [link.span_id.hex() for link in consumed.links] == ["2" * 16]
    assert (index.status.message, "secret" in str(index)) == ("ValueError", False)


async def test_a_collector_that_never_answers_holds_a_stop_up_for_three_seconds_at_most() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with traces.exporting(f"http://127.0.0.1:{silent.getsockname()[1]}"):
            for _ in range(2000):
                with traces.span("poll"):
                    pass
            began = time.monotonic()
        assert time.monotonic() - began < 6  # three, and as much for a busy machine


async def test_an_address_that_is_none_is_a_setting_at_fault() -> None:
    with pytest.raises(ConfigError, match="HARVESTER_TRACES_URL"):
        async with traces.exporting("collector:4317"):
            pass
