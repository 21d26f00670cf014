"""S05: with queue, stores and cache on servers, well, away and talking back: no secret is found in anything that is written."""

import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.test_canaries import Seen
from tests.services import Server
from tests.site import ROOT

CANARY = "c4nary-"
SECRETS = {
    "HARVESTER_REDIS_PASSWORD": f"{CANARY}redis",
    "HARVESTER_AWS_SECRET_ACCESS_KEY": f"{CANARY}aws",
    "HARVESTER_AWS_SESSION_TOKEN": f"{CANARY}token",
    "HARVESTER_KAFKA_PASSWORD": f"{CANARY}kafka",
}
NAMES = {"HARVESTER_AWS_ACCESS_KEY_ID": "harvester", "HARVESTER_KAFKA_USER": "harvester", "HARVESTER_KAFKA_MECHANISM": "PLAIN"}
COMMANDS = (
    ("setup",),
    ("config", "show"),
    ("status",),
    ("doctor", "--timeout", "1"),
    ("queue", "groups"),
    ("queue", "check"),
    ("coverage", "show"),
    ("dead-letters", "list"),
    ("audit",),
    ("consume", "stdout", "--until-empty"),
    ("useractions",),
)


class Parrot(socketserver.BaseRequestHandler):
    """Says what it was told, as an error of HTTP and as whatever else it may be taken for."""

    def handle(self) -> None:
        told = self.request.recv(65536)
        body = b"<Error><Code>AccessDenied</Code><Message>" + told.replace(b"<", b"[") + b"</Message></Error>"
        self.request.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))


@contextmanager
def parrot() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Parrot) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def places(sqs: str, s3: str, redis: str) -> Mapping[str, str]:
    return {
        "HARVESTER_QUEUE_URL": f"sqs://eu-west-1/canary?endpoint={sqs}",
        "HARVESTER_COVERAGE_URL": f"s3://canary/books?endpoint={s3}&region=eu-west-1",
        "HARVESTER_LETTERS_URL": f"s3://canary/letters?endpoint={s3}&region=eu-west-1",
        "HARVESTER_CACHE_URL": redis,
    }


def run(folder: Path, where: Mapping[str, str], seen: Seen, *, commands: tuple[tuple[str, ...], ...] = COMMANDS) -> list[int]:
    """Every command as a process; its exit codes."""
    given = {k: v for k, v in os.environ.items() if not k.startswith(("HARVESTER_", "AWS_"))}
    given |= {**SECRETS, **NAMES, **where, "PYTHONPATH": str(ROOT), "HARVESTER_LOG_LEVEL": "debug"}
    given |= {
        "HARVESTER_OPENCAST_URL": "http://127.0.0.1:1",
        "HARVESTER_OPENCAST_USER": "u",
        "HARVESTER_OPENCAST_PASSWORD": "any",
    }
    codes = []
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "harvester", *command], cwd=folder, env=given, capture_output=True, timeout=120, check=False
        )
        seen.look(f"{' '.join(command)}: stdout", done.stdout)
        seen.look(f"{' '.join(command)}: stderr", done.stderr)
        codes.append(done.returncode)
    seen.look_at_files(folder)
    return codes


def test_s05_no_secret_is_left_behind_where_queue_and_stores_are_servers(sqs: Server, s3: Server, tmp_path: Path) -> None:
    where = places(sqs.url, s3.url, "memory://")
    seen = Seen(SECRETS)
    codes = run(tmp_path, where, seen)
    assert codes[:3] == [0, 0, 0], codes  # it was used, not only refused
    assert seen.leaks == []


@pytest.mark.parametrize("queue", ["sqs", "kafka"])
def test_s05_no_secret_is_left_behind_by_servers_that_are_away_or_say_what_they_were_told(queue: str, tmp_path: Path) -> None:
    seen = Seen(SECRETS)
    few = (("setup",), ("queue", "groups"), ("coverage", "show"), ("dead-letters", "list"), ("doctor", "--timeout", "1"))
    with parrot() as port:
        for at in (port, 1):
            http, redis = f"http://127.0.0.1:{at}", f"redis://127.0.0.1:{at}/0"
            where = dict(places(http, http, redis))
            if queue == "kafka":
                where["HARVESTER_QUEUE_URL"] = f"kafka://127.0.0.1:{at}/canary?timeout=2"
                where["HARVESTER_COVERAGE_URL"] = redis
            codes = run(tmp_path, where, seen, commands=few)
            assert 0 not in codes[:4], codes
    assert seen.leaks == []
