"""What the daemons `run` and `consume` share: stores, states, switches, the listener, and the look-around."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple

from harvester import metrics
from harvester.collector import relaxed
from harvester.commands import parts
from harvester.commands.budgets import accounts_of, measure
from harvester.commands.collecting import collects
from harvester.commands.room import room
from harvester.commands.spent import spent_of
from harvester.coverage import Coverage
from harvester.endpoints import serve
from harvester.errors import HarvesterError, TransientError
from harvester.health import Health
from harvester.loading import Loaded
from harvester.logs import get_logger
from harvester.openbook import OpenBook
from harvester.options import options_of, written
from harvester.ownevents import Tell, silent, telling
from harvester.pauses import Switchboard, followed
from harvester.protocols import Source
from harvester.report import Told
from harvester.service import sleep_until, supervise, until_signal
from harvester.settings import CoreSettings
from harvester.states import States
from harvester.traces import exporting
from harvester.turns import Owners
from harvester.url import parse
from harvester.visitors import Visitors
from harvester.wake import Wakes
from harvester.watchdog import watching
from harvester.webhooks import Webhooks, webhooks

_OPEN_AGAIN = 5.0
_LOOK_EVERY = 5.0
"""Seconds between two looks at queue and letters, for the metrics and the status."""


class Live(NamedTuple):
    """A source while it is open."""

    source: Source
    book: OpenBook
    owners: Owners


class Daemon(NamedTuple):
    """What the tasks of a daemon share."""

    loaded: Loaded
    stores: parts.Stores
    states: States
    board: Switchboard
    stop: asyncio.Event
    live: dict[str, Live]
    sinks: tuple[str, ...]
    """The groups of the sinks that are fed here."""
    wakes: Wakes
    """What wakes streams early."""
    tell: Tell = silent
    """Where own events are told."""


def run_daemon(work: Callable[[asyncio.Event], Awaitable[None]], core: CoreSettings) -> int:
    """Run until a signal; the errors that stop a process come out of their groups."""
    try:
        with relaxed():
            asyncio.run(until_signal(work, drain=core.drain_timeout))
    except BaseExceptionGroup as group:
        raise _first(group) from group
    return 0


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def begun(
    loaded: Loaded, stop: asyncio.Event, *, sources: Iterable[str] = (), sinks: Iterable[str] = ()
) -> AsyncIterator[Daemon | None]:
    """A daemon with its stores open and its listener answering; None when the stop came before that was possible."""
    core, states, feeds = loaded.get(CoreSettings), States(), [*sinks]
    names, groups, live = tuple(sources), tuple(map(parts.group_of, feeds)), dict[str, Live]()
    _tell_of_all(loaded, states, names, groups)
    async with AsyncExitStack() as stack:
        dog = await stack.enter_async_context(watching())
        await stack.enter_async_context(exporting(core.traces_url))
        health = Health(states, dog, stop)
        visitors = Visitors(core.listen_token.get_secret_value())
        hooks = hooks_of(loaded, names, live)
        serving = serve(core.listen, health.routes(), core.listen_names, visitors, hooks.posts)
        address = await stack.enter_async_context(serving)
        stores = await stack.enter_async_context(_open_patiently(core, stop, health))
        if stores is None:
            yield None
            return
        board = await stack.enter_async_context(followed(stores.coverages, stop))
        health.pauses = lambda: board.pauses
        tell = await stack.enter_async_context(telling(stores.queue, on=core.own_events != "never"))
        daemon = Daemon(loaded, stores, states, board, stop, live, groups, hooks.wakes, tell)
        await stack.enter_async_context(_looking_around(daemon, health))
        health.begun = True
        get_logger("service").info("started", sources=[*names], sinks=feeds, metrics=address or "off")
        yield daemon


def _tell_of_all(loaded: Loaded, states: States, sources: Iterable[str], groups: Iterable[str]) -> None:
    """Make every component and every series of the metrics there, so that rates exist from zero."""
    for name in sources:
        states.component(name, "source")
        metrics.SourceMetrics(name)
    for name in groups:
        states.component(name, "sink")
        metrics.SinkMetrics(name)
    states.refresh()
    metrics.config(_digest(loaded))
    metrics.poll_interval(loaded.get(CoreSettings).poll_interval)


def hooks_of(loaded: Loaded, sources: Iterable[str], live: Mapping[str, Live]) -> Webhooks:
    """The webhooks that are set up, each by its vendor's clock."""

    def clock(name: str) -> datetime:
        found = live.get(name)
        return _now(found.source) if found else datetime.now(UTC)

    hooks = webhooks({name: loaded.get(parts.source_settings(name)) for name in sources}, clock)
    if hooks.posts and not loaded.get(CoreSettings).listen:
        get_logger("service").warning("webhooks are set up, and nothing listens: set HARVESTER_LISTEN", paths=[*hooks.posts])
    return hooks


