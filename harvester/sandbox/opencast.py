"""A simulated Opencast: the endpoints that the harvester reads, from opencast/opencast as its source code has them.

`/usertracking/actions.json`, `/search/episode.json`, `/search/series.json` and `/tobira/harvest` behave like the vendor's, logins
and faults included; `/sandbox/…`, `/truth` and `/truth/episodes` are ours, open and never faulty.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import msgspec
from aiohttp import web

from harvester.sandbox import truth
from harvester.sandbox.auth import Guard
from harvester.sandbox.changes import Changes, State
from harvester.sandbox.clock import SandboxClock, local_instant, milliseconds, moment_of
from harvester.sandbox.controls import Controls, http_date
from harvester.sandbox.counting import counting
from harvester.sandbox.episodes import Lecture, lectures, pre16_answer, pre16_hit, series_hits, v16_answer, v16_hit
from harvester.sandbox.faults import Faults
from harvester.sandbox.mishaps import FAULT, SKEW, Endpoint, Mishaps
from harvester.sandbox.rows import Rows
from harvester.sandbox.settings import HOUR, REST, SandboxSettings, Switches
from harvester.sandbox.stats import Stats
from harvester.sandbox.table import FOREVER, Query, Table, View
from harvester.sandbox.tobira import HARVEST, Feed, TrueEpisode
from harvester.sandbox.truth import Oracle, Truth
from harvester.sandbox.workflows import Instance, instances
from harvester.sandbox.workflows import answer as workflow_answer

ACTIONS = "/usertracking/actions.json"
EPISODES = "/search/episode.json"
SERIES = "/search/series.json"
WORKFLOWS = "/workflow/instances.json"
WORKFLOWS_OF = "/workflow/mediaPackage/{mpid}/instances.json"

_MINUTE = 60_000


class OpencastSandbox:
    """One simulated server. `app()` is its aiohttp application; the attributes are for tests in the same process."""

    def __init__(self, settings: SandboxSettings) -> None:
        start = settings.now or datetime.now(UTC)
        self.settings = settings
        self.clock = SandboxClock(start, speed=settings.speed)
        self.faults = Faults(settings.seed, settings.faults, burst=settings.fault_burst)
        self.stats = Stats()
        self.catalogue = lectures(settings.seed)
        self.since = moment_of(milliseconds(start - settings.history) // HOUR * HOUR)
        """No action is older."""
        self._stopped: datetime | None = None
        rows = Rows(settings, self.faults)
        self._table = Table(settings, self.catalogue, rows, since=milliseconds(self.since))
        self.changes = Changes(settings, self.catalogue, since=milliseconds(self.since))
        self.feed = Feed(self.changes, self.faults, since=milliseconds(self.since))
        self.oracle = Oracle(settings, self._table, self.faults, self.changes)
        self._hit = pre16_hit if settings.search == "pre16" else v16_hit

    def app(self) -> web.Application:
        mishaps = Mishaps(self.settings, self.clock, self.faults, self.stats)
        guard = Guard(self.settings, self.clock)
        app = web.Application(middlewares=[counting(self.stats, lambda request: request.path)])
        app.on_response_prepare.append(self._dated)
        workflows = (WORKFLOWS, self._listed) if self.settings.workflows == "listed" else (WORKFLOWS_OF, self._of_package)
        searches = ((EPISODES, self._episodes), (SERIES, self._series), (HARVEST, self._harvest))
        for path, endpoint in ((ACTIONS, self._actions), *searches, workflows):
            app.router.add_get(path, _vendors(guard, mishaps, endpoint))
        app.router.add_get("/truth/episodes", self._true_episodes)
        Controls(self).add_routes(app)
        return app

    def stop_changing(self, at: datetime | None = None) -> datetime:
        """Nothing is created after `at` (now). Returns when the last row will have come to rest."""
        self._stopped = at or self.clock.now()
        return self._stopped + REST

    def view(self, now: datetime | None = None) -> View:
        """The table at `now`, in whole seconds."""
        tick = milliseconds(now or self.clock.now()) // 1000 * 1000
        return View(tick, milliseconds(self._stopped) if self._stopped else FOREVER)

    def truth(self, start: datetime | None = None, end: datetime | None = None) -> Truth:
        """Every action with `start <= created < end` in the newest state that was ever served or would be served now.

        Without bounds that is the whole history: about ten seconds and a gigabyte for a million actions. `/truth` streams.
        """
        now = self.clock.latest
        found = [action for hour in self.oracle.hours(start, end, self.view(now)) for action in hour]
        broken = {action.id: action.broken for action in found if action.broken}
        return Truth(now=now, actions={action.id: action for action in found if not action.broken}, broken=broken)

    def episodes(self, start: datetime | None = None, end: datetime | None = None) -> dict[str, TrueEpisode]:
        """Every recording whose newest change was in that time, by its id."""
        return self.feed.truth(self.view(self.clock.latest), start, end)

    def truth_pieces(self, start: datetime | None, end: datetime | None, *, lines: bool) -> Iterator[bytes]:
        """The truth as lines or as one document, an hour at a time."""
        now = self.clock.latest
        hours = self.oracle.hours(start, end, self.view(now))
        return truth.lines(hours) if lines else truth.document(now, hours)

    @property
    def switches(self) -> Switches:
        """What the server knows now."""
        return Switches(**{name: getattr(self.settings, name) for name in Switches.__struct_fields__})

    def switch(self, switches: Switches) -> None:
        """Make another server of it while it serves, as an upgrade does."""
        given = {name: value for name, value in msgspec.structs.asdict(switches).items() if value is not None}
        self.settings = msgspec.structs.replace(self.settings, **given)

    def set_faults(self, rates: dict[str, float]) -> None:
        """Replace all rates. Raises ConfigError and changes nothing."""
        self.faults.set(rates)
        self._table.forget_encoded()

    async def _dated(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = http_date(self.clock.now() + request.get(SKEW, timedelta()))

    async def _actions(self, request: web.Request) -> web.Response:
        if not self.settings.usertracking:
            return web.Response(status=HTTPStatus.NOT_FOUND, text="Not Found")
        try:
            limit, offset = _bounds(request, default=10)
            query = self._query(request)
        except ValueError as error:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text=str(error))
        rows = min(limit, self.settings.limit_cap or limit)
        fault = request.get(FAULT)
        if fault:
            self.stats.fault(fault)
        found = self._table.page(query, self.view(), offset=offset + (fault == "shifted"), limit=rows)
        if fault == "empty":
            found = found._replace(records=[])
        self.stats.served(len(found.records))
        head = b'{"actions":{"total":"%d","offset":"%d","limit":"%d"' % (found.total, offset, rows)
        match found.records:
            case []:
                body = b""
            case [record]:
                body = b',"action":' + record
            case records:
                body = b',"action":[' + b",".join(records) + b"]"
        return _json(head + body + b"}}")

    def _query(self, request: web.Request) -> Query:
        """Which rows the parameters ask for; the precedence is the vendor's: id counts only with type."""
        given = request.query
        kind, mpid = given.get("type", ""), given.get("id", "")
        start, end = 0, FOREVER
        if self.settings.patched:
            zone = self.settings.zone
            start = milliseconds(local_instant(given["start"], zone)) if given.get("start") else start
            end = milliseconds(local_instant(given["end"], zone)) if given.get("end") else end
        if given.get("day") and self.settings.day and not (mpid and kind):
            first, last = self._day(given["day"])
            start, end = max(start, first), min(end, last)
        return Query(start, end, kind, mpid if kind else "")

    def _day(self, text: str) -> tuple[int, int]:
        """The vendor sets hour and minute alone: seconds and milliseconds stay those of the request."""
        since_minute = milliseconds(self.clock.now()) % _MINUTE
        first = milliseconds(local_instant(f"{text}000000", self.settings.zone))
        last = milliseconds(local_instant(f"{text}235900", self.settings.zone))
        return first + since_minute, last + since_minute

    async def _episodes(self, request: web.Request) -> web.Response:
        try:
            limit, offset = _bounds(request, default=20)
        except ValueError as error:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text=str(error))
        mpid, words, series, sort = (request.query.get(name, "") for name in ("id", "q", "sid", "sort"))
        if mpid:
            self.stats.lookup(mpid)
        found = [
            state
            for state in self._standing(mpid)
            if state.lecture.exists and series in {"", state.lecture.series} and _mentions(state.lecture, words)
        ]
        if sort and not self._sorted(found, sort):
            return web.Response(status=HTTPStatus.BAD_REQUEST, text=f"Invalid sort parameter: {sort}")
        hits = [self._listed_hit(state, alone=bool(mpid)) for state in found[offset : offset + limit]]
        return self._found(hits, total=len(found), offset=offset, limit=limit, query=str(request.query_string))

    def _standing(self, mpid: str) -> Sequence[State]:
        view = self.view()
        if not mpid:
            return list(self.changes.standing(view))
        state = self.changes.now(mpid, view)
        return [] if state is None else [state]

    def _sorted(self, found: list[State], sort: str) -> bool:
        """From 16 on by `modified asc|desc`, before by name; False for what the vendor refuses."""
        if self.settings.search == "pre16":
            if sort.removesuffix("_DESC") == "MEDIA_PACKAGE_ID":  # every other is passed over here
                found.sort(key=lambda state: state.lecture.mpid, reverse=sort.endswith("_DESC"))
            return True
        field, _, order = sort.lower().partition(" ")
        if field == "modified" and order in ("", "asc", "desc"):
            found.sort(key=lambda state: state.at, reverse=order == "desc")
            return True
        return False

    def _listed_hit(self, state: State, *, alone: bool) -> msgspec.Raw:
        body = msgspec.json.encode(self._hit(state.lecture))
        return msgspec.Raw(body if alone else self.feed.spoiled(state.lecture.mpid, body))

    async def _harvest(self, request: web.Request) -> web.Response:
        match self.settings.tobira:
            case "none":
                return web.Response(status=HTTPStatus.NOT_FOUND, text="Not Found")
            case "forbidden":
                return web.Response(status=HTTPStatus.FORBIDDEN, text="Forbidden")
            case _:
                return self.feed.answer(request.query, self.view(), milliseconds(self.clock.now()))

    async def _true_episodes(self, _: web.Request) -> web.Response:
        """The newest state of every recording."""
        return _json(msgspec.json.encode({"now": self.clock.latest, "episodes": self.episodes()}))

    async def _series(self, request: web.Request) -> web.Response:
        try:
            limit, offset = _bounds(request, default=20)
        except ValueError as error:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text=str(error))
        wanted = request.query.get("id", "")
        found = [hit for hit in series_hits(self.catalogue) if wanted in {"", str(hit["id"])}]
        return self._found(found[offset : offset + limit], total=len(found), offset=offset, limit=limit, query=wanted)

    async def _listed(self, request: web.Request) -> web.Response:
        """As up to release 11."""
        query = request.query
        found = [
            instance
            for instance in self._workflows(query.get("mp", ""))
            if query.get("state") in (None, instance["state"]) and query.get("workflowdefinition") in (None, instance["template"])
        ]
        return _json(msgspec.json.encode(workflow_answer(found)))

    async def _of_package(self, request: web.Request) -> web.Response:
        """As from release 12 on: whatever state and definition they are of."""
        return _json(msgspec.json.encode(workflow_answer(self._workflows(request.match_info["mpid"]))))

    def _workflows(self, mpid: str) -> Sequence[Instance]:
        lecture = next((lecture for lecture in self.catalogue if lecture.mpid == mpid), None)
        return [] if lecture is None else instances(self.settings.seed, lecture)

    def _found(self, hits: Sequence[object], *, total: int, offset: int, limit: int, query: str) -> web.Response:
        if self.settings.search == "16":
            return _json(msgspec.json.encode(v16_answer(hits, total=total, offset=offset, limit=limit)))
        return _json(msgspec.json.encode(pre16_answer(hits, total=total, offset=offset, limit=limit, query=query)))


def _mentions(lecture: Lecture, words: str) -> bool:
    return words.lower() in f"{lecture.title} {lecture.course} {lecture.description}".lower()


def _bounds(request: web.Request, *, default: int) -> tuple[int, int]:
    """Limit and offset. Raises ValueError for what the vendor answers with 400."""
    limit, offset = (int(request.query.get(name) or 0) for name in ("limit", "offset"))
    if limit < 0 or offset < 0:
        raise ValueError("limit and offset must not be negative")
    return limit or default, offset


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", charset="utf-8")


def _vendors(guard: Guard, mishaps: Mishaps, endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The endpoint behind login and faults."""

    async def answer(request: web.Request) -> web.StreamResponse:
        refusal = guard.refusal(request)
        return refusal if refusal is not None else await mishaps.met(request, endpoint)

    return answer
