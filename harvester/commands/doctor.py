"""`harvest doctor`: what is wrong with an installation, and how to mend it."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

import click
import msgspec
from pydantic import BaseModel

from consumers.enrichers.opencast import EpisodeSettings
from consumers.enrichers.places import GeoipSettings
from harvester import logs
from harvester.cli import REDACTOR
from harvester.commands import config, parts
from harvester.commands.checks import Check, Finding, Tell, run
from harvester.commands.checks.collector import collector_check
from harvester.commands.checks.episodes import with_episodes
from harvester.commands.checks.listener import listener_check
from harvester.commands.checks.places import places_check
from harvester.commands.checks.servers import SETTINGS, server_checks
from harvester.commands.checks.sinks import sink_check
from harvester.commands.checks.sources import source_check
from harvester.commands.checks.stores import store_checks
from harvester.commands.options import json_option
from harvester.commands.words import amount_of
from harvester.faults import Fault
from harvester.loading import Loaded
from harvester.privacy import PrivacySettings
from harvester.remotelogs import LogsSettings
from harvester.screens import plain, plain_json
from harvester.service import run_once
from harvester.settings import CoreSettings, inspect
from harvester.sources.opencast_settings import OpencastSettings

_FORMAT = 1
_MARKS = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red"), "skip": ("-", "bright_black")}
_TROUBLE = ("warn", "fail")


@click.command("doctor")
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds that each step may take."
)
@json_option
def command(timeout: float, as_json: bool) -> int:
    """Look at everything that can be wrong, all at the same time, and name the fix of each finding. Works beside the daemon.

    Looks at settings, the way to each server (name, port, certificate), login, clock, what the source offers, episodes,
    queue, coverage, leases, letters, disks, the servers that they are kept on, sinks, places and the daemon's address. Nothing is
    changed, but for an object of its own that it writes and removes where coverage is kept on S3, to see that conditions hold.

    Exit code 0: all is well; 5: there are findings; 3: among them wrong settings.
    """
    loaded = _inspected()
    faults = [*loaded.faults, *config.unusable(loaded)]
    return run_once(_diagnosed(loaded, faults, timeout, as_json=as_json))


def _inspected() -> Loaded:
    """The settings of everything that is in use, with what is wrong with them."""
    context = click.get_current_context()
    overrides = context.find_root().obj or {}
    core = inspect(CoreSettings, overrides=overrides).sound(CoreSettings)
    used: list[type[BaseModel]] = [CoreSettings, LogsSettings, PrivacySettings, EpisodeSettings, GeoipSettings]
    used += [*map(parts.source_settings, core.sources), *parts.sink_settings(core.sinks)]
    loaded = inspect(*dict.fromkeys(used), overrides=overrides)
    context.meta[REDACTOR] = loaded.redactor
    for warning in loaded.warnings:
        click.echo(warning, err=True)
    logs.setup("warn", redact=loaded.secrets)
    return loaded


async def _diagnosed(loaded: Loaded, faults: Sequence[Fault], seconds: float, *, as_json: bool) -> int:
    found = [Finding("settings", "fail", f"{f.what} ({f.where}): {f.why}", f.fix) for f in faults] or [_praise(loaded)]
    for findings in await run(list(_checks(loaded, seconds)), 3 * seconds):
        found += findings
    hide = loaded.redactor.text
    found = [Finding(hide(f.name), f.state, hide(f.text), hide(f.fix)) for f in found]
    code = 3 if faults else 5 if any(f.state in _TROUBLE for f in found) else 0
    if as_json:
        click.echo(plain_json(msgspec.json.encode({"format": _FORMAT, "code": code, "findings": [f._asdict() for f in found]})))
        return code
    click.echo("\n".join(_screen(found)))
    fine = sum(f.state == "ok" for f in found)
    trouble = sum(f.state in _TROUBLE for f in found)
    click.echo(f"{amount_of(trouble, 'finding')}; {amount_of(fine, 'look was', 'looks were')} fine", err=True)
    return code


def _checks(loaded: Loaded, seconds: float) -> Iterator[Check]:
    """A check for each part; one whose settings are wrong tells that it was not looked at."""
    core = loaded.sound(CoreSettings)
    for name in dict.fromkeys(core.sources):
        holds = parts.source_settings(name) in loaded.models
        check = source_check(name, loaded, core, seconds) if holds else _unlooked(name)
        yield with_episodes(check, loaded, seconds) if holds and OpencastSettings in loaded.models else check
    for check in store_checks(core, seconds):
        yield _unlooked(check.name) if SETTINGS.get(check.name) in loaded.at_fault else check
    if not loaded.at_fault & {*SETTINGS.values()}:
        yield from server_checks(core, seconds)
    for name in dict.fromkeys(core.sinks):
        holds = {CoreSettings, *parts.sink_settings([name])} <= loaded.models.keys()
        yield sink_check(name, loaded, seconds) if holds else _unlooked(f"sink {name}")
    if GeoipSettings in loaded.models and loaded.get(GeoipSettings).path:
        yield places_check(loaded.get(GeoipSettings))
    yield _unlooked("listener") if "HARVESTER_LISTEN" in loaded.at_fault else listener_check(core, seconds)
    yield collector_check(loaded.get(LogsSettings), seconds) if LogsSettings in loaded.models else _unlooked("logs")


def _unlooked(name: str) -> Check:
    async def look(tell: Tell) -> None:
        tell(Finding(name, "skip", "not looked at: settings are wrong"))

    return Check(name, look)


def _praise(loaded: Loaded) -> Finding:
    given = sum(1 for option in loaded.options if loaded.given(option.name))
    return Finding("settings", "ok", f"{amount_of(given, 'setting')} given, all others at their default")


def _screen(found: Sequence[Finding]) -> Iterator[str]:
    width = max(len(f.name) for f in found)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    for name, state, text, fix in found:
        mark, colour = _MARKS[state]
        head = f"{mark:<5} {name:<{width}}  "
        lines = textwrap.wrap(plain(text), max(columns - len(head), 30)) or [""]
        yield click.style(f"{mark:<5}", fg=colour, bold=state == "fail") + head[5:] + lines[0]
        lines = [*lines[1:], *(click.style(line, fg="cyan") for line in _fix_lines(fix, columns - len(head)) if state != "ok")]
        yield from (" " * len(head) + line for line in lines)


def _fix_lines(fix: str, columns: int) -> list[str]:
    return textwrap.wrap(f"→ {plain(fix)}", max(columns, 30), subsequent_indent="  ") if fix else []
