"""What Zoom was asked, call by call, beside the least that it could have been asked."""

import re
from collections import Counter
from datetime import date
from typing import NamedTuple
from urllib.parse import unquote

from aiohttp import web
from aiohttp.typedefs import Handler

from harvester.sandbox.zoom import ZoomSandbox
from harvester.sandbox.zoom_world import Meeting

LISTS, STAYS = "/v2/metrics/meetings", "/participants"
_EPOCH = date(1970, 1, 1)
State = tuple[object, ...]
_TOKEN = re.compile(rb'"next_page_token":"([^"]*)"')


class Calls(NamedTuple):
    """How many calls of the heavy classes there were, and what each of them was for."""

    total: int
    lists: int
    """Pages of the list of a day that was due to be read."""
    stays: int
    """Pages of participants of a meeting that was new, or had changed since it was asked for."""
    spoiled: int
    """Spoiled by a fault of the vendor or the way there."""
    refused: int
    """Refused: over a limit, or with a token that had expired."""
    lists_again: int
    """Pages of a list that had been read before in the same poll, or broke off before its end."""
    stays_again: int
    """Pages of participants that had been read before, of a meeting that had not changed since."""

    @property
    def least(self) -> int:
        return self.lists + self.stays

    @property
    def ratio(self) -> float:
        return self.total / self.least


class Ledger:
    """Stands in front of a simulated Zoom, and writes down every call with the state of what it asked for."""

    def __init__(self, sandbox: ZoomSandbox) -> None:
        self._sandbox = sandbox
        self._counts: Counter[str] = Counter()
        self._listed: dict[str, State] = {}
        """uuid → as it was told last."""
        self._state: dict[str, State | None] = {}
        """uuid → as it had been told when its participants were asked for."""
        self._pages: dict[str, int] = {}
        """uuid → pages of participants that were read of it in that state."""
        self._turned: dict[str, int] = {}
        """uuid → the page of it that was read last."""
        self._whole: dict[str, State | None] = {}
        """uuid → as it had been told when its last page was read."""
        self._had: dict[tuple[str, str], int] = {}
        """Day and kind → pages that this poll has read of it."""
        self._at: dict[tuple[str, str], int] = {}
        """Day and kind → the page of it that was read last."""
        self.repeated: list[str] = []
        """uuids of meetings that were asked for again although they had been read to the end and had not changed since."""

    def begin(self) -> None:
        """A scheduled read of some days."""
        self._had = {}

    def calls(self) -> Calls:
        return Calls(self._counts.total(), *(self._counts[name] for name in Calls._fields[1:]))

    @web.middleware
    async def keep(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if not path.startswith(LISTS):
            return await handler(request)
        faults = self._sandbox.stats.snapshot().faults
        response = await handler(request)
        if self._sandbox.stats.snapshot().faults != faults:
            self._counts["spoiled"] += 1
        elif response.status not in (200, 404):
            self._counts["refused"] += 1
        elif path == LISTS:
            self._counts[self._list(request)] += 1
        else:
            uuid = unquote(unquote(path.removeprefix(f"{LISTS}/").removesuffix(STAYS)))
            self._counts[self._stays(uuid, request, response)] += 1
        return response

    def _list(self, request: web.Request) -> str:
        which = (request.query["from"], request.query["type"])
        had = self._had.get(which, 0)
        at = self._at[which] = self._at[which] + 1 if request.query.get("next_page_token") else 0
        if at < had:
            return "lists_again"
        self._had[which] = at + 1
        self._listed |= {meeting.uuid: _told(self._sandbox, meeting) for meeting in self._meetings(*which)}
        return "lists"

    def _stays(self, uuid: str, request: web.Request, response: web.StreamResponse) -> str:
        state = self._listed.get(uuid)
        if self._state.get(uuid) != state:
            self._state[uuid], self._pages[uuid] = state, 0
        first = not request.query.get("next_page_token")
        if first and uuid in self._whole and self._whole[uuid] == state:
            self.repeated.append(uuid)
        at = self._turned[uuid] = 0 if first else self._turned[uuid] + 1
        if isinstance(response, web.Response) and response.status == 200 and not _following(response):
            self._whole[uuid] = state
        if at < self._pages[uuid]:
            return "stays_again"
        self._pages[uuid] = at + 1
        return "stays"

    def _meetings(self, day: str, kind: str) -> list[Meeting]:
        moment, at = self._sandbox.moment(), (date.fromisoformat(day) - _EPOCH).days
        return [m for m in self._sandbox.account.day(at) if moment.past(m) and m.one == (kind != "past")]


def _told(sandbox: ZoomSandbox, meeting: Meeting) -> State:
    """What of a meeting Zoom tells in its list."""
    moment = sandbox.moment()
    return (sandbox.account.joins(meeting, moment), moment.filled(meeting), moment.blank(meeting))


def _following(response: web.Response) -> str:
    """The token of the next page, "" on the last."""
    found = _TOKEN.search(bytes(response.body or b""))  # type: ignore[arg-type]
    return found[1].decode() if found else ""
