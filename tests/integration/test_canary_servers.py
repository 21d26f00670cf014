"""S05: with queue, stores and cache on servers, well, away and talking back: no secret is found in anything that is written."""

import asyncio
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from harvester.access import Access
from harvester.objects import open_objects
from tests import services
from tests.integration.test_canaries import Seen, canaries, installation, run_all
from tests.services import Server
from tests.site import ROOT, Site, World, world
from tests.unit.collector import Collector, collecting

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


def places(sqs: str, s3: str, redis: str, name: str = "canary") -> Mapping[str, str]:
    """`name`: of queue and bucket; a server keeps them from one test to the next."""
    return {
        "HARVESTER_QUEUE_URL": f"sqs://eu-west-1/{name}?endpoint={sqs}",
        "HARVESTER_COVERAGE_URL": f"s3://{name}/books?endpoint={s3}&region=eu-west-1",
        "HARVESTER_LETTERS_URL": f"s3://{name}/letters?endpoint={s3}&region=eu-west-1",
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


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def plain_canaries() -> dict[str, str]:
    """For every setting of a secret one that servers can be given, too. A server's user is set where it asks for one."""
    values = {name: f"{CANARY}{number}-sixteen-characters" for number, name in enumerate(canaries())}
    del values["HARVESTER_ELASTICSEARCH_PASSWORD"], values["HARVESTER_KIBANA_PASSWORD"]  # of two logins one is a fault
    return values


def site_at(folder: Path, vendor: World, collector: Collector, values: Mapping[str, str], where: Mapping[str, str]) -> Site:
    site = installation(folder, vendor.url, collector.url, values)
    site.settings |= {"HARVESTER_AWS_ACCESS_KEY_ID": "harvester", "HARVESTER_LOG_LEVEL": "debug", **where}
    return site


def walked(site: Site, seen: Seen) -> None:
    """Every command of the tree; what they wrote was looked at. They worked: what is kept on servers was used."""
    assert site.harvest("setup").code == 0
    ended = run_all(site, seen)
    done = (
        "useractions (0)",
        "useractions (1)",
        "once (1)",
        "consume (0)",
        "coverage show (0)",
        "dead-letters list (0)",
        "audit (0)",
    )
    assert {command: ended[command] for command in done} == dict.fromkeys(done, 0)
    seen.look_at_files(site.folder)


async def in_bucket(url: str, values: Mapping[str, str]) -> dict[str, bytes]:
    """Every object below the place."""
    keys = {"aws_access_key_id": "harvester", "aws_secret_access_key": values["HARVESTER_AWS_SECRET_ACCESS_KEY"]}
    found = {}
    async with open_objects(url, Access(**keys)) as objects:
        async for key in objects.names(""):
            stored = await objects.get(key)
            assert stored is not None
            found[key] = stored.body
    return found


@pytest.mark.slow
def test_s05_every_command_leaves_no_secret_with_queue_on_sqs_and_stores_on_s3(
    sqs: Server, s3: Server, collector: Collector, tmp_path: Path
) -> None:
    values = plain_canaries()
    seen = Seen(values)
    with world(login="basic", password=values["HARVESTER_OPENCAST_PASSWORD"], late=False, growing=False) as vendor:
        where = places(sqs.url, s3.url, "memory://", "canary-walk")
        walked(site_at(tmp_path, vendor, collector, values, where), seen)
    for place in ("COVERAGE", "LETTERS"):
        stored = asyncio.run(in_bucket(where[f"HARVESTER_{place}_URL"], values))
        assert stored or place == "LETTERS", "the last commands took the letters away"
        for key, body in stored.items():
            seen.look(f"s3 {key}", body)
    assert seen.leaks == []


@pytest.mark.slow
def test_s05_every_command_leaves_no_secret_with_queue_on_kafka_and_stores_on_redis(
    kafka: Server, collector: Collector, tmp_path: Path
) -> None:
    values = plain_canaries()
    seen = Seen(values)
    with (
        services.own("redis") as node,
        world(login="basic", password=values["HARVESTER_OPENCAST_PASSWORD"], late=False, growing=False) as vendor,
    ):
        with Redis(port=node.port) as redis:
            redis.config_set("requirepass", values["HARVESTER_REDIS_PASSWORD"])
        where = {
            "HARVESTER_QUEUE_URL": f"kafka://{kafka.url}/canary?partitions=1&replication=1",
            "HARVESTER_COVERAGE_URL": f"redis://127.0.0.1:{node.port}/0",
            "HARVESTER_CACHE_URL": f"redis://127.0.0.1:{node.port}/1",
            "HARVESTER_LETTERS_URL": "file://var/letters",
        }
        walked(site_at(tmp_path, vendor, collector, values, where), seen)
        for database in (0, 1):
            with Redis(port=node.port, db=database, password=values["HARVESTER_REDIS_PASSWORD"]) as redis:
                kept = list(redis.scan_iter())
                assert kept, f"nothing was kept in database {database}"
                for key in kept:
                    seen.look(
                        f"redis {key!r}", redis.get(key) if redis.type(key) == b"string" else repr(redis.hgetall(key)).encode()
                    )
    assert seen.leaks == []


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
