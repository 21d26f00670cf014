"""Pull requests with their commits and reviews, by the time at which they changed; and the details of many at once."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import structlog

from harvester.coverage import Interval, Timing
from harvester.errors import InvalidEventError
from harvester.event import Event
from harvester.protocols import Broken, Page
from harvester.retry import UnusableError
from harvester.sources.github_calls import Calls, GraphqlError
from harvester.sources.github_canary import Canary
from harvester.sources.github_details import (
    Connection,
    Pull,
    batch_cost,
    batch_query,
    children_of,
    events_of,
    graphql_pull,
    more_query,
    unread,
)
from harvester.sources.github_lists import Lists, pulls
from harvester.sources.github_mode import Mode, refused
from harvester.sources.github_progress import Covers, Seen
from harvester.sources.github_refusals import DeniedError, GoneError, TooHeavyError
from harvester.sources.github_repository import Repository
from harvester.sources.github_rest import Rest
from harvester.sources.github_rows import checked_event, commit_row

_log = structlog.get_logger(__name__)
_MOST, _GROWS = 25, 5
_NULL = (b"", b"null")


class Batch(NamedTuple):
    """What became of some pull requests."""

    events: list[Event]
    broken: list[Broken]


class Details:
    """Reads pull requests whole. How many it asks for at once halves when that is too much, and grows back."""

    def __init__(self, calls: Calls, mode: Mode, repository: Repository, host: str, source: str) -> None:
        self._calls = calls
        self._mode = mode
        self._repository = repository
        self._host = host
        self._source = source
        self._rest = Rest(calls)
        self.size = _MOST
        """How many are asked for at once."""

    async def read(self, numbers: Sequence[int]) -> tuple[int, Batch]:
        """The first `size` of these, or fewer: how many that were, and what became of them.

        Raises GoneError or DeniedError when it is the repository that is refused, TransientError.
        """
        while self._mode.graphql:
            asked = numbers[: self.size]
            try:
                batch = await self._several(asked)
            except (TooHeavyError, UnusableError):
                if len(asked) == 1:
                    break
                self.size = max(1, len(asked) // 2)
                continue
            except (DeniedError, GoneError) as error:
                if not self._mode.leaves(error):
                    raise
                break
            self.size = min(_MOST, self.size + _GROWS)
            return len(asked), batch
        return 1, await self._alone(numbers[0])

    async def _several(self, numbers: Sequence[int]) -> Batch:
        variables = {"id": self._repository.node}
        reply = await self._calls.query(batch_query(numbers), variables, batch_cost(len(numbers)), shrinks=True)
        node = reply.data.get("node", msgspec.Raw(b"null"))
        if bytes(node) in _NULL:
            raise refused(reply.errors, f"the repository {self._repository.path.removeprefix('/repos/')}")
        self._mode.works()
        found = msgspec.json.decode(node, type=dict[str, msgspec.Raw])
        wrong = _by_alias(reply.errors)
        if "" in wrong and all(bytes(found.get(f"p{number}", b"")) in _NULL for number in numbers):
            raise TooHeavyError(f"github: GraphQL gave nothing: {wrong[''].message[:300]}")
        batch = Batch([], [])
        for number in numbers:
            alias = f"p{number}"
            raw = bytes(found.get(alias, b""))
            if raw in _NULL or alias in wrong:
                one = await self._alone(number)
            else:
                one = await self._whole(number, raw, reply.read_at)
            batch.events.extend(one.events)
            batch.broken.extend(one.broken)
        return batch

    async def _whole(self, number: int, node: bytes, read_at: datetime) -> Batch:
        """One node with the children that did not come with it. What is no pull request is asked for by REST."""
        try:
            commits, reviews = children_of(node)
            complete = await self._rest_of(number, "commits", commits) and await self._rest_of(number, "reviews", reviews)
            if not complete:
                return await self._alone(number)
            late: list[bytes] = []
            if len(commits.nodes) < commits.total:
                known = {commit_row.decode(one).name for one in graphql_pull(node, commits, reviews, read_at).commits}
                late = await self._rest.missing(self._repository, number, known)
            return self._told(graphql_pull(node, commits, reviews, read_at, late))
        except (InvalidEventError, GoneError, DeniedError):
            return await self._alone(number)

    async def _rest_of(self, number: int, what: str, children: Connection) -> bool:
        """Append the pages behind the first; False when one cannot be had."""
        while children.page.more:
            variables = {"id": self._repository.node, "after": children.page.end}
            reply = await self._calls.query(more_query(number, what), variables, 1 if what == "commits" else 2)
            try:
                pull = msgspec.json.decode(reply.data["node"], type=dict[str, msgspec.Raw])["p"]
                told = msgspec.json.decode(pull, type=dict[str, Connection])[what]
            except (KeyError, ValueError):
                return False
            if reply.errors or told.page == children.page:
                return False
            children.nodes.extend(told.nodes)
            children.page = told.page
        return True

    async def _alone(self, number: int) -> Batch:
        """One by REST. What is refused for good is broken, and nothing that is known of it is replaced by a part."""
        try:
            return self._told(await self._rest.pull(self._repository, number))
        except (GoneError, DeniedError) as error:
            reason = "gone" if isinstance(error, GoneError) else "denied"
            why = str(error)
        except InvalidEventError as error:
            reason, why = error.reason, str(error)
        _log.warning("a pull request cannot be read", source=self._source, path=self._repository.path, number=number, error=why)
        return Batch([], [unread(self._repository, self._host, number, why, reason)])

    def _told(self, pull: Pull) -> Batch:
        return Batch(*events_of(pull, self._repository, self._host, self._source))


def _by_alias(errors: Sequence[GraphqlError]) -> Mapping[str, GraphqlError]:
    """Which pull request each error is of; "" when it is of none."""
    found: dict[str, GraphqlError] = {}
    for error in errors:
        path = error.path or []
        found[str(path[1]) if len(path) > 1 else ""] = error
    return found


class Pulls:
    """The pull requests of a repository that changed, each with its commits and reviews."""

    def __init__(
        self, calls: Calls, canary: Canary, details: Details, repository: Repository, source: str, timing: Timing
    ) -> None:
        self._calls = calls
        self._canary = canary
        self._details = details
        self._repository = repository
        self._source = source
        self._lists = Lists(calls, repository, "issues", state="all")
        self.name = f"pulls/{repository.id}"
        self.timing = timing

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        """Those that changed in the window, from the first on. A page covers what is finished, times of one second together."""
        if await self._canary.clean(self._repository, window, self.timing):
            yield Page([], covered=window)
            return
        seen, covers = Seen(notes), Covers(window)
        async for sheet in pulls(self._lists, self._repository, window.start, window.end):
            rows, broken = seen.new(sheet.rows), sheet.broken
            while rows:
                done, batch = await self._details.read([row.key for row in rows])
                if not batch.broken:
                    seen.read(rows[:done], sheet.read_at)
                rows = rows[done:]
                upto = rows[0].updated if rows else sheet.upto
                yield Page(batch.events, [*broken, *batch.broken], covers.until(upto))
                broken = ()
            if broken or sheet.upto < window.end:
                yield Page([], broken, covers.until(sheet.upto))
        notes = seen.notes(window.end - self.timing.overlap)
        yield Page([], covered=covers.until(window.end), notes=notes)

    def event(self, record: bytes, read_at: datetime) -> Event:
        """One record as an event. Raises InvalidEventError."""
        return checked_event(record, self._source, read_at)
