"""Records: what events look like to a reader. One module a source, one line here a type of event."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module

from consumers.records.record import Record
from harvester.event import Event

Given = Record | Sequence[Record]

_FUNCTIONS = {
    "github.commit": "consumers.records.github_commits:commit",
    "github.issue_comment": "consumers.records.github_reviews:issue_comment",
    "github.metric": "consumers.records.velocity:metric",
    "github.pr_metric": "consumers.records.velocity:pr_metric",
    "github.pull_request": "consumers.records.github:pull_request",
    "github.pull_request_commit": "consumers.records.github_commits:pull_request_commit",
    "github.repository": "consumers.records.github:repository",
    "github.review": "consumers.records.github_reviews:review",
    "github.review_comment": "consumers.records.github_reviews:review_comment",
    "harvester.consumer": "consumers.records.harvester:consumer",
    "harvester.window": "consumers.records.harvester:window",
    "opencast.episode": "consumers.records.opencast_episode:recording",
    "opencast.useraction": "consumers.records.opencast:useraction",
    "zoom.meeting": "consumers.records.zoom:meeting",
    "zoom.session": "consumers.records.zoom:session",
}


def gives_records(event: Event) -> bool:
    """Whether events of this type become records; all others are filtered."""
    return event.type in _FUNCTIONS


def gives_vendor_records(event: Event) -> bool:
    """The same, for who does not want what the harvester tells of itself."""
    return event.type in _FUNCTIONS and is_vendors(event)


def is_vendors(event: Event) -> bool:
    """Whether it came from a source, whatever is made of it; the harvester's own did not."""
    return not event.type.startswith("harvester.")


def records_of(event: Event) -> Sequence[Record]:
    """The records of an event, several or none. Raises InvalidEventError when it is broken."""
    function = _function(event.type)
    if function is None:
        return ()
    given = function(event)
    return (given,) if isinstance(given, Record) else given


@cache
def _function(type_: str) -> Callable[[Event], Given] | None:
    place = _FUNCTIONS.get(type_)
    if place is None:
        return None
    module, _, name = place.partition(":")
    function: Callable[[Event], Given] = getattr(import_module(module), name)
    return function
