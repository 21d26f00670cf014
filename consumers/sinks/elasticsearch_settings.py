"""Where Elasticsearch is and who we are there. Imports no client: settings are read without the extra, too."""

import re
from base64 import b64encode
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ByteSize, ConfigDict, SecretStr
from yarl import URL

from harvester.errors import ConfigError
from harvester.origin import Basic, HttpSettings, base_url, guard_plain_http, is_loopback
from harvester.setting import setting

PORT = 9200
"""Where Elasticsearch listens when an address names neither scheme nor port."""
_PORT = re.compile(r":\d+$")

_setting = partial(setting, "HARVESTER_ELASTICSEARCH_")


class ElasticsearchSettings(BaseModel):
    """Where the index is, and how it is written."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    url: Annotated[
        str,
        _setting(
            "URL",
            "node: host, host:port or full URL, several as a comma list; without scheme it is https with a login, else http",
            "ES_HOST",
        ),
    ] = ""
    api_key: Annotated[SecretStr, _setting("API_KEY", "API key, as `encoded` or as id:key; instead of user and password")] = (
        SecretStr("")
    )
    user: Annotated[str, _setting("USER", "account that writes the index")] = ""
    password: Annotated[SecretStr, _setting("PASSWORD", "password of that account")] = SecretStr("")
    ca_file: Annotated[str, _setting("CA_FILE", "certificate authority of the nodes, PEM")] = ""
    timeout: Annotated[float, _setting("TIMEOUT", "seconds one request may take", gt=0)] = 60.0
    bulk_bytes: Annotated[ByteSize, _setting("BULK_BYTES", "most bytes in one bulk request", ge=64 * 2**10)] = ByteSize(5 * 2**20)
    allow_plain_http: Annotated[
        bool, _setting("ALLOW_PLAIN_HTTP", "send the login over http:// to a host that is not loopback")
    ] = False
    index_prefix: Annotated[
        str,
        _setting(
            "INDEX_PREFIX",
            "what the names of all indexes and templates begin with, such as `acme-`; unset: useractions-2026.11.28 and the like",
            pattern=r"^([a-z0-9][a-z0-9_.-]{0,63})?$",
        ),
    ] = ""


def nodes(settings: ElasticsearchSettings) -> list[HttpSettings]:
    """How each node is reached. ConfigError, with every fault: no address, half a login, two, or one over plain http."""
    login, faults = login_of("HARVESTER_ELASTICSEARCH", settings.api_key, settings.user, settings.password)
    found: dict[str, HttpSettings] = {}
    for text in filter(None, map(str.strip, settings.url.split(","))):
        try:
            node = HttpSettings(
                name="elasticsearch",
                url=address_of(text, PORT, secure=login is not None),
                login=login,
                url_hint="check HARVESTER_ELASTICSEARCH_URL",
                plain_hint="set HARVESTER_ELASTICSEARCH_ALLOW_PLAIN_HTTP=true",
                timeout=timedelta(seconds=settings.timeout),
                ca_file=Path(settings.ca_file) if settings.ca_file else None,
                allow_plain_http=settings.allow_plain_http,
            )
            guard_plain_http(node)
            found[str(node.url)] = node
        except ConfigError as error:
            faults += [f"HARVESTER_ELASTICSEARCH_URL: {fault.removeprefix('elasticsearch: ')}" for fault in error.faults]
    if not found and not faults:
        faults.append("HARVESTER_ELASTICSEARCH_URL names no node: set it to host, host:port or https://host:port")
    if faults:
        raise ConfigError(*dict.fromkeys(faults))
    return list(found.values())


def login_of(family: str, api_key: SecretStr, user: str, password: SecretStr) -> tuple[Basic | None, list[str]]:
    """Who we are, by the settings that begin with `family`, and every fault; of an API key only that there is one counts here."""
    key, word = api_key.get_secret_value(), password.get_secret_value()
    faults = []
    if ":" not in key and not (key.isascii() and key.replace(" ", "?").isprintable()):
        faults.append(f"{family}_API_KEY is none: write it as `encoded`, or as id:key")
    if key and (user or word):
        faults.append(f"{family}_API_KEY and {family}_USER are two logins: leave one out")
    if bool(user) != bool(word):
        faults.append(f"{family}_{'PASSWORD' if user else 'USER'} is missing: a login has both, user and password")
    if key or user or word:
        return Basic(user, key or word), faults
    return None, faults


def key_header(key: str) -> str:
    """The value of an authorization header for an API key, which is `encoded` or id:key."""
    return f"ApiKey {b64encode(key.encode()).decode() if ':' in key else key}"


def address_of(text: str, port: int, *, secure: bool) -> URL:
    """An address. A bare host listens on `port`; it speaks TLS where a login goes over a network, and else it does not."""
    if "://" in text:
        return base_url(text)
    host, slash, path = text.partition("/")
    url = base_url(f"http://{host}{'' if _PORT.search(host) else f':{port}'}{slash}{path}")
    return URL(f"https{str(url).removeprefix('http')}") if secure and not is_loopback(url.host or "") else url
