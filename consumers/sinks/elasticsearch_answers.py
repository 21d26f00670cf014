"""What Elasticsearch answers, as errors that name the next action: whole requests, and each item of a bulk."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from harvester.answers import StatusError, retry_after
from harvester.errors import HarvesterError, InvalidEventError, PermanentError, TransientError
from harvester.retry import OutageError, RateLimitedError

LOGIN_HINT = "check HARVESTER_ELASTICSEARCH_API_KEY (or _USER and _PASSWORD), and what this login may do"
LOAD = "Next: harvest setup load_index_templates"
FILTER = "errors,items.*.status,items.*.error,items.*.failure_store"
"""What a bulk answers of each item; without the status the places of those that failed would be lost."""
_LONGEST = 600
_BLOCK = re.compile(r"\[?[A-Z_]+/(\d+)/")
_INDEX = re.compile(r"index \[([^\]]+)\]")
_LIFTED_BY = {"5": "index.blocks.read_only", "8": "index.blocks.write", "12": "index.blocks.read_only_allow_delete"}
_FLOOD_STAGE = "12"
"""A full disk. Elasticsearch sets this block and lifts it by itself."""


class _Error(msgspec.Struct, frozen=True):
    type: str = ""
    reason: str | None = None
    index: str = ""
    caused_by: "_Error | None" = None
    root_cause: "list[_Error]" = []

    def __str__(self) -> str:
        text = f"{self.type}: {self.reason}" if self.reason else self.type
        # a search says of itself that shards failed, and there alone why
        cause = self.caused_by or next((one for one in self.root_cause if one.reason != self.reason), None)
        return f"{text} ({cause})"[:_LONGEST] if cause is not None and cause.reason else text[:_LONGEST]


class _Outcome(msgspec.Struct, frozen=True):
    status: int
    error: _Error = _Error()
    failure_store: str = ""


class _Item(msgspec.Struct, frozen=True):
    index: _Outcome


class _Summary(msgspec.Struct, frozen=True):
    errors: bool


class _Answer(msgspec.Struct, frozen=True):
    items: list[_Item]


class _Failure(msgspec.Struct, frozen=True):
    error: _Error | str = ""


_summary = msgspec.json.Decoder(_Summary)
_answer = msgspec.json.Decoder(_Answer)
_failure = msgspec.json.Decoder(_Failure)


def refusal(status: int, headers: Mapping[str, str], body: bytes, where: str) -> HarvesterError:
    """The error that a whole answer means which is no 2xx."""
    text = f"elasticsearch: {status} for {where}{_why(body)}"
    told = retry_after(headers, datetime.now(UTC))
    if status == 429:
        return RateLimitedError(text, retry_after=told)
    if status in (408, 425) or status >= 500:
        return OutageError(text, retry_after=told)
    if status == 401:
        return StatusError(f"{text}: the login was refused: {LOGIN_HINT}", status=status)
    if status == 403:
        return StatusError(f"{text}: no permission: {LOGIN_HINT}", status=status)
    return StatusError(text, status=status)


def refused_items(body: bytes, amount: int) -> Iterator[tuple[int, HarvesterError]]:
    """The items of a bulk that were not written, by their place. Items are only read when there is one.

    TransientError: the answer is none to that many items, so nothing is known of them.
    """
    try:
        # Each item has one status, and no text of an error can hold these bytes: its quotes are escaped.
        if body.count(b'"status":') == amount and not _summary.decode(body).errors and b'"failure_store":"used"' not in body:
            return
        items = _answer.decode(body).items
    except (ValueError, RecursionError) as error:
        raise TransientError(f"elasticsearch: the answer to a bulk is not one: {error}") from error
    if len(items) != amount:
        raise TransientError(f"elasticsearch: an answer to {len(items)} of {amount} documents")
    for place, item in enumerate(items):
        refused = judged(item.index.status, item.index.error, item.index.failure_store)
        if refused is not None:
            yield place, refused


def judged(status: int, error: _Error, failure_store: str = "") -> HarvesterError | None:
    """What became of one document: None when it, or a newer state of it, is durable."""
    text = f"elasticsearch: {status} {error}"
    if failure_store == "used":
        return InvalidEventError(f"{text}: it went to the failure store, not into the index", reason="mapping")
    if status < 300 or status == 409:  # a newer state is there already
        return None
    block = _block(error)
    if status == 429 or status >= 500 or block == _FLOOD_STAGE:
        return TransientError(text)
    if next_ := _way_on(status, error, block):
        return PermanentError(f"{text.rstrip(';. ')}. {next_}")
    return InvalidEventError(text, reason="too_large" if status == 413 else "mapping")


def _block(error: _Error) -> str:
    """The number of the block on the index, "" when there is none."""
    found = _BLOCK.search(error.reason or "") if error.type == "cluster_block_exception" else None
    return found[1] if found else ""


def _way_on(status: int, error: _Error, block: str) -> str:
    """What a person has to do before any document gets in; "" when this one alone is at fault."""
    named = _INDEX.search(error.reason or "")
    index = error.index or (named[1] if named else "INDEX")
    if block:
        return f'Next: PUT /{index}/_settings {{"{_LIFTED_BY.get(block, "index.blocks…")}": null}}'
    if status in (401, 403):
        return f"Next: {LOGIN_HINT}"
    if error.type == "index_closed_exception":
        return f"Next: POST /{index}/_open"
    if error.type == "validation_exception" and "shards open" in (error.reason or ""):  # no index for a day that has none yet
        return "Next: delete indexes that nobody needs, add a node, or raise cluster.max_shards_per_node (PUT /_cluster/settings)"
    if status == 404:
        return f"Next: let the server make indexes by itself (action.auto_create_index), or make this one. {LOAD}"
    return ""


def _why(body: bytes) -> str:
    """What Elasticsearch says of it; nothing when somebody else answered, whose words may be anything."""
    try:
        error = _failure.decode(body).error
    except (ValueError, RecursionError):
        return ""
    return f": {error}"[:_LONGEST] if str(error) else ""
