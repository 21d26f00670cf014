"""Pull requests with their commits and reviews, by the time at which they changed; and the details of many at once."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import structlog

from harvester.coverage import Interval, Timing
from harvester.errors import HarvesterError, InvalidEventError
from harvester.event import Event
from harvester.http import StatusError, TooLargeError
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
    commits_of,
    events_of,
    graphql_pull,
    more_query,
    names_of,
    unread,
)
from harvester.sources.github_lists import Lists, pulls
from harvester.sources.github_mode import Mode, refused
from harvester.sources.github_progress import Covers, Seen
from harvester.sources.github_refusals import DeniedError, GoneError, TokenRefusedError, TooHeavyError
from harvester.sources.github_repository import Repository
from harvester.sources.github_rest import REFUSED, Patience, Rest
from harvester.sources.github_rows import checked_event, moment

_log = structlog.get_logger(__name__)
_MOST, _GROWS = 25, 5
_NULL = (b"", b"null")


class Batch(NamedTuple):
    """What became of some pull requests, and of those that were read whole when they had changed."""

    events: list[Event]
    broken: list[Broken]
    updated: dict[int, datetime]


class Details:
    """Reads pull requests whole. How many it asks for at once halves when that is too much, and grows back."""

    def __init__(self, calls: Calls, mode: Mode, repository: Repository, host: str, source: str, patience: Patience) -> None:
        self._calls = calls
        self._mode = mode
        self._repository = repository
        self._host = host
        self._source = source
        self._rest = Rest(calls, patience)
        self.size = _MOST
        """How many are asked for at once."""

    async def read(self, numbers: Sequence[int]) -> tuple[int, Batch]:
        """The first `size` of these, or fewer: how many that were, and what became of them.

        Raises GoneError or DeniedError when it is the repository that is refused, TransientError.
        """
        alone = False
        while self._mode.graphql:
            asked = numbers[: self.size]
            try:
                batch = await self._several(asked)
            except TokenRefusedError:
                raise
            except (DeniedError, GoneError) as error:
                if not self._mode.leaves(error):
                    raise
                break
            except (TooHeavyError, UnusableError, TooLargeError, StatusError):
                if alone:
                    break
                alone = len(asked) == 1  # once more, for REST tells less: not when a review changed
                self.size = max(1, len(asked) // 2)
                continue
            self.size = min(_MOST, self.size + _GROWS)
            return len(asked), batch
        return 1, await self._alone(numbers[0])

    async def _several(self, numbers: Sequence[int]) -> Batch:
        variables = {"id": self._repository.node}
        text, cost = batch_query(numbers, self._mode.ids), batch_cost(len(numbers))
        reply = await self._calls.query(text, variables, cost, shrinks=True)
        node = reply.data.get("node", msgspec.Raw(b"null"))
        if bytes(node) in _NULL:
            if self._mode.older(reply.errors):
                return await self._several(numbers)
            raise refused(reply.errors, f"the repository {self._repository.path.removeprefix('/repos/')}")
        self._mode.works()
        found = _parts(node)
        wrong = _by_alias(reply.errors)
        if "" in wrong and all(bytes(found.get(f"p{number}", b"")) in _NULL for number in numbers):
            raise TooHeavyError(f"github: GraphQL gave nothing: {wrong[''].message[:300]}")
        batch = Batch([], [], {})
        for number in numbers:
            alias = f"p{number}"
            raw = bytes(found.get(alias, b""))
            if raw in _NULL or alias in wrong:
                one = await self._alone(number)
            else:
                one = await self._whole(number, raw, reply.read_at)
            batch.events.extend(one.events)
            batch.broken.extend(one.broken)
            batch.updated.update(one.updated)
        return batch

    async def _whole(self, number: int, node: bytes, read_at: datetime) -> Batch:
        """One node with the children that did not come with it. What does not come whole is asked for by REST."""
        try:
            commits, reviews = children_of(node)
            if await self._rest_of(number, "commits", commits) and await self._rest_of(number, "reviews", reviews):
                late: list[bytes] = []
                if len(commits.nodes) < commits.total:
                    late = await self._rest.missing(self._repository, number, names_of(commits_of(commits)))
                return self._told(graphql_pull(node, commits, reviews, read_at, late))
        except TokenRefusedError:
            raise
        except (InvalidEventError, TooHeavyError, *REFUSED):
            pass  # whatever it was, REST is asked for all of it
        return await self._alone(number)

    async def _rest_of(self, number: int, what: str, children: Connection) -> bool:
        """Append the pages behind the first; False when one cannot be had."""
        while children.page.more:
            variables = {"id": self._repository.node, "after": children.page.end}
            text, cost = more_query(number, what, self._mode.ids), 1 if what == "commits" else 2
            reply = await self._calls.query(text, variables, cost, shrinks=True)
            try:
                pull = msgspec.json.decode(reply.data["node"], type=dict[str, msgspec.Raw])["p"]
                told = msgspec.json.decode(pull, type=dict[str, Connection])[what]
            except (KeyError, ValueError, RecursionError):
                return False
            if reply.errors or told.page == children.page:
                return False
            children.nodes.extend(told.nodes)
            children.page = told.page
        return True

    async def _alone(self, number: int) -> Batch:
        """One by REST. What is refused while others come is broken, and nothing that is known of it is replaced by a part.

        Raises what it is refused with when no other comes either: then it is not its fault.
        """
        try:
            return self._told(await self._rest.pull(self._repository, number))
        except TokenRefusedError:
            raise
        except InvalidEventError as error:
            reason, why = error.reason, str(error)
        except REFUSED as error:
            reason, why = _reason(error), str(error)
            if not await self._rest.others(self._repository, besides=number):
                raise
        _log.warning("a pull request cannot be read", source=self._source, path=self._repository.path, number=number, error=why)
        return Batch([], [unread(self._repository, self._host, number, why, reason)], {})

    def _told(self, pull: Pull) -> Batch:
        events, broken = events_of(pull, self._repository, self._host, self._source)
        updated = moment(pull.updated)
        return Batch(events, broken, {pull.number: updated} if updated and not broken else {})


def _parts(node: msgspec.Raw) -> Mapping[str, msgspec.Raw]:
    """What is in a node. UnusableError when it is none."""
    try:
        return msgspec.json.decode(node, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError) as error:
        raise UnusableError(f"github: the answer is no node of GraphQL: {error}") from error


def _reason(error: HarvesterError) -> str:
    """The word for letters of what GitHub does not give."""
    if isinstance(error, GoneError):
        return "gone"
    if isinstance(error, DeniedError):
        return "denied"
    if isinstance(error, TooLargeError):
        return "payload_too_large"
    return "refused" if isinstance(error, StatusError) else "unavailable"


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
                # As it was told, not as it was listed: a replica may have been behind the list, and is asked again.
                told = [row._replace(updated=batch.updated[row.key]) for row in rows[:done] if row.key in batch.updated]
                seen.read(told, sheet.read_at)
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
