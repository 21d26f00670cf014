"""GitHub's calls: REST and GraphQL with the credential that has most to spend, whatever limits say waited out."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import structlog
from multidict import CIMultiDict

from harvester.errors import HarvesterError, InvalidEventError, TransientError
from harvester.http import Answer, HttpClient, Pages, checked_json
from harvester.limits import Limit
from harvester.raw import checked
from harvester.retry import OutageError, Retry, UnusableError, Wait, retrying
from harvester.sources.github_limits import NotYetError, Resource, Slots
from harvester.sources.github_login import Login
from harvester.sources.github_pacing import REAL_TIME, Pacing
from harvester.sources.github_refusals import LimitedError, TokenRefusedError, TooHeavyError, until_reset

_log = structlog.get_logger(__name__)
_KEPT = 64 * 2**20
"""Bytes of answers that are kept to be asked for on condition."""
_RATE_TYPES = ("RATE_LIMITED", "RATE_LIMIT")
_UNTOLD = 60.0
Query = Mapping[str, Any]
"""What is asked for behind the path: texts and numbers; None is left out."""
NO_QUERY: Query = {}
Send = Callable[[str, Sequence[Limit]], Awaitable[Answer]]
"""Sends a request with this token, when these limits let it."""


class GraphqlError(msgspec.Struct):
    """An error beside data: of the part that `path` leads to."""

    message: str = ""
    type: str = ""
    path: list[str | int] | None = None


class Reply(NamedTuple):
    """What GraphQL answered: the parts under `data`, and what went wrong."""

    data: Mapping[str, msgspec.Raw]
    errors: Sequence[GraphqlError]
    read_at: datetime


class _RateLimit(msgspec.Struct):
    cost: int = 1


class _Envelope(msgspec.Struct):
    data: dict[str, msgspec.Raw] | None = None
    errors: list[GraphqlError] | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_rate = msgspec.json.Decoder(_RateLimit)


class Calls:
    """Asks, as whom it costs least to wait. Raises what is refused, TooHeavyError only where less can be asked for."""

    def __init__(
        self,
        http: HttpClient,
        logins: Sequence[Login],
        slots: Slots,
        graphql: str,
        retry: Retry,
        *,
        on_wait: Callable[[Wait], None] | None = None,
        pacing: Pacing = REAL_TIME,
    ) -> None:
        self._http = http
        self._logins = list(logins)
        self._slots = slots
        self._graphql = graphql
        self._retry = retry
        self._on_wait = on_wait
        self._pacing = pacing
        self._kept: OrderedDict[tuple[str, str], tuple[str, Answer]] = OrderedDict()
        self._size = 0
        self._given: set[str] = set()

    def now(self) -> datetime:
        """GitHub's clock. TransientError before the first answer."""
        return self._http.clock.now()

    def at(self, answer: Answer) -> datetime:
        """When the request of an answer was sent, by GitHub's clock."""
        return self._http.clock.at(answer.sent)

    async def get(self, path: str, endpoint: str, query: Query = NO_QUERY, *, shrinks: bool = False) -> Answer:
        """One answer of REST. TooHeavyError with `shrinks`, where it was too much; else that is an outage as any."""

        async def send(token: str, limits: Sequence[Limit]) -> Answer:
            return await self._http.get(path, headers=_bearer(token), endpoint=endpoint, limits=limits, **query)

        return await self._patiently("core", 1, send, shrinks=shrinks)

    async def kept(self, path: str, endpoint: str, query: Query = NO_QUERY) -> Answer:
        """As `get`, on condition: what did not change comes from memory and costs nothing. Validators hold for one token each."""
        place = f"{path}?{sorted(query.items())}"

        async def send(token: str, limits: Sequence[Limit]) -> Answer:
            tag, known = self._kept.get((token, place), ("", None))
            headers = {**_bearer(token), **({"If-None-Match": tag} if tag else {})}
            answer = await self._http.get(path, headers=headers, endpoint=endpoint, limits=limits, **query)
            if answer.status == 304 and known is not None:
                return answer._replace(body=known.body, headers=renewed(known.headers, answer.headers))
            self._keep((token, place), answer)
            return answer

        return await self._patiently("core", 1, send, shrinks=False)

    async def pages(self, path: str, endpoint: str, query: Query = NO_QUERY, *, kept: bool = False) -> AsyncIterator[Answer]:
        """A list to its last page. Links are followed as they come."""
        turns, ask = Pages("github"), self.kept if kept else self.get
        answer = await ask(path, endpoint, {**query, "per_page": 100})
        while True:
            yield answer
            following = next_of(answer)
            if not following:
                return
            turns.turned(following, 1)
            answer = await ask(following, endpoint)

    async def query(self, text: str, variables: Mapping[str, object], cost: int, *, shrinks: bool = False) -> Reply:
        """One answer of GraphQL. `cost` is counted before; what it really was, after."""
        body = msgspec.json.encode({"query": text, "variables": variables})
        found: list[_Envelope] = []

        def whole(answer: Answer, name: str) -> None:
            found.append(_opened(answer, name))

        async def send(token: str, limits: Sequence[Limit]) -> Answer:
            headers = {**_bearer(token), "Content-Type": "application/json"}
            return await self._http.post(self._graphql, body, headers=headers, check=whole, limits=limits)

        answer = await self._patiently("graphql", cost, send, shrinks=shrinks, real=lambda: _cost(found[-1].data, cost))
        return Reply(found[-1].data or {}, found[-1].errors or (), self.at(answer))

    async def _patiently(
        self, resource: Resource, cost: int, send: Send, *, shrinks: bool, real: Callable[[], int] | None = None
    ) -> Answer:
        async def attempt() -> Answer | TransientError:
            try:
                return await self._asked(resource, cost, send, real)
            except TooHeavyError as error:
                if shrinks:
                    raise
                raise OutageError(str(error)) from error
            except TransientError as error:  # the client was patient with it already
                return error

        try:
            found = await retrying(attempt, self._retry, sleep=self._pacing.sleep, on_wait=self._on_wait)
            if isinstance(found, TransientError):
                raise found
            return found
        except HarvesterError as error:
            error.args = (self.hidden(str(error)), *error.args[1:])
            raise

    async def _asked(self, resource: Resource, cost: int, send: Send, real: Callable[[], int] | None) -> Answer:
        refused: dict[int, int] = {}
        waits = 0
        while True:
            login = min(self._logins, key=lambda one: one.limits.ready(resource))
            token = await login.token()
            assert token is not None
            self._given.add(token)
            try:
                answer = await send(token, [login.limits.of(resource, cost, self._slots)])
            except NotYetError as error:
                waits += bool(error.why)
                await self._wait(resource, waits, error)
                continue
            except LimitedError as error:
                self._limited(login, resource, error)
                continue
            except TokenRefusedError as error:
                refused[id(login)] = refused.get(id(login), 0) + 1
                if refused[id(login)] > 1 or await login.token(refused=token) is None:
                    self._drop(login, error)
                continue
            spent = 0 if answer.status == 304 else real() if real else cost
            login.limits.spent(resource, spent - cost)
            login.limits.heard(resource, answer.headers)
            login.limits.passed()
            return answer

    async def _wait(self, resource: Resource, waits: int, error: NotYetError) -> None:
        """Until the first credential may; which one that is, is looked at again behind it."""
        seconds = min(one.limits.ready(resource)[0] for one in self._logins)
        if seconds <= 0:
            return
        if error.why and self._on_wait is not None:
            self._on_wait(Wait("rate_limited", waits, seconds, str(error)))
        await self._pacing.sleep(seconds * self._retry.scale)

    def _limited(self, login: Login, resource: Resource, error: LimitedError) -> None:
        if error.which == "secondary":
            login.limits.secondary(error.seconds)
        else:
            login.limits.block(resource, error.seconds or _UNTOLD)
        _log.info("rate limited", source="github", which=error.which, error=self.hidden(str(error)))

    def _drop(self, login: Login, error: TokenRefusedError) -> None:
        """Go on without a token that is refused, as long as there is another. Several requests may meet it at once."""
        if login not in self._logins:
            return
        if len(self._logins) == 1:
            raise error
        self._logins.remove(login)
        _log.warning("a token was refused; the others go on", source="github", left=len(self._logins))

    def _keep(self, place: tuple[str, str], answer: Answer) -> None:
        tag = answer.headers.get("ETag", "")
        _, old = self._kept.pop(place, ("", None))
        self._size -= len(old.body) if old else 0
        if not tag:
            return
        self._kept[place] = (tag, answer)
        self._size += len(answer.body)
        while self._size > _KEPT:
            self._size -= len(self._kept.popitem(last=False)[1][1].body)

    def hidden(self, text: str) -> str:
        """A text without the tokens: vendors repeat what they were sent."""
        for token in self._given:
            text = text.replace(token, "***")
        return text


