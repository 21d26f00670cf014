"""An installation that collects from a simulated GitHub, which serves from a thread of the same process."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from harvester.commands.github_checkpoints import Checkpoint
from harvester.sandbox.github_settings import GitHubSandboxSettings
from harvester.sandbox.serve import RunningGitHub, serve
from tests.site import Site
from tests.threaded import threaded

NOON = datetime(2025, 6, 10, 12, tzinfo=UTC)
DAYS = 10
TABLES = ("pull_requests", "commits", "reviews", "review_comments", "issue_comments")
KEYS = {
    "pull_requests": "repository_id || '/' || pr_number",
    "commits": "repository_id || '/' || sha",
    "reviews": "repository_id || '/' || review_id",
    "review_comments": "repository_id || '/' || comment_id",
    "issue_comments": "repository_id || '/' || comment_id",
}


@contextmanager
def organisation(**switches: Any) -> Iterator[RunningGitHub]:
    """A young organisation whose clock stands still."""
    usual: dict[str, Any] = {
        "now": NOON,
        "speed": 0,
        "history": timedelta(days=DAYS),
        "repositories": 5,
        "pulls_per_day": 4,
        "huge_every": 0,
    }
    settings = GitHubSandboxSettings(**{**usual, **switches})

    def opened() -> AbstractAsyncContextManager[RunningGitHub]:
        return serve(settings)

    with threaded(opened, "github") as running:
        yield running


def site_of(folder: Path, running: RunningGitHub, **settings: str) -> Site:
    """A new installation that collects from it."""
    given = {"URL": running.url, "ORG": "acme", "TOKEN": "sandbox-token"}
    return Site(folder, **{**{f"HARVESTER_GITHUB_{name}": value for name, value in given.items()}, **settings})


def checkpoints(site: Site) -> list[Checkpoint]:
    """All that there are, oldest first."""
    folder = site.folder / "var/archive/acme/_checkpoints"
    return [msgspec.json.decode(path.read_bytes(), type=Checkpoint) for path in sorted(folder.glob("*.json"))]


def held(site: Site) -> Mapping[str, set[str]]:
    """Table → the keys of its rows in DuckDB."""
    with duckdb.connect(str(site.folder / "var/harvest.duckdb"), read_only=True) as database:
        return {
            table: {str(key) for (key,) in database.execute(f"SELECT {KEYS[table]} FROM {table}").fetchall()} for table in TABLES
        }


def true(running: RunningGitHub) -> Mapping[str, set[str]]:
    """Table → the keys that can be read at this moment."""
    truth = running.truth()
    pairs = [row for row in truth.pr_commits.values() if row["current"]]
    there = {f"{row['repository_id']}/{row['sha']}" for row in pairs}
    return {table: set(getattr(truth, table)) if table != "commits" else there for table in TABLES}


def requests_so_far(running: RunningGitHub) -> Mapping[str, int]:
    """Endpoint → calls."""
    return {endpoint: sum(outcomes.values()) for endpoint, outcomes in running.stats.snapshot().requests.items()}


def requests(running: RunningGitHub) -> Mapping[str, int]:
    """Endpoint → calls since it was asked last."""
    found = requests_so_far(running)
    running.stats.reset()
    return found
