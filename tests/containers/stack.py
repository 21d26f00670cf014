"""The processes of the compose file without an engine: same commands, same environment, same order, real servers.

What stands for what a container would have, and nothing else does:

- the name of a service becomes a loopback address: one of its own for a process of our image, which listens at the port that the
  file says, and host:port of the server that `tests.services` starts for an image of somebody else;
- 0.0.0.0 becomes that address, and 127.0.0.1 in a healthcheck too, for a container has both for itself;
- /run/secrets and volumes become folders of a scratch folder; `harvest` and `python` are those that run this;
- the read-only root file system is this machine's, in a name space of mounts where a process of our image may write to its folder
  alone, and to the one that TMPDIR names in the place of /tmp;
- Prometheus is this machine's; what it would ask the name server of the engine for, addresses, stands in its file instead.

Kibana and Grafana are in no package registry, so they do not run here.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import urlopen

import yaml

from tests import services as servers
from tests.containers.compose import COMPOSE, ROOT, is_ours, one_shot, order
from tests.servers.protocols import MissingServerError

ELSEWHERE = {"kibana", "grafana"}
_DONE, _HEALTHY = 180.0, 180.0
_NOT_HERE = ("discovery.type", "ingest.")
"""Settings of Elasticsearch that its test distribution sets itself, or has no module for."""
_OF_THE_HOST = re.compile(r"KAFKA_(.*LISTENER.*|CONTROLLER_QUORUM_VOTERS|LOG_DIRS|HEAP_OPTS|PROCESS_ROLES|NODE_ID)")
"""Variables of Kafka that say where it is on its host."""


_ENCLOSED = """
home=$1 scratch=$2 tree=$3; shift 3
mount --bind "$scratch" "$scratch"; mount --bind "$home" "$home"; mount --bind "$tree" "$tree"
for place in "$scratch" "$tree" /; do mount -o remount,bind,ro "$place"; done
cd "$home"; exec "$@"
"""


class Running:
    """A process of our image."""

    def __init__(self, name: str, words: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder.parent / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log)

    def ended(self, seconds: float) -> int:
        """Its exit code, once it ended by itself."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        """As the engine stops it; its exit code."""
        self.process.terminate()
        return self.ended(40)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        return f"{self.name}: {self.log.read_text(errors='replace')[-3000:]}"


class Stack:
    """What is up; begun by `started`."""

    def __init__(self, services: Mapping[str, Any], secrets: Path, folder: Path, stack: ExitStack) -> None:
        self.services = services
        self.running: dict[str, Running] = {}
        self.times: dict[str, float] = {}
        """Seconds from the beginning until each was healthy, or done."""
        self._folder = folder
        self._stack = stack
        self._began = time.monotonic()
        self._secrets = folder / "secrets"
        shutil.copytree(secrets, self._secrets)
        for path in self._secrets.iterdir():
            path.chmod(0o600)  # as the engine mounts them: for their reader alone
        block = f"127.{random.randrange(64, 128)}.{random.randrange(256)}"
        self._places = {name: f"{block}.{number}" for number, name in enumerate(services, 1)}
        self._ports: dict[str, str] = {}

    def start(self, name: str) -> Self:
        """Returns when it is healthy, or done. AssertionError with its log when it is not."""
        service = self.services[name]
        if is_ours(service):
            words = [sys.executable, "-m", "harvester", *(self._mapped(str(word), name) for word in service["command"])]
            self._run(name, words)
        elif name == "prometheus":
            self._run(name, prometheus(service["command"], COMPOSE.parent, self._folder, self._places))
        elif name not in ELSEWHERE:
            self._serve(name)
        self.times[name] = time.monotonic() - self._began
        return self

    @property
    def here(self) -> set[str]:
        """Names of the services that do run here."""
        return {*self.services} - ELSEWHERE

    def url(self, place: str) -> str:
        """Where http://SERVICE:PORT is here."""
        return f"http://{self._mapped(place)}"

    def harvest(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """One command more in the environment and folder of a service."""
        return self.asked(name, [sys.executable, "-m", "harvester", *words])

    def documents(self, seconds: float = 120) -> list[dict[str, Any]]:
        """Some of what is in the index, as soon as anything is."""
        deadline = time.monotonic() + seconds
        address = f"{self.url('elasticsearch:9200')}/useractions-*/_search?size=50&ignore_unavailable=true"
        while time.monotonic() < deadline:
            # 503: the index is just being made
            with suppress(HTTPError), urlopen(address, timeout=30) as answer:
                if hits := json.load(answer)["hits"]["hits"]:
                    return [hit["_source"] for hit in hits]
            time.sleep(0.1)
        raise AssertionError("\n".join(running.said() for running in self.running.values()))

    def scraped(self, seconds: float = 60) -> dict[str, str]:
        """Address → health of everything that Prometheus scrapes, once it has tried each."""
        deadline = time.monotonic() + seconds
        while True:
            with urlopen(f"{self.url('prometheus:9090')}/api/v1/targets", timeout=30) as answer:
                found = {one["scrapeUrl"]: one["health"] for one in json.load(answer)["data"]["activeTargets"]}
            if (found and "unknown" not in found.values()) or time.monotonic() > deadline:
                return found
            time.sleep(0.1)

    def asked(self, name: str, command: list[str]) -> subprocess.CompletedProcess[str]:
        """A program in the environment and in the place of a service."""
        words, environment, folder = self._enclosed(name, command), self._environment(name), self._home(name)
        return subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False)

    def _enclosed(self, name: str, words: list[str]) -> list[str]:
        """The command line where the service's root file system is read-only."""
        if not self.services[name].get("read_only") or not is_ours(self.services[name]):
            return words
        apart = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", _ENCLOSED, "sh"]
        return [*apart, str(self._home(name)), str(self._folder), str(ROOT), *words]

    def _serve(self, name: str) -> None:
        service = self.services[name]
        variables = {key: str(value) for key, value in service.get("environment", {}).items()}
        if name == "elasticsearch":
            settings: dict[str, object] = {
                key: value for key, value in variables.items() if "." in key and not key.startswith(_NOT_HERE)
            }
            node = self._stack.enter_context(_elasticsearch(settings))
            self._ports[f"{name}:9200"] = node.url.removeprefix("http://")
        elif name == "kafka":
            settings = {
                key.removeprefix("KAFKA_").lower().replace("_", "."): value
                for key, value in variables.items()
                if key.startswith("KAFKA_") and not _OF_THE_HOST.fullmatch(key)
            }
            self._ports[f"{name}:29092"] = self._stack.enter_context(servers.own("kafka", **settings)).url
        elif name == "valkey":
            words = service["command"][1:]
            settings = {key.removeprefix("--"): value for key, value in zip(words[::2], words[1::2], strict=True)}
            self._ports[f"{name}:6379"] = self._stack.enter_context(servers.own("redis", **settings)).url.removeprefix("redis://")
        elif name == "moto":
            self._ports[f"{name}:5000"] = self._stack.enter_context(servers.own("s3")).url.removeprefix("http://")
        else:
            raise AssertionError(f"{name}: nothing stands for this service here")

    def _run(self, name: str, words: list[str]) -> None:
        service = self.services[name]
        running = Running(name, self._enclosed(name, words), self._environment(name), self._home(name))
        self.running[name] = running
        self._stack.callback(running.kill)
        if one_shot(service):
            assert running.ended(_DONE) == 0, running.said()
            return
        deadline = time.monotonic() + _HEALTHY
        while (unwell := self._checked(name)) is not None:
            assert running.process.poll() is None, running.said()
            assert time.monotonic() < deadline, f"{unwell}\n{running.said()}"

    def _checked(self, name: str) -> str | None:
        """What its healthcheck says when it fails."""
        kind, *words = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        programs = {"harvest": [sys.executable, "-m", "harvester"], "python": [sys.executable], "wget": [servers.tool("wget")]}
        command = [*programs[words[0]], *(word.replace("127.0.0.1", self._places[name]) for word in words[1:])]
        environment = self._environment(name)
        done = subprocess.run(
            command, env=environment, cwd=self._home(name), capture_output=True, text=True, timeout=60, check=False
        )
        return done.stderr[-1000:] if done.returncode else None

    def _environment(self, name: str) -> dict[str, str]:
        """That of the image and of the service; of ours only what Python needs."""
        given = {key: self._mapped(str(value), name) for key, value in self.services[name].get("environment", {}).items()}
        kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG")}
        home = self._home(name)
        (home / "tmp").mkdir(exist_ok=True)
        image = {"PYTHONDONTWRITEBYTECODE": "1", "HOME": str(home), "TMPDIR": str(home / "tmp")}
        return {**kept, "PYTHONPATH": str(ROOT), **image, **given}

    def _home(self, name: str) -> Path:
        """The folder that is /var/lib/harvester there: a volume, or the container's own."""
        places = dict(str(volume).split(":")[:2][::-1] for volume in self.services[name].get("volumes", []))
        home = self._folder / places.get("/var/lib/harvester", f"container-{name}")
        home.mkdir(exist_ok=True)
        return home

    def _mapped(self, text: str, name: str = "") -> str:
        for place, here in self._ports.items():
            text = re.sub(rf"\b{place}\b", here, text)
        for service, here in self._places.items():
            text = re.sub(rf"(?<=//){service}(?=:\d)|^{service}(?=:\d)", here, text)
        return text.replace("/run/secrets/", f"{self._secrets}/").replace("0.0.0.0", self._places.get(name, "0.0.0.0"))


