"""What a simulated Opencast is like: every switch, with the vendor's behaviour as default."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from harvester.errors import ConfigError

HOUR = 3_600_000
"""One hour in milliseconds, the grain in which actions are made."""
GROWTH = timedelta(hours=3)
"""No row grows longer than this after its `created`."""
LATENESS = timedelta(hours=2)
"""No row appears later than this after its `created`; most of the late ones within ten minutes."""
REST = max(GROWTH, LATENESS)
"""What was created longer ago is at rest: it neither appears nor grows any more."""
MOST_A_DAY = 2_000_000
"""Action ids leave room for a million rows an hour."""

Login = Literal["none", "basic", "digest"]
Order = Literal["id", "shuffled", "restless", "moved"]
Search = Literal["pre16", "16"]
Listing = Literal["listed", "by-package"]
Tobira = Literal["admin", "forbidden", "none"]


class SandboxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Equal settings make equal worlds: what is served is a function of them and of the sandbox's clock."""

    seed: str = "sandbox"
    now: datetime | None = None
    """Where the clock starts; None: the real time."""
    speed: float = 1.0
    """Sandbox seconds a real second; 0 stands still until it is moved."""
    history: timedelta = timedelta(days=366)
    """How long before `now` the first action was created."""
    actions_per_day: int = 2_500
    """On the average of a week; days and hours have their rhythm."""
    timezone: str = "UTC"
    """The server's zone: of `created`, `start`, `end` and `day`."""
    login: Login = "none"
    user: str = "harvester"
    password: str = "sandbox"  # noqa: S105 -- guards made-up data on loopback
    usertracking: bool = True
    """False: the plugin is off, as by default since Opencast 13; its endpoints are 404."""
    patched: bool = True
    """The private patch that knows `start` and `end`; False: they are ignored, as stock does."""
    day: bool = True
    """`day` is known, as in every stock release; False: it is ignored, and without a patch the whole table is paged."""
    limit_cap: int = 0
    """The most rows a page has, whatever `limit` says; 0: no cap, as stock."""
    order: Order = "moved"
    """`id` · `shuffled`: any, but always the same · `restless`: another each second · `moved`: rows go to the end when
    they grow, as PostgreSQL stores them."""
    late: bool = True
    """Some rows appear later than they were created."""
    growing: bool = True
    """FOOTPRINT rows are extended in place."""
    playing: Literal["int", "bool"] = "int"
    """isPlaying: 0, 1 or 2 (2 = live) as patched, or stock's boolean."""
    session: Literal["nested", "flat"] = "nested"
    masked: bool = False
    """`-omitted-` for user, address and session."""
    search: Search = "pre16"
    tobira: Tobira = "admin"
    """The harvest interface: there, `forbidden` to this account, or not installed (`none`)."""
    episode_changes: float = 0
    """Lectures that are renamed, taken back or published again, a day."""
    takes_back: bool = True
    """False: none is taken back."""
    workflows: Listing = "by-package"
    """How they are asked for: `listed` by parameters, up to 11, or of one media package, from 12 on."""
    faults: Mapping[str, float] = {}
    """Kind → share of requests (or of records), see faults.py."""
    fault_burst: int = 1
    """One request is refused at most this often in a row."""
    retry_after: float = 1.0
    """Seconds that a 429 asks for."""
    slow: float = 0.5
    """Seconds that a slow answer takes."""
    nonce_seconds: int = 300
    """How long a digest nonce is good for, by the sandbox's clock."""

    def __post_init__(self) -> None:
        """Raises ConfigError with every fault at once."""
        faults = [
            f"sandbox: {name} must be at least {least}, not {value}"
            for name, value, least in (
                ("speed", self.speed, 0),
                ("actions_per_day", self.actions_per_day, 0),
                ("limit_cap", self.limit_cap, 0),
                ("episode_changes", self.episode_changes, 0),
                ("fault_burst", self.fault_burst, 1),
                ("retry_after", self.retry_after, 0),
                ("slow", self.slow, 0),
            )
            if value < least
        ]
        if self.actions_per_day > MOST_A_DAY:
            faults.append(f"sandbox: actions_per_day must be at most {MOST_A_DAY}, not {self.actions_per_day}")
        if self.now is not None and self.now.tzinfo is None:
            faults.append(f"sandbox: now needs a zone, as in {self.now.isoformat()}Z")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            faults.append(f"sandbox: there is no time zone {self.timezone!r}; try one like Europe/Berlin")
        if faults:
            raise ConfigError(*faults)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class Switches(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of SandboxSettings can change while it serves; None: stays as it is."""

    patched: bool | None = None
    day: bool | None = None
    usertracking: bool | None = None
    limit_cap: int | None = None
    tobira: Tobira | None = None
