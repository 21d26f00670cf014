"""The one way to Google's services: who we are there, requests that are sent once, and what their answers mean.

https://cloud.google.com/docs/authentication/application-default-credentials, https://cloud.google.com/storage/docs/json_api/v1/status-codes
"""

import asyncio
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.request import getproxies, proxy_bypass

import aiohttp
import google.auth
import msgspec
import urllib3
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.auth.transport.urllib3 import Request
from yarl import URL

from harvester.access import Access
from harvester.answers import retry_after
from harvester.errors import ConfigError, HarvesterError, PermanentError
from harvester.origin import is_loopback
from harvester.retry import OutageError, RateLimitedError

_TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=10, sock_read=60)
_AT_ONCE = 32
"""Connections, and so requests, at the same time."""
_TOKEN_TIMEOUT = urllib3.Timeout(connect=10, read=60)
_PLATFORM = ("metadata.google.internal", "metadata.goog", "169.254.169.254")
"""Who tells a process on Google's machines who it is: of this very machine, behind no proxy."""


class Answered(NamedTuple):
    """What was answered, whatever its status is."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class _Fault(msgspec.Struct, frozen=True):
    message: str = ""


class _Envelope(msgspec.Struct, frozen=True):
    error: _Fault = _Fault()


class Google:
    """Made by `open_google`."""

    def __init__(self, session: aiohttp.ClientSession, credentials: Any, where: str) -> None:
        self._session = session
        self._credentials = credentials
        self._where = where
        self._renewing = asyncio.Lock()

    async def request(self, method: str, url: URL, *, body: bytes | None = None, kind: str = "") -> Answered:
        """Sent once: whoever asks knows when to ask again. `kind`: the type of the body.

        OutageError: no answer. ConfigError and PermanentError: we have no login there, or none that holds.
        """
        headers = {"Content-Type": kind} if kind else {}
        if self._credentials is not None:
            headers["Authorization"] = f"Bearer {await self._token()}"
        try:
            asking = self._session.request(method, url, data=body, headers=headers, allow_redirects=False)
            async with asking as answer:
                return Answered(answer.status, await answer.read(), answer.headers)
        except (aiohttp.ClientError, OSError) as error:
            raise OutageError(f"{self._where}: no answer: {type(error).__name__}: {error}") from error

    async def _token(self) -> str:
        async with self._renewing:
            if not self._credentials.valid:
                await asyncio.to_thread(self._renew)
        return str(self._credentials.token)

    def _renew(self) -> None:
        try:
            self._credentials.refresh(_Way())
        except GoogleAuthError as error:
            if getattr(error, "retryable", False) or isinstance(error, TransportError):
                raise OutageError(f"{self._where}: no token: {error}") from error
            raise PermanentError(f"{self._where}: no token: {error}: check HARVESTER_GOOGLE_CREDENTIALS") from error


class _Way(Request):
    """How tokens are asked for: as everything else, through the proxy that the environment names."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[no-untyped-call] # it brings no types

    def __call__(self, url: str, *args: Any, **more: Any) -> Any:
        """A request for a token, at the address that the credentials name."""
        with _pool(URL(url)) as self.http:
            return super().__call__(url, *args, **more)  # type: ignore[no-untyped-call]


def _pool(url: URL) -> urllib3.PoolManager:
    host, proxy = url.host or "", getproxies().get(url.scheme)
    if not proxy or host in _PLATFORM or is_loopback(host) or proxy_bypass(host):
        return urllib3.PoolManager(timeout=_TOKEN_TIMEOUT)
    through = URL(proxy if "://" in proxy else f"http://{proxy}")
    login = f"{through.user}:{through.password or ''}" if through.user else None
    headers = urllib3.make_headers(proxy_basic_auth=login)
    return urllib3.ProxyManager(str(through.with_user(None)), proxy_headers=headers, timeout=_TOKEN_TIMEOUT)


@asynccontextmanager
async def open_google(access: Access, where: str, *, scope: str, endpoint: URL | None = None) -> AsyncIterator[Google]:
    """Requests as the account of HARVESTER_GOOGLE_CREDENTIALS, else as the one that the platform gives this process.

    `where` is how messages call the service. An `endpoint` of one's own, such as a server of tests, gets a login only when one
    is set. ConfigError: there is no login, or it would go unencrypted to another host.
    """
    credentials = None
    if endpoint is None or access.google_credentials:
        _guard(endpoint, access, where)
        credentials = await asyncio.to_thread(_credentials, access, where, scope)
    own = endpoint is not None and is_loopback(endpoint.host or "")
    connector = aiohttp.TCPConnector(limit=_AT_ONCE)
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, trust_env=not own) as session:
        yield Google(session, credentials, where)


def _guard(endpoint: URL | None, access: Access, where: str) -> None:
    if endpoint is None or endpoint.scheme == "https" or is_loopback(endpoint.host or "") or access.allow_plain:
        return
    raise ConfigError(
        f"{where}: {endpoint.origin()} would get our token without TLS: use https://, or set HARVESTER_ALLOW_PLAIN=true for a "
        f"network you trust"
    )


def _credentials(access: Access, where: str, scope: str) -> Any:
    path = access.google_credentials
    try:
        with warnings.catch_warnings():
            # It warns of files that strangers send: this one was named by whoever runs us.
            warnings.simplefilter("ignore", DeprecationWarning)
            if path is None:
                return google.auth.default(scopes=[scope])[0]
            return google.auth.load_credentials_from_file(str(path), scopes=[scope])[0]  # type: ignore[no-untyped-call]
    except (DefaultCredentialsError, OSError, ValueError) as error:
        what = f"{path} is no file of credentials ({error})" if path else f"no credentials ({error})"
        raise ConfigError(
            f"{where}: {what}: set HARVESTER_GOOGLE_CREDENTIALS to the key file of a service account, or give this process one"
        ) from error


def refusal(answer: Answered, where: str, permission: str) -> HarvesterError:
    """What an answer that is none we wanted means. `permission`: what it takes to be allowed that."""
    text = f"{where}: {answer.status} {message(answer)}".rstrip()
    if answer.status in (401, 403):
        return PermanentError(f"{text}: check HARVESTER_GOOGLE_CREDENTIALS; the account needs the permission {permission}")
    told = retry_after(answer.headers, datetime.now(UTC))
    if answer.status == 429:
        return RateLimitedError(text, retry_after=told)
    if answer.status in (408, 425) or answer.status >= 500:
        return OutageError(text, retry_after=told)
    return PermanentError(text)


def message(answer: Answered) -> str:
    """What the service says of it, in one line."""
    try:
        found = msgspec.json.decode(answer.body, type=_Envelope).error.message
    except msgspec.MsgspecError:
        found = answer.body[:200].decode(errors="replace")
    return " ".join(found.split())
