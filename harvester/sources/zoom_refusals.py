"""What Zoom means when it refuses: its code and message, beside the status, as an error that names the next action."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import msgspec

from harvester.errors import HarvesterError, PermanentError, TransientError
from harvester.http import Answer, http_date
from harvester.retry import OutageError, RateLimitedError

_DAILY = re.compile(r"daily", re.IGNORECASE)
_SCOPE_CODES = (4700, 4711)
_SCOPES = re.compile(r"scopes?:?\s*\[([^\]]*)\]", re.IGNORECASE)
_PAGE_TOKEN = re.compile(r"page.?token", re.IGNORECASE)
_LONGEST_BLOCK = 900.0
"""Seconds: who is told to wait for longer is over a limit of the day."""


_ACCOUNT = re.compile(r"(/report/users/)(.{1,300}?)(?=/meetings)")
_MAIL = re.compile(r"[^\s@/:,;()<>\"']{1,64}(?:@|%40)[^\s@/:,;()<>\"']{1,255}")


def nameless(text: str) -> str:
    """A text for people to read, without the accounts and mail addresses in it: errors are logged and stored in the clear."""
    return _MAIL.sub("…", _ACCOUNT.sub(r"\1…", text))


class DailyLimitError(HarvesterError):
    """No more calls of the heavy classes until `until`."""

    def __init__(self, until: datetime, why: str) -> None:
        why = why.removeprefix("zoom: ")
        super().__init__(f"zoom: {why}; it goes on at {until:%Y-%m-%dT%H:%M:%SZ}, and what is finished is not read again")
        self.until = until


class SpentError(DailyLimitError):
    """The same, by our own count."""


class TokenRefusedError(PermanentError):
    """The token is not, or no longer, valid: a new one may be."""


class NotThereError(PermanentError):
    """No such meeting or user, or nothing known of it (404, code 3001): not ended, deleted, or its uuid encoded wrong."""


class NotAllowedError(PermanentError):
    """This account's plan, or the app's scopes, do not hold this call: another way may be open."""


class PageTokenError(TransientError):
    """The token of the next page has died: the list has to be read from its beginning."""


class _Refusal(msgspec.Struct):
    code: int | str | None = None
    message: str | None = None


_refusal = msgspec.json.Decoder(_Refusal)


def explain(answer: Answer, usual: HarvesterError) -> HarvesterError:
    """The error that an answer means; `usual` where its status says it all."""
    code, message = _told(answer.body)
    asked = _ACCOUNT.search(answer.url.raw_path)
    if asked and (user := unquote(unquote(asked[2]))):
        message = message.replace(user, "…")
    said = nameless(
        f"zoom: {answer.status} for {answer.url.raw_path[:200]}: {message or 'no reason given'}{f' (code {code})' * bool(code)}"
    )
    if isinstance(usual, RateLimitedError) or code == 429:
        return _limited(answer, usual, message, said)
    if isinstance(usual, OutageError):
        return usual
    if code in _SCOPE_CODES or "does not contain scope" in message:
        return NotAllowedError(f"{said}: add {_scopes(message)} to the app in Zoom's marketplace")
    if "Business or higher" in message:
        return NotAllowedError(f"{said}: the dashboard needs a Business plan")
    return _refused(answer, code, message, said) or usual


def _refused(answer: Answer, code: int, message: str, said: str) -> HarvesterError | None:
    """What is wrong with the request itself; None when nothing tells."""
    if answer.status == 401 or code == 124:
        return TokenRefusedError(f"{said}: the token was refused")
    if answer.status == 404:
        return NotThereError(said)
    if answer.status == 400 and _PAGE_TOKEN.search(message):
        return PageTokenError(said)
    return PermanentError(said) if message or code else None


def _scopes(message: str) -> str:
    found = _SCOPES.search(message)
    return f"the scope {', '.join(found[1].replace(',', ' ').split())}" if found else "the scope of this call"


def _told(body: bytes) -> tuple[int, str]:
    """Code and message, as one may print them; 0 and "" when there are none."""
    try:
        told = _refusal.decode(body)
    except (ValueError, RecursionError):
        return 0, ""
    message = "".join(c if c.isprintable() else " " for c in (told.message or "")[:300])
    code = str(told.code)
    return int(code) if code.isascii() and code.isdigit() and len(code) < 10 else 0, message


def _limited(answer: Answer, usual: HarvesterError, message: str, said: str) -> HarvesterError:
    """A limit of the day stops all work until it is over, one of seconds only this call. When it is over may be told or not."""
    told = usual.retry_after if isinstance(usual, TransientError) else None
    if of_a_day(answer.headers) or _DAILY.search(message) or (told or 0) > _LONGEST_BLOCK:
        now = http_date(answer.headers.get("Date", "")) or datetime.now(UTC)
        until = now + timedelta(seconds=told) if told else midnight_after(now)
        return DailyLimitError(until, f"{said}: the limit of the day is used up")
    return RateLimitedError(f"{said}: rate limited", retry_after=told)


def of_a_day(headers: Mapping[str, str]) -> bool:
    """Whether what an answer says of its limit is of the limit of a day."""
    return _DAILY.search(headers.get("X-RateLimit-Type", "")) is not None


def midnight_after(moment: datetime) -> datetime:
    """When Zoom's next day begins."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
