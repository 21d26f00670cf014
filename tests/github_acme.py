"""The simulated GitHub as the source's tests judge by it: what of its truth can be harvested, and in which state."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec

from harvester.coverage import EPOCH, Interval
from harvester.event import Event
from harvester.retry import Retry
from harvester.sandbox.github_settings import GitHubSandboxSettings
from harvester.sandbox.github_truth import GitHubTruth
from harvester.sandbox.serve import RunningGitHub
from harvester.sources.github import Github, open_github
from tests.github_organisation import QUICK, settings

State = tuple[object, ...]


def world(now: datetime, **switches: Any) -> GitHubSandboxSettings:
    """An organisation whose clock stands still, and whose limits a minute are out of the way."""
    return GitHubSandboxSettings(now=now, **{"speed": 0, "pace": 1e6, "hourly": 10**6, "points": 10**6, **switches})


@asynccontextmanager
async def opened(url: str, retry: Retry = QUICK, **switches: Any) -> AsyncIterator[Github]:
    """A source of it that never really waits."""
    hears = {name: switches.pop(name) for name in ("on_wait", "on_mode", "pacing") if name in switches}
    asked = settings(url, token="sandbox-token", **{"hourly_limit": 10**6, **switches})
    async with open_github(asked, retry=retry, **hears) as source:
        yield source


def state(event: Event) -> State:
    """What of an event changes while its thing stays the same."""
    data = msgspec.json.decode(event.data)
    match event.type:
        case "github.pull_request":
            pull = data["pull_request"]
            return ("pull", pull["title"], pull["state"].lower().replace("merged", "closed"), event.version)
        case "github.review":
            return ("review", data["review"]["state"], data["review"]["body"] or "")
        case "github.commit":
            return ("commit", data["number"])
        case "github.pull_request_commit":
            return ("pair", data["position"])
        case "github.repository":
            return ("repository", data["repository_detail"].get("gone", False))
    return ("comment", data["comment"]["body"], event.version)


def changed(window: Interval) -> Any:
    """By which time a window holds an event: its change; what comes along with a pull request, with that."""

    def when(event: Event) -> datetime:
        by_change = event.type in ("github.pull_request", "github.review_comment", "github.issue_comment")
        return EPOCH + timedelta(milliseconds=event.version) if by_change else window.start

    return when


def pulls(running: RunningGitHub, window: Interval) -> Mapping[str, State]:
    """Every pull request that changed in the window, with its commits and reviews as they are now."""
    found: GitHubTruth = running.truth(*window)
    told: dict[str, State] = {
        key: ("pull", row["title"], row["state"], _ms(row["updated_at"])) for key, row in found.pull_requests.items()
    }
    told |= {f"{key}": ("commit", row["pr_number"]) for key, row in _current(found).items()}
    told |= {key: ("pair", row["position"]) for key, row in found.pr_commits.items() if row["current"]}
    return told | {key: ("review", row["state"], row["body"] or "") for key, row in found.reviews.items()}


def _current(found: GitHubTruth) -> Mapping[str, Any]:
    """Commits that a pull request still has, with the lowest number of one."""
    told: dict[str, Any] = {}
    for row in sorted((row for row in found.pr_commits.values() if row["current"]), key=lambda row: -row["pr_number"]):
        told[f"{row['repository_id']}/{row['sha']}"] = row
    return told


def comments(running: RunningGitHub, window: Interval) -> Mapping[str, State]:
    """Every issue comment on a pull request that changed in the window."""
    rows = running.truth(*window).issue_comments
    return {key: ("comment", row["body"], _ms(row["updated_at"])) for key, row in rows.items()}


def _ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


def remarks(running: RunningGitHub, window: Interval) -> Mapping[str, State]:
    """Every review comment that changed in the window."""
    rows = running.truth(*window).review_comments
    return {key: ("comment", row["body"], _ms(row["updated_at"])) for key, row in rows.items()}
