"""HTTP as every source uses it: one origin, one login, whole answers or an error that names the next action."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import aiohttp
from aiohttp import hdrs
from yarl import URL

from harvester import tally
from harvester.answers import (
    Allowance,
    Answer,
    Body,
    RefusedRequestError,
    StatusError,
    TooLargeError,
    VendorClock,
    allowance,
    checked_json,
    fault,
    http_date,
    refusal,
)
from harvester.errors import HarvesterError, PermanentError, TransientError
from harvester.limits import Limit, Pages
from harvester.login import Carried, carried
from harvester.origin import Basic, Digest, HttpSettings, base_url, below, guard_plain_http, origin_of, tls_context, unreachable
from harvester.retry import ONE_SHOT, OutageError, Retry, UnusableError, Wait, retrying
from harvester.rotation import Renewed, reread
from harvester.sending import Once

__all__ = [
    "Allowance",
    "Answer",
    "Basic",
    "Digest",
    "HttpClient",
    "HttpSettings",
    "Pages",
    "StatusError",
    "TooLargeError",
    "VendorClock",
    "allowance",
    "base_url",
    "checked_json",
    "guard_plain_http",
    "http_date",
    "open_http",
    "reread",
]

MAX_REDIRECTS = 5
MAX_URL = 8000  # Jetty and nginx take 8 KiB for the whole request head by default
MAX_HEADER = 32 * 1024
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://|//")
_REDIRECTS = (301, 302, 303, 307, 308)

Check = Callable[[Answer, str], object]
OnRequest = Callable[[str, str, float], None]
OnAllowance = Callable[[Allowance], None]
Explain = Callable[[Answer, HarvesterError], HarvesterError]
"""What a refusal means at this vendor, given the answer and what its status alone would mean."""


class _Request(NamedTuple):
    """What is asked, as it goes through retries and redirects. `form`: posted, bytes as they are; None: a GET."""

    url: URL
    headers: Mapping[str, str]
    label: str
    limits: Sequence[Limit]
    form: Mapping[str, str] | bytes | None = None


class HttpClient:
    """One vendor. Credentials never leave its origin: redirects and links elsewhere are refused before anything is sent."""

    def __init__(
        self,
        settings: HttpSettings,
        session: aiohttp.ClientSession,
        *,
        retry: Retry = ONE_SHOT,
        limits: Sequence[Limit] = (),
        on_request: OnRequest | None = None,
        on_wait: Callable[[Wait], None] | None = None,
        on_allowance: OnAllowance | None = None,
        explain: Explain | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._session = session
        self._renewed = Renewed(settings.name, settings.login, settings.login_again)
        self._carried = carried(settings.login)
        self._retry = retry
        self._limits = limits
        self._on_request = on_request
        self._on_wait = on_wait
        self._on_allowance = on_allowance
        self._explain = explain
        self._sleep = sleep
        self._reached = False
        self.clock = VendorClock(settings.name)

    @property
    def name(self) -> str:
        """As messages call it."""
        return self._settings.name

    async def get(
        self,
        path_or_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        check: Check | None = checked_json,
        endpoint: str | None = None,
        limits: Sequence[Limit] = (),
        **query: str | int | None,
    ) -> Answer:
        """One whole answer, 2xx or 304. A path is taken below the base URL, a URL must be of its origin; None is left out.

        `check` looks at a 2xx with the retries still to come (checked_json; None: take anything). `endpoint` is what the
        request is counted as, the path if not given; `limits` hold beside those of the client. Raises TransientError when
        patience ends (a daemon's never does for outages and rate limits), StatusError for what the server refuses,
        TooLargeError, PermanentError for another origin.
        """
        url = self._url(path_or_url, query)
        label = endpoint or path_or_url.partition("?")[0]
        return await self._patiently(_Request(url, headers or {}, label, (*self._limits, *limits)), check)

    async def post(
        self,
        path_or_url: str,
        form: Mapping[str, str] | bytes,
        *,
        headers: Mapping[str, str] | None = None,
        check: Check | None = checked_json,
        limits: Sequence[Limit] = (),
    ) -> Answer:
        """As `get`, for a form, or a body, that may be sent again. Redirects are not followed."""
        url = self._url(path_or_url, {})
        return await self._patiently(_Request(url, headers or {}, url.path, (*self._limits, *limits), form), check)

    async def _patiently(self, request: _Request, check: Check | None) -> Answer:
        async def attempt() -> Answer:
            return await self._attempt(request, check)

        try:
            return await retrying(attempt, self._retry, sleep=self._sleep, on_wait=self._on_wait)
        except RefusedRequestError as error:
            raise StatusError(str(error), status=error.status) from error

    def _url(self, path_or_url: str, query: Mapping[str, str | int | None]) -> URL:
        try:
            url = URL(path_or_url) if _ABSOLUTE.match(path_or_url) else below(self._settings.url, path_or_url)
            asked = {key: value for key, value in query.items() if value is not None}
            url = url.update_query(asked) if asked else url
        except ValueError as error:
            raise PermanentError(f"{self.name}: {path_or_url[:80]!r} is no usable address") from error
        return self._own(url)

    def _own(self, url: URL) -> URL:
        """`url`, when it is of our origin and not too long. Nothing was sent to it yet."""
        mine, theirs = origin_of(self._settings.url), origin_of(url)
        if theirs != mine:
            raise PermanentError(f"{self.name}: refused to go from {mine} to {theirs}: the login is for {mine} alone")
        if len(str(url)) > MAX_URL:
            raise PermanentError(f"{self.name}: an address of {len(str(url))} bytes, over the {MAX_URL} that servers take")
        return url.with_user(None).with_fragment(None)

    async def _attempt(self, request: _Request, check: Check | None) -> Answer:
        login = self._carried
        answer = await self._follow(request, login)
        if answer.status == 401 and (newer := await self._renewed.after(login.login)) is not None:
            if newer != self._carried.login:
                self._carried = carried(newer)
            answer = await self._follow(request, self._carried)
        refused = refusal(answer, self.name, self._settings.login_hint, self._now())
        if refused is not None:
            raise refused if self._explain is None else self._explain(answer, refused)
        if check is not None and answer.status not in (204, 304):
            check(answer, self.name)
        return answer

    def _now(self) -> datetime:
        try:
            return self.clock.now()
        except TransientError:
            return datetime.now(UTC)

    async def _follow(self, request: _Request, login: Carried) -> Answer:
        """The answer behind the redirects, which are followed by hand: aiohttp would send our own headers along."""
        sent, url = None, request.url
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._counted(request._replace(url=url), login)
            sent = answer.sent if sent is None else sent
            target = answer.headers.get(hdrs.LOCATION, "")
            if answer.status not in _REDIRECTS or not target or request.form is not None:
                return answer._replace(sent=sent)
            try:
                url = url.join(URL(target))
            except ValueError as error:
                raise UnusableError(f"{self.name}: redirected to no address from {url.path}") from error
            url = self._own(url)
        raise PermanentError(f"{self.name}: more than {MAX_REDIRECTS} redirects, last to {url.path}")

    async def _counted(self, request: _Request, login: Carried) -> Answer:
        url = request.url
        asked = time.monotonic()
        for limit in request.limits:
            await limit.turn()
        started, outcome = time.monotonic(), "error"
        tally.waited(started - asked)
        try:
            answer = await self._exchange(request, login)
            outcome = f"{answer.status // 100}xx"
        except TimeoutError as error:
            outcome = "timeout"
            raise OutageError(self._late(error, url)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise fault(error, self._settings, url) from error
        finally:
            if self._on_request is not None:
                self._on_request(request.label, outcome, time.monotonic() - started)
        if self._on_allowance is not None and (told := allowance(answer.headers, self._now())):
            self._on_allowance(told)
        return answer

    def _late(self, error: TimeoutError, url: URL) -> str:
        seconds = self._settings.timeout.total_seconds()
        if not self._reached:
            return unreachable(error, self._settings, seconds)
        return f"{self.name}: no whole answer within {seconds:g} s for {url.path}"

    async def _exchange(self, request: _Request, login: Carried) -> Answer:
        settings, sent, url, form = self._settings, time.monotonic(), request.url, request.form
        asked = self._session.request(
            hdrs.METH_GET if form is None else hdrs.METH_POST,
            url,
            headers={**login.headers, **request.headers},
            data=form,
            middlewares=(Once(), *login.middlewares) if request.limits else login.middlewares,
            allow_redirects=False,
        )
        async with asked as response:
            received, self._reached = time.monotonic(), True
            if response.status < 500:  # a gateway that answers for a dead vendor has a clock of its own
                self.clock.learn(response.headers.get(hdrs.DATE, ""), received)
            encoding = response.headers.get(hdrs.CONTENT_ENCODING, "")
            body = Body(self.name, encoding, max_size=settings.max_body, max_ratio=settings.max_ratio)
            body.expect(response.content_length or 0)
            async for chunk in response.content.iter_any():
                body.feed(chunk)
            return Answer(response.status, body.whole(), response.headers, url, sent, received)


@asynccontextmanager
async def open_http(
    settings: HttpSettings,
    *,
    retry: Retry = ONE_SHOT,
    limits: Sequence[Limit] = (),
    on_request: OnRequest | None = None,
    on_wait: Callable[[Wait], None] | None = None,
    on_allowance: OnAllowance | None = None,
    explain: Explain | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> AsyncIterator[HttpClient]:
    """A client for one vendor. ConfigError: a login over plain http to another machine, or a CA file that is none.

    `on_request(endpoint, outcome, seconds)` hears of every request ("2xx", "5xx", "timeout", "error"), `on_wait` of
    every wait before another try, `on_allowance` of what the vendor says of its rate limit; `explain` makes the error of a
    refusal where its status alone does not tell what it means.
    """
    guard_plain_http(settings)
    headers = {hdrs.USER_AGENT: settings.user_agent, hdrs.ACCEPT: "application/json", **settings.headers}
    headers[hdrs.ACCEPT_ENCODING] = "gzip, deflate"
    connector = aiohttp.TCPConnector(ssl=await asyncio.to_thread(tls_context, settings))
    timeout = aiohttp.ClientTimeout(total=settings.timeout.total_seconds(), ceil_threshold=float("inf"))
    async with aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=settings.proxy,
        auto_decompress=False,
        max_field_size=MAX_HEADER,
    ) as session:
        yield HttpClient(
            settings,
            session,
            retry=retry,
            limits=limits,
            on_request=on_request,
            on_wait=on_wait,
            on_allowance=on_allowance,
            explain=explain,
            sleep=sleep,
        )
