"""What a simulated organisation on GitHub is like: every switch, with the vendor's behaviour as default."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from harvester.errors import ConfigError
from harvester.sandbox.faults import Kinds

GITHUB_FAULTS = Kinds(
    requests=(
        "403-bare",
        "403-seconds",
        "429-seconds",
        "429-date",
        "500",
        "502",
        "503",
        "504",
        "slow",
        "reset",
        "truncated",
        "half-json",
        "html",
    ),
    misleading=("401", "403", "404", "date-ahead", "date-behind"),
    records=(),
)
"""`403-bare`, `403-seconds`, `429-…`: secondary limits in each form that was recorded."""

Limits = Literal["enforced", "counted", "off"]
Secondary = Literal["403-bare", "403-seconds", "429-seconds", "429-date"]
Primary = Literal["403", "429"]
Dialect = Literal["on", "forbidden", "absent"]


class GitHubSandboxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Equal settings make equal worlds: what is served is a function of them and of the sandbox's clock."""

    seed: str = "sandbox"
    now: datetime | None = None
    """Where the clock starts; None: the real time."""
    speed: float = 1.0
    """Sandbox seconds a real second; 0 stands still until it is moved."""
    history: timedelta = timedelta(days=180)
    """How long before `now` the organisation was founded."""
    org: str = "acme"
    repositories: int = 12
    pulls_per_day: float = 8.0
    """Pull requests opened a day, in all repositories together; a third as many plain issues come on top."""
    imported: int = 4
    """Threads that each repository was founded with: all of them were updated in the same second, most by mannequins."""
    traps: bool = True
    """Whether some repositories are renamed, deleted, empty, archived, young or without issues; see `github_world.Repository`."""
    huge_every: int = 150
    """One pull request of so many has more than 250 commits; 0: none."""
    tokens: Sequence[str] = ("sandbox-token",)
    """What a client may bring; each belongs to a user of its own, so each has limits of its own."""
    scopes: str = "read:org, repo"
    """Of the tokens: without `repo`, private repositories are not there; "": fine-grained ones, of which no header tells."""
    forbidden: Sequence[str] = ()
    """Names of repositories that single sign-on keeps from the tokens."""
    app_id: int = 4242
    installation_id: int = 77
    graphql: Dialect = "on"
    """`forbidden`: these tokens may not (403); `absent`: the server has none (404)."""
    heavy: int = 0
    """A GraphQL answer with more nodes takes too long: 502; 0: never."""
    limits: Limits = "enforced"
    """`counted`: what is too much is answered all the same, and stands among the violations; `off`: an Enterprise Server's
    default, without any header of limits."""
    hourly: int = 5000
    """Requests of REST an hour for each token, by the sandbox's clock."""
    points: int = 5000
    """Points of GraphQL an hour for each token, by the sandbox's clock."""
    used_elsewhere: int = 0
    """Of each hour's requests and points, what others spend with the same token."""
    concurrent: int = 100
    """Requests of one token under way at once."""
    pace: float = 1.0
    """Limits a minute times so much; they run by the real clock."""
    secondary: Secondary = "403-seconds"
    """How a secondary limit refuses."""
    primary: Primary = "403"
    """With what status REST says that the hour is spent."""
    penalty: float = 60.0
    """Seconds that a secondary limit lasts, by the real clock; those who come earlier are refused, and begin them anew."""
    faults: Mapping[str, float] = {}
    """Kind → share of requests."""
    fault_burst: int = 1
    """One request is refused at most this often in a row."""
    retry_after: float = 1.0
    """Seconds that the refusal of a fault asks for."""
    slow: float = 0.5
    """Seconds that a slow answer takes."""
    latency: float = 0.0
    """Seconds that every answer takes: only then requests are under way at once."""

    def __post_init__(self) -> None:
        """Raises ConfigError with every fault at once."""
        least = {"concurrent": 1, "fault_burst": 1}
        numbers = ["speed", "repositories", "pulls_per_day", "imported", "huge_every", "heavy", "hourly", "points"]
        numbers += ["used_elsewhere", "concurrent", "penalty", "fault_burst", "retry_after", "slow", "latency"]
        faults = [
            f"sandbox: {name} must be at least {least.get(name, 0):g}, not {getattr(self, name)}"
            for name in numbers
            if getattr(self, name) < least.get(name, 0)
        ]
        if self.pace <= 0:
            faults.append(f"sandbox: pace must be more than 0, not {self.pace}")
        if self.repositories > 1000:
            faults.append(f"sandbox: repositories must be at most 1000, not {self.repositories}")
        if self.now is not None and self.now.tzinfo is None:
            faults.append(f"sandbox: now needs a zone, as in {self.now.isoformat()}Z")
        if faults:
            raise ConfigError(*faults)


class GitHubSwitches(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of GitHubSandboxSettings can change while it serves; None: stays as it is."""

    tokens: Sequence[str] | None = None
    scopes: str | None = None
    forbidden: Sequence[str] | None = None
    graphql: Dialect | None = None
    heavy: int | None = None
    limits: Limits | None = None
    hourly: int | None = None
    points: int | None = None
    used_elsewhere: int | None = None
    concurrent: int | None = None
    pace: float | None = None
    secondary: Secondary | None = None
    primary: Primary | None = None
    penalty: float | None = None
    latency: float | None = None
