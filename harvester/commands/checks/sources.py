"""A source: the way to its server, the login, what the server offers, its clock, and whether its events can be read."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, NamedTuple

from harvester.answers import StatusError
from harvester.commands import parts
from harvester.commands.checks import Check, Finding, Tell, split
from harvester.commands.checks.network import reach
from harvester.commands.words import amount_of
from harvester.coverage import Interval
from harvester.errors import ConfigError, PermanentError, TransientError
from harvester.loading import Loaded
from harvester.origin import HttpSettings
from harvester.protocols import Source, Stream
from harvester.retry import Retry, Wait
from harvester.settings import CoreSettings
from harvester.sources import SOURCES

_ONCE = Retry(attempts=1)
_SKEW = timedelta(seconds=5)
_RECENT = timedelta(hours=1)
_LOOKED_AT = 4
"""Streams of a source; where there are more, each thing has its own, and they are alike."""


def source_check(name: str, loaded: Loaded, core: CoreSettings, seconds: float) -> Check:
    """The check of a source whose settings hold."""

    async def look(tell: Tell) -> None:
        settings = loaded.get(parts.source_settings(name))
        module, _, opener = SOURCES[name][1].partition(":")
        driver = import_module(module)
        place: HttpSettings = driver.http_settings(settings)
        if not await reach(place, name, tell, seconds):
            tell(Finding(f"{name}: login", "skip", "nobody can be asked"))
            return
        heard = _Heard([], [])
        opened = getattr(driver, opener)(
            settings, zone=core.timezone, retry=_ONCE, on_wait=heard.waits.append, on_mode=lambda *mode: heard.modes.append(mode)
        )
        await _asked(name, opened, heard, place, tell, seconds)

    return Check(name, look)


class _Heard(NamedTuple):
    """What the source told meanwhile."""

    waits: list[Wait]
    modes: list[tuple[str, str]]
    """How it is read, and why."""


async def _asked(name: str, opened: Any, heard: _Heard, place: HttpSettings, tell: Tell, seconds: float) -> None:
    """As whoever harvests asks: a fault is told in the words that a harvest would end with."""
    at = "login"
    try:
        async with asyncio.timeout(seconds), opened as source:
            streams = await source.streams()
            tell(Finding(f"{name}: login", "ok", "accepted"))
            at = "API"
            modes = "".join(f"; read in {mode} mode: {reason}" for mode, reason in heard.modes)
            tell(Finding(f"{name}: API", "ok", f"there, with {_some(streams)}{modes}"))
            tell(_clock(name, source.now(), datetime.now(UTC)))
            at, known = "reading", len(heard.modes)
            await _read(name, source, streams[:_LOOKED_AT], tell)
            for mode, reason in heard.modes[known:]:  # of a stream that asks when it is read
                tell(Finding(f"{name}: reading", "ok", f"in {mode} mode: {reason}"))
    except TimeoutError:
        tell(_late(name, at, heard, seconds))
    except ConfigError:
        tell(Finding(f"{name}: {at}", "skip", "not looked at: settings are wrong"))
    except PermanentError as error:
        _refused(name, at, error, place, tell)
    except TransientError as error:
        text, fix = split(str(error).removeprefix(f"{name}: "))
        tell(Finding(f"{name}: {at}", "fail", text, fix or "wait, and look again; ask its administrator if it stays so"))


def _some(streams: Sequence[Stream]) -> str:
    names = ", ".join(stream.name for stream in streams[:_LOOKED_AT])
    return names if len(streams) <= _LOOKED_AT else f"{names} and {amount_of(len(streams) - _LOOKED_AT, 'stream')} more"


def _late(name: str, at: str, heard: _Heard, seconds: float) -> Finding:
    """Where the whole table has to be looked through, reading takes its time and is no fault."""
    if at == "reading" and not heard.waits:
        return Finding(f"{name}: {at}", "skip", f"not done within {seconds:g} s; for a longer look: --timeout")
    met = f"; met on the way: {heard.waits[-1].text}" if heard.waits else ""
    fix = "look again, with more time: --timeout; ask its administrator if it stays so"
    return Finding(f"{name}: {at}", "fail", f"no answer within {seconds:g} s{met}", fix)


def _refused(name: str, at: str, error: PermanentError, place: HttpSettings, tell: Tell) -> None:
    """A login that is refused, one that may not, and a thing that is not there are three findings."""
    cause = error if isinstance(error, StatusError) else error.__cause__
    status = cause.status if isinstance(cause, StatusError) else 0
    text, fix = split(str(error).removeprefix(f"{name}: "))
    if status == 401:
        tell(Finding(f"{name}: login", "fail", text, fix or place.login_hint))
        return
    if at == "login":
        tell(Finding(f"{name}: login", "ok", "accepted"))
    if status == 403:
        tell(Finding(f"{name}: rights", "fail", text, fix or "give this account the right to read it"))
    else:
        tell(Finding(f"{name}: {'API' if at == 'login' else at}", "fail", text, fix))


def _clock(name: str, theirs: datetime, ours: datetime) -> Finding:
    """Their now is never ahead of what it is there, and at most a second and the way behind."""
    skew = theirs - ours
    if abs(skew) <= _SKEW:
        return Finding(f"{name}: clock", "ok", f"within {_SKEW.seconds} s of ours")
    word = "ahead of" if skew > timedelta() else "behind"
    seconds = abs(skew.total_seconds())
    return Finding(
        f"{name}: clock",
        "warn",
        f"the server's is {seconds:,.0f} s {word} this host's",
        "set both by NTP (here: timedatectl): reading goes by the server's clock, but what we say of lateness is wrong",
    )


async def _read(name: str, source: Source, streams: Any, tell: Tell) -> None:
    """The first page of the last hour of each stream, of which nothing is recorded. Finds a wrong time zone."""
    now = source.now()
    for stream in streams:
        count = 0
        async with aclosing(stream.fetch(Interval(now - _RECENT, now), b"")) as pages:
            async for page in pages:
                count = len(page.events)
                if count:
                    break
        what = f"{stream.name}: its last hour can be read ({amount_of(count, 'event')} in its first page)"
        tell(Finding(f"{name}: reading", "ok", what))
