"""Two processes with one token: together they never exceed what GitHub allows, and live reading stays live beside a backfill."""

import re
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

import pytest

from harvester.book import decode_book
from harvester.sandbox.github_settings import GitHubSandboxSettings
from harvester.sandbox.serve import serve
from tests.contracts.stores import digest
from tests.servers.fixtures import Servers
from tests.site import Process, Site
from tests.threaded import threaded

WORKERS = 3
SCHOOL = GitHubSandboxSettings(
    repositories=4, traps=False, pulls_per_day=24, history=timedelta(days=25), concurrent=WORKERS, latency=0.04, penalty=5
)
"""Who has one request more in flight than there are workers is punished, by all that is sent."""


def site_of(folder: Path, url: str, **more: str) -> Site:
    settings = {"SOURCES": "github", "GITHUB_TOKEN": "sandbox-token", "GITHUB_ORG": "acme", "GITHUB_URL": url}
    quick = {"GITHUB_POLL": "0", "POLL_INTERVAL": "0.2", "GITHUB_LOOKBACK_DAYS": "1", "GITHUB_MAX_WORKERS": f"{WORKERS}"}
    return Site(folder, **{f"HARVESTER_{name}": value for name, value in {**settings, **quick, **more}.items()})


class Work:
    """A backfill in a process beside a daemon, and how far the daemon was behind meanwhile."""

    def __init__(self, site: Site, number: int) -> None:
        self._site = site
        self._name = f"pulls/{number}"
        self.longest = 0.0
        self.told = ""
        """What the budget's files say of the backfill."""

    def run(self, **more: str) -> None:
        """`more`: settings of the backfill alone."""
        start = f"{datetime.now(UTC) - timedelta(days=24):%Y%m%d%H%M%S}"
        with self._site.process("run", "--no-consume") as daemon:
            daemon.until(lambda: self._behind() < 3)
            with self._site.process("backfill", "github", "--stream", self._name, "--start", start, **more) as backfill:
                daemon.until(lambda: self._looked(backfill), seconds=60)
                assert backfill.ended() == 0, backfill.err
            assert daemon.stop() == 0, daemon.err

    def _looked(self, backfill: Process) -> bool:
        self.longest = max(self.longest, self._behind())
        for path in (self._site.folder / "var/coverage/budgets").glob("*.json"):
            text = path.read_text()
            self.told = text if "github/pulls/" in text else self.told
        return not backfill.running()

    def _behind(self) -> float:
        """Seconds that the live edge is behind now."""
        book = self._site.folder / "var/coverage/github.json"
        found = decode_book(book.read_bytes()).streams.get(self._name) if book.exists() else None
        edge = found.live_edge if found else None
        return (datetime.now(UTC) - edge).total_seconds() if edge else inf


@pytest.mark.parametrize("where", ["file", "redis"])
def test_b63_b67_a_daemon_and_a_backfill_with_one_token_never_exceed_the_limits(
    where: str, tmp_path: Path, servers: Servers
) -> None:
    shared = {} if where == "file" else {"BUDGET_URL": f"{servers.get('redis').url}/0?prefix={digest(tmp_path)}"}
    with threaded(lambda: serve(SCHOOL), "github") as github:
        site = site_of(tmp_path, github.url, **shared)
        work = Work(site, github.sandbox.world.repositories[0].id)
        work.run()
        counts = github.stats.snapshot()
        status = site.harvest("status").out
    assert counts.violations == {}
    assert sum(sum(outcomes.values()) for outcomes in counts.requests.values()) > 100
    assert work.longest < 10
    assert re.search(r"· github-[0-9a-f]{16}: [\d,]+ of 4,500 requests of the hour spent \(the vendor allows 5,000, ", status)
    if where == "file":
        assert re.search(r'"plans":\{"[0-9a-f]+":\[\{"name":"github/pulls/\d+","done":[\d.e-]+,"ends":\d', work.told)
    assert "backfill of" not in status, "it is over"
