"""Who we are at Zoom: server-to-server OAuth, one token at a time, and the regional address that it is for."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from yarl import URL

from harvester.errors import ConfigError, HarvesterError, TransientError
from harvester.http import Answer, HttpClient, StatusError, base_url
from harvester.retry import RateLimitedError, UnusableError

_EARLY = timedelta(minutes=1)
_REMEMBERED = 4
_ZOOMS = ("zoom.us", "zoomgov.com")


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float = 3600
    api_url: str | None = None


class _Refusal(msgspec.Struct):
    error: str | None = None
    reason: str | None = None


class Token(NamedTuple):
    """A token and when it is better renewed."""

    text: str
    until: datetime

    def __repr__(self) -> str:
        return "Token(…)"


_token = msgspec.json.Decoder(_Token)
_refusal = msgspec.json.Decoder(_Refusal)


def explain_token(answer: Answer, usual: HarvesterError) -> HarvesterError:
    """What a refused token means."""
    if answer.status >= 500 or isinstance(usual, RateLimitedError):
        return usual
    try:
        told = _refusal.decode(answer.body)
    except ValueError:
        told = _Refusal()
    why = "".join(c if c.isprintable() else " " for c in (told.reason or told.error or "no reason given")[:200])
    said = (
        f"zoom: no token: {answer.status}, {why}: check HARVESTER_ZOOM_ACCOUNT_ID, HARVESTER_ZOOM_CLIENT_ID and "
        "HARVESTER_ZOOM_CLIENT_SECRET, and that the app is a Server-to-Server OAuth app which is activated"
    )
    return StatusError(said, status=401)  # Zoom's own is 400, whatever of the login is wrong


class Access:
    """The API with a token that holds. Nothing of it is ever written down."""

    def __init__(
        self,
        oauth: HttpClient,
        token_path: str,
        account_id: str,
        usual: URL,
        open_api: Callable[[str], AbstractAsyncContextManager[HttpClient]],
        stack: AsyncExitStack,
    ) -> None:
        self._oauth = oauth
        self._token_path = token_path
        self._account_id = account_id
        self._usual = usual
        self._open_api = open_api
        self._stack = stack
        self._clients: dict[str, HttpClient] = {}
        self._client: HttpClient | None = None
        self._token: Token | None = None
        self._given: deque[str] = deque(maxlen=_REMEMBERED)
        self._lock = asyncio.Lock()

    def hidden(self, text: str) -> str:
        """A text without the tokens: vendors repeat what they were sent."""
        for token in self._given:
            text = text.replace(token, "***")
        return text

    def now(self) -> datetime:
        """The vendor's clock. TransientError before the first answer."""
        try:
            return (self._client or self._oauth).clock.now()
        except TransientError:
            return self._oauth.clock.now()

    async def token(self, refused: str = "") -> str:
        """A token that is not `refused`; one renewal serves all who wait for it. PermanentError: there is none for us."""
        async with self._lock:
            if self._token is None or self._token.text == refused or self.now() >= self._token.until:
                await self._renew()
            assert self._token is not None
            return self._token.text

    async def client(self) -> HttpClient:
        """The API where the token is for."""
        if self._client is None:
            await self.token()
        assert self._client is not None
        return self._client

    async def _renew(self) -> None:
        found: list[_Token] = []

        def whole(answer: Answer, _: str) -> None:
            try:
                found.append(_token.decode(answer.body))
            except (ValueError, RecursionError):
                # Not chained: the error could hold a part of the token.
                raise UnusableError("zoom: the answer is no token") from None

        form = {"grant_type": "account_credentials", "account_id": self._account_id}
        answer = await self._oauth.post(self._token_path, form, check=whole)
        token, sent = found[-1], self._oauth.clock.at(answer.sent)
        self._client = await self._at(self._region(token.api_url))
        self._given.append(token.access_token)
        self._token = Token(token.access_token, sent + max(timedelta(seconds=token.expires_in) - _EARLY, timedelta(seconds=1)))

    async def _at(self, url: str) -> HttpClient:
        if url not in self._clients:
            self._clients[url] = await self._stack.enter_async_context(self._open_api(url))
        return self._clients[url]

    def _region(self, told: str | None) -> str:
        """Where the API is: as the token says when that is Zoom's own or the host that was set, else as it was set."""
        if not told:
            return ""
        try:
            url = base_url(told)
        except ConfigError:
            return ""
        usual, host = self._usual, url.host or ""
        theirs = url.scheme == "https" and any(host == own or host.endswith(f".{own}") for own in _ZOOMS)
        ours = any((usual.host or "").endswith(own) for own in _ZOOMS)
        if not ((theirs and ours) or (host == usual.host and url.scheme == usual.scheme)):
            return ""
        return f"{url.origin()}{usual.raw_path}"
