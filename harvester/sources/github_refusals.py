"""What GitHub means when it refuses: which limit, which scope or permission, or what is not there any more."""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from harvester.errors import HarvesterError, TransientError
from harvester.http import Answer, StatusError
from harvester.retry import OutageError
from harvester.sources.github_limits import heard_in
from harvester.sources.github_settings import SCOPES

_SECONDARY = re.compile(r"secondary rate|abuse detection", re.IGNORECASE)
_PRIMARY = re.compile(r"api rate limit", re.IGNORECASE)
_TOO_MUCH = (500, 502, 504)
_WHOLE: Mapping[str, tuple[str, ...]] = {"repo": (), "read:org": ("admin:org", "write:org")}
"""The scopes that a classic token needs, and those that hold each."""
Which = Literal["primary", "secondary"]


class LimitedError(HarvesterError):
    """A rate limit: which one, and how many seconds to wait if that was told. It is waited out here, however long that is."""

    def __init__(self, text: str, which: Which, *, seconds: float | None) -> None:
        super().__init__(text)
        self.which = which
        self.seconds = seconds


class TokenRefusedError(StatusError):
    """The token is not, or no longer, valid (401)."""


class GoneError(StatusError):
    """Not there for us: 404, 410 and 451, or a GraphQL NOT_FOUND. 404 also stands for what the token may not see: `lacks`."""

    def __init__(self, text: str, *, status: int, lacks: str = "") -> None:
        super().__init__(text, status=status)
        self.lacks = lacks


class DeniedError(StatusError):
    """There, and this token may not read it (403): a permission, a scope, or single sign-on."""


class TooHeavyError(HarvesterError):
    """GitHub did not manage the answer (500), or not in time (502, 504): less may be asked for at once."""


class _Refusal(msgspec.Struct):
    message: str | None = None


_refusal = msgspec.json.Decoder(_Refusal)


def explain(answer: Answer, usual: HarvesterError) -> HarvesterError:
    """The error that an answer means; `usual` where its status says it all."""
    status, message = answer.status, told(answer.body)
    said = f"github: {status} for {answer.url.path}: {message or 'no reason given'}"
    if status in (403, 429) and (limited := _limited(answer, usual, message, said)):
        return limited
    if status in _TOO_MUCH:
        return TooHeavyError(said)
    return usual if isinstance(usual, OutageError) else _refused(answer, said) or usual


def _refused(answer: Answer, said: str) -> HarvesterError | None:
    status, lacks = answer.status, missing(answer.headers)
    if status == 401:
        return TokenRefusedError(f"{said}: the token was refused: check HARVESTER_GITHUB_TOKEN", status=401)
    if status == 403:
        return DeniedError(f"{said}: {lacks}", status=403)
    if status in (404, 410, 451):
        why = {404: f"not there, or not for this token: {lacks}", 410: "switched off", 451: "blocked"}[status]
        return GoneError(f"{said}: {why}", status=status, lacks="" if lacks == SCOPES else lacks)
    return StatusError(said, status=422) if status == 422 else None


def told(body: bytes) -> str:
    """GitHub's message, as one may print it; "" when there is none."""
    try:
        found = _refusal.decode(body).message or ""
    except (ValueError, RecursionError):
        return ""
    return "".join(c if c.isprintable() else " " for c in found[:300])


def _limited(answer: Answer, usual: HarvesterError, message: str, said: str) -> LimitedError | None:
    """In GitHub's order: what Retry-After says, then the reset, then the words of the body; else it is no limit."""
    after = usual.retry_after if isinstance(usual, TransientError) else None
    headers = answer.headers
    secondary = bool(_SECONDARY.search(message) or headers.get("gh-limited-by"))
    if after is not None:
        return LimitedError(f"{said}: rate limited", "secondary" if secondary else "primary", seconds=max(1.0, after))
    if headers.get("X-RateLimit-Remaining", "").strip() == "0" and not secondary:
        return LimitedError(f"{said}: rate limited", "primary", seconds=until_reset(headers))
    if secondary or answer.status == 429:
        return LimitedError(f"{said}: rate limited", "secondary", seconds=None)
    if _PRIMARY.search(message):
        return LimitedError(f"{said}: rate limited", "primary", seconds=until_reset(headers))
    return None


def until_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until the reset that the headers name, by the clock of the same answer; None: they name none."""
    heard = heard_in(headers)
    return max(1.0, heard.seconds) if heard is not None and heard.reset else None


def missing(headers: Mapping[str, str]) -> str:
    """Which scope or permission is missing, as far as GitHub tells."""
    if "required" in (sso := headers.get("X-GitHub-SSO", "")):
        url = sso.partition("url=")[2].partition(";")[0].strip()
        return f"authorize the token for the organisation's single sign-on{f' at {url[:300]}' if url else ''}"
    if permissions := headers.get("X-Accepted-GitHub-Permissions", "").strip():
        return f"the token needs the permission {permissions[:200]}"
    if lacks := missing_scopes(headers):
        return f"the token lacks the scope {', '.join(lacks)}"
    return SCOPES


def missing_scopes(headers: Mapping[str, str]) -> list[str]:
    """The scopes that a classic token needs and has not; none for another token, which tells nothing of scopes."""
    scopes = headers.get("X-OAuth-Scopes")
    if scopes is None:
        return []
    has = {scope.strip() for scope in scopes.split(",")}
    return [scope for scope, wider in _WHOLE.items() if not has & {scope, *wider}]
