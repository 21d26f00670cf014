"""Browsers and apps by the text that they name themselves with: what records hold under `ua`."""

from functools import lru_cache
from typing import Annotated

import msgspec

_LONGEST = 255
"""As much as Opencast keeps. Anybody may send any text, and the time to read it grows with its length."""


class Agent(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a browser or app is; what its text does not tell is left out."""

    name: Annotated[str | None, "family of the browser or app, like Mobile Safari"] = None
    major: Annotated[str | None, "first part of its version"] = None
    minor: Annotated[str | None, "second part of its version"] = None
    os_name: Annotated[str | None, "operating system, like iOS"] = None
    os_major: Annotated[str | None, "first part of the system's version"] = None
    device: Annotated[str | None, "family of the device, like iPhone; for bots Spider"] = None


_NOTHING = Agent()


@lru_cache(maxsize=8192)  # 2 ms each, and a university's browsers are a few thousand texts
def agent(text: str | None) -> Agent:
    """The families of uap-core, as Logstash's `useragent` filter names them too. Empty for what nobody knows."""
    if not text:
        return _NOTHING
    # Here, since it takes 0.2 s and 6 MB, which a process that reads no user agent does not pay.
    from ua_parser import parse  # noqa: PLC0415

    found = parse(text[:_LONGEST])
    browser, system, device = found.user_agent, found.os, found.device
    return Agent(
        name=browser.family if browser else None,
        major=browser.major if browser else None,
        minor=browser.minor if browser else None,
        os_name=system.family if system else None,
        os_major=system.major if system else None,
        device=device.family if device else None,
    )
