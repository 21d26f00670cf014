"""Paging by tokens that live for fifteen minutes, and the days that a query may ask for."""

from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from harvester.sandbox.clock import milliseconds
from harvester.sandbox.zoom_account import Moment
from harvester.sandbox.zoom_login import Seal
from harvester.sandbox.zoom_refusals import RefusedError, dead_page, invalid_field
from harvester.sandbox.zoom_settings import PAGE_TOKEN_LIFE

_LIFE = PAGE_TOKEN_LIFE // timedelta(milliseconds=1)
_DEFAULT = 30
_MONTHS = 6
_EPOCH = date(1970, 1, 1)
Item = TypeVar("Item")


class Listing(NamedTuple, Generic[Item]):
    """Everything that a query finds, of which a page is cut."""

    name: str
    items: Sequence[Item]
    encode: Callable[[Item], bytes]
    head: Mapping[str, Any] = {}
    more: int = 0
    """By so much total_records is above what there is."""


class Place(NamedTuple):
    """Where a page begins, in what was there at an instant."""

    at: int
    offset: int
    size: int
    query: str


def place(request: web.Request, seal: Seal, now: int, *, cap: int) -> Place:
    """Raises RefusedError: page_size is no number; the token is not ours, too old, or of another query."""
    given = request.query
    try:
        size = min(int(given.get("page_size") or _DEFAULT), cap)
    except ValueError as error:
        raise invalid_field("page_size") from error
    query = _digest(request)
    token = given.get("next_page_token", "")
    if not token:
        number = given.get("page_number", "1")
        return Place(now, (max(1, int(number)) - 1) * size if number.isdigit() else 0, max(1, size), query)
    sealed = seal.open(token)
    if sealed is None or sealed[0] != "page" or sealed[4] != query or not 0 <= now - int(sealed[1]) <= _LIFE:
        raise dead_page()
    return Place(int(sealed[2]), int(sealed[3]), max(1, size), query)


def page(listing: Listing[Any], where: Place, seal: Seal, now: int) -> tuple[bytes, int]:
    """One page as JSON, and its number of rows. What comes later stays in the state of the first page."""
    total = len(listing.items) + listing.more
    rows = listing.items[where.offset : where.offset + where.size]
    following = where.offset + len(rows)
    token = seal.close("page", now, where.at, following, where.query) if rows and following < len(listing.items) else ""
    head = {**listing.head, "page_count": -(-total // where.size), "page_size": where.size}
    head |= {"total_records": total, "next_page_token": token}
    body = b",".join(listing.encode(row) for row in rows)
    return b'%b,"%b":[%b]}' % (msgspec.json.encode(head)[:-1], listing.name.encode(), body), len(rows)


def days(request: web.Request, moment: Moment) -> tuple[int, int, dict[str, str]]:
    """First and last day that are asked for (since 1970), and how the answer repeats them. A time of day is not looked at.

    Raises RefusedError: missing, unreadable, the wrong way round, more than a month, or more than six months ago.
    """
    first, last = (_day(request, name) for name in ("from", "to"))
    if first > last:
        raise invalid_field("from")
    if last > _months_on(first, 1):
        raise RefusedError(400, 300, "The from and to dates may be one month apart at most.")
    if first < _months_on((datetime.fromtimestamp(moment.now / 1000, UTC)).date(), -_MONTHS):
        raise RefusedError(400, 300, "Reports can only be queried for a month that falls within the last six months.")
    return (first - _EPOCH).days, (last - _EPOCH).days, {"from": first.isoformat(), "to": last.isoformat()}


def _day(request: web.Request, name: str) -> date:
    text = request.query.get(name, "")
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise invalid_field(name) from error
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date()


def _months_on(day: date, months: int) -> date:
    """The same day of another month, or its last one."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _digest(request: web.Request) -> str:
    """What a token is bound to: path and query, without the token."""
    given = sorted(item for item in request.query.items() if item[0] != "next_page_token")
    return blake2b(repr((request.path, given)).encode(), digest_size=8).hexdigest()


def now_of(moment: datetime) -> int:
    """Whole seconds, between which nothing changes, in ms."""
    return milliseconds(moment) // 1000 * 1000
