"""Queues of AWS SQS, or of what speaks like it: `sqs://eu-west-1/events?groups=duckdb,elasticsearch`.

Each group has an SQS queue of its own, `events-duckdb` and `events-elasticsearch`; without `groups` there is one, `events`, and
the first group that reads it has it for good. Many events stand in one SQS message (`sqs_pack`), which is deleted with the last
of them. SQS promises no order: the version that every event bears keeps an older state from overwriting a newer one.

Further options: `endpoint=http://127.0.0.1:9324`, `pack=1` for readers that want one event a message, `pack_bytes`,
`max_message`, `visibility` (seconds). See docs/decisions/0023.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import blake2b
from typing import NoReturn

import structlog

from harvester.access import NOBODY, Access
from harvester.aws import open_client
from harvester.crash import point
from harvester.errors import ConfigError, RefusedError
from harvester.payload import Payloads, open_payloads
from harvester.protocols import NO_COUNTS, Delivery, Group, Message, Queue, Size
from harvester.queues.sqs_calls import SqsCalls
from harvester.queues.sqs_member import SqsMember
from harvester.queues.sqs_pack import FRAME, LARGEST, Parcel, batches, parcels, taken
from harvester.queues.sqs_place import GROUP, Place, place_of

TAG = "harvester-group"
"""Tag of an SQS queue without `groups`: the group that it belongs to."""
_AT_ONCE = 8
"""Batches that are sent at the same time."""
_SHORT = 4 * 86400
"""Seconds; shorter retention is told. 4 days is what AWS gives a queue of which nothing is said."""
_log = structlog.get_logger(__name__)


def open_queue(url: str, access: Access = NOBODY) -> AbstractAsyncContextManager[Queue]:
    """The queue at `url`. SQS queues that are not there are made, as `prepare` makes them."""
    return open_sqs(place_of(url), access)


async def prepare(url: str, access: Access = NOBODY) -> Sequence[str]:
    """Make the SQS queues that are not there; what was made, a line each."""
    place = place_of(url)
    async with _calls(place, access) as calls:
        return (await _found(calls, place))[1]


async def examined(url: str, access: Access = NOBODY) -> Mapping[str, Sequence[str] | None]:
    """SQS queue → what of its settings could lose messages; None: it is not there. Nothing is made."""
    place = place_of(url)
    async with _calls(place, access) as calls:
        urls = {name: await calls.find(name) for name in place.queues.values()}
        return {name: _risks(name, await calls.attributes(url)) if url else None for name, url in urls.items()}


@asynccontextmanager
async def _calls(place: Place, access: Access) -> AsyncIterator[SqsCalls]:
    opening = open_client("sqs", access, place.url.text, endpoint=place.options.endpoint, region=place.region, pool=4 * _AT_ONCE)
    async with opening as client:
        yield SqsCalls(client, place.url.text)


async def _found(calls: SqsCalls, place: Place) -> tuple[Mapping[str, str], Sequence[str]]:
    """Group → address of its SQS queue, and what was made for it."""
    names = place.queues.values()
    found = await asyncio.gather(*map(calls.find, names))
    missing = [name for name, url in zip(names, found, strict=True) if not url]
    new = dict(zip(missing, await asyncio.gather(*map(calls.make, missing)), strict=True))
    urls = {group: url or new[name] for (group, name), url in zip(place.queues.items(), found, strict=True)}
    made = [f"SQS queue {name}: created, it keeps messages for 14 days" for name in missing]
    return urls, made


@asynccontextmanager
async def open_sqs(place: Place, access: Access) -> AsyncIterator["SqsQueue"]:
    """The queue at `place`. PermanentError: no access."""
    async with _calls(place, access) as calls:
        urls, made = await _found(calls, place)
        for line in made:
            _log.warning(line)
        found = await asyncio.gather(*(calls.attributes(url) for url in urls.values()))
        most = min([LARGEST, *(int(one.get("MaximumMessageSize", LARGEST)) for one in found)])
        limit = min(place.options.max_message, most - FRAME)

        def size(message: Message) -> int:
            # It fits by what it is and by what it becomes, or it does not fit.
            return max(len(message.body), taken(message) - (most - FRAME - limit))

        async with open_payloads(access, limit, size) as payloads:
            lives = sorted(f"{one['QueueArn']}@{one['CreatedTimestamp']}" for one in found)
            yield SqsQueue(place, calls, urls, lives, payloads, most)


class SqsQueue:
    """Made by `open_queue`."""

    uncounted = "SQS keeps no counts: once it is empty, sinks and letters hold all there is; /metrics has those of each process"

    def __init__(
        self, place: Place, calls: SqsCalls, urls: Mapping[str, str], lives: Sequence[str], payloads: Payloads, most: int
    ) -> None:
        self._place = place
        self._calls = calls
        self._urls = urls
        self._id = f"sqs-{blake2b(' '.join(lives).encode(), digest_size=12).hexdigest()}"
        self._payloads = payloads
        self._most = most
        self._sending = asyncio.Semaphore(_AT_ONCE)
        self._published: dict[str, Counter[str]] = {"": Counter(published=0)}
        self._committed: dict[str, Counter[str]] = {}

    @property
    def id(self) -> str:
        """Of these very SQS queues: one that is deleted and made anew, or a further group, gives another id."""
        return self._id

    async def publish(self, messages: Sequence[Message], counts: Mapping[str, int] = NO_COUNTS, owner: str = "") -> None:
        point("queue.before_publish")
        fitting = await self._payloads.fitted(messages)
        options = self._place.options
        made = parcels(fitting, options.pack, min(options.pack_bytes, self._most))
        sends = [self._send(url, batch) for batch in batches(made) for url in self._urls.values()]
        results = await asyncio.gather(*sends, return_exceptions=True)
        for failed in results:
            if isinstance(failed, BaseException):
                raise failed
        point("queue.after_publish")
        self._published[""]["published"] += len(messages)
        if owner:
            self._published.setdefault(owner, Counter()).update(counts)

    async def _send(self, url: str, batch: Sequence[Parcel]) -> None:
        async with self._sending:
            await self._calls.send(url, batch)
        point("queue.in_publish")

    @asynccontextmanager
    async def subscribe(self, group: str) -> AsyncIterator[SqsMember]:
        url = self._url_of(group)
        await self._claim(group, url)
        await self._refuse_redrive(url)
        counted = self._committed.setdefault(group, Counter())
        member = SqsMember(self._calls, url, group, self._payloads, self._place.options.visibility, counted.update)
        try:
            yield member
        finally:
            leaving = asyncio.create_task(member.leave())
            try:
                await asyncio.shield(leaving)
            finally:
                await asyncio.wait([leaving])  # whoever cancels the member must not cancel this, too

    async def lag(self, group: str) -> Mapping[str, int]:
        """SQS messages, each a pack, and about as many: `waiting` for a member, or `in_flight` with one."""
        found = await self._calls.attributes(self._url_of(group))
        about = {name: int(found.get(f"ApproximateNumberOfMessages{name}", 0)) for name in ("", "Delayed", "NotVisible")}
        return {"waiting": about[""] + about["Delayed"], "in_flight": about["NotVisible"]}

    async def groups(self) -> Sequence[Group]:
        """Those of the URL, whether they were ever read or not. What counts they have are of this process."""
        names = list(self._urls)
        if "" in self._urls:
            names = [tag] if (tag := (await self._calls.tags(self._urls[""])).get(TAG)) else []
        lags = [sum((await self.lag(name)).values()) for name in names]
        return [Group(name, 0, lag, "", dict(self._committed.get(name, {}))) for name, lag in zip(names, lags, strict=True)]

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Of this process: SQS has no place that would move with its messages."""
        return {owner: dict(counts) for owner, counts in self._published.items()}

    async def peek(self, position: int, limit: int) -> Sequence[Delivery]:  # noqa: ARG002
        self._refuse(
            "SQS shows messages to a group alone, and hides them from it while it looks", "`harvest trace` asks the sinks"
        )

    async def seek(self, group: str, position: int) -> None:  # noqa: ARG002
        self._url_of(group)
        self._refuse("SQS keeps nothing that was read", "read the vendor again: `harvest backfill`")

    async def forget(self, group: str) -> None:
        self._url_of(group)
        self._refuse("its groups are those of its URL", f"drain {group}, take it out, then delete {self._name_of(group)} at SQS")

    async def size(self) -> Size:
        """SQS tells how many packs there are, and no more."""
        return Size(messages=None, bytes=None, oldest=None)

    async def check(self) -> Sequence[str]:
        """What of the SQS queues, as they are set, could lose messages."""
        found = [_risks(self._name_of(group), await self._calls.attributes(url)) for group, url in self._urls.items()]
        return [fault for faults in found for fault in faults]

    def _url_of(self, group: str) -> str:
        """Where the group reads. ConfigError: it is not one of the configured groups."""
        if "" in self._urls and GROUP.fullmatch(group):
            return self._urls[""]
        if not group or group not in self._urls:
            known = ", ".join(filter(None, self._urls)) or "one other"
            raise ConfigError(
                f"{self._place.url.text}: group {group!r} has no queue there, but {known}; name every sink in groups=, in "
                f"the HARVESTER_QUEUE_URL of every process; what was published before is not in its queue: `harvest backfill` "
                f"reads it"
            )
        return self._urls[group]

    def _name_of(self, group: str) -> str:
        return self._place.queues[group if group in self._place.queues else ""]

    async def _claim(self, group: str, url: str) -> None:
        """Without `groups`: the first that reads has the queue, for two would take each other's events."""
        if "" not in self._urls:
            return
        owner = (await self._calls.tags(url)).get(TAG)
        if owner is None:
            await self._calls.tag(url, TAG, group)
            owner = (await self._calls.tags(url)).get(TAG, group)
        if owner != group:
            plain = self._place.url.text.partition("?")[0]
            raise RefusedError(
                f"the SQS queue {self._name_of(group)} belongs to group {owner}, {group} would take its events away; "
                f"for both, drain it and write {plain}?groups={owner},{group}"
            )

    async def _refuse_redrive(self, url: str) -> None:
        if (await self._calls.attributes(url)).get("RedrivePolicy"):
            raise RefusedError(_redriven(url.rpartition("/")[2]))

    def _refuse(self, why: str, way: str) -> NoReturn:
        raise RefusedError(f"{self._place.url.text}: this queue cannot do that: {why}; {way}")


def _risks(name: str, attributes: Mapping[str, str]) -> list[str]:
    faults = [_redriven(name)] if attributes.get("RedrivePolicy") else []
    kept = int(attributes.get("MessageRetentionPeriod", _SHORT))
    if kept < _SHORT:
        faults.append(
            f"SQS queue {name} keeps messages for {kept / 86400:.1f} days only, a longer outage of a sink loses them; set "
            f"MessageRetentionPeriod to 1209600"
        )
    return faults


def _redriven(name: str) -> str:
    return (
        f"SQS queue {name} has a redrive policy: after a few crashes or an outage of the sink it would move whole packs away, "
        f'unread and unaccounted; remove it (RedrivePolicy=""), dead letters are kept by this program'
    )
