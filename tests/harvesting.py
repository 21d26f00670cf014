"""The harvest loop put together as a process would, and what it left behind."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from harvester.coverage import Coverage
from harvester.event import decode_event
from harvester.harvest import Harvest, Limits
from harvester.openbook import OpenBook
from harvester.ownevents import Tell, silent
from harvester.protocols import Queue, Source
from harvester.retry import Retry
from tests.fakes import SOURCE, STREAM
from tests.taps import Stores

SMALL = Limits(batch_events=4, in_flight=3)
AT_ONCE = Retry(attempts=3, scale=0.0)


async def opened(
    stores: Stores, vendor: Source, *, limits: Limits = SMALL, pace: timedelta = timedelta(0), tell: Tell = silent
) -> Harvest:
    """The vendor's one stream as a new process would harvest it."""
    book = OpenBook(stores.coverages, SOURCE, stores.queue, pace=pace)
    await book.load()
    (stream,) = await vendor.streams()
    return Harvest(vendor, stream, stores.queue, book, stores.letters, limits=limits, retry=AT_ONCE, tell=tell)


async def stored(stores: Stores) -> Coverage:
    return (await stores.coverages.load(SOURCE)).streams.get(STREAM, Coverage())


async def published(queue: Queue) -> list[tuple[str, int]]:
    """Subject and version of each message, in order."""
    events = [decode_event(d.message.body) for d in await queue.peek(0, 1_000_000)]
    return [(e.subject, e.version) for e in events]


async def newest(queue: Queue) -> dict[str, int]:
    found: dict[str, int] = {}
    for subject, version in await published(queue):
        found[subject] = max(version, found.get(subject, 0))
    return found


def before_page(number: int, act: Callable[[], Awaitable[None]]) -> Callable[[int], Awaitable[None]]:
    async def hook(page: int) -> None:
        if page == number:
            await act()

    return hook
