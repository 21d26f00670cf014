"""Where PostgreSQL is and who we are there. Imports no client: settings are read without the extra, too."""

import ssl
from functools import partial
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, SecretStr

from harvester.errors import ConfigError
from harvester.origin import is_loopback
from harvester.setting import setting
from harvester.url import parse

PORT = 5432
_FORM = "postgresql://host:5432/database"
_SCHEMES = ("postgresql", "postgres")

_setting = partial(setting, "HARVESTER_POSTGRES_")


class PostgresSettings(BaseModel):
    """Where the tables are, and how they are written."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    url: Annotated[
        str, _setting("URL", "the database: postgresql://host:5432/database, over TLS unless the host is loopback")
    ] = ""
    user: Annotated[str, _setting("USER", "account that writes; empty: PGUSER, else the name of the process's")] = ""
    password: Annotated[SecretStr, _setting("PASSWORD", "password of that account; empty: from ~/.pgpass")] = SecretStr("")
    schema_: Annotated[str, _setting("SCHEMA", "schema that our tables are in", min_length=1, max_length=63)] = "public"
    ca_file: Annotated[str, _setting("CA_FILE", "certificate authority of the server, PEM; set: TLS on this host, too")] = ""
    timeout: Annotated[float, _setting("TIMEOUT", "seconds one statement may take", gt=0)] = 60.0
    allow_plain: Annotated[bool, _setting("ALLOW_PLAIN", "speak without TLS to a host that is not loopback")] = False


class Place(NamedTuple):
    """A database and how it is reached."""

    host: str
    port: int
    database: str
    tls: ssl.SSLContext | bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


def place_of(settings: PostgresSettings) -> Place:
    """ConfigError: no address, none of PostgreSQL, a login in it, or an authority that cannot be read."""
    if not settings.url.strip():
        raise ConfigError(f"HARVESTER_POSTGRES_URL names no database: set it to {_FORM}")
    url = parse(settings.url.strip())
    if "@" in url.host:
        raise ConfigError(
            f"HARVESTER_POSTGRES_URL: {url.text}: no login may stand here: set HARVESTER_POSTGRES_USER and …_PASSWORD"
        )
    host, _, port = url.host.rpartition(":") if ":" in url.host.rpartition("]")[2] else (url.host, "", str(PORT))
    host, database = host.strip("[]"), url.path.removeprefix("/")
    sound = host and database and "/" not in database and port.isascii() and port.isdigit() and 0 < int(port) < 2**16
    if url.scheme not in _SCHEMES or url.query or not sound:
        raise ConfigError(f"HARVESTER_POSTGRES_URL: {url.text}: write {_FORM}, all else has settings of its own")
    return Place(host, int(port), database, _tls(settings, host))


def _tls(settings: PostgresSettings, host: str) -> ssl.SSLContext | bool:
    if not settings.ca_file and (settings.allow_plain or is_loopback(host)):
        return False
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"HARVESTER_POSTGRES_CA_FILE: {settings.ca_file}: {error}: name a file of certificates, PEM") from error
