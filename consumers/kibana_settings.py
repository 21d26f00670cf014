"""Where Kibana is and who we are there: for the import of dashboards alone."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
from pydantic import BaseModel, ConfigDict, SecretStr

from consumers.sinks.elasticsearch_settings import address_of, key_header, login_of
from harvester.errors import ConfigError
from harvester.origin import HttpSettings, guard_plain_http
from harvester.setting import setting

PORT = 5601
"""Where Kibana listens when an address names neither scheme nor port."""
LOCAL = f"http://localhost:{PORT}"

_setting = partial(setting, "HARVESTER_KIBANA_")


class KibanaSettings(BaseModel):
    """The Kibana that `harvest setup dashboards` imports into."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    url: Annotated[
        str,
        _setting(
            "URL",
            f"Kibana, with base path and /s/SPACE where it has them; unset: {LOCAL}, and `harvest setup` alone imports nothing",
        ),
    ] = ""
    api_key: Annotated[SecretStr, _setting("API_KEY", "API key, as `encoded` or as id:key; instead of user and password")] = (
        SecretStr("")
    )
    user: Annotated[str, _setting("USER", "account that may write saved objects")] = ""
    password: Annotated[SecretStr, _setting("PASSWORD", "password of that account")] = SecretStr("")
    ca_file: Annotated[str, _setting("CA_FILE", "certificate authority of Kibana, PEM")] = ""
    timeout: Annotated[float, _setting("TIMEOUT", "seconds one request may take", gt=0)] = 60.0
    allow_plain_http: Annotated[
        bool, _setting("ALLOW_PLAIN_HTTP", "send the login over http:// to a host that is not loopback")
    ] = False


def http_settings(settings: KibanaSettings) -> HttpSettings:
    """How it is reached. ConfigError, with every fault: no address, half a login, two, or one over plain http."""
    login, faults = login_of("HARVESTER_KIBANA", settings.api_key, settings.user, settings.password)
    try:
        found = HttpSettings(
            name="kibana",
            url=address_of(settings.url.strip() or LOCAL, PORT, secure=login is not None),
            login=login,
            login_hint="check HARVESTER_KIBANA_API_KEY (or _USER and _PASSWORD)",
            url_hint="check HARVESTER_KIBANA_URL",
            plain_hint="set HARVESTER_KIBANA_ALLOW_PLAIN_HTTP=true",
            timeout=timedelta(seconds=settings.timeout),
            ca_file=Path(settings.ca_file) if settings.ca_file else None,
            allow_plain_http=settings.allow_plain_http,
        )
        guard_plain_http(found)
    except ConfigError as error:
        faults += [f"HARVESTER_KIBANA_URL: {fault.removeprefix('kibana: ')}" for fault in error.faults]
    if faults:
        raise ConfigError(*faults)
    if key := settings.api_key.get_secret_value():
        return msgspec.structs.replace(found, login=None, headers={"Authorization": key_header(key)})
    return found