def prometheus(command: list[str], source: Path, folder: Path, places: Mapping[str, str]) -> list[str]:
    """Its command line, with its files below `folder`."""
    copied = shutil.copytree(source / "prometheus", folder / "etc-prometheus")
    settings = yaml.safe_load((copied / "prometheus.yml").read_text())
    for job in settings["scrape_configs"]:
        job["static_configs"] = [
            {"targets": [f"{places[name]}:{found['port']}" for found in job.pop("dns_sd_configs") for name in found["names"]]}
        ]
        job["scrape_interval"] = "1s"
    (copied / "prometheus.yml").write_text(yaml.safe_dump(settings))
    here = {"/etc/prometheus/": f"{copied}/", "=/prometheus": f"={folder / 'tsdb'}"}
    for place, path in here.items():
        command = [word.replace(place, path) for word in command]
    return [servers.tool("prometheus"), *command, f"--web.listen-address={places['prometheus']}:9090"]


@contextmanager
def _elasticsearch(settings: dict[str, object]) -> Iterator[servers.Node]:
    """Of the line that the compose file names, or where this machine has no Java for that, of the older one."""
    with ExitStack() as stack:
        try:
            node = stack.enter_context(servers.node("elasticsearch9", **settings))
        except MissingServerError:
            node = stack.enter_context(servers.node("elasticsearch8", **settings))
        yield node


@contextmanager
def started(services: Mapping[str, Any], secrets: Path, folder: Path) -> Iterator[Stack]:
    """Everything, each when what it depends on is ready; all are gone after the block."""
    with ExitStack() as stack:
        found = Stack(services, secrets, folder, stack)
        for name in order(services):
            found.start(name)
        yield found
