"""Zoom's login, plans, scopes and limits: what each refusal means, and that no secret goes where it should not."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from aiohttp import web

from harvester.answers import Allowance
from harvester.coverage import Interval
from harvester.errors import ConfigError, InvalidEventError, PermanentError, TransientError
from harvester.retry import Retry, Wait
from harvester.sources.zoom_limits import Budget, Limits
from harvester.sources.zoom_refusals import DailyLimitError
from harvester.sources.zoom_settings import api_settings, oauth_settings
from tests.opencast_table import read
from tests.unit.test_zoom_source import read_up_to_an_error, two_meetings, types
from tests.zoom_account import DAY, NOW, Account, Row, meeting, refusal, served, settings

BUSINESS = "This API is only available for Business or higher accounts that have enabled the Dashboard feature."
SCOPE = "Invalid access token, does not contain scopes:[{}]."


# --- the token


async def test_a_login_that_is_refused_names_the_settings_and_not_the_secret() -> None:
    async with served(two_meetings(), client_secret="wrong-secret") as source:
        with pytest.raises(PermanentError, match="HARVESTER_ZOOM_ACCOUNT_ID") as raised:
            await source.streams()
    assert "wrong-secret" not in f"{raised.value!r}{raised.value.__cause__!r}"


async def test_a_token_goes_in_the_header_alone_and_is_renewed_before_it_ends() -> None:
    account = two_meetings()
    async with served(account) as source:
        [stream] = await source.streams()
        await read(stream, DAY)
        assert (account.tokens, set(account.authorizations)) == (1, {"Bearer token-1"})
        account.now = NOW + timedelta(minutes=59, seconds=1)
        await read(stream, DAY)
        await read(stream, DAY)
    assert account.tokens == 2
    assert not [call for call in account.calls if "token-" in call]


async def test_one_renewal_for_a_401_and_then_the_same_call_again() -> None:
    account = two_meetings()
    account.reply = lambda r: (
        refusal(401, 124, "Invalid access token.") if r.headers.get("Authorization") == "Bearer token-1" else None
    )
    async with served(account) as source:
        [stream] = await source.streams()
        assert len((await read(stream, DAY)).events) == 4
    assert account.tokens == 2


async def test_a_new_token_that_is_refused_too_is_the_end() -> None:
    account = two_meetings()
    account.reply = lambda r: refusal(401, 124, "Invalid access token.") if r.path.startswith("/v2") else None
    async with served(account) as source:
        [stream] = await source.streams()
        _, error = await read_up_to_an_error(stream)
    assert isinstance(error, PermanentError)
    assert "HARVESTER_ZOOM_CLIENT_SECRET" in str(error)
    assert account.tokens == 2


async def test_the_api_is_where_the_token_says_when_that_is_as_near_as_what_was_set() -> None:
    region = two_meetings()
    async with served(region):
        account = Account(api_url=region.url)
        async with served(account) as source:
            [stream] = await source.streams()
            assert len((await read(stream, DAY)).events) == 4
    assert account.paths("metrics") == []


@pytest.mark.parametrize(
    "told",
    ["https://evil.example", "http://api-us.zoom.us", "https://zoom.us.evil.example", "nonsense//", "https://api-us.zoom.us"],
)
async def test_a_token_goes_to_no_address_that_is_not_the_vendors(told: str) -> None:
    account = two_meetings()
    account.api_url = told
    async with served(account) as source:
        [stream] = await source.streams()
        assert len((await read(stream, DAY)).events) == 4


def test_secrets_go_in_the_clear_to_loopback_alone() -> None:
    for url in ("http://zoom.example/v2", "http://10.0.0.5/v2"):
        with pytest.raises(ConfigError, match="HARVESTER_ZOOM_ALLOW_PLAIN_HTTP"):
            api_settings(settings().model_copy(update={"url": url}))
    assert "secret" not in repr(oauth_settings(settings()))
    assert "'secret'" not in repr(settings())


# --- plan and scopes


class Reports:
    """An account that has no dashboard."""

    def __init__(self, account: Account, message: str = BUSINESS, code: int = 200) -> None:
        self.account = account
        self.message = message
        self.code = code
        self.users: list[Row] = [{"id": "host 1", "meetings": 2}, {"id": "gone"}]

    def __call__(self, request: web.BaseRequest) -> web.Response | None:
        path = request.raw_path.partition("?")[0]
        if path.startswith("/v2/metrics"):
            return refusal(400, self.code, self.message)
        if path == "/v2/report/users":
            return web.json_response({"users": self.users, "next_page_token": ""})
        if path == "/v2/report/users/gone/meetings":
            return refusal(404, 1001, "User does not exist: gone.")
        if path == "/v2/report/users/host%201/meetings":
            rows = self.account.meetings if "type=past&" in f"{request.query_string}&" else []
            return web.json_response({"meetings": rows})
        if path.startswith("/v2/report/meetings/"):
            return web.json_response({"participants": self.account.stays[path.split("/")[4]]})
        return None


@pytest.mark.parametrize(
    ("code", "message"), [(200, BUSINESS), (4711, SCOPE.format("dashboard:read:list_meetings:admin")), (4700, SCOPE.format("x"))]
)
async def test_q53_without_dashboard_reports_are_read_and_it_says_so(code: int, message: str) -> None:
    account, told = two_meetings(), list[tuple[str, str]]()
    account.reply = Reports(account, message, code)
    async with served(account, on_mode=lambda mode, why: told.append((mode, why))) as source:
        [stream] = await source.streams()
        got = await read(stream, DAY)
        await read(stream, DAY)
    assert types(got) == ["meeting a==", "session a==", "meeting b==", "session b=="]
    assert b'"from":"report"' in bytes(got.events[0].data)
    assert [mode for mode, _ in told] == ["report"]
    assert message in told[0][1]
    assert len(account.paths("/v2/metrics")) == 1


async def test_e39_reports_tell_the_hosts_account_in_each_meeting() -> None:
    account = two_meetings()
    account.reply = Reports(account)
    async with served(account, mode="report") as source:
        [stream] = await source.streams()
        got = await read(stream, DAY)
    data = [msgspec.json.decode(event.data) for event in got.events if event.type == "zoom.meeting"]
    assert [found["host_id"] for found in data] == ["host 1", "host 1"]


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_no_account_and_no_mail_address_stands_in_an_error_or_a_wait(status: int) -> None:
    account, said = two_meetings(), list[str]()
    reports = Reports(account)

    def reply(request: web.BaseRequest) -> web.Response | None:
        if "/host 1/" not in request.path:
            return reports(request)
        return refusal(status, 1001, "User does not exist: host 1 (ada.lovelace@university.example).")

    account.reply = reply
    async with served(account, mode="report", retry=Retry(1, 0), on_wait=lambda wait: said.append(wait.text)) as source:
        [stream] = await source.streams()
        got, error = await read_up_to_an_error(stream)
    said += [str(error)] if error else [broken.error for broken in got.broken]
    assert said or status == 404  # who is not there has no meetings
    for text in said:
        assert "/report/users/…/meetings" in text
        assert not [word for word in ("host 1", "host%201", "ada", "lovelace") if word in text]


@pytest.mark.parametrize(("hosts", "kept"), [(1, True), (2, True), (3, False)])
async def test_hosts_whose_meetings_are_refused_are_letters_unless_so_are_all_of_several(hosts: int, kept: bool) -> None:
    account = two_meetings()
    reports = Reports(account)
    reports.users = [{"id": f"refused {n}", "email": "ada@university.example", "meetings": n} for n in range(hosts)]

    def reply(request: web.BaseRequest) -> web.Response | None:
        return refusal(400, 1010, "User does not belong to this account.") if "/refused" in request.path else reports(request)

    account.reply = reply
    async with served(account, mode="report") as source:
        [stream] = await source.streams()
        _, error = await read_up_to_an_error(stream)
        assert isinstance(error, PermanentError) is not kept
        reports.users.append({"id": "host 1", "meetings": 2})
        got = await read(stream, DAY)
        assert types(got) == ["meeting a==", "session a==", "meeting b==", "session b=="]
        assert [(json.loads(b.body), b.reason) for b in got.broken] == [
            ({"day": "2026-11-02", **user}, "host") for user in reports.users[:-1]
        ]
        assert {b.error.partition(":")[0] for b in got.broken} == {"the meetings of a host on 2026-11-02"}
        with pytest.raises(InvalidEventError):
            stream.event(got.broken[0].body, NOW)


@pytest.mark.parametrize("scope", [True, False])
async def test_a_scope_or_a_token_that_is_refused_to_one_host_is_nothing_of_the_host(scope: bool) -> None:
    account = two_meetings()
    reports = Reports(account)
    refused = (400, 4711, SCOPE.format("report:read:user:admin")) if scope else (401, 124, "Invalid access token.")
    account.reply = lambda r: refusal(*refused) if "/host%201/meetings" in r.raw_path else reports(r)
    async with served(account, mode="report", retry=Retry(1, 0)) as source:
        [stream] = await source.streams()
        got, error = await read_up_to_an_error(stream)
    assert isinstance(error, PermanentError)
    assert (got.events, got.broken) == ([], [])


async def test_a_scope_that_is_missing_everywhere_is_named() -> None:
    account = two_meetings()
    reports = Reports(account)

    def reply(request: web.BaseRequest) -> web.Response | None:
        if request.path == "/v2/report/users":
            return refusal(400, 4711, SCOPE.format("report:read:list_users:admin"))
        return reports(request)

    account.reply = reply
    async with served(account) as source:
        [stream] = await source.streams()
        with pytest.raises(PermanentError, match="add the scope report:read:list_users:admin"):
            await read(stream, DAY)


async def test_a_mode_that_is_set_is_not_left() -> None:
    account = two_meetings()
    account.reply = Reports(account)
    async with served(account, mode="dashboard") as source:
        [stream] = await source.streams()
        with pytest.raises(PermanentError, match="needs a Business plan"):
            await read(stream, DAY)
    async with served(account, mode="report") as source:
        [stream] = await source.streams()
        account.calls.clear()
        assert len((await read(stream, DAY)).events) == 4
    assert account.paths("/v2/metrics") == []


async def test_of_one_person_alone_reports_tell_nothing_and_are_not_asked() -> None:
    account = Account([meeting("a==")])
    reports = Reports(account)

    def reply(request: web.BaseRequest) -> web.Response | None:
        if "/meetings?" in request.raw_path and "report/users/host" in request.raw_path:
            return web.json_response({"meetings": account.meetings if "pastOne" in request.query_string else []})
        return reports(request)

    account.reply = reply
    async with served(account, mode="report") as source:
        [stream] = await source.streams()
        got = await read(stream, DAY)
    assert (types(got), got.broken, account.paths("participants")) == (["meeting a=="], [], [])


# --- limits


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "2026-11-03T18:00:07Z"}, 7.0),
        ({"Retry_After": "Tue, 03 Nov 2026 18:00:07 GMT"}, 7.0),
        ({}, 5.0),
    ],
    ids=["seconds", "iso", "date", "nothing"],
)
async def test_f31_a_429_says_in_any_form_when_to_come_again(headers: dict[str, str], seconds: float) -> None:
    account, waits = two_meetings(), list[Wait]()
    refused: list[str] = []

    def reply(request: web.BaseRequest) -> web.Response | None:
        if request.path.startswith("/v2") and not refused:
            refused.append(request.path)
            return refusal(
                429, 429, "You have reached the maximum per-second rate limit for this API. Try again later.", **headers
            )
        return None

    account.reply = reply
    async with served(account, retry=Retry(2, 0.001), on_wait=waits.append) as source:
        [stream] = await source.streams()
        assert len((await read(stream, DAY)).events) == 4
    assert [(wait.reason, round(wait.seconds * 1000, 1)) for wait in waits] == [("rate_limited", seconds)]


DAILY = "You have reached the maximum daily rate limit for this API. Refer to the response header for details."


@pytest.mark.parametrize(
    ("message", "headers"),
    [
        (DAILY, {}),
        ("Too many", {"X_RateLimit_Type": "Daily-limit"}),
        ("Too many", {"Retry_After": "2026-11-04T00:00:00Z"}),
        ("Too many", {"Retry_After": "21600"}),
    ],
    ids=["message", "type", "iso", "seconds"],
)
async def test_q54_the_limit_of_a_day_stops_what_is_finished_stays_and_nothing_is_asked_until_then(
    message: str, headers: dict[str, str]
) -> None:
    account = two_meetings()
    account.reply = lambda r: refusal(429, 429, message, **headers) if "/b=" in r.raw_path else None
    async with served(account) as source:
        [stream] = await source.streams()
        got, error = await read_up_to_an_error(stream)
        assert types(got) == ["meeting a==", "session a=="]
        covered = got.pages[-1].covered
        assert covered == Interval(DAY.start, DAY.start + timedelta(hours=12))
        assert isinstance(error, TransientError)
        assert 0 < (error.retry_after or 0) <= 6 * 3600
        assert "2026-11-04T00:00:00Z" in str(error)
        before = len(account.calls)
        assert isinstance((await read_up_to_an_error(stream))[1], TransientError)
        assert len(account.calls) == before
    notes = got.pages[-1].notes or b""
    account.reply = lambda _: None
    async with served(account) as source:  # another process, the same evening
        [stream] = await source.streams()
        before = len(account.calls)
        assert isinstance((await read_up_to_an_error(stream, notes=notes))[1], TransientError)
        assert len(account.calls) == before
    account.now = datetime(2026, 11, 4, 0, 0, 1, tzinfo=UTC)
    async with served(account) as source:  # the next day
        [stream] = await source.streams()
        account.calls.clear()
        resumed = await read(stream, DAY, notes)
    assert types(resumed) == ["meeting a==", "meeting b==", "session b=="]
    assert len(account.paths("participants")) == 1


async def test_the_budget_that_is_set_is_kept_and_shown() -> None:
    account, told = two_meetings(), list[Allowance]()
    async with served(account, daily_calls=3, on_allowance=told.append) as source:
        [stream] = await source.streams()
        got, error = await read_up_to_an_error(stream)
    assert isinstance(error, TransientError)
    assert types(got) == ["meeting a==", "session a=="]
    midnight = datetime(2026, 11, 4, tzinfo=UTC).timestamp()
    assert told == [Allowance(3, left, midnight) for left in (2, 1, 0)]
    assert len(account.paths("metrics")) == 3


async def test_the_budget_of_the_day_survives_the_process_and_ends_with_the_day() -> None:
    now = NOW
    budget = Budget(lambda: now, 10)
    budget.remember(int(NOW.timestamp() // 86_400), 9, 0)
    await budget.turn()
    with pytest.raises(DailyLimitError):
        await budget.turn()
    now = NOW + timedelta(hours=6)
    await budget.turn()
    assert budget.calls == 1


@pytest.mark.parametrize(("plan", "most"), [("pro", 30_000), ("business", 60_000)])
def test_the_plan_says_how_many_calls_a_day_there_are_unless_it_is_set(plan: str, most: int) -> None:
    for told, wanted in ((0, most), (77, 77)):
        limits = Limits(Budget(lambda: NOW, told))
        limits.plan("pro" if plan == "pro" else "business")
        assert limits.budget.most == wanted


def test_a_limit_of_seconds_does_not_count_against_the_day() -> None:
    limits = Limits(Budget(lambda: NOW, 0))
    assert [len(limits.of(rate)) for rate in ("medium", "heavy", "intensive")] == [1, 2, 2]


async def test_an_account_on_a_free_plan_is_told_what_zoom_says() -> None:
    account = two_meetings()
    refused = refusal(400, 200, "Only available for paid users, the account is on a free plan.")
    account.reply = lambda r: refused if r.path.startswith("/v2") else None
    async with served(account) as source:
        [stream] = await source.streams()
        with pytest.raises(PermanentError, match="Only available for paid users"):
            await read(stream, DAY)
