"""Which path is which endpoint, what it costs and what it takes; and the rule for uuids in paths."""

import re
from collections.abc import Callable
from typing import Literal, NamedTuple
from urllib.parse import unquote

from harvester.sandbox import zoom_endpoints as endpoints
from harvester.sandbox.zoom_account import Account
from harvester.sandbox.zoom_limits import HEAVY, INTENSIVE, LIGHT, MEDIUM
from harvester.sandbox.zoom_refusals import RefusedError, no_meeting

BASE = "/v2"
METRICS_MEETINGS = "/v2/metrics/meetings"
METRICS_PARTICIPANTS = "/v2/metrics/meetings/{uuid}/participants"
REPORT_USERS = "/v2/report/users"
REPORT_USER_MEETINGS = "/v2/report/users/{user}/meetings"
REPORT_PARTICIPANTS = "/v2/report/meetings/{uuid}/participants"
PAST_MEETING = "/v2/past_meetings/{uuid}"
PAST_PARTICIPANTS = "/v2/past_meetings/{uuid}/participants"
PAST_INSTANCES = "/v2/past_meetings/{id}/instances"


class Route(NamedTuple):
    path: str
    """As it stands in the statistics."""
    cost: str
    scope: str
    needs: Literal["paid", "dashboard"]
    find: Callable[[Account, endpoints.Call], endpoints.Found]


ROUTES = (
    Route(REPORT_USERS, HEAVY, "report:read:list_users:admin", "paid", endpoints.report_users),
    Route(REPORT_USER_MEETINGS, HEAVY, "report:read:user:admin", "paid", endpoints.report_user_meetings),
    Route(REPORT_PARTICIPANTS, HEAVY, "report:read:list_meeting_participants:admin", "paid", endpoints.report_participants),
    Route(METRICS_MEETINGS, INTENSIVE, "dashboard:read:list_meetings:admin", "dashboard", endpoints.metrics_meetings),
    Route(
        METRICS_PARTICIPANTS, HEAVY, "dashboard:read:list_meeting_participants:admin", "dashboard", endpoints.metrics_participants
    ),
    Route(PAST_PARTICIPANTS, MEDIUM, "meeting:read:list_past_participants:admin", "paid", endpoints.past_participants),
    Route(PAST_INSTANCES, MEDIUM, "meeting:read:list_past_instances:admin", "paid", endpoints.past_instances),
    Route(PAST_MEETING, LIGHT, "meeting:read:past_meeting:admin", "paid", endpoints.past_meeting_details),
)
_PATTERNS = [(re.compile(re.sub(r"\{\w+\}", "(.+)", route.path)), route) for route in ROUTES]


def routed(raw_path: str) -> tuple[Route, str]:
    """The endpoint of a path as it was sent, and the name in it, still encoded. Raises RefusedError: there is none."""
    for pattern, route in _PATTERNS:
        found = pattern.fullmatch(raw_path)
        if found:
            return route, found[1] if found.groups() else ""
    raise RefusedError(404, 2300, "This API endpoint is not recognized.")


def named(raw: str) -> str:
    """The name in a path: encoded once or twice, but twice if it begins with `/` or holds `//`. Raises RefusedError."""
    once = unquote(raw)
    if "/" in raw or once.startswith("/") or "//" in once:
        raise no_meeting(once)
    return unquote(once)
