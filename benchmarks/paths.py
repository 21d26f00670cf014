"""The product's two halves, put together as `harvest` does it, with the settings as shipped."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pydantic import SecretStr
from yarl import URL

from benchmarks.actions import FIRST_HOUR, RECORDINGS, found_episode, row
from consumers.batch import Processing
from consumers.caches.memory import MemoryCache
from consumers.consume import Flow, consume
from consumers.enrichers.episodes import Episodes, Found
from consumers.enrichers.opencast import EpisodeSettings, open_episodes
from consumers.protocols import Sink
from consumers.records import gives_records
from consumers.sinks.elasticsearch import open_elasticsearch
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from harvester.coverages import open_coverages
from harvester.harvest import Harvest
from harvester.http import HttpSettings
from harvester.letters import open_letters
from harvester.openbook import OpenBook
from harvester.protocols import DeadLetters, Queue
from harvester.queues import open_queue
from harvester.retry import Retry
from harvester.sources.opencast import OpencastSettings, open_opencast
from harvester.sources.opencast_rows import useraction_event

PAGE = 100
GROUP = "bench"


@asynccontextmanager
async def opened_queue(folder: Path) -> AsyncIterator[Queue]:
    """An embedded queue in `folder`."""
    async with open_queue(f"sqlite:///{folder / 'queue.db'}") as queue:
        yield queue


@asynccontextmanager
async def opened_letters(folder: Path) -> AsyncIterator[DeadLetters]:
    """The letters beside it."""
    async with open_letters(f"sqlite:///{folder / 'letters.db'}") as letters:
        yield letters


@asynccontextmanager
async def opened_sink(url: str) -> AsyncIterator[Sink]:
    """The sink Elasticsearch as shipped, to the server at `url`."""
    async with open_elasticsearch(ElasticsearchSettings(url=url)) as sink:
        yield sink


@asynccontextmanager
async def harvesting(url: str, queue: Queue, letters: DeadLetters, folder: Path) -> AsyncIterator[Harvest]:
    """The loop of one Opencast at `url`, in pages of PAGE, with no wait between requests."""
    password = SecretStr("any")
    settings = OpencastSettings(url=url, user="any", password=password, login="basic", wait=0.0, batch_size=PAGE)
    async with open_coverages(f"file://{folder / 'coverage'}") as store, open_opencast(settings) as source:
        book = OpenBook(store, source.name, queue.id, pace=timedelta(seconds=1))
        await book.load()
        (stream,) = await source.streams()
        yield Harvest(source, stream, queue, book, letters)


async def warm_episodes() -> Episodes:
    """The enricher with every episode in its cache."""
    enricher = Episodes(_Search(), MemoryCache())
    zone = ZoneInfo("UTC")
    rows = [row(number, FIRST_HOUR) for number in range(RECORDINGS)]
    await enricher.enrich([useraction_event(one, "opencast", FIRST_HOUR, zone) for one in rows])
    assert enricher.lookups == RECORDINGS
    return enricher


@asynccontextmanager
async def looked_up(url: str) -> AsyncIterator[Episodes]:
    """The enricher with nothing in its cache, which asks the search service at `url`."""
    engage = HttpSettings(name="opencast", url=URL(url))
    async with open_episodes(engage, EpisodeSettings(), MemoryCache(), retry=Retry(attempts=1)) as enricher:
        yield enricher


async def drained(
    queue: Queue,
    letters: DeadLetters,
    sink: Sink,
    *,
    enricher: Episodes | None = None,
    group: str = GROUP,
    flow: Flow = Flow(),
    stop: asyncio.Event | None = None,
    on_commit: Callable[[Mapping[str, int]], None] | None = None,
) -> None:
    """Consume until the queue is empty; with `stop`, until it is set."""
    ending = stop or asyncio.Event()
    processing = Processing(sink, letters, ending, enrichers=[enricher] if enricher else [], wants=gives_records)
    await consume(queue, group, processing, letters, ending, flow=flow, until_empty=stop is None, on_commit=on_commit)


class _Answer(NamedTuple):
    body: bytes


class _Search:
    """The search service of Opencast 16, in this process: it is asked before the clock runs."""

    async def get(self, path_or_url: str, /, *, id: str) -> Found:  # noqa: A002, ARG002 - the contract's names
        return _Answer(found_episode(id))
