"""A collector of log lines on loopback, in a thread of its own: it takes them, refuses, is slow or never answers."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Collector:
    """What it was sent, and how it answers: with `status`, once `answers` is set."""

    def __init__(self) -> None:
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()
        self.asked = threading.Event()
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.lines: list[dict[str, Any]] = []
        self.url = ""

    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines]

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        self.paths.append(path)
        self.headers.append(headers)
        self.asked.set()
        self.answers.wait()
        if self.status < 300:
            self.lines += [json.loads(line) for line in body.splitlines()]
        return self.status


@contextmanager
def collecting() -> Iterator[Collector]:
    """Serves while the block runs."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                self.send_response(collector.take(self.path, dict(self.headers), body))
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:
                return  # whoever asked has gone

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield collector
    finally:
        collector.answers.set()
        server.shutdown()
        thread.join()
        server.server_close()
