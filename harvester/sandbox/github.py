"""A simulated GitHub: an organisation with its repositories, and what happens to their pull requests.

REST under `/` (and `/api/v3`), GraphQL at `/graphql` (and `/api/graphql`) behave like the vendor's, with its limits and traps;
`/sandbox/…` and `/truth` are ours, open and never faulty. Shapes from the vendor's OpenAPI file and recorded answers; behaviour
from its documents and what its users reported.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from harvester.sandbox.clock import SandboxClock
from harvester.sandbox.controls import Controls
from harvester.sandbox.counting import counting
from harvester.sandbox.faults import Faults
from harvester.sandbox.github_app import key_of
from harvester.sandbox.github_desk import ENDPOINT, Desk
from harvester.sandbox.github_settings import GITHUB_FAULTS, GitHubSandboxSettings, GitHubSwitches
from harvester.sandbox.github_truth import GitHubOracle, GitHubTruth, gathered
from harvester.sandbox.github_world import World
from harvester.sandbox.stats import Stats

_FAR = 2**61


class GitHubSandbox:
    """One simulated organisation. `app()` is its aiohttp application; the attributes are for tests in the same process."""

    def __init__(self, settings: GitHubSandboxSettings, *, ticker: Callable[[], float] = time.monotonic) -> None:
        """`ticker`: the seconds by which its clock runs and its limits count."""
        start = settings.now or datetime.now(UTC)
        self.settings = settings
        self.clock = SandboxClock(start, speed=settings.speed, ticker=ticker)
        self.faults = Faults(settings.seed, settings.faults, burst=settings.fault_burst, family=GITHUB_FAULTS)
        self.stats = Stats()
        self.world = World(settings, start=int(start.timestamp()))
        self._oracle = GitHubOracle(self.world)
        self._ticker = ticker
        self._stopped = _FAR

    def app(self) -> web.Application:
        app = web.Application(middlewares=[counting(self.stats, lambda request: request.get(ENDPOINT, request.path))])
        Controls(self).add_routes(app)
        app.router.add_get("/sandbox/app-key", self._app_key)
        Desk(self, ticker=self._ticker).add_routes(app)
        return app

    def stop_changing(self, at: datetime | None = None) -> datetime:
        """Nothing happens after `at` (now). Returns when the last change will have been: `at`."""
        stopped = at or self.clock.now()
        self._stopped = int(stopped.timestamp())
        return stopped

    def moment(self, now: datetime | None = None) -> int:
        """The organisation's time at `now`: whole seconds since 1970."""
        return min(int((now or self.clock.now()).timestamp()), self._stopped)

    def truth(self, start: datetime | None = None, end: datetime | None = None, *, at: datetime | None = None) -> GitHubTruth:
        """Every row with `start <= updated_at < end`, as it is `at` that moment (the latest that the clock ever showed)."""
        seen = at or self.clock.latest
        return gathered(seen, self._true(start, end, seen))

    def _true(self, start: datetime | None, end: datetime | None, at: datetime) -> Iterator[tuple[str, str, dict[str, Any]]]:
        first, last = int(start.timestamp()) if start else -_FAR, int(end.timestamp()) if end else _FAR
        return self._oracle.rows(self.moment(at), first, last)

    def truth_pieces(self, start: datetime | None, end: datetime | None, *, lines: bool) -> Iterator[bytes]:
        """As lines, each `{"table", "key", "row"}`; or as one document."""
        if not lines:
            yield msgspec.json.encode(self.truth(start, end))
            return
        for table, key, row in self._true(start, end, self.clock.latest):
            yield msgspec.json.encode({"table": table, "key": key, "row": row}) + b"\n"

    @property
    def switches(self) -> GitHubSwitches:
        """What the organisation and the server are like now."""
        return GitHubSwitches(**{name: getattr(self.settings, name) for name in GitHubSwitches.__struct_fields__})

    def switch(self, switches: GitHubSwitches) -> None:
        """Make another server of it while it serves, as a token that expires does."""
        given = {name: value for name, value in msgspec.structs.asdict(switches).items() if value is not None}
        self.settings = msgspec.structs.replace(self.settings, **given)

    def set_faults(self, rates: dict[str, float]) -> None:
        """Replace all rates. Raises ConfigError and changes nothing."""
        self.faults.set(rates)

    async def _app_key(self, _: web.Request) -> web.Response:
        """The private key of the App whose installation tokens can be asked for."""
        return web.Response(text=key_of(self.settings.seed).pem(), content_type="application/x-pem-file")
