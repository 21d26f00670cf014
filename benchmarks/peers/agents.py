"""What a user agent is, for the peers: by the library that the product uses, each text once."""

from functools import lru_cache

from ua_parser import parse


@lru_cache(maxsize=8192)
def agent(text: str | None) -> dict[str, str]:
    """The families of browser, system and device; what is not known is left out."""
    if not text:
        return {}
    found = parse(text[:255])
    browser, system, device = found.user_agent, found.os, found.device
    told = {
        "name": browser and browser.family,
        "major": browser and browser.major,
        "minor": browser and browser.minor,
        "os_name": system and system.family,
        "os_major": system and system.major,
        "device": device and device.family,
    }
    return {name: value for name, value in told.items() if value}
