"""Paging by page number, or after a place in the order, with links to follow."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

import msgspec

from harvester.sandbox.github_refusals import RefusedError, invalid
from harvester.sandbox.zoom_login import Seal

_DEFAULT, _MOST = 30, 100
_LAST_PAGE = 100
Item = TypeVar("Item")
Query = Mapping[str, str]


class Listing(NamedTuple, Generic[Item]):
    """Everything that a query finds, of which a page is cut."""

    path: str
    """By number: what links lead to."""
    items: Sequence[Item]
    row: Callable[[Item], Any]
    cap: int = 0
    """So many are shown of it at most; 0: all."""
    place: Callable[[Item], tuple[int, int]] | None = None
    """Where an item stands in the order; such a list has cursors, and no page beyond the hundredth."""
    descending: bool = False
    size: int = _DEFAULT
    """So many are on a page unless per_page says otherwise."""
    around: Callable[[list[Any]], Any] = list
    """What the rows stand in."""


class Page(NamedTuple):
    body: bytes
    rows: int
    link: str


def page(listing: Listing[Any], query: Query, origin: str, seal: Seal) -> Page:
    """Raises RefusedError."""
    size, number = whole(query, "per_page", listing.size), whole(query, "page", 1)
    size = min(size, _MOST) if "per_page" in query else size
    items = listing.items[: listing.cap] if listing.cap else listing.items
    first = (number - 1) * size
    if listing.place is not None:
        if "after" in query:
            first = _after(listing, items, query["after"], seal)
        elif number >= _LAST_PAGE:
            message = "Pagination with the page parameter is not supported for large datasets, please use cursor based pagination"
            raise RefusedError(422, f"{message} (after/before)")
    chosen = items[first : first + size]
    body = msgspec.json.encode(listing.around([listing.row(item) for item in chosen]))
    more = first + size < len(items)
    return Page(body, len(chosen), _links(listing, query, origin, seal, number, -(-len(items) // size), chosen if more else ()))


def since(query: Query) -> int:
    """Seconds since 1970; below all times if it is not given. Raises RefusedError."""
    text = query.get("since", "")
    if not text:
        return -1
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise invalid("since") from error
    if moment.tzinfo is None:
        raise invalid("since")
    return int(moment.timestamp())


def one_of(query: Query, name: str, known: Sequence[str]) -> str:
    """The value of a parameter; the first of those known if it is not given. Raises RefusedError."""
    given = query.get(name) or known[0]
    if given not in known:
        raise invalid(name)
    return given


def whole(query: Query, name: str, default: int) -> int:
    """A number from 1 on; what is none counts as not given."""
    text = query.get(name, "")
    return max(1, int(text)) if text.isdigit() else default


def _after(listing: Listing[Any], items: Sequence[Any], cursor: str, seal: Seal) -> int:
    """How many items do not stand behind the cursor."""
    sealed = seal.open(cursor)
    if sealed is None or sealed[0] != "after" or listing.place is None:
        raise invalid("after")
    place = int(sealed[1]), int(sealed[2])
    return sum(listing.place(item) >= place if listing.descending else listing.place(item) <= place for item in items)


def _links(listing: Listing[Any], query: Query, origin: str, seal: Seal, number: int, last: int, shown: Sequence[Any]) -> str:
    """`shown`: what the page holds, if more follows. A list with cursors tells of no last page."""
    links = []

    def link(rel: str, to: int, **more: str) -> None:
        kept = {name: value for name, value in query.items() if name not in {"page", "after"}}
        links.append(f'<{origin}{listing.path}?{urlencode({**kept, **more, "page": to})}>; rel="{rel}"')

    if number > 1 and "after" not in query:
        link("prev", number - 1)
    if shown and listing.place is not None:
        link("next", number + 1, after=seal.close("after", *listing.place(shown[-1])))
    elif shown:
        link("next", number + 1)
        link("last", last)
    if number > 1 and "after" not in query:
        link("first", 1)
    return ", ".join(links)
