"""The simulated Zoom's logins and limits."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest

from harvester.sandbox.stats import Stats
from harvester.sandbox.zoom_limits import HEAVY, INTENSIVE, LIGHT, MEDIUM, RATES, Limits
from harvester.sandbox.zoom_refusals import RefusedError
from harvester.sandbox.zoom_settings import Plan, ZoomSandboxSettings
from tests.unit.zoom_sandboxes import NOON, QUIET, zoom


async def test_a_token_lives_an_hour_of_the_sandboxs_clock_and_several_live_at_once() -> None:
    async with zoom() as client:
        first = (await client.sign_in()).json
        second = (await client.sign_in()).json
        assert {first["expires_in"], second["expires_in"]} == {3600, 3599}
        assert first["api_url"] == client.running.url
        assert first["access_token"] != second["access_token"]
        client.advance(seconds=3599)
        for token in (first["access_token"], second["access_token"]):
            client.token = token
            assert (await client.get("/report/users", **QUIET)).status == 200
        client.advance(seconds=1)
        late = await client.get("/report/users", **QUIET)
        assert (late.status, late.json["code"]) == (401, 124)


async def test_a_token_in_the_query_is_not_looked_at() -> None:
    async with zoom() as client:
        good = (await client.sign_in()).json["access_token"]
        client.token = "none"
        assert (await client.get("/report/users", **QUIET, access_token=good)).json["code"] == 124


@pytest.mark.parametrize(
    ("user", "form", "error"),
    [
        ("sandbox-client:wrong", {}, "invalid_client"),
        ("", {}, "invalid_client"),
        ("sandbox-client:sandbox", {"account_id": "me"}, "invalid_request"),
        ("sandbox-client:sandbox", {"grant_type": "client_credentials"}, "unsupported_grant_type"),
    ],
)
async def test_a_wrong_login_is_400_and_says_why(user: str, form: dict[str, str], error: str) -> None:
    async with zoom() as client:
        refusal = await client.sign_in(user, **form)
        assert (refusal.status, refusal.json["error"]) == (400, error)


class Tick:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def refused(limits: Limits, settings: ZoomSandboxSettings, kind: str, now: datetime = NOON) -> bool:
    try:
        limits.take(settings, kind, now)
    except RefusedError:
        return True
    return False


@pytest.mark.parametrize("plan", ["free", "pro", "business"])
@pytest.mark.parametrize("kind", [LIGHT, MEDIUM, HEAVY, INTENSIVE])
def test_each_class_has_its_calls_a_second_or_minute(plan: Plan, kind: str) -> None:
    tick, stats = Tick(), Stats()
    limits, settings = Limits(stats, ticker=tick), ZoomSandboxSettings(plan=plan)
    most, seconds = RATES[plan][kind]
    assert [refused(limits, settings, kind) for _ in range(most + 2)] == [False] * most + [True] * 2
    assert stats.snapshot().violations == {kind: 2}
    tick.now += seconds - 0.01
    assert refused(limits, settings, kind)
    tick.now += 0.02
    assert not refused(limits, settings, kind)


def test_heavy_and_intensive_calls_share_a_day_and_others_of_the_account_use_it_too() -> None:
    tick, stats = Tick(), Stats()
    limits = Limits(stats, ticker=tick)
    settings = ZoomSandboxSettings(plan="pro", daily=10, used_elsewhere=4, pace=1000)
    assert [refused(limits, settings, kind) for kind in (HEAVY, INTENSIVE) * 3] == [False] * 6
    assert refused(limits, settings, HEAVY)
    assert refused(limits, settings, INTENSIVE)
    assert not refused(limits, settings, LIGHT)
    assert stats.snapshot().violations == {"Heavy + Resource-intensive a day": 2}
    assert not refused(limits, settings, HEAVY, datetime(2026, 11, 13, tzinfo=UTC))


@pytest.mark.parametrize("refusal", ["iso", "seconds", "date", "bare"])
async def test_each_form_of_429_says_or_hides_when_to_come_again(refusal: str) -> None:
    async with zoom(limits="enforced", daily=1, refusal=refusal) as client:
        assert (await client.get("/report/users", **QUIET)).status == 200
        answer = await client.get("/report/users", **QUIET)
    assert (answer.status, answer.json["code"]) == (429, 429)
    assert "daily rate limit" in answer.json["message"]
    again = answer.headers.get("Retry-After")
    match refusal:
        case "iso":
            assert again == "2026-11-13T00:00:00Z"
        case "seconds":
            assert again == "43200"
        case "date":
            assert parsedate_to_datetime(again or "") == datetime(2026, 11, 13, tzinfo=UTC)
        case "bare":
            assert not [name for name in answer.headers if name.startswith(("Retry", "X-RateLimit"))]
    if refusal != "bare":
        names = ("Category", "Type", "Limit", "Remaining")
        assert [answer.headers[f"X-RateLimit-{name}"] for name in names] == ["Heavy", "Daily-limit", "1", "0"]


async def test_limits_that_only_count_are_told_in_the_statistics() -> None:
    async with zoom(limits="counted") as client:
        for _ in range(23):
            assert (await client.get("/metrics/meetings", type="past", **QUIET)).status == 200
        told = await client.control("/sandbox/stats")
        assert told["violations"] == {"Resource-intensive": 3}
        assert told["requests"] == {"/oauth/token": {"200": 1}, "/v2/metrics/meetings": {"200": 23}}


async def test_a_missing_scope_is_named() -> None:
    async with zoom(missing_scopes=["dashboard:read:list_meetings:admin"]) as client:
        answer = await client.get("/metrics/meetings", type="past", **QUIET)
        assert "dashboard:read:list_meetings:admin" in answer.json["message"]
        await client.control("/sandbox/switches", {"missing_scopes": []})
        assert (await client.get("/metrics/meetings", type="past", **QUIET)).status == 200
