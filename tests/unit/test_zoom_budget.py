"""The calls of a day at Zoom: what is counted, what is believed of Zoom's own count, and what of it is kept and shown."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from harvester.commands.spent import lines, spent_of
from harvester.coverage import Coverage, Interval
from harvester.errors import TransientError
from harvester.limits import Spent
from harvester.report import StreamReport
from harvester.sources.zoom_limits import Budget
from harvester.sources.zoom_notes import Memory, spent
from harvester.sources.zoom_refusals import DailyLimitError
from tests.unit.test_zoom_source import read_up_to_an_error, two_meetings
from tests.zoom_account import DAY, NOW, meeting, refusal, served

MIDNIGHT = datetime(2026, 11, 4, tzinfo=UTC)


def daily(limit: int | str, left: int | str) -> dict[str, str]:
    return {"X-RateLimit-Type": "Daily-limit", "X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(left)}


async def test_what_all_apps_of_the_account_spend_is_believed_as_zoom_tells_it() -> None:
    budget = Budget(lambda: NOW, 0)
    await budget.turn()
    budget.heard(daily(30_000, 1), NOW)
    assert (budget.calls, budget.account, budget.left) == (1, 29_999, 1)
    await budget.turn()
    with pytest.raises(DailyLimitError, match="30,000 heavy calls of today are spent, 2 of them here; it goes on at 2026-11-04"):
        await budget.turn()


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({"X-RateLimit-Type": "QPS", "X-RateLimit-Limit": "40", "X-RateLimit-Remaining": "0"}, NOW),
        ({"X-RateLimit-Limit": "40", "X-RateLimit-Remaining": "0"}, NOW),
        (daily("-1", "0"), NOW),
        (daily("1" * 400, "0"), NOW),
        (daily(30_000, 0), NOW - timedelta(days=1)),
        ({}, NOW),
    ],
    ids=["a second", "no type", "no number", "too long", "yesterday", "nothing"],
)
async def test_what_tells_nothing_of_this_day_is_passed_over(headers: dict[str, str], sent: datetime) -> None:
    budget = Budget(lambda: NOW, 0)
    budget.heard(headers, sent)
    assert budget.left == 60_000


async def test_a_new_day_begins_with_nothing_spent_by_anybody() -> None:
    now = NOW
    budget = Budget(lambda: now, 0)
    budget.heard(daily(30_000, 0), NOW)
    now = MIDNIGHT
    await budget.turn()
    assert (budget.calls, budget.account) == (1, 1)


async def test_the_account_is_asked_nothing_once_zoom_said_that_nothing_is_left() -> None:
    account = two_meetings()
    account.more = daily(100, 0)
    async with served(account) as source:
        [stream] = await source.streams()
        got, error = await read_up_to_an_error(stream)
    assert isinstance(error, TransientError)
    assert len(account.paths("/v2")) == 1
    assert spent(got.pages[-1].notes or b"") == Spent(day=NOW.date(), calls=1, most=60_000, account=100, until=MIDNIGHT)


async def test_a_cut_before_anything_is_finished_still_notes_what_was_spent_and_claims_nothing() -> None:
    account = two_meetings()
    account.reply = lambda r: refusal(429, 429, "maximum daily rate limit") if "pastOne" in r.raw_path else None
    async with served(account) as source:
        [stream] = await source.streams()
        got, _ = await read_up_to_an_error(stream)
    [page] = got.pages
    assert page.covered == Interval(DAY.start, DAY.start)
    assert spent(page.notes or b"") == Spent(day=NOW.date(), calls=2, most=60_000, until=MIDNIGHT)


async def test_our_own_limit_may_be_raised_before_the_day_is_over() -> None:
    account = two_meetings()
    async with served(account, daily_calls=3) as source:
        [stream] = await source.streams()
        got, _ = await read_up_to_an_error(stream)
    async with served(account, daily_calls=30) as source:
        [stream] = await source.streams()
        _, error = await read_up_to_an_error(stream, notes=got.pages[-1].notes or b"")
    assert error is None


async def test_notes_stay_small_however_many_meetings_there_are() -> None:
    account = two_meetings()
    account.meetings = [meeting(f"m{n}==", f"2026-11-02T{n // 60 % 24:02}:{n % 60:02}:00Z") for n in range(1000)]
    async with served(account) as source:
        [stream] = await source.streams()
        got, _ = await read_up_to_an_error(stream)
    assert 1000 * 10 < len(got.pages[-1].notes or b"") < 1000 * 40


@pytest.mark.parametrize("notes", [b"", b"\xc1", b"\x90", b"etag", b"\x97\x01\x00\x00\x00\x00\x00\x90"])
def test_notes_that_are_none_of_ours_tell_nothing(notes: bytes) -> None:
    assert spent(notes) is None
    assert spent_of({"zoom": {"meetings": Coverage(notes=notes)}, "opencast": {"useractions": Coverage(notes=notes)}}) == {}


async def test_notes_of_the_version_before_are_read() -> None:
    account = two_meetings()
    async with served(account) as source:
        [stream] = await source.streams()
        got, _ = await read_up_to_an_error(stream)
    version, *fields = msgspec.msgpack.decode(got.pages[-1].notes or b"")
    before = msgspec.msgpack.encode([version - 1, *fields[:-2]])
    account.calls.clear()
    async with served(account) as source:
        [stream] = await source.streams()
        await read_up_to_an_error(stream, notes=before)
    assert account.paths("participants") == []
    assert spent(before) == spent(got.pages[-1].notes or b"")


def told(now: datetime = NOW, **fields: Any) -> str:
    one = Spent(**{"day": date(2026, 11, 3), "calls": 1234, "most": 60_000, **fields})
    [line] = lines([StreamReport(name="zoom/meetings", state="running", spent=one), StreamReport(name="x", state="")], now)
    return line


def test_people_are_told_what_is_spent_of_today_and_when_it_goes_on() -> None:
    assert told() == "· zoom/meetings: 1,234 of 60,000 calls of 2026-11-03 (UTC) spent"
    assert told(account=9876).endswith("spent, 9,876 by all apps of the account")
    assert told(until=MIDNIGHT).endswith("spent; it goes on at 2026-11-04T00:00:00Z")
    assert told(now=MIDNIGHT, until=MIDNIGHT) == "· zoom/meetings: 0 of 60,000 calls of 2026-11-04 (UTC) spent"


def test_what_the_store_holds_is_found_by_stream() -> None:
    budget = Budget(lambda: NOW, 500)
    budget.remember(int(NOW.timestamp() // 86_400), 7, 0.0)
    notes = Memory().encoded(NOW, NOW, budget)
    assert spent_of({"zoom": {"meetings": Coverage(notes=notes)}}) == {"zoom/meetings": Spent(day=NOW.date(), calls=7, most=500)}
