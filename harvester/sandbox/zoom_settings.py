"""What a simulated Zoom account is like: every switch, with the vendor's behaviour as default."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from harvester.errors import ConfigError
from harvester.sandbox.faults import MISLEADING, PASSING, Kinds

DAY = 86_400_000
"""One UTC day in milliseconds, the grain in which meetings are made."""
LONGEST = timedelta(hours=5)
"""No meeting lasts longer."""
LATENESS = timedelta(hours=48)
"""Nothing about a meeting appears or changes later than this after its end; most within fifteen minutes."""
ZOOM_REST = LONGEST + LATENESS
"""What began longer ago is at rest."""
TOKEN_SECONDS = 3600
PAGE_TOKEN_LIFE = timedelta(minutes=15)
MOST_A_DAY = 20_000

BROKEN_RECORDS = ("nan", "surrogate", "not-utf8", "deep", "nameless")
"""What makes a record unfit; `nameless`: a meeting without uuid, a session without join_time."""
ZOOM_FAULTS = Kinds(
    requests=(*PASSING, "dead-token", "dead-page"),
    misleading=MISLEADING,
    records=(*BROKEN_RECORDS, "pretty", "nul"),
)
"""`dead-token`: the access token is good for nothing any more (401, code 124); `dead-page`: the page token is (400, code 300)."""

Plan = Literal["free", "pro", "business"]
Counts = Literal["rows", "final"]
Limits = Literal["enforced", "counted"]
RetryForm = Literal["iso", "seconds", "date", "bare"]


class ZoomSandboxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Equal settings make equal worlds: what is served is a function of them and of the sandbox's clock."""

    seed: str = "sandbox"
    now: datetime | None = None
    """Where the clock starts; None: the real time."""
    speed: float = 1.0
    """Sandbox seconds a real second; 0 stands still until it is moved."""
    history: timedelta = timedelta(days=400)
    """How long before `now` the first meeting was; longer than the vendor tells of it."""
    meetings_per_day: int = 80
    """On the average of a week; a meeting has about 16 sessions."""
    rejoins: float = 0.16
    """Share of participants who leave and come again."""
    account_id: str = "sandbox-account"
    client_id: str = "sandbox-client"
    client_secret: str = "sandbox"  # noqa: S105 -- guards made-up data on loopback
    plan: Plan = "business"
    dashboard: bool = True
    """False: the dashboard is off, and a business account gets the same error as a smaller one."""
    missing_scopes: Sequence[str] = ()
    """Granular scopes that the app was not given, as in report:read:list_users:admin."""
    hipaa: bool = False
    """Names, addresses, places and mails of participants are empty."""
    limits: Limits = "enforced"
    """`counted`: what comes too fast is answered all the same, and stands among the violations."""
    pace: float = 1.0
    """Per-second and per-minute limits times so much; they run by the real clock."""
    daily: int = 0
    """Calls a day of Heavy and Resource-intensive together; 0: as the plan. The day is that of the sandbox's clock."""
    used_elsewhere: int = 0
    """Calls a day that other apps of the account make."""
    refusal: RetryForm = "iso"
    """How a 429 says when to come again."""
    page_cap: int = 300
    """The most rows a page has, whatever page_size says."""
    late: bool = True
    """Meetings, their ends and some of their rows appear later than they happened."""
    counts: Counts = "rows"
    """`participants` of a meeting: the rows there are, or `final`, all from the beginning, while some still come."""
    webhook_url: str = ""
    """Where events are pushed to, once the address was validated; "": nowhere."""
    webhook_secret: str = "sandbox-webhook"  # noqa: S105 -- guards made-up data on loopback
    faults: Mapping[str, float] = {}
    """Kind → share of requests (or of records)."""
    fault_burst: int = 1
    """One request is refused at most this often in a row."""
    retry_after: float = 1.0
    """Seconds that the 429 of a fault asks for."""
    slow: float = 0.5
    """Seconds that a slow answer takes."""

    def __post_init__(self) -> None:
        """Raises ConfigError with every fault at once."""
        faults = [
            f"sandbox: {name} must be at least {least}, not {getattr(self, name)}"
            for name, least in (
                ("speed", 0),
                ("meetings_per_day", 0),
                ("daily", 0),
                ("used_elsewhere", 0),
                ("page_cap", 1),
                ("fault_burst", 1),
                ("retry_after", 0),
                ("slow", 0),
            )
            if getattr(self, name) < least
        ]
        if self.meetings_per_day > MOST_A_DAY:
            faults.append(f"sandbox: meetings_per_day must be at most {MOST_A_DAY}, not {self.meetings_per_day}")
        if self.pace <= 0:
            faults.append(f"sandbox: pace must be more than 0, not {self.pace}")
        if self.now is not None and self.now.tzinfo is None:
            faults.append(f"sandbox: now needs a zone, as in {self.now.isoformat()}Z")
        if faults:
            raise ConfigError(*faults)


class ZoomSwitches(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of ZoomSandboxSettings can change while it serves; None: stays as it is."""

    plan: Plan | None = None
    dashboard: bool | None = None
    missing_scopes: Sequence[str] | None = None
    hipaa: bool | None = None
    limits: Limits | None = None
    pace: float | None = None
    daily: int | None = None
    used_elsewhere: int | None = None
    refusal: RetryForm | None = None
    page_cap: int | None = None
