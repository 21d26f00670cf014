"""Zoom's meetings from a scripted account: which calls are made, what one broken meeting costs, and what is believed of notes."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import web

from harvester.coverage import Interval
from harvester.errors import PermanentError, TransientError
from harvester.protocols import Page, Stream
from tests.opencast_table import Got, read
from tests.zoom_account import DAY, NOW, Account, hours, meeting, refusal, served, stay


def two_meetings() -> Account:
    rows = [meeting("b==", "2026-11-02T12:00:00Z", end_time="2026-11-02T13:00:00Z"), meeting("a==")]
    return Account(rows, {"a%3D%3D": [stay()], "b%3D%3D": [stay(join="2026-11-02T12:00:01Z")], "a==": [stay()], "b==": [stay()]})


async def read_up_to_an_error(stream: Stream, window: Interval = DAY, notes: bytes = b"") -> tuple[Got, Exception | None]:
    pages: list[Page] = []
    error: Exception | None = None
    try:
        async for page in stream.fetch(window, notes):
            pages.append(page)  # noqa: PERF401 - those before an error count
    except (TransientError, PermanentError) as raised:
        error = raised
    return Got([e for p in pages for e in p.events], [b for p in pages for b in p.broken], pages), error


def types(got: Got) -> list[str]:
    return [f"{e.type.removeprefix('zoom.')} {e.subject.partition('/')[0]}" for e in got.events]


async def test_e35_each_meeting_comes_before_its_sessions_and_in_the_order_in_which_they_began() -> None:
    async with served(two_meetings()) as source:
        [stream] = await source.streams()
        assert types(await read(stream, DAY)) == ["meeting a==", "session a==", "meeting b==", "session b=="]


async def test_e38_e42_past_meetings_are_asked_for_by_utc_days_and_those_of_one_person_too() -> None:
    account = two_meetings()
    account.meetings.append(meeting("c==", "2026-11-02T08:00:00Z", alone=True))
    async with served(account) as source:
        [stream] = await source.streams()
        got = await read(stream, DAY)
    lists = [call for call in account.calls if call.startswith("/v2/metrics/meetings?")]
    assert len(lists) == 2
    assert all("from=2026-11-02&to=2026-11-02" in call for call in lists)
    assert ["type=pastOne" in call for call in lists] == [False, True]
    assert types(got)[0] == "meeting c=="


async def test_of_a_day_that_is_given_whole_only_what_began_in_the_window_is_asked_for() -> None:
    account = two_meetings()
    async with served(account) as source:
        [stream] = await source.streams()
        got = await read(stream, Interval(DAY.start + hours(11), DAY.end))
    assert types(got) == ["meeting b==", "session b=="]
    assert len(account.paths("participants")) == 1


async def test_q54_pages_end_by_the_token_although_the_total_is_above_what_is_given() -> None:
    account = Account([meeting(f"m{n}", f"2026-11-02T10:00:{n:02}Z") for n in range(5)], page=2)
    async with served(account) as source:
        [stream] = await source.streams()
        got = await read(stream, DAY)
    assert len([e for e in got.events if e.type == "zoom.meeting"]) == 5
    assert len([c for c in account.calls if c.startswith("/v2/metrics/meetings?")]) == 3 + 1


async def test_f43_a_list_that_leads_in_circles_is_noticed() -> None:
    account = two_meetings()
    body = {"next_page_token": "same", "meetings": []}
    account.reply = lambda r: web.json_response(body) if r.path == "/v2/metrics/meetings" else None
    async with served(account) as source:
        [stream] = await source.streams()
        _, error = await read_up_to_an_error(stream)
    assert isinstance(error, TransientError)
    assert "loops" in str(error)


async def test_a_page_token_that_died_begins_the_list_again() -> None:
    account = Account([meeting(f"m{n}", f"2026-11-02T10:00:{n:02}Z") for n in range(4)], page=2)
    died: list[str] = []

    def reply(request: web.BaseRequest) -> web.Response | None:
        if "next_page_token=2" in request.raw_path and not died:
            died.append(request.raw_path)
            return refusal(400, 300, "The next page token is invalid or expired.")
        return None

    account.reply = reply
    async with served(account) as source:
        [stream] = await source.streams()
        got = await read(stream, DAY)
    assert died
    assert len({e.subject for e in got.events}) == 4


# --- one meeting that cannot be read


async def test_q54_one_broken_meeting_never_ends_the_run_and_its_participants_are_a_letter() -> None:
    account = two_meetings()
    account.stays.clear()
    account.stays["b=="] = [stay()]
    async with served(account) as source:
        [stream] = await source.streams()
        got = await read(stream, DAY)
        assert types(got) == ["meeting a==", "meeting b==", "session b=="]
        [broken] = got.broken
        assert (broken.reason, json.loads(broken.body)["meeting"]["uuid"]) == ("participants", "a==")
        assert "3001" in broken.error
        with pytest.raises(Exception, match="neither a meeting nor a participant"):
            stream.event(broken.body, NOW)


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>", content_type="text/html"),
        web.Response(text='{"participants":[', content_type="application/json"),
        web.json_response({"code": 1010, "message": "No"}, status=400),
        web.json_response({}, status=403),
    ],
    ids=["html", "cut", "400", "403"],
)
async def test_a_meeting_that_answers_with_nonsense_costs_itself_once_another_could_be_read(answer: web.Response) -> None:
    account = two_meetings()

    def reply(request: web.BaseRequest) -> web.Response | None:
        if "/a=" not in request.raw_path:
            return None
        return web.Response(status=answer.status, body=answer.body, content_type=answer.content_type)

    account.reply = reply
    async with served(account) as source:
        [stream] = await source.streams()
        got = await read(stream, DAY)
    assert types(got) == ["meeting a==", "meeting b==", "session b=="]
    assert len(got.broken) == 1


async def test_meetings_that_zoom_refuses_one_by_one_hold_nothing_up_however_many_follow_each_other() -> None:
    account = Account([meeting(f"m{n}", f"2026-11-02T10:00:{n:02}Z") for n in range(7)])
    account.reply = lambda r: refusal(400, 1010, "No") if "participants" in r.path else None
    async with served(account) as source:
        [stream] = await source.streams()
        got = await read(stream, DAY)
    assert types(got) == [f"meeting m{n}" for n in range(7)]
    assert [json.loads(b.body)["meeting"]["uuid"] for b in got.broken] == [f"m{n}" for n in range(7)]


@pytest.mark.parametrize(
    ("refused", "reason"),
    [((400, 4711, "does not contain scopes:[x]."), "add the scope x"), ((401, 124, "No"), "and so was a new one")],
    ids=["scope", "token"],
)
async def test_a_scope_or_a_token_that_three_meetings_in_a_row_lack_is_no_fault_of_the_meetings(
    refused: tuple[int, int, str], reason: str
) -> None:
    account = Account([meeting(f"m{n}", f"2026-11-02T10:00:{n:02}Z") for n in range(3)])
    account.reply = lambda r: refusal(*refused) if "participants" in r.path else None
    async with served(account, mode="dashboard") as source:
        [stream] = await source.streams()
        got, error = await read_up_to_an_error(stream)
    assert isinstance(error, PermanentError)
    assert reason in str(error)
    assert (got.events, got.broken) == ([], [])


async def test_when_no_meeting_can_be_read_the_window_is_not() -> None:
    account = two_meetings()
    account.reply = lambda r: web.Response(text="<html>", content_type="text/html") if "participants" in r.path else None
    async with served(account) as source:
        [stream] = await source.streams()
        got, error = await read_up_to_an_error(stream)
    assert isinstance(error, TransientError)
    assert (got.events, got.broken) == ([], [])


async def test_participants_that_may_still_come_are_no_letter_yet() -> None:
    account = Account([meeting("a==", "2026-11-03T16:00:00Z", end_time="2026-11-03T17:00:00Z")])
    async with served(account) as source:
        [stream] = await source.streams()
        got = await read(stream, Interval(DAY.end, NOW))
    assert (types(got), got.broken) == (["meeting a=="], [])


async def test_a_meeting_whose_begin_is_not_told_yet_is_left_out_until_its_day_is_done() -> None:
    account = Account([meeting("a==", "", end_time="", duration="", participants=0)])
    async with served(account) as source:
        [stream] = await source.streams()
        assert types(await read(stream, DAY)) == []
        account.now = DAY.start + timedelta(days=2)
        await source.streams()
        account.calls.clear()
    async with served(account) as source:
        [stream] = await source.streams()
        got = await read(stream, DAY)
    assert types(got) == ["meeting a=="]
    assert got.events[0].time == DAY.start


# --- notes


async def polled(account: Account, notes: bytes, window: Interval = DAY) -> tuple[Got, bytes, int]:
    """One poll of a new process: what it read, its notes, and how many meetings it asked for participants of."""
    before = len(account.paths("participants"))
    async with served(account) as source:
        [stream] = await source.streams()
        got = await read(stream, window, notes)
    return got, got.pages[-1].notes or b"", len(account.paths("participants")) - before


async def test_participants_are_asked_for_once_and_again_only_when_the_meeting_changed() -> None:
    account = two_meetings()
    _, notes, asked = await polled(account, b"")
    assert asked == 2
    got, notes, asked = await polled(account, notes)
    assert (asked, types(got)) == (0, ["meeting a==", "meeting b=="])
    assert msgspec.json.decode(got.events[0].data)["distinct_participants"] == 1
    account.meetings[0] |= {"participants": 2}
    account.stays["b=="].append(stay(user=9))
    got, _, asked = await polled(account, notes)
    assert (asked, len(got.events)) == (1, 4)


async def test_where_fewer_rows_came_than_zoom_counts_they_are_asked_for_again_as_late_as_the_meeting_is_old() -> None:
    account = Account([meeting("a==", end_time="2026-11-03T08:00:00Z", participants=2)], {"a==": [stay()]})
    _, notes, asked = await polled(account, b"")
    account.now = NOW + hours(9.9)
    _, same, asked = await polled(account, notes)
    assert asked == 0
    account.now = NOW + hours(10.1)
    account.stays["a=="].append(stay(user=9))
    got, notes, asked = await polled(account, same)
    assert (asked, len(got.events)) == (1, 3)
    account.now = NOW + hours(48)
    assert (await polled(account, notes))[2] == 0


async def test_the_windows_of_one_poll_hand_what_they_know_on_to_the_next() -> None:
    account = two_meetings()
    account.meetings.append(meeting("c==", "2026-11-03T08:00:00Z"))
    account.stays["c=="] = [stay()]
    async with served(account) as source:
        [stream] = await source.streams()
        await read(stream, DAY, b"")
        notes = (await read(stream, Interval(DAY.end, NOW), b"")).pages[-1].notes or b""
    assert (await polled(account, notes, Interval(DAY.start, NOW)))[2] == 0


async def test_what_was_read_before_a_poll_failed_is_not_believed_by_the_next() -> None:
    account = two_meetings()
    async with served(account) as source:
        [stream] = await source.streams()
        await read(stream, DAY, b"")
        again = await read(stream, DAY, b"")
    assert types(again) == ["meeting a==", "session a==", "meeting b==", "session b=="]


async def test_notes_hold_no_token_no_name_and_nothing_of_before_what_is_read_again() -> None:
    account = two_meetings()
    _, notes, _ = await polled(account, b"")
    for secret in (b"token-1", b"secret", b"Ada", b"a=="):
        assert secret not in notes
    account.now = NOW + timedelta(days=30)
    later = notes
    for _ in range(2):  # the first still has to know what is read again behind where the last one came to
        _, later, _ = await polled(account, later, Interval(account.now - hours(1), account.now))
    assert len(later) < len(notes) - 40


# --- days, horizon


async def test_what_lies_behind_the_horizon_or_ahead_is_not_asked_for() -> None:
    account = two_meetings()
    async with served(account) as source:
        [stream] = await source.streams()
        for window in (Interval(NOW - timedelta(days=400), NOW - timedelta(days=300)), Interval(NOW + hours(1), NOW + hours(99))):
            assert (await read(stream, window)).events == []
    assert account.paths("metrics") == []


async def test_what_a_poll_reads_again_is_all_that_is_not_final() -> None:
    async with served(two_meetings()) as source:
        [stream] = await source.streams()
        timing: Any = stream.timing
    assert timing.overlap == timing.settle == timedelta(days=3)
    assert timing.window == timedelta(days=1)
    assert timing.horizon == timedelta(days=180)
