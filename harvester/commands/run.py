"""`harvest run`: the daemon."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from functools import partial

import click

from consumers.batch import BreakerError
from consumers.consume import consume
from consumers.deaths import open_deaths
from consumers.enrichers.opencast import EpisodeSettings
from consumers.sinks import RAW
from harvester import metrics
from harvester.behind import Behind
from harvester.commands import parts, presence
from harvester.commands.daemon import Daemon, begun, run_daemon
from harvester.commands.harvesting import start_set
from harvester.commands.live import harvesting
from harvester.commands.options import sink_type, source_type
from harvester.commands.progress import bar
from harvester.loading import Loaded
from harvester.ownevents import Tell, silent
from harvester.pauses import switched
from harvester.service import supervise, unless
from harvester.settings import CoreSettings
from harvester.states import Component
from harvester.turns import REPAIRS, Owners, Turn


@click.command("run")
@click.option(
    "--source",
    "sources",
    multiple=True,
    type=source_type,
    help="Harvest only this source; may be given several times.  [env: HARVESTER_SOURCES; default: opencast]",
)
@click.option(
    "--sink",
    "sinks",
    multiple=True,
    type=sink_type,
    help="Feed this sink; may be given several times.  [env: HARVESTER_SINKS; default: duckdb]",
)
@click.option("--no-consume", is_flag=True, help="Only harvest; consumers run elsewhere.")
@click.option("--accept-rejections", is_flag=True, help="Go on however many events a sink refuses.")
def command(sources: tuple[str, ...], sinks: tuple[str, ...], no_consume: bool, accept_rejections: bool) -> int:
    """Harvest for ever, and feed the sinks. SIGTERM finishes what is in flight and exits 0; a second signal ends at once."""
    names = dict.fromkeys(sources or parts.configured_sources())
    feeds = () if no_consume else tuple(dict.fromkeys(sinks or parts.configured_sinks()))
    loaded = parts.settings(*map(parts.source_settings, names), EpisodeSettings, *parts.sink_settings(feeds))
    core = loaded.get(CoreSettings)
    for name in names:
        start_set(name, loaded)

    async def work(stop: asyncio.Event) -> None:
        await presence.refuse_new_queue(core, names)
        async with begun(loaded, stop, sources=names, sinks=feeds) as daemon:
            if daemon is None:
                return
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(harvesting(name, daemon))
                for name in feeds:
                    group.create_task(feeding(name, daemon, accept_rejections=accept_rejections))

    return run_daemon(work, core)


async def feeding(name: str, daemon: Daemon, *, accept_rejections: bool) -> None:
    """Feed one sink until the stop; while it is paused its group belongs to nobody."""
    core, sink = daemon.loaded.get(CoreSettings), parts.group_of(name)
    component, switch = daemon.states.component(sink, "sink"), daemon.board.switch(sink)

    async def work() -> None:
        stores, halt = daemon.stores, switch.halt
        await feed(name, daemon.loaded, stores, halt, accept_rejections=accept_rejections, component=component, tell=daemon.tell)

    async def run() -> None:
        drained = partial(unless, switch.halt, work, drain=core.drain_timeout)
        await supervise(f"sink {name}", drained, switch.halt, component=component, may_end=not switch.halts)

    await switched(switch, daemon.states, run)


async def feed(
    name: str,
    loaded: Loaded,
    stores: parts.Stores,
    stop: asyncio.Event,
    *,
    accept_rejections: bool,
    until_empty: bool = False,
    component: Component | None = None,
    counts: Counter[str] | None = None,
    title: str = "consume",
    tell: Tell = silent,
    bound: Mapping[str, int] | None = None,
) -> Mapping[str, int]:
    """Feed one sink until the stop, or until there is nothing left; what was counted. `component` is told how it goes.

    `counts` is counted in while it goes on. `tell` takes the own events of this member. `bound`: as `Behind` says.
    """
    core, counts = loaded.get(CoreSettings), Counter() if counts is None else counts
    component = component or Component(name, "sink")

    def waits(error: Exception, seconds: float) -> None:
        metrics.error("write", error)
        component.waiting(error, seconds=seconds, breaker=isinstance(error, BreakerError))

    async with (
        parts.open_enrichers(loaded, parts.QUICK, wanted=parts.group_of(name) not in RAW) as enrichers,
        parts.sink_named(name, loaded) as sink,
        open_deaths(parts.work_folder(core), sink.name, stores.queue.id) as deaths,
    ):
        processing = parts.processing(
            sink, stores.letters, stop, enrichers, deaths=deaths, accept_rejections=accept_rejections, on_wait=waits
        )
        waiting = sum((await stores.queue.lag(sink.name)).values()) if until_empty else 0
        component.running()
        with bar(f"{title} {sink.name}", waiting, printing=name == "-", wanted=until_empty) as shown:

            def committed(more: Mapping[str, int]) -> None:
                counts.update(more)
                component.worked()
                if until_empty:
                    shown.update(counts["consumed"], count=counts["consumed"])

            await consume(
                stores.queue if bound is None else Behind(stores.queue, bound),
                sink.name,
                processing,
                stores.letters,
                stop,
                flow=parts.flow(core, sink),
                turn=Turn(Owners(stores.coverages, REPAIRS), sink.name),
                until_empty=until_empty,
                on_commit=committed,
                tell=tell,
            )
    return counts
