"""`harvest re-enrich`: what recordings are called now, in the user actions that a sink holds already."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

import click
import msgspec

from consumers.amending import Amender, Amendment
from consumers.caches import open_cache
from consumers.enrichers.episodes import Episodes
from consumers.enrichers.opencast import EpisodeSettings, open_episodes
from consumers.records.opencast import UserAction, series_parts
from consumers.records.opencast_episode import Recording
from harvester.commands import acts, parts
from harvester.commands.options import json_option, sink_type
from harvester.commands.progress import bar
from harvester.commands.times import parse_time, shown
from harvester.commands.words import amount_of
from harvester.errors import TransientError
from harvester.loading import Loaded
from harvester.logs import get_logger
from harvester.retry import ONE_SHOT, retrying
from harvester.service import run_once
from harvester.settings import CoreSettings
from harvester.sources.opencast import OpencastSettings, http_settings

_SOURCE = "opencast"
_BATCH = 50
_RECENT = timedelta(days=2)
"""More than a day, so that a daily run finds again what changed shortly before the last one, while caches were still old."""


@click.command("re-enrich")
@click.option("--mpid", "mpids", multiple=True, metavar="ID", help="This recording; may be repeated.")
@click.option(
    "--since", metavar="TIME", help="Recordings that changed since, as `episodes` in the sink says.  [default: 2 days ago]"
)
@click.option("--sink", "sinks", multiple=True, type=sink_type, help="This sink; may be repeated.  [default: HARVESTER_SINKS]")
@json_option
def command(mpids: tuple[str, ...], since: str | None, sinks: tuple[str, ...], as_json: bool) -> int:
    """Write title, course and all else of changed recordings into the user actions that are there already.

    Each recording is looked up anew. Actions that came since, and those that say the same, are left alone; of a recording that
    was deleted they keep what they say.

    \b
    harvest re-enrich                                       what changed in the last two days
    harvest re-enrich --since 20260901000000
    harvest re-enrich --mpid 74b6c02f-afbb-42bc-8145-344153a1792e --sink elasticsearch
    """
    if mpids and since:
        raise click.UsageError("--mpid names the recordings themselves: leave --since out")
    names = tuple(dict.fromkeys(sinks or parts.configured_sinks()))
    loaded = parts.settings(OpencastSettings, EpisodeSettings, *parts.sink_settings(names), reads=False)
    first = parse_time(since, loaded.get(CoreSettings).timezone, "--since") if since else datetime.now(UTC) - _RECENT
    return run_once(_all(loaded, names, mpids, first, as_json=as_json))


async def _all(loaded: Loaded, names: Sequence[str], mpids: Sequence[str], since: datetime, *, as_json: bool) -> int:
    core, began = loaded.get(CoreSettings), time.monotonic()
    async with AsyncExitStack() as stack:
        cache = await stack.enter_async_context(open_cache(core.cache_url, core))
        engage = http_settings(loaded.get(OpencastSettings))
        episodes = await stack.enter_async_context(open_episodes(engage, loaded.get(EpisodeSettings), cache, retry=ONE_SHOT))
        held = {name: await stack.enter_async_context(parts.sink_named(name, loaded)) for name in names}
        amenders = {parts.group_of(name): sink for name, sink in held.items() if isinstance(sink, Amender)}
        if not amenders:
            raise click.UsageError(f"{', '.join(names)}: what was written there cannot be changed; name another with --sink")
        wanted = list(mpids) or await _changed(amenders, since)
        if not wanted:
            click.echo(f"no recording changed since {shown(since)} by what is in `episodes`: name one with --mpid", err=True)
        done = await _each(episodes, amenders, wanted)
    return _tell(done, time.monotonic() - began, as_json=as_json)


async def _changed(amenders: Mapping[str, Amender], since: datetime) -> list[str]:
    found: dict[str, None] = {}
    for sink in amenders.values():
        found |= dict.fromkeys(await retrying(partial(sink.changed, Recording, _SOURCE, since), ONE_SHOT))
    return list(found)


class _Done(msgspec.Struct):
    recordings: int = 0
    absent: int = 0
    """The search service knows none of that id (any more)."""
    failed: list[str] = []
    actions: dict[str, int] = {}
    """Rewritten, by sink."""


async def _each(episodes: Episodes, amenders: Mapping[str, Amender], mpids: Sequence[str]) -> _Done:
    done = _Done(actions=dict.fromkeys(amenders, 0))
    changes: list[Amendment] = []
    with bar("re-enrich", len(mpids), unit="recordings") as shown_bar:
        for number, mpid in enumerate(mpids, 1):
            if change := await _looked_up(episodes, mpid, done):
                changes.append(change)
            if len(changes) == _BATCH or number == len(mpids):
                for name, sink in amenders.items():
                    done.actions[name] += await retrying(partial(sink.amend, changes), ONE_SHOT)
                changes = []
            shown_bar.update(number, count=number)
    acts.done("re-enrich", recordings=done.recordings, **done.actions)
    return done


async def _looked_up(episodes: Episodes, mpid: str, done: _Done) -> Amendment | None:
    read_at = datetime.now(UTC)
    try:
        episode = await episodes.fresh(mpid)
    except TransientError as error:
        get_logger("episodes").warning("not looked up", mpid=mpid, error=str(error))
        done.failed.append(mpid)
        return None
    if episode is None:
        done.absent += 1
        return None
    done.recordings += 1
    return Amendment(UserAction, _SOURCE, "mpid", mpid, "episode", series_parts(episode), read_at)


def _tell(done: _Done, seconds: float, *, as_json: bool) -> int:
    if as_json:
        click.echo(msgspec.json.encode({**msgspec.structs.asdict(done), "seconds": round(seconds, 3)}))
    changed = ", ".join(f"{amount_of(amount, 'action')} rewritten in {name}" for name, amount in done.actions.items())
    click.echo(f"re-enrich: {amount_of(done.recordings, 'recording')}, {changed}, {seconds:.1f} s", err=True)
    if done.absent:
        click.echo(f"not known to the search service, left as they are: {done.absent}", err=True)
    if done.failed:
        click.echo(f"could not be looked up: {', '.join(done.failed[:10])}; give the same command again", err=True)
    return 5 if done.failed else 0
