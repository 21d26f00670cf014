"""Webhooks: what vendors push to the listener. A line here makes one known.

A notice only wakes a stream early: nothing of it becomes a record, and one that is lost costs time alone (docs/decisions/0037).
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from importlib import import_module
from typing import Any, Literal, NamedTuple, Protocol

from harvester import metrics
from harvester.endpoints import Reply
from harvester.measures import NOTICES
from harvester.pushed import PUSHED, Posts, Unread
from harvester.wake import Wake, Wakes

WEBHOOKS: dict[str, str] = {"zoom": "harvester.webhooks.zoom:zoom_webhook"}
"""Source → what makes its webhook of the source's settings and the vendor's clock; None where none is set up."""

Outcome = Literal["accepted", "unwanted", "validated", "forged", "stale", "replayed", "unreadable"]


class Verdict(NamedTuple):
    """What a request is worth, and its answer. `accepted` wakes the stream."""

    outcome: Outcome
    reply: Reply


class Webhook(Protocol):
    """What one vendor pushes to /webhooks/ and the name of its source."""

    stream: str
    """The stream that it tells of."""
    pause: timedelta
    """From a notice to the poll that it calls for."""

    def judge(self, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Find out who one request is from, and what it means. Called on the listener's thread: it waits for nothing."""
        ...


class Webhooks(NamedTuple):
    """Those of one process: for the listener, and for the streams."""

    posts: Posts
    wakes: Wakes


def webhooks(sources: Mapping[str, Any], clock: Callable[[str], datetime]) -> Webhooks:
    """The webhooks of those sources (name → settings) where one is set up. `clock` tells the time at the vendor of a source."""
    posts, wakes = dict[str, _Post](), dict[str, Wake]()
    for name, settings in sources.items():
        if name in WEBHOOKS and (webhook := _maker(name)(settings, partial(clock, name))) is not None:
            wake = wakes[f"{name}/{webhook.stream}"] = Wake(webhook.pause)
            posts[f"{PUSHED}{name}"] = _Post(name, webhook, wake)
    return Webhooks(posts, wakes)


def _maker(name: str) -> Callable[[Any, Callable[[], datetime]], Webhook | None]:
    module, _, function = WEBHOOKS[name].partition(":")
    return getattr(import_module(module), function)  # type: ignore[no-any-return]


class _Post:
    """A webhook as the listener meets it."""

    def __init__(self, source: str, webhook: Webhook, wake: Wake) -> None:
        self._source = source
        self._webhook = webhook
        self._wake = wake
        for outcome in NOTICES:
            metrics.notice(source, outcome, 0)

    def take(self, headers: Mapping[str, str], body: bytes) -> Reply:
        verdict = self._webhook.judge(headers, body)
        metrics.notice(self._source, verdict.outcome)
        if verdict.outcome == "accepted":
            self._wake.notice()
        return verdict.reply

    def unread(self, why: Unread) -> None:
        metrics.notice(self._source, why)
