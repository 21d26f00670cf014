"""`harvest load_episodes`: the recordings that were watched, into their own index, as the predecessor's command did it."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import click
import msgspec

from consumers.direct import DirectQueue
from consumers.sinks.elasticsearch_names import Names
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from harvester.commands import parts
from harvester.commands.options import json_option, setting
from harvester.commands.progress import bar
from harvester.commands.words import amount_of
from harvester.errors import ConfigError, TransientError
from harvester.event import Event, encode_event
from harvester.http import open_http
from harvester.letters import open_letters
from harvester.limits import Pace
from harvester.loading import Loaded
from harvester.logs import get_logger
from harvester.opencast_answers import SEARCH, hit_of
from harvester.privacy import PrivacySettings, Veil
from harvester.protocols import Message
from harvester.retry import ONE_SHOT, retrying
from harvester.service import run_once
from harvester.settings import CoreSettings
from harvester.sources.opencast import OpencastSettings, http_settings
from harvester.sources.opencast_episodes import Workflows, episode_event
from harvester.veiled import veil_of, veiled_event

_BATCH = 50
_INDEX = "episodes"
_NAMED = 10
"""How many recordings a line names."""


@click.command("load-episodes")
@setting(OpencastSettings, "admin_url", "-A", "--admin-host")
@setting(OpencastSettings, "url", "-E", "--engage-host")
@setting(OpencastSettings, "user", "-u", "--user")
@setting(OpencastSettings, "password", "-p", "--password")
@setting(ElasticsearchSettings, "url", "-e", "--es-host")
@click.option(
    "-t", "--target-index", "target", metavar="INDEX", help="Index to write; begins like the default.  [default: episodes]"
)
@click.option(
    "-s",
    "--source-index-pattern",
    "pattern",
    metavar="PATTERN",
    help="Indexes whose recordings are loaded, such as 'useractions*-2026.10.*'.  [default: yesterday's]",
)
@click.option("--mpid", metavar="ID", help="This recording alone.  [default: all that are in the source indexes]")
@setting(OpencastSettings, "wait", "-w", "--wait")
@json_option
def command(target: str | None, pattern: str | None, mpid: str | None, as_json: bool) -> int:
    """Load the recordings that people watched into the index `episodes`, each in its newest state.

    \b
    harvest load_episodes                                   those of yesterday's actions
    harvest load_episodes -s 'useractions*-2026.10.*'
    harvest load_episodes --mpid 74b6c02f-afbb-42bc-8145-344153a1792e
    """
    if mpid is not None and pattern is not None:
        raise click.UsageError("--mpid names the recording itself: leave --source-index-pattern out")
    parts.default_node()
    loaded = parts.settings(OpencastSettings, ElasticsearchSettings)
    names = Names(loaded.get(ElasticsearchSettings).index_prefix)
    index = names.of(_INDEX)
    if target is not None and not target.startswith(index):
        raise click.BadParameter(f"{target!r}: the index template is for names that begin with {index}", param_hint="-t")
    if not loaded.get(OpencastSettings).admin_url:
        raise ConfigError(
            "HARVESTER_OPENCAST_ADMIN_URL is missing: set it, or MATTERHORN_ADMIN_HOST, or give --admin-host; "
            "workflows are asked for there"
        )
    return run_once(_load(loaded, target or index, pattern or _yesterdays(loaded, names), mpid, as_json=as_json))


def _yesterdays(loaded: Loaded, names: Names) -> str:
    now = datetime.now(ZoneInfo(loaded.get(CoreSettings).timezone))
    return names.of(f"useractions*-{now - timedelta(days=1):%Y.%m.%d}")


class _Site(NamedTuple):
    """What is asked, and what is written to."""

    engage: Any
    workflows: Workflows
    cluster: Any
    direct: DirectQueue
    veil: Veil | None
    """What is hidden of the people in them."""


@asynccontextmanager
async def _open(loaded: Loaded, target: str) -> AsyncIterator[_Site]:
    try:
        from consumers.sinks.elasticsearch import open_elasticsearch
        from consumers.sinks.elasticsearch_cluster import open_cluster
    except ModuleNotFoundError as error:
        raise ConfigError(f"the sink elasticsearch needs {error.name}: install event-harvester[elasticsearch]") from error
    opencast, index = loaded.get(OpencastSettings), loaded.get(ElasticsearchSettings)
    pace = [Pace(timedelta(seconds=opencast.wait))]
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        engage = await enter(open_http(http_settings(opencast), retry=ONE_SHOT, limits=pace))
        admin = await enter(open_http(http_settings(opencast, admin=True), retry=ONE_SHOT, limits=pace))
        cluster = await enter(open_cluster(index))
        sink = await enter(open_elasticsearch(index, place=lambda *_: target))
        veil = veil_of("opencast", loaded.get(PrivacySettings))
        letters = await enter(open_letters(loaded.get(CoreSettings).letters_url, loaded.get(CoreSettings)))
        yield _Site(engage, Workflows(admin, opencast.workflow), cluster, DirectQueue(sink, (), letters), veil)


class _Done(NamedTuple):
    indexed: int
    refused: list[str]
    """The index took them not; each is a dead letter."""
    absent: list[str]
    """The search service knows none of that id."""
    failed: list[str]


async def _load(loaded: Loaded, target: str, pattern: str, mpid: str | None, *, as_json: bool) -> int:
    from consumers.sinks.elasticsearch_terms import distinct

    began = time.monotonic()
    async with _open(loaded, target) as site:
        wanted = [mpid] if mpid else await retrying(partial(distinct, site.cluster, pattern, "mpid"), ONE_SHOT)
        if not wanted:
            click.echo(f"no action in {pattern}: nothing to load; name other indexes with -s", err=True)
        done = await _each(site, wanted)
    return _tell(done, target, time.monotonic() - began, as_json=as_json)


async def _each(site: _Site, wanted: Sequence[str]) -> _Done:
    found: list[Event] = []
    absent: list[str] = []
    failed: list[str] = []
    refused: list[str] = []
    written = 0
    with bar("load_episodes", len(wanted)) as shown:
        for number, mpid in enumerate(wanted, 1):
            try:
                event = await _looked_up(site, mpid)
            except _UnreadableError as error:
                get_logger("episodes").warning("not loaded", mpid=mpid, error=str(error))
                failed.append(mpid)
            else:
                found += [event] if event else []
                absent += [] if event else [mpid]
            if len(found) == _BATCH or number == len(wanted):
                refused += await _written(site, found)
                written, found = written + len(found), []
            shown.update(number, count=written)
    return _Done(written - len(refused), refused, absent, failed)


class _UnreadableError(Exception):
    """What came is no answer to what was asked; the others are loaded all the same."""


async def _looked_up(site: _Site, mpid: str) -> Event | None:
    read_at = datetime.now(UTC)
    answer = await site.engage.get(SEARCH, id=mpid)
    try:
        hit = hit_of(answer.body, mpid)
    except TransientError as error:
        raise _UnreadableError(str(error)) from error
    if hit is None:
        return None
    event = episode_event(mpid, hit, await site.workflows.newest(mpid), "opencast", read_at)
    return event if site.veil is None else veiled_event(event, site.veil)


async def _written(site: _Site, events: Sequence[Event]) -> list[str]:
    """Writes them; the mpids of those that the index refused."""
    messages = [Message(event.key, encode_event(event)) for event in events]
    before = len(site.direct.refused)
    await retrying(partial(site.direct.publish, messages), ONE_SHOT)
    keys = set(site.direct.refused[before:])
    return [event.subject for event in events if event.key in keys]


def _tell(done: _Done, target: str, seconds: float, *, as_json: bool) -> int:
    if as_json:
        click.echo(msgspec.json.encode({**done._asdict(), "index": target, "seconds": round(seconds, 3)}))
    click.echo(f"load_episodes: {amount_of(done.indexed, 'recording')} in {target}, {seconds:.1f} s", err=True)
    named = (("not known to the search service", done.absent), ("failed", done.failed), ("refused by the index", done.refused))
    for what, mpids in named:
        if mpids:
            more = f" and {len(mpids) - _NAMED} more" if len(mpids) > _NAMED else ""
            click.echo(f"{what}: {len(mpids)}: {', '.join(mpids[:_NAMED])}{more}", err=True)
    if done.refused:
        click.echo("why: harvest dead-letters list --group elasticsearch", err=True)
    return 5 if done.failed or done.refused else 0
