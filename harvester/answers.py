"""Answers: what an HTTP server said, how much of it we take, and which error it means."""

import re
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic as host_monotonic
from typing import NamedTuple

import aiohttp
from yarl import URL

from harvester.errors import HarvesterError, PermanentError, TransientError
from harvester.origin import HttpSettings, unreachable
from harvester.retry import OutageError, RateLimitedError, UnusableError

_PIECE = 64 * 1024
# A short body of blanks packs better than any honest page: the ratio is judged from here on.
_RATIO_FROM = 1024 * 1024
_ENDS = {b"{": b"}", b"[": b"]"}
_LONGEST_PERIOD = 10**8
"""Seconds, three years: a larger reset of a rate limit is a point in time."""


class StatusError(PermanentError):
    """The server refused the request itself, with `status`: 401, 403, 404, 410 at once, other 4xx after the retries."""

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status


class TooLargeError(PermanentError):
    """The body is over the limit, or packed beyond belief: ask for less."""


class RefusedRequestError(UnusableError):
    """A 4xx that may pass: tried again, then it becomes a StatusError."""

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status


class Answer(NamedTuple):
    """A whole answer. `headers` ignore case; `sent` and `received` (its head) are monotonic seconds: see VendorClock.at."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    url: URL
    sent: float
    received: float


class Body:
    """A body on its way in, counted after unpacking and unpacked piece by piece, so that a bomb stops early."""

    def __init__(self, name: str, encoding: str, *, max_size: int, max_ratio: int) -> None:
        self._name = name
        self._coding = encoding.strip().lower().removeprefix("x-")
        if self._coding not in ("", "identity", "gzip", "deflate"):
            raise UnusableError(f"{name}: the body is packed as {self._coding[:40]!r}, which was not asked for")
        self._max_size = max_size
        self._max_ratio = max_ratio
        self._pieces: list[bytes] = []
        self._size = self._received = 0
        self._unpacker: zlib._Decompress | None = None

    def expect(self, length: int) -> None:
        """Content-Length, before the first byte."""
        if length > self._max_size:
            raise TooLargeError(
                f"{self._name}: a body of {length} bytes, over the limit of {self._max_size}: ask for smaller pages"
            )

    def feed(self, chunk: bytes) -> None:
        """The next bytes from the wire."""
        if self._coding in ("", "identity"):
            self._received += len(chunk)
            self._take(chunk)
            return
        try:
            while chunk:
                chunk = self._unpack(chunk)
        except zlib.error as error:
            raise UnusableError(f"{self._name}: the body does not unpack: {error}") from error

    def whole(self) -> bytes:
        """The unpacked body. UnusableError: it was cut off."""
        if self._unpacker is not None:
            self._take(self._unpacker.flush())
            if not self._unpacker.eof:
                raise UnusableError(f"{self._name}: the packed body is cut off after {self._received} bytes")
        return b"".join(self._pieces)

    def _unpack(self, chunk: bytes) -> bytes:
        """Take one piece out of `chunk`; returns what is left of it."""
        if self._unpacker is None or self._unpacker.eof:  # a gzip body may have several members
            self._unpacker = zlib.decompressobj(self._window_bits(chunk[0]))
        piece = self._unpacker.decompress(chunk, _PIECE)
        left = self._unpacker.unconsumed_tail or self._unpacker.unused_data
        self._received += len(chunk) - len(left)
        self._take(piece)
        return left

    def _window_bits(self, first: int) -> int:
        if self._coding == "gzip":
            return 16 + zlib.MAX_WBITS
        # "deflate" means zlib's wrapping; some servers send it bare
        return zlib.MAX_WBITS if first & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS

    def _take(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._max_size:
            raise TooLargeError(f"{self._name}: the body is over {self._max_size} bytes: ask for smaller pages")
        if self._size > _RATIO_FROM and self._size > self._max_ratio * self._received:
            raise TooLargeError(f"{self._name}: the body unpacks to more than {self._max_ratio} times its size")
        self._pieces.append(piece)


def http_date(text: str) -> datetime | None:
    """A moment as HTTP dates or ISO 8601 write it; None when it is neither."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text.strip())
            return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait, from Retry-After as seconds, HTTP date or ISO time.

    A moment counts from the answer's own Date, by `now` only when there is none. None: not told, or not to be understood.
    """
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    moment = http_date(text) if text else None
    if moment is None:
        return None
    return max(0.0, (moment - (http_date(headers.get("Date", "")) or now)).total_seconds())


class Allowance(NamedTuple):
    """What a vendor says of its rate limit. None: it does not say. `reset` in seconds since 1970."""

    limit: int | None
    remaining: int | None
    reset: float | None


def allowance(headers: Mapping[str, str], now: datetime) -> Allowance | None:
    """From X-RateLimit-Limit, -Remaining and -Reset, or the same without X-; None: nothing of it can be understood.

    A reset is a moment (GitHub) or the seconds until then (RFC drafts); no period is as long as a moment's number.
    """
    told = [
        headers.get(f"X-RateLimit-{name}") or headers.get(f"RateLimit-{name}", "") for name in ("Limit", "Remaining", "Reset")
    ]
    limit, remaining, reset = (int(text) if re.fullmatch(r"[0-9]{1,12}", text.strip()) else None for text in told)
    if limit is None and remaining is None and reset is None:
        return None
    moment = None if reset is None else float(reset) if reset > _LONGEST_PERIOD else now.timestamp() + reset
    return Allowance(limit, remaining, moment)


def checked_json(answer: Answer, name: str = "") -> bytes:
    """The body, when it can be JSON: it begins and ends as an object or an array. UnusableError for HTML, empty or cut.

    A cheap look that stops what is plainly something else; the caller parses.
    """
    who = name or answer.url.host
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    body = answer.body.strip()
    if not body:
        raise UnusableError(f"{who}: {answer.status} with an empty body for {answer.url.path}")
    if kind in ("text/html", "application/xhtml+xml") or body[:1] not in _ENDS:
        raise UnusableError(f"{who}: {answer.status} with {kind or 'something'} instead of JSON for {answer.url.path}")
    if body[-1:] != _ENDS[body[:1]]:
        raise UnusableError(f"{who}: JSON cut off after {len(body)} bytes for {answer.url.path}")
    return answer.body


def refusal(answer: Answer, name: str, login_hint: str, now: datetime) -> HarvesterError | None:
    """The error that a status means; None for 2xx and 304."""
    status, headers, where = answer.status, answer.headers, f"{name}: {answer.status} for {answer.url.path}"
    told = retry_after(headers, now)
    if 200 <= status < 300 or status == 304:
        return None
    if status == 429 or (status == 403 and (told is not None or headers.get("X-RateLimit-Remaining", "").strip() == "0")):
        return RateLimitedError(f"{where}: rate limited", retry_after=told)
    if status in (408, 425) or status >= 500:
        return OutageError(where, retry_after=told)
    if status == 401:
        return StatusError(f"{where}: the login was refused: {login_hint}", status=status)
    if status in (403, 404, 410):
        why = {403: "no permission", 404: "not there: wrong address, or the module is off", 410: "gone for good"}[status]
        return StatusError(f"{where}: {why}", status=status)
    return RefusedRequestError(where, status=status)


class VendorClock:
    """The vendor's clock, learnt from Date headers and carried on by monotonic time: never ahead of it (F05).

    Date is cut to the second and older than its arrival, so that date + (now − arrival) is at most the vendor's now.
    """

    def __init__(
        self,
        name: str,
        *,
        monotonic: Callable[[], float] = host_monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._name = name
        self._monotonic = monotonic
        self._wall = wall
        self._known: tuple[datetime, float] | None = None
        self.skew: timedelta | None = None
        """Vendor − host at the last answer, good to a second; None before the first."""

    def learn(self, date: str, received: float) -> None:
        """A Date header and the monotonic moment at which it came; what is no date is passed over."""
        moment = http_date(date)
        if moment is None:
            return
        self._known = (moment, received)
        host = self._wall() - timedelta(seconds=self._monotonic() - received)
        self.skew = moment + timedelta(seconds=0.5) - host

    def at(self, moment: float) -> datetime:
        """The vendor's time at a monotonic moment, such as `Answer.sent`. TransientError before the first answer."""
        if self._known is None:
            raise TransientError(f"{self._name}: its clock is not known, no answer with a Date came yet")
        date, received = self._known
        return date + timedelta(seconds=moment - received)

    def now(self) -> datetime:
        """The vendor's now. TransientError before the first answer."""
        return self.at(self._monotonic())


