"""How the brokers are reached: addresses, login, TLS; and what their errors mean here."""

import logging
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from aiokafka import errors
from aiokafka.abc import AbstractTokenProvider

from harvester.access import Access
from harvester.errors import ConfigError, HarvesterError, PermanentError, TransientError
from harvester.lock import me
from harvester.origin import is_loopback
from harvester.url import Url, parse

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_REFUSED = (
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.SaslAuthenticationFailed,
    errors.UnsupportedSaslMechanismError,
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
)
# Whatever it logs it also raises, and we name it by what to do next.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class KafkaOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL can say; sizes in bytes or with their unit, times in seconds."""

    session_timeout: Annotated[float, msgspec.Meta(ge=1)] = 10.0
    """After so long without a sign of life a member's partitions go to others. Brokers allow 6 to 1,800 by default."""
    timeout: Annotated[float, msgspec.Meta(ge=0.5)] = 15.0
    """How long one request, and one publish, may take."""
    max_message: Annotated[int, msgspec.Meta(ge=1)] = 1_000_000
    lz4: bool = True
    partitions: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 6
    """As all that follows for `harvest setup`, which makes the topics; it changes none that is there."""
    replication: Annotated[int, msgspec.Meta(ge=0, le=9)] = 0
    """0: three, or one for each broker when there are fewer. With three, two have to be written before a publish returns."""
    retention_days: Annotated[float, msgspec.Meta(gt=0)] = 7.0
    """How long messages are kept, read or not."""


class Place(NamedTuple):
    """What a URL names."""

    text: str
    brokers: str
    prefix: str
    options: KafkaOptions

    @property
    def events(self) -> str:
        return f"{self.prefix}.events"

    @property
    def counts(self) -> str:
        return f"{self.prefix}.counts"


def place(url: str) -> Place:
    """`kafka://host[:port][,host2[:port]]/prefix`. ConfigError for anything else."""
    if "@" in urlsplit(url).netloc:
        raise ConfigError(
            f"{parse(url).text}: no login stands in a URL: set HARVESTER_KAFKA_USER and HARVESTER_KAFKA_PASSWORD instead"
        )
    parsed = parse(url)
    prefix = parsed.path.removeprefix("/")
    if not parsed.host or not _PREFIX.fullmatch(prefix):
        raise ConfigError(
            f"{parsed.text}: write kafka://host:9092,host2:9092/prefix; the prefix of topics and groups has letters, digits, "
            "dots, dashes and underscores"
        )
    brokers = ",".join(_address(parsed, name) for name in parsed.host.split(","))
    return Place(parsed.text, brokers, prefix, parsed.options(KafkaOptions))


def _address(parsed: Url, name: str) -> str:
    split = urlsplit(f"//{name}")
    try:
        port = split.port or 9092
    except ValueError as error:
        raise ConfigError(f"{parsed.text}: {name!r} is no host:port") from error
    if not split.hostname:
        raise ConfigError(f"{parsed.text}: {name!r} is no host:port")
    host = f"[{split.hostname}]" if ":" in split.hostname else split.hostname
    return f"{host}:{port}"


def connection(where: Place, access: Access) -> dict[str, Any]:
    """What every client of aiokafka is opened with. ConfigError: a login that would cross the network unencrypted, a bad file."""
    login = bool(access.kafka_user or (access.kafka_mechanism == "OAUTHBEARER" and access.kafka_password.get_secret_value()))
    hosts = [urlsplit(f"//{address}").hostname or "" for address in where.brokers.split(",")]
    if login and not access.kafka_tls and not access.allow_plain and not all(map(is_loopback, hosts)):
        raise ConfigError(
            f"{where.text}: the login would be sent unencrypted: set HARVESTER_KAFKA_TLS=true "
            "(or HARVESTER_ALLOW_PLAIN=true on a network that nobody listens to)"
        )
    protocol = ("SASL_" if login else "") + ("SSL" if access.kafka_tls else "PLAINTEXT")
    found: dict[str, Any] = {
        "bootstrap_servers": where.brokers,
        "client_id": me(),
        "request_timeout_ms": round(1000 * where.options.timeout),
        "security_protocol": protocol,
    }
    if access.kafka_tls:
        found["ssl_context"] = _tls(access)
    if login:
        found["sasl_mechanism"] = access.kafka_mechanism
        secret = access.kafka_password.get_secret_value()
        if access.kafka_mechanism == "OAUTHBEARER":
            found["sasl_oauth_token_provider"] = _Token(secret)
        else:
            found |= {"sasl_plain_username": access.kafka_user, "sasl_plain_password": secret}
    return found


class _Token(AbstractTokenProvider):  # type: ignore[misc] # aiokafka asks for its own class
    """A token that was given, and is sent as it is."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self) -> str:
        return self._token


def _tls(access: Access) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(access.kafka_ca_file) if access.kafka_ca_file else None)
        if access.kafka_cert_file:
            context.load_cert_chain(access.kafka_cert_file, access.kafka_key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"HARVESTER_KAFKA_CA_FILE, HARVESTER_KAFKA_CERT_FILE or HARVESTER_KAFKA_KEY_FILE cannot be used: {error}"
        ) from error
    return context


@contextmanager
def told(what: str) -> Iterator[None]:
    """Errors of aiokafka as ours: PermanentError for what a person has to mend, else TransientError."""
    try:
        yield
    except HarvesterError:
        raise
    except (errors.KafkaError, OSError, TimeoutError) as error:
        raise named(what, error) from error


def named(what: str, error: BaseException) -> HarvesterError:
    """The same for an error in hand."""
    if isinstance(error, HarvesterError):
        return error
    text = f"kafka: {what}: {type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, (*_REFUSED, ssl.SSLCertVerificationError)):
        return PermanentError(text)
    return TransientError(text)
