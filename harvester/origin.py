"""Origin: where a vendor is, who we are there, and how far the way is to be trusted."""

import os
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog
from yarl import URL

from harvester.errors import ConfigError

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")
_log = structlog.get_logger(__name__)


class Basic(NamedTuple):
    """HTTP basic login."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Basic(user={self.user!r})"


class Digest(NamedTuple):
    """HTTP digest login, asked for with `X-Requested-Auth: Digest` as Opencast wants it."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Digest(user={self.user!r})"


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one vendor is reached. `url` comes from `base_url`; the hints say which settings to look at."""

    name: str
    url: URL
    login: Basic | Digest | None = None
    login_again: Callable[[], Basic | Digest | None] = lambda: None
    """The login as it stands in its file now, None when in none; asked after a 401, off the event loop."""
    login_hint: str = "check user and password"
    """After a 401."""
    url_hint: str = "check the address"
    """When nobody can be reached there."""
    plain_hint: str = "allow it for this host"
    """When the login would go over plain http."""
    headers: Mapping[str, str] = {}
    timeout: timedelta = timedelta(seconds=30)
    max_body: int = 64 * 1024 * 1024
    max_ratio: int = 200
    user_agent: str = "event-harvester"
    ca_file: Path | None = None
    insecure: bool = False
    proxy: URL | None = None
    allow_plain_http: bool = False

    def __repr__(self) -> str:
        # headers and the proxy's address may hold secrets
        return f"HttpSettings(name={self.name!r}, url={str(self.url)!r})"


def base_url(text: str) -> URL:
    """An address as people write it: without scheme it is https, on loopback http. ConfigError for what is no address."""
    text = text.strip()
    try:
        url = URL(text if "://" in text else f"https://{text}")
        if "://" not in text and is_loopback(url.host or ""):
            url = URL(f"http://{text}")
        known = url.scheme in ("http", "https") and _HOST.fullmatch(url.raw_host or "") and url.port
        usable = known and not _BLANK.search(text)  # URL() would drop line breaks
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError("no address of a server: write https://host, https://host:port or https://host/path")
    if url.user is not None or url.password is not None:
        raise ConfigError(f"the address of {url.host} has a login in it: use the settings for user and password")
    if url.raw_query_string or url.raw_fragment:
        raise ConfigError(f"the address of {url.host} ends in a query or fragment: leave it out")
    return url


def below(base: URL, path: str) -> URL:
    """`path`, which may bring a query along, under the path of `base`; what is percent-encoded already stays so."""
    place, _, query = path.partition("#")[0].partition("?")
    whole = f"{base.raw_path.rstrip('/')}/{place.lstrip('/')}"
    return URL(f"{base.origin()}{whole}{'?' if query else ''}{query}")


def origin_of(url: URL) -> str:
    """Scheme, host and port in one spelling: equal texts, same origin."""
    return f"{url.scheme}://{(url.raw_host or '').lower()}:{url.port}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def guard_plain_http(settings: HttpSettings) -> None:
    """ConfigError for a login over plain http to another machine, unless it is allowed: then a warning."""
    host = settings.url.host or ""
    if settings.url.scheme != "http" or settings.login is None or is_loopback(host):
        return
    if not settings.allow_plain_http:
        raise ConfigError(
            f"{settings.name}: http://{host} would send the login in the clear: use https, or {settings.plain_hint}"
        )
    _log.warning("login goes over plain http", source=settings.name, host=host)


def unreachable(error: OSError, settings: HttpSettings, seconds: float) -> str:
    """What to say when no connection came about, or nobody ever answered on it."""
    return f"{settings.name}: cannot reach {settings.url.origin()}: {obstacle(error, seconds)}; {settings.url_hint}"


def obstacle(error: OSError, seconds: float) -> str:
    """What stands in the way of a connection, in a few words."""
    match error:
        case socket.gaierror(errno=socket.EAI_AGAIN):
            return "the name is not known, or no name server answers"
        case socket.gaierror():
            return "the name is not known"
        case ssl.SSLError():
            return f"no TLS there, or none that we speak ({(error.reason or 'handshake failed').replace('_', ' ').lower()})"
        case ConnectionRefusedError():
            return "refused"
        case TimeoutError(errno=None):
            return f"timed out, no answer within {seconds:g} s"
        case _:
            return (os.strerror(error.errno) if error.errno else str(error)).lower()


def tls_context(settings: HttpSettings) -> ssl.SSLContext | bool:
    """What the connector checks certificates with. Reads files: call it off the event loop. ConfigError: no such CA file."""
    if settings.url.scheme != "https":
        return True
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{settings.name}: {settings.ca_file} is no file of CA certificates ({error})") from error
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        _log.warning("TLS certificates are not checked", source=settings.name, host=settings.url.host)
    return context
