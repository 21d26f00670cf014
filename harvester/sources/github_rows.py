"""GitHub's records without its server: a record made an event, a pull request taken apart, a list cut into rows."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

from harvester.coverage import EPOCH
from harvester.errors import InvalidEventError, TransientError
from harvester.event import Event, event_id
from harvester.raw import MAX_DEPTH, Refused, checked, depth, one_line, split
from harvester.sources.github_repository import From

MOST_NUMBERS = 2**31
"""No pull request has such a number."""
_T = TypeVar("_T")
_NONE = msgspec.Raw(b"")
_MOST_MS = 2**52


class Rows(NamedTuple):
    """A list: its records, and those that are none."""

    rows: Sequence[bytes]
    refused: Sequence[Refused]


class _Repo(msgspec.Struct):
    id: int


class _Detail(msgspec.Struct):
    id: int
    created_at: str | None = None


class _Pull(msgspec.Struct):
    """In the words of either."""

    number: int
    created: str | None = msgspec.field(default=None, name="createdAt")
    updated: str | None = msgspec.field(default=None, name="updatedAt")
    created_at: str | None = None
    updated_at: str | None = None


class _Signature(msgspec.Struct):
    date: str | None = None


class _Git(msgspec.Struct):
    committer: _Signature | None = None
    author: _Signature | None = None


class _Commit(msgspec.Struct):
    oid: str = ""
    sha: str = ""
    committed: str | None = msgspec.field(default=None, name="committedDate")
    commit: _Git | None = None

    @property
    def name(self) -> str:
        return self.oid or self.sha

    @property
    def date(self) -> datetime | None:
        git = self.commit
        signed = (git.committer or git.author) if git else None
        return moment(self.committed or (signed.date if signed else None))


class _Review(msgspec.Struct):
    whole: int | str | None = msgspec.field(default=None, name="fullDatabaseId")
    """Text, for it has more than 32 bits."""
    database: int | None = msgspec.field(default=None, name="databaseId")
    id: int | str | None = None
    updated: str | None = msgspec.field(default=None, name="updatedAt")
    submitted: str | None = msgspec.field(default=None, name="submittedAt")
    submitted_at: str | None = None

    @property
    def number(self) -> int | None:
        if isinstance(self.whole, str) and re.fullmatch(r"[0-9]{1,19}", self.whole):
            return int(self.whole)
        return next((one for one in (self.whole, self.database, self.id) if isinstance(one, int)), None)


class _Comment(msgspec.Struct):
    id: int
    created_at: str
    updated_at: str
    pull_request_url: str | None = None
    """Of review comments alone."""


class _Data(msgspec.Struct, rename={"listed": "from"}):
    repository: _Repo
    listed: From
    repository_detail: msgspec.Raw = _NONE
    pull_request: msgspec.Raw = _NONE
    commit: msgspec.Raw = _NONE
    review: msgspec.Raw = _NONE
    comment: msgspec.Raw = _NONE
    number: int | None = None
    sha: str | None = None
    position: int | None = None
    committed_at: str | None = None
    updated_at: str | None = None


_detail = msgspec.json.Decoder(_Detail)
_pull = msgspec.json.Decoder(_Pull)
commit_row = msgspec.json.Decoder(_Commit)
_review = msgspec.json.Decoder(_Review)
_comment = msgspec.json.Decoder(_Comment)
_data = msgspec.json.Decoder(_Data)
_list = msgspec.json.Decoder(list[msgspec.Raw])


class _State(NamedTuple):
    """What an event says besides its data."""

    type: str
    subject: str
    version: int
    time: datetime


def rows_of(body: bytes) -> Rows:
    """The records of a list, strictly; of one that is not strict JSON only the bad ones are refused. TransientError: no list."""
    body = body.strip()
    if body[:1] != b"[":
        raise TransientError("github: the answer is no list")
    try:
        body.decode()
        records = [bytes(row) for row in _list.decode(body)]
    except (ValueError, RecursionError):
        parts = split(body)
        if parts.envelope != b"[]":
            raise TransientError("github: the answer is no list") from None
        return Rows(parts.records, parts.refused)
    if all(depth(row) <= MAX_DEPTH for row in records):
        return Rows([one_line(row) for row in records], ())
    parts = split(body)
    return Rows(parts.records, parts.refused)


def checked_row(body: bytes) -> bytes:
    """One record alone, as an answer holds it, as it may travel. Raises InvalidEventError."""
    return checked(body.strip())


def event_of(data: bytes, source: str, read_at: datetime) -> Event:
    """The event of what streams put together. Raises InvalidEventError."""
    found = _decoded(_data, data, "record of GitHub")
    state = _state(found, milliseconds(read_at))
    if not 0 <= state.version < _MOST_MS:
        raise InvalidEventError(f"a {state.type} of no time that can be: {state.version}")
    return Event(
        id=event_id(source, state.type, state.subject, data),
        source=source,
        type=state.type,
        subject=state.subject,
        version=state.version,
        time=state.time,
        read_at=read_at,
        data=msgspec.Raw(data),
    )


def checked_event(record: bytes, source: str, read_at: datetime) -> Event:
    """One record alone as an event. Raises InvalidEventError."""
    return event_of(checked(record), source, read_at)


def _state(found: _Data, read: int) -> _State:
    repo = found.repository.id
    if bytes(found.repository_detail):
        return _repository_state(_decoded(_detail, found.repository_detail, "repository"), repo, read)
    if bytes(found.pull_request):
        return _pull_state(found, repo)
    if found.number is None or not 0 <= found.number < MOST_NUMBERS:
        raise InvalidEventError("of no pull request")
    if bytes(found.commit):
        commit = _decoded(commit_row, found.commit, "commit")
        return _State("github.commit", f"{repo}/{_sha(commit.name)}", MOST_NUMBERS - found.number, _time(commit.date, "commit"))
    if bytes(found.review):
        return _review_state(found, repo, read)
    if bytes(found.comment):
        comment = _decoded(_comment, found.comment, "comment")
        kind = "github.review_comment" if comment.pull_request_url else "github.issue_comment"
        version = milliseconds(_time(moment(comment.updated_at), "comment"))
        return _State(kind, f"{repo}/{comment.id}", version, _time(moment(comment.created_at), "comment"))
    if found.sha and found.position is not None:
        subject = f"{repo}/{found.number}/{_sha(found.sha)}"
        version = milliseconds(_time(moment(found.updated_at), "pull request"))
        return _State("github.pull_request_commit", subject, version, _time(moment(found.committed_at), "commit"))
    raise InvalidEventError("nothing that GitHub's streams tell of")


def _repository_state(detail: _Detail, repo: int, read: int) -> _State:
    # That it is gone has no time but that of reading, so nothing else of it may have: what comes back comes back as it was.
    return _State("github.repository", str(repo), read, moment(detail.created_at) or EPOCH)


def _pull_state(found: _Data, repo: int) -> _State:
    pull = _decoded(_pull, found.pull_request, "pull request")
    if not 0 <= pull.number < MOST_NUMBERS:
        raise InvalidEventError(f"a pull request with the number {pull.number}")
    version = milliseconds(_time(moment(pull.updated or pull.updated_at), "pull request"))
    created = _time(moment(pull.created or pull.created_at), "pull request")
    return _State("github.pull_request", f"{repo}/{pull.number}", version, created)


def _review_state(found: _Data, repo: int, read: int) -> _State:
    review = _decoded(_review, found.review, "review")
    if review.number is None:
        raise InvalidEventError("a review without an id")
    updated = moment(review.updated)
    submitted = moment(review.submitted or review.submitted_at)
    version = milliseconds(updated) if updated else read
    return _State("github.review", f"{repo}/{review.number}", version, _time(submitted, "review"))


def _sha(text: str) -> str:
    if not text or not text.isalnum() or len(text) > 64:
        raise InvalidEventError("a commit without a sha")
    return text


def _time(found: datetime | None, what: str) -> datetime:
    if found is None:
        raise InvalidEventError(f"a {what} without its time")
    return found


def milliseconds(at: datetime) -> int:
    """Since 1970."""
    return int((at - EPOCH).total_seconds() * 1000)


def moment(text: Any) -> datetime | None:
    """A time as GitHub writes it; None for what is none."""
    if not isinstance(text, str) or not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _decoded(decoder: "msgspec.json.Decoder[_T]", body: bytes | msgspec.Raw, what: str) -> _T:
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no {what}: {error}") from error
