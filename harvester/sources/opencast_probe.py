"""What a server knows: start and end, or day, or neither. It is asked, since no release number tells."""

from typing import Literal, NamedTuple

from harvester.errors import PermanentError
from harvester.event import Event
from harvester.sources.opencast_calls import ACTIONS, EVERYTHING, FAR_PAST, Endpoint, Query
from harvester.sources.opencast_rows import Rows
from harvester.sources.opencast_settings import Mode


class Probed(NamedTuple):
    """How a server can be read, and why so."""

    mode: Mode
    reason: str
    counted: bool = True
    """Whether its totals are those of the rows that were asked for, and not of the whole table."""


async def probe(endpoint: Endpoint, wanted: Literal["auto", "window", "day", "tail"]) -> Probed:
    """Ask for a time at which nobody watched anything: rows mean that the server ignores what was asked.

    Raises PermanentError when the server does not know what the settings want, or refuses.
    """
    if wanted == "tail":
        await endpoint.rows(EVERYTHING, 1, 0)
        return Probed("tail", "as set")
    chosen = "it honours {}" if wanted == "auto" else "as set, and it honours {}"
    if wanted in ("auto", "window"):
        page = await _ask(endpoint, endpoint.of_window(FAR_PAST))
        if not (page.rows or page.refused):
            return Probed("window", chosen.format("start and end"), not page.total)
        if wanted == "window":
            raise PermanentError(_ignored("start and end", "window"))
        some = page
    else:
        some = await endpoint.rows(EVERYTHING, 1, 0)
    page = await _ask(endpoint, endpoint.of_day(FAR_PAST.start.date()))
    if not (page.rows or page.refused):
        for record in some.rows:
            if isinstance(event := endpoint.event_or_broken(record, endpoint.now()), Event):
                endpoint.check_offset(event)
        why = chosen.format("day") if wanted == "day" else "it ignores start and end and honours day, as a stock Opencast does"
        return Probed("day", why, not page.total)
    if wanted == "day":
        raise PermanentError(_ignored("day", "day"))
    return Probed("tail", "it ignores start and end, and day")


async def _ask(endpoint: Endpoint, query: Query) -> Rows:
    """One row of it; asked for again when the server counts rows and shows none, as a broken answer does."""
    query = query._replace(within=None)
    page = await endpoint.rows(query, 1, 0)
    return await endpoint.rows(query, 1, 0) if page.total and not (page.rows or page.refused) else page


def _ignored(what: str, mode: str) -> str:
    return (
        f"opencast: the server ignores {what} on {ACTIONS}, but HARVESTER_OPENCAST_MODE={mode} asks for them. Set it to auto, "
        "which reads this server as it can be read. Nothing was read."
    )