def next_of(answer: Answer) -> str:
    """Where the next page is, "" at the end."""
    for link in answer.headers.get("Link", "").split(","):
        where, _, parameters = link.partition(";")
        if 'rel="next"' in parameters:
            return where.strip().removeprefix("<").removesuffix(">")
    return ""


def renewed(known: Mapping[str, str], answer: Mapping[str, str]) -> Mapping[str, str]:
    """The headers of what did not change: those of before with the newer ones. Their names mind no case."""
    found = CIMultiDict(known)
    found.update(answer)
    return found


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _opened(answer: Answer, name: str) -> _Envelope:
    """What GraphQL answered. LimitedError where it is told in a 200."""
    try:
        found = _envelope.decode(checked(checked_json(answer, name).strip()))
    except (ValueError, RecursionError, InvalidEventError) as error:
        raise UnusableError(f"github: the answer is none of GraphQL: {error}") from error
    for wrong in found.errors or ():
        if wrong.type in _RATE_TYPES:
            raise LimitedError(f"github: {wrong.message[:300]}", "primary", seconds=until_reset(answer.headers))
        if "secondary rate limit" in wrong.message.lower():
            raise LimitedError(f"github: {wrong.message[:300]}", "secondary", seconds=None)
    return found


def _cost(data: Mapping[str, msgspec.Raw] | None, usual: int) -> int:
    try:
        return _rate.decode((data or {})["rateLimit"]).cost
    except (KeyError, ValueError):
        return usual