def _digest(loaded: Loaded) -> str:
    """Of every setting, its secrets left out."""
    values = [
        f"{option.name}={'' if option.secret else written(getattr(found, option.field))}"
        for model, found in loaded.models.items()
        for option in options_of(model)
    ]
    return blake2b("\n".join(sorted(values)).encode(), digest_size=6).hexdigest()


@asynccontextmanager
async def _open_patiently(core: CoreSettings, stop: asyncio.Event, health: Health) -> AsyncIterator[parts.Stores | None]:
    """The stores, once whatever is busy or full lets them be opened; None when the stop comes first."""
    async with AsyncExitStack() as stack:
        stores = None
        while stores is None and not stop.is_set():
            try:
                stores = await stack.enter_async_context(parts.open_stores(core))
            except TransientError as error:
                health.waits_for = f"opening is tried again: {error}"
                get_logger("service").warning("opening is tried again", error=str(error), seconds=_OPEN_AGAIN)
                await sleep_until(stop, _OPEN_AGAIN)
        yield stores


@asynccontextmanager
async def _looking_around(daemon: Daemon, health: Health) -> AsyncIterator[None]:
    """Keep what the metrics and /status say up to date while the block runs."""
    told = ""

    async def look() -> None:
        nonlocal told
        while True:
            daemon.states.refresh()
            try:
                health.told = await _looked(daemon)
                told = ""
            except HarvesterError as error:
                if str(error) != told:
                    get_logger("service").warning("queue or letters cannot be looked at", error=str(error))
                told = str(error)
            await asyncio.sleep(_LOOK_EVERY)

    task = asyncio.create_task(supervise("look-around", look, asyncio.Event(), may_end=False))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _looked(daemon: Daemon) -> Told:
    core, (queue, books, letters) = daemon.loaded.get(CoreSettings), daemon.stores
    names = dict.fromkeys([*core.sources, *daemon.live])
    coverages = {name: await _coverages(name, daemon) for name in names}
    told = Told(
        coverages=coverages,
        spent=spent_of(coverages),
        accounts=await accounts_of(core, names),
        owners={name: await _owners(name, daemon) for name in names},
        now={name: _now(live.source) for name, live in daemon.live.items()},
        groups=await queue.groups(),
        lags={name: sum((await queue.lag(name)).values()) for name in daemon.sinks},
        letters=await letters.counts(),
        size=await queue.size(),
    )
    told = told._replace(collects=await collects(core, books, told))
    _measure(told, core, daemon)
    await asyncio.to_thread(room, core)
    return told


async def _coverages(name: str, daemon: Daemon) -> Mapping[str, Coverage]:
    """Stream → what is known of it: by us, and by the store of what others harvest."""
    live = daemon.live.get(name)
    others = {c.name.partition("/")[2] for c in daemon.states.of(name) if c.standing().state == "standby"}
    if live is None or others:
        stored = (await daemon.stores.coverages.load(name)).streams
        return stored if live is None else {**live.book.coverages(), **{s: c for s, c in stored.items() if s in others}}
    return live.book.coverages()


async def _owners(name: str, daemon: Daemon) -> Mapping[str, str]:
    live = daemon.live.get(name)
    return await (live.owners.known() if live else daemon.stores.coverages.owners(name))


def _measure(told: Told, core: CoreSettings, daemon: Daemon) -> None:
    for name, amount in {**told.lags, **{group.name: group.lag for group in told.groups}}.items():
        metrics.lag(name, amount)
    for name in {*told.letters, *daemon.sinks, *daemon.live}:
        metrics.letters(name, told.letters.get(name, {}))
    measure(told.accounts)
    size = told.size
    age = (datetime.now(UTC) - size.oldest).total_seconds() if size.oldest else 0.0
    metrics.queue(parse(core.queue_url).scheme, size.messages, size.bytes, max(0.0, age))


def _now(source: Source) -> datetime:
    """The vendor's, or ours before its first answer."""
    try:
        return source.now()
    except TransientError:
        return datetime.now(UTC)