def fault(error: aiohttp.ClientError | OSError, settings: HttpSettings, url: URL) -> HarvesterError:
    """What a failed exchange means. An error's own text is kept only where it cannot hold a part of the answer."""
    name = settings.name
    match error:
        case aiohttp.ClientConnectorCertificateError(certificate_error=why):
            return PermanentError(
                f"{name}: the certificate of {url.host} is not trusted ({why}): name the CA file it is signed with"
            )
        case aiohttp.ClientHttpProxyError(status=status):
            return OutageError(f"{name}: the proxy refused the way with {status}")
        case aiohttp.ClientConnectorError():
            return OutageError(_no_way(error, settings))
        case aiohttp.ClientResponseError(message=message):
            words = message.partition(":")[0].partition("\n")[0]
            return UnusableError(f"{name}: the answer is not HTTP as we take it ({words}) for {url.path}")
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError():
            return OutageError(f"{name}: the answer broke off for {url.path}")
        case _:
            return OutageError(f"{name}: {type(error).__name__} {error} for {url.path}")


def _no_way(error: aiohttp.ClientConnectorError, settings: HttpSettings) -> str:
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"{settings.name}: cannot reach the proxy {error.host}:{error.port}; check its address"
    return unreachable(error.os_error, settings, settings.timeout.total_seconds())
