"""The data that dashboards are judged by: a week of the simulated university and GitHub, on the way that all data take.

`python -m tests.dashboards` draws the pictures of docs/dashboards.md anew.
"""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import duckdb

from dashboards.boards import boards
from dashboards.builder import listing
from dashboards.builder.aggregation import Aggregation, Row, Span
from dashboards.builder.board import Chart
from dashboards.builder.listing import Listing
from dashboards.builder.sql import query, rows
from harvester.coverage import Interval
from harvester.event import encode_event
from harvester.ownevents import SOURCE
from harvester.protocols import Message
from harvester.queues import open_queue
from harvester.retry import Retry
from harvester.sandbox.github_settings import GitHubSandboxSettings
from harvester.sandbox.serve import Running, RunningZoom, serve
from harvester.sandbox.settings import SandboxSettings
from harvester.sandbox.zoom_settings import ZoomSandboxSettings
from harvester.sources.github import GithubSettings, open_github
from tests.mmdb import BOSTON, GERMANY, write_mmdb
from tests.ownweek import own_week
from tests.site import PASSWORD, ROOT, Done, Site
from tests.threaded import threaded

WEEK = Span(datetime(2024, 11, 4, tzinfo=UTC), datetime(2024, 11, 11, tzinfo=UTC))
NEWEST = 50
"""Documents of a list that are looked at."""
_NOW = WEEK.end + timedelta(days=3)
"""All of the week is at rest, so that it is the same at every reading."""
_FRANCE = {"city": {"names": {"en": "Lyon"}}, "country": {"iso_code": "FR", "names": {"en": "France"}}}
_NETWORKS = {"203.0.113.0/25": BOSTON, "203.0.113.128/26": GERMANY, "2001:db8::/33": _FRANCE}
# Sessions of the week stay below 3,000, up to which Elasticsearch counts different values exactly.
_LECTURES = SandboxSettings(now=_NOW, speed=0, login="digest", password=PASSWORD, actions_per_day=400)
_MEETINGS = ZoomSandboxSettings(now=_NOW, speed=0, meetings_per_day=12, limits="counted", pace=1000)
_PULLS = GitHubSandboxSettings(
    now=_NOW, speed=0, history=timedelta(days=14), pulls_per_day=14, repositories=8, limits="counted", pace=1000
)
_STREAMS = {
    "HARVESTER_ZOOM_ACCOUNT_ID": _MEETINGS.account_id,
    "HARVESTER_ZOOM_CLIENT_ID": _MEETINGS.client_id,
    "HARVESTER_ZOOM_CLIENT_SECRET": _MEETINGS.client_secret,
}


class University(NamedTuple):
    """An installation, and what it reads."""

    site: Site
    lectures: Running
    meetings: RunningZoom


@contextmanager
def university(folder: Path, span: Span = WEEK, **settings: str) -> Iterator[University]:
    """A site that has the week, or a part of it, in its queue, while both sandboxes serve: consumers look recordings up."""
    write_mmdb(folder / "places.mmdb", _NETWORKS)
    with threaded(lambda: serve(_LECTURES), "lectures") as lectures, threaded(lambda: serve(_MEETINGS), "meetings") as meetings:
        places = {"HARVESTER_GEOIP_PATH": "places.mmdb", "HARVESTER_SOURCES": "opencast,zoom"}
        urls = {"HARVESTER_ZOOM_URL": f"{meetings.url}/v2", "HARVESTER_ZOOM_OAUTH_URL": f"{meetings.url}/oauth/token"}
        site = Site(folder, lectures.url, **places, **_STREAMS, **urls, **settings)
        for source in ("opencast", "zoom"):
            _done(site.harvest("once", source, "--since", f"{span.start:%Y%m%d%H%M%S}", "--until", f"{span.end:%Y%m%d%H%M%S}"))
        asyncio.run(_told(site))
        yield University(site, lectures, meetings)


@contextmanager
def week(folder: Path) -> Iterator[Site]:
    """A site that has everything in its queue that the dashboards ask of: also what was opened on GitHub in the week."""
    with university(folder) as (site, *_), threaded(lambda: serve(_PULLS), "github") as github:
        asyncio.run(_read(site, github.url))
        yield site


async def _read(site: Site, url: str) -> None:
    """All streams of GitHub, one after the other, since the organisation was founded."""
    settings = GithubSettings.model_validate({"token": _PULLS.tokens[0], "org": _PULLS.org, "url": url})
    async with open_github(settings, retry=Retry(attempts=2, scale=0)) as source, open_queue(f"sqlite:///{site.queue}") as queue:
        for stream in await source.streams():
            async for page in stream.fetch(Interval(_NOW - timedelta(days=30), _NOW), b""):
                messages = [Message(event.key, encode_event(event)) for event in page.events]
                await queue.publish(messages, {"read": len(messages), "published": len(messages)}, source.name)


async def _told(site: Site) -> None:
    """The harvester's own events of the week, as its daemons would have published them."""
    messages = [Message(event.key, encode_event(event)) for event in own_week(WEEK.start)]
    async with open_queue(f"sqlite:///{site.queue}") as queue:
        await queue.publish(messages, {"read": len(messages), "published": len(messages)}, SOURCE)


def consumed(site: Site, sink: str) -> None:
    """All of the queue is written to the sink."""
    _done(site.harvest("consume", sink, "--until-empty"))


def measured(site: Site, *more: str) -> None:
    """The velocity of GitHub is computed in DuckDB, all days of it, and written there and to the sinks that are named too."""
    _done(
        site.harvest(
            "github", "metrics", "--since", f"{_NOW - timedelta(days=60):%Y-%m-%d}", HARVESTER_SINKS=",".join(("duckdb", *more))
        )
    )


def asked(path: Path, questions: Sequence[Aggregation], span: Span = WEEK) -> list[list[Row]]:
    """DuckDB's answers."""
    with closing(duckdb.connect(path, read_only=True)) as connection:
        return [rows(one, connection.execute(*query(one, span)).fetchall()) for one in questions]


def newest(path: Path, asking: Listing, span: Span = WEEK) -> list[listing.Line]:
    """The newest documents as DuckDB has them."""
    with closing(duckdb.connect(path, read_only=True)) as connection:
        return listing.duckdb_lines(connection.execute(*listing.query(asking, span, NEWEST)).fetchall())


def _done(done: Done) -> None:
    assert done.code == 0, done.err


def pictures(site: Site) -> dict[Path, str]:
    """The drawing of each dashboard, over what the site's DuckDB holds."""
    from dashboards.builder.svg import drawing

    found = {}
    for board in boards():
        path = site.folder / "var/harvest.duckdb"
        answers = [
            asked(path, [panel.data])[0] if isinstance(panel, Chart) else newest(path, panel.data) for panel in board.asking()
        ]
        found[ROOT / f"docs/dashboards/{board.name}.svg"] = drawing(board, answers, WEEK)
    return found


def main() -> None:
    with TemporaryDirectory() as folder, week(Path(folder)) as site:
        consumed(site, "duckdb")
        measured(site)
        for path, text in pictures(site).items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
