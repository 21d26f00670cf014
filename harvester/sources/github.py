"""GitHub: repositories of an organisation, pull requests with their commits and reviews, and both kinds of comments.

REST (version 2022-11-28) says what changed, GraphQL what it is now; a server or a token without GraphQL is read by REST alone.
Each repository has streams of its own, by the time of change, so that a page that was read is never read again. See
docs/decisions/0045.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from harvester.budget import Backfill, Budget, Terms
from harvester.http import Allowance, HttpClient, open_http
from harvester.protocols import Stream
from harvester.retry import DAEMON, Retry, Wait
from harvester.sources.github_calls import Calls
from harvester.sources.github_canary import Canary
from harvester.sources.github_comments import Comments
from harvester.sources.github_limits import PER_MINUTE, Limits, Slots
from harvester.sources.github_login import logins, rooms
from harvester.sources.github_mode import Mode, OnMode
from harvester.sources.github_pacing import REAL_TIME, Pacing
from harvester.sources.github_pulls import Details, Pulls
from harvester.sources.github_refusals import explain
from harvester.sources.github_repositories import Organisations, Repositories, refuse_unknown
from harvester.sources.github_repository import Repository
from harvester.sources.github_rest import Patience
from harvester.sources.github_settings import GithubSettings, graphql_url, host_of, http_settings
from harvester.sources.github_sharing import Sharing
from harvester.sources.github_sweep import Sweep
from harvester.sources.github_totals import Totals

__all__ = ["Github", "GithubSettings", "http_settings", "open_github"]


@asynccontextmanager
async def open_github(
    settings: GithubSettings,
    *,
    zone: str = "UTC",  # noqa: ARG001 - GitHub's times are UTC
    retry: Retry = DAEMON,
    on_request: Callable[[str, str, float], None] | None = None,
    on_wait: Callable[[Wait], None] | None = None,
    on_allowance: Callable[[Allowance], None] | None = None,
    on_mode: OnMode | None = None,
    budget: Budget | None = None,
    backfill: Backfill | None = None,
    pacing: Pacing = REAL_TIME,
) -> AsyncIterator["Github"]:
    """The source of one or more organisations. `on_mode` hears when REST alone is read and why. `pacing`: the clock of its waits.

    `budget`: what other processes spend with the same credential; None: nothing is known of that. `backfill`: history is read.

    Raises ConfigError for a bad address or the key of an App.
    """
    place, slots = http_settings(settings), Slots(settings.max_workers)

    def requested(endpoint: str, outcome: str, seconds: float) -> None:
        slots.free()
        if on_request is not None:
            on_request(endpoint, outcome, seconds)

    told: dict[str, Any] = {"retry": retry, "explain": explain, "on_wait": on_wait, "sleep": pacing.sleep}
    async with AsyncExitStack() as stack:
        opening = open_http(place, **told, on_request=requested, on_allowance=on_allowance)
        http: HttpClient = await stack.enter_async_context(opening)
        minting: HttpClient = http
        if settings.app_id:
            minting = await stack.enter_async_context(open_http(place, **told, on_request=on_request))

        terms = Terms(
            hourly=settings.hourly_limit,
            reserve=settings.reserve,
            minute=PER_MINUTE,
            flying=settings.max_workers,
            keeps=settings.live_share if backfill is not None else 0.0,
        )

        def limits(name: str) -> Limits:
            sharing = None if budget is None else Sharing(name, budget, terms, pacing, backfill)
            if sharing is not None:
                stack.push_async_callback(sharing.close)
            return Limits(terms, sharing, scale=retry.scale, pacing=pacing)

        known = logins(settings, minting, http, limits)
        if backfill is not None:
            backfill.rooms = partial(rooms, known)
        calls = Calls(http, known, slots, graphql_url(place.url), retry, on_wait=on_wait, pacing=pacing)
        patience = Patience(retry, pacing.sleep, on_wait)
        yield Github(calls, settings, host_of(place.url), patience, on_mode, pacing)


class Github:
    """The repositories that are there now, each with its streams."""

    name = "github"

    def __init__(
        self,
        calls: Calls,
        settings: GithubSettings,
        host: str,
        patience: Patience,
        on_mode: OnMode | None = None,
        pacing: Pacing = REAL_TIME,
    ) -> None:
        self._calls = calls
        self._patience = patience
        self._settings = settings
        self._host = host
        self._mode = Mode(settings.mode, on_mode)
        pause = timedelta(seconds=settings.poll)
        self._canary = Canary(calls, self._mode, settings.org, pause, pacing.monotonic)
        self._canary.on_name(self._renamed)
        self._organisations = Organisations(calls, settings.org, settings.repos)
        self._repositories: dict[int, Repository] = {}
        self._streams: dict[int, Sequence[Stream]] = {}
        self.lacks: Sequence[str] = ()
        """Scopes that the token was seen not to have."""
        self._listed = Repositories(self._organisations, host, self.name)

    async def streams(self) -> Sequence[Stream]:
        """The list of repositories, and what changes in each. Raises PermanentError, with what to check."""
        listing = await self._organisations.listing()
        refuse_unknown(listing)
        self.lacks = listing.lacks
        found: list[Stream] = [self._listed]
        for repository, _ in listing.found:
            known = self._repositories.setdefault(repository.id, repository)
            known.owner, known.name, known.has_pulls = repository.owner, repository.name, repository.has_pulls
            if repository.id not in self._streams:
                self._streams[repository.id] = self._of(known)
            found += self._streams[repository.id]
        return found

    @property
    def repositories(self) -> Mapping[int, Repository]:
        """Those that were ever listed, by id, as they are called now."""
        return self._repositories

    @property
    def totals(self) -> Totals:
        """How much there is at GitHub, for who compares."""
        return Totals(self._calls, self._mode, self._organisations, self._settings.org)

    @property
    def host(self) -> str:
        """Whose ids are meant."""
        return self._host

    def _of(self, repository: Repository) -> Sequence[Stream]:
        calls, host, name, timing = self._calls, self._host, self.name, self._settings.timing
        details = Details(calls, self._mode, repository, host, name, self._patience)
        return (
            Pulls(calls, self._canary, details, repository, name, timing),
            Comments("review_comments", calls, self._canary, repository, host, name, timing),
            Comments("issue_comments", calls, self._canary, repository, host, name, timing),
            Sweep(calls, details, repository, name, self._settings.sweep_days),
        )

    def _renamed(self, key: int, owner: str, name: str) -> None:
        if known := self._repositories.get(key):
            known.owner, known.name = owner, name

    def now(self) -> datetime:
        """GitHub's clock, known since the list of repositories."""
        return self._calls.now()
