"""The servers that queue, coverage, letters, claims and cache are kept on: the way to each, and what its driver knows to look at.

A driver that has more to look at than the way and the login has a module here that is named after it, with
`async def look(core: CoreSettings, tell: Tell) -> None`; it is asked once, whatever is kept there.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from yarl import URL

from harvester.commands.checks import Check, Finding, Tell
from harvester.commands.checks.network import reach
from harvester.errors import ConfigError
from harvester.origin import Basic, HttpSettings
from harvester.settings import CoreSettings
from harvester.url import Url, parse

DRIVERS: Mapping[str, str] = {"kafka": "kafka", "sqs": "sqs", "redis": "redis", "rediss": "redis", "s3": "s3"}
"""Scheme → the module that knows more of it. All other schemes are of files."""
_PORTS = {"kafka": 9092, "redis": 6379, "rediss": 6379}
SETTINGS = {
    "queue": "HARVESTER_QUEUE_URL",
    "coverage": "HARVESTER_COVERAGE_URL",
    "letters": "HARVESTER_LETTERS_URL",
    "claims": "HARVESTER_CLAIMS_URL",
    "cache": "HARVESTER_CACHE_URL",
}

Look = Callable[[CoreSettings, Tell], Awaitable[None]]


class _Way(NamedTuple):
    """To one server, and what is kept there."""

    url: URL
    login: bool
    ca_file: Path | None
    kept: list[str]


def server_checks(core: CoreSettings, seconds: float) -> Iterator[Check]:
    """One for each server that is used, however much is kept there, and one for each driver that has more to look at."""
    used = {setting: parse(url) for setting, url in _urls(core).items() if url and parse(url).scheme in DRIVERS}
    for way in _ways(used, core).values():
        yield _reached(way, seconds)
    for name in dict.fromkeys(DRIVERS[url.scheme] for url in used.values()):
        module = f"{__package__}.{name}"
        if find_spec(module) is not None:
            yield _looked(name, module, core)


def _urls(core: CoreSettings) -> Mapping[str, str]:
    return {
        "queue": core.queue_url,
        "coverage": core.coverage_url,
        "letters": core.letters_url,
        "claims": core.claims_url,
        "cache": core.cache_url,
    }


def _ways(used: Mapping[str, Url], core: CoreSettings) -> Mapping[URL, _Way]:
    found: dict[URL, _Way] = {}
    for setting, url in used.items():
        for place, login, ca_file in _places(url, core):
            found.setdefault(place, _Way(place, login, ca_file, [])).kept.append(setting)
    return found


def _places(url: Url, core: CoreSettings) -> Iterator[tuple[URL, bool, Path | None]]:
    """Each server that a URL names, as one is reached that speaks HTTP, whether a login goes there, and who signed for it.
    None where only the library knows: an endpoint of AWS itself.
    """
    if url.scheme in ("s3", "sqs"):
        if endpoint := url.query.get("endpoint") or core.aws_endpoint_url:
            yield URL(endpoint).origin(), True, core.aws_ca_file
        return
    kafka = url.scheme == "kafka"
    tls = core.kafka_tls if kafka else url.scheme == "rediss"
    login = bool(core.kafka_user if kafka else core.redis_password.get_secret_value())
    ca_file = core.kafka_ca_file if kafka else core.redis_ca_file
    for name in url.host.split(","):
        try:
            place = URL(f"//{name.rpartition('@')[2]}")
            host, port = place.host, place.explicit_port
        except ValueError:
            continue  # opening it says what is wrong with it
        if host:
            yield URL.build(scheme="https" if tls else "http", host=host, port=port or _PORTS[url.scheme]), login, ca_file


def _reached(way: _Way, seconds: float) -> Check:
    title = f"{way.kept[0]} server"
    hint = f"check {' and '.join(SETTINGS[setting] for setting in way.kept)}, and whether the server runs"

    async def look(tell: Tell) -> None:
        # The login itself is tried by whoever opens the store.
        login = Basic("somebody", "") if way.login else None
        place = HttpSettings(name=title, url=way.url, url_hint=hint, login=login, ca_file=way.ca_file)
        try:
            await reach(place, title, tell, seconds)
        except ConfigError as error:
            tell(Finding(f"{title}: TLS", "fail", str(error), "name a file of certificates in the setting …_CA_FILE"))

    return Check(title, look)


def _looked(name: str, module: str, core: CoreSettings) -> Check:
    async def look(tell: Tell) -> None:
        ask: Look = import_module(module).look
        await ask(core, tell)

    return Check(name, look)
