"""What we ask of a compose file beyond its schema; each rule names the services that break it."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harvester.options import options_of
from harvester.settings import CoreSettings, families
from tests.containers.compose import is_ours, one_shot

Services = Mapping[str, Any]
_PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?")
_SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIAL|API_KEY")


def pinned(services: Services) -> Iterator[str]:
    """A whole version, so that today's stack is tomorrow's."""
    yield from (name for name, it in services.items() if not is_ours(it) and not _PINNED.fullmatch(str(it["image"])))


def watched(services: Services) -> Iterator[str]:
    """A healthcheck each; a one-shot says by its end how it is."""
    for name, service in services.items():
        check = service.get("healthcheck", {})
        if check.get("disable") != one_shot(service) if one_shot(service) else "test" not in check or "interval" not in check:
            yield name


def on_loopback(services: Services) -> Iterator[str]:
    """No port is to be reached from outside."""
    for name, service in services.items():
        if not all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", str(port)) for port in service.get("ports", [])):
            yield name


def bounded(services: Services) -> Iterator[str]:
    """In memory, in processes, and in what the log keeps (S70)."""
    for name, service in services.items():
        if not service.get("mem_limit") or not service.get("pids_limit") or "max-size" not in str(service.get("logging")):
            yield name


def contained(services: Services) -> Iterator[str]:
    """No capability, no new one, a process that reaps, and no door to the host (S70)."""
    for name, service in services.items():
        held = service.get("cap_drop") == ["ALL"] and "no-new-privileges:true" in service.get("security_opt", [])
        doors = {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices", "userns_mode"} & service.keys()
        if not held or doors or service.get("init") is not True or "docker.sock" in str(service.get("volumes")):
            yield name


def ours_read_only(services: Services) -> Iterator[str]:
    """Our image: as uid 10001, on a read-only root file system, writing to its volume and /tmp alone (S70)."""
    for name, service in services.items():
        if not is_ours(service):
            continue
        places = [str(volume).partition(":")[2] for volume in service.get("volumes", [])]
        temporary = [str(one).partition(":")[0] for one in service.get("tmpfs", [])]
        writes = [place for place in places if place != "/var/lib/harvester" and not place.endswith(":ro")]
        if service.get("user") != "10001:10001" or service.get("read_only") is not True or temporary != ["/tmp"] or writes:
            yield name


def drained(services: Services) -> Iterator[str]:
    """A stop waits for longer than the drain of ours."""
    for name, service in services.items():
        grace = re.fullmatch(r"(\d+)s", str(service.get("stop_grace_period", "10s")))
        drain = float(service.get("environment", {}).get("HARVESTER_DRAIN_TIMEOUT", CoreSettings().drain_timeout))
        if is_ours(service) and (grace is None or int(grace[1]) < drain + 10):
            yield name


def restarted(services: Services) -> Iterator[str]:
    """By the engine, unless it is to run once."""
    yield from (name for name, it in services.items() if it.get("restart") not in ("unless-stopped", "no"))


def awaited(services: Services) -> Iterator[str]:
    """Each waits for what it needs to be ready, not only begun; and somebody waits for a one-shot, or `up --wait` would fail."""
    adopted = set()
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            once = one_shot(services[needed])
            adopted |= {needed}
            if how != {"condition": "service_completed_successfully" if once else "service_healthy"}:
                yield name
    waited = {name for name, service in services.items() if one_shot(service) and not service.get("profiles")}
    yield from sorted(waited - adopted)


def secrets_in_files(services: Services) -> Iterator[str]:
    """No secret stands in an environment, where `docker inspect` shows it."""
    for name, service in services.items():
        for variable in service.get("environment", {}):
            if _SECRET.search(variable) and not variable.endswith("_FILE"):
                yield f"{name}: {variable}"


def known_settings() -> frozenset[str]:
    """Every variable that there is, and the one that names its file."""
    names = [option.name for model in families() for option in options_of(model)]
    return frozenset({*names, *(f"{name}_FILE" for name in names)})


def settings_that_exist(services: Services) -> Iterator[str]:
    """Every variable of ours is one."""
    known = known_settings()
    for name, service in services.items():
        if is_ours(service):
            yield from (f"{name}: {variable}" for variable in service.get("environment", {}) if variable not in known)


RULES: tuple[Callable[[Services], Iterator[str]], ...] = (
    pinned,
    watched,
    on_loopback,
    bounded,
    contained,
    ours_read_only,
    drained,
    restarted,
    awaited,
    secrets_in_files,
    settings_that_exist,
)


def faults(services: Services) -> list[str]:
    """Rule and service of everything that is broken."""
    return [f"{rule.__name__}: {broken}" for rule in RULES for broken in rule(services)]
