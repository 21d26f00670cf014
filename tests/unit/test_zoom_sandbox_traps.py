"""The simulated Zoom has the vendor's traps, each of them once (zoom.md 2 to 5)."""

import re
from datetime import timedelta

import pytest

from harvester.sandbox.clock import moment_of
from harvester.sandbox.zoom_people import INSTANT
from harvester.sandbox.zoom_world import NEVER
from tests.unit.zoom_sandboxes import NOON, QUIET, SPAN, Query, ZoomClient, encoded, zoom


async def test_meetings_are_live_ones_unless_past_ones_are_asked_for() -> None:
    async with zoom(now=NOON.replace(hour=16)) as client:
        found = (await client.get("/metrics/meetings", page_size=300, **QUIET)).json["meetings"]
        assert found == await client.meetings("live")
        assert found
        assert not any("end_time" in meeting or "duration" in meeting for meeting in found)
        people = await client.participants(found[0]["uuid"], type="live")
        assert people
        assert not any("leave_time" in stay for stay in people)
        assert (await client.get(f"/metrics/meetings/{encoded(found[0]['uuid'])}/participants", type="past")).status == 404


async def test_meetings_of_one_person_stand_under_past_one_alone() -> None:
    async with zoom() as client:
        past, alone = await client.meetings("past"), await client.meetings("pastOne")
        assert alone
        assert {meeting["participants"] for meeting in alone if meeting["start_time"]} >= {1}
        assert not {meeting["uuid"] for meeting in past} & {meeting["uuid"] for meeting in alone}
        uuid = encoded(next(meeting["uuid"] for meeting in alone if meeting["participants"]))
        assert await client.participants(alone[0]["uuid"]) is not None
        for path in (f"/report/meetings/{uuid}/participants", f"/past_meetings/{uuid}/participants"):
            assert (await client.get(path)).json["code"] == 3001
        truth = client.running.truth(*SPAN)
        assert {uuid for uuid, meeting in truth.meetings.items() if meeting.one} == {meeting["uuid"] for meeting in alone}


@pytest.mark.parametrize("kind", ["leading", "inner", "plain"])
async def test_a_uuid_with_slashes_has_to_be_encoded_twice(kind: str) -> None:
    async with zoom() as client:
        pattern = {"leading": "/(?!.*//).+", "inner": "[^/].*//.+", "plain": "[^/]+/[^/]+"}[kind]
        uuid = next(m.uuid for m in client.past() if re.fullmatch(pattern, m.uuid) and not m.one)
        statuses = [(await client.get(f"/metrics/meetings/{encoded(uuid, n)}/participants", type="past")).status for n in (1, 2)]
        assert statuses == ([200, 200] if kind == "plain" else [404, 200])
        raw = await client.get(f"/metrics/meetings/{uuid}/participants", type="past")
        assert (raw.status, raw.json["code"]) == (404, 3001)


async def test_the_whole_utc_day_comes_back_even_if_times_are_given() -> None:
    async with zoom() as client:
        days = await client.meetings(**{"from": "2026-11-02", "to": "2026-11-02"})
        times = await client.meetings(**{"from": "2026-11-02T13:00:00Z", "to": "2026-11-02T14:00:00Z"})
        assert days == times
        assert {meeting["start_time"][:10] for meeting in days if meeting["start_time"]} == {"2026-11-02"}
        assert len({meeting["start_time"][11:13] for meeting in days}) > 8


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        ("2026-10-01", "2026-11-02", "one month"),
        ("2026-05-11", "2026-05-12", "within the last six months"),
        ("2026-11-03", "2026-11-02", "Validation"),
        ("yesterday", "2026-11-02", "Validation"),
        ("2026-11-02", "", "Validation"),
    ],
)
async def test_a_window_is_a_month_at_most_and_within_six_months(first: str, last: str, told: str) -> None:
    async with zoom() as client:
        for path in ("/metrics/meetings", "/report/users"):
            answer = await client.get(path, **{"from": first, "to": last, "type": "past" if "metrics" in path else "active"})
            assert (answer.status, answer.json["code"]) == (400, 300)
            assert told in answer.json["message"]
        assert (await client.get("/report/users", **{"from": "2026-05-12", "to": "2026-06-12"})).status == 200


async def test_a_page_token_dies_after_fifteen_minutes_and_with_another_query() -> None:
    async with zoom() as client:
        query: Query = {"type": "past", "page_size": 30, **QUIET}
        token = (await client.get("/metrics/meetings", **query)).json["next_page_token"]
        client.advance(minutes=15)
        assert (await client.get("/metrics/meetings", **query, next_page_token=token)).status == 200
        for changed in ({"page_size": 31}, {"to": "2026-11-04"}, {"type": "pastOne"}, {"next_page_token": token[:-2]}):
            dead = await client.get("/metrics/meetings", **{**query, "next_page_token": token, **changed})
            assert (dead.status, dead.json["code"]) == (400, 300)
        client.advance(seconds=1)
        dead = await client.get("/metrics/meetings", **query, next_page_token=token)
        assert dead.json == {"code": 300, "message": "The next page token is invalid or expired."}


async def test_pages_hold_every_row_once_and_no_more_than_the_cap() -> None:
    async with zoom() as client:
        whole = await client.meetings()
        assert await client.meetings(page_size=7) == whole
        assert len({meeting["uuid"] for meeting in whole}) == len(whole) > 60
        await client.control("/sandbox/switches", {"page_cap": 5})
        first = (await client.get("/metrics/meetings", type="past", page_size=300, **QUIET)).json
        assert (len(first["meetings"]), first["page_size"]) == (5, 5)


async def test_total_records_is_above_the_rows_of_some_meetings() -> None:
    async with zoom() as client:
        some = [meeting for meeting in client.past() if meeting.phantoms][:5]
        assert some
        for meeting in some:
            answer = await client.get(f"/metrics/meetings/{encoded(meeting.uuid)}/participants", type="past", page_size=300)
            assert answer.json["total_records"] == len(answer.json["participants"]) + meeting.phantoms
            assert answer.json["next_page_token"] == ""


async def test_a_meeting_is_late_its_end_later_and_some_rows_last() -> None:
    async with zoom() as client:
        meeting = next(m for m in client.made() if m.end < m.visible < m.filled < NEVER and not m.one and not m.blank)
        day = moment_of(meeting.start).date().isoformat()

        async def found() -> list[dict[str, object]]:
            return [row for row in await client.meetings(**{"from": day, "to": day}) if row["uuid"] == meeting.uuid]

        client.at(meeting.visible - 1000)
        assert await found() == []
        client.at(meeting.visible)
        first = (await found())[0]
        assert (first["end_time"], first["duration"]) == ("", "")
        client.at(meeting.filled)
        assert re.fullmatch(r"\d\d:\d\d(:\d\d)?", str((await found())[0]["duration"]))


async def test_late_rows_raise_the_count_of_participants_or_come_in_silence() -> None:
    for counts in ("rows", "final"):
        async with zoom(counts=counts) as client:
            sandbox = client.running.sandbox
            meeting, last = next(
                (m, stays)
                for m in client.made(6)
                if m.visible == m.filled and len(stays := {s.visible for s in sandbox.account.sessions(m)}) > 1
            )
            before = sandbox.moment(moment_of(max(last) - 1000))
            after = sandbox.moment(moment_of(max(last)))
            assert len(sandbox.account.rows(meeting, before)) < len(sandbox.account.rows(meeting, after))
            grown = sandbox.account.joins(meeting, after) - sandbox.account.joins(meeting, before)
            assert (grown > 0) == (counts == "rows")


async def test_guests_have_empty_ids_and_registrants_only_on_request() -> None:
    async with zoom() as client:
        rows = [
            row for meeting in (await client.meetings())[:40] if meeting["participants"] for row in await people(client, meeting)
        ]
        guests = [row for row in rows if row["id"] == ""]
        assert guests
        assert {row["email"] for row in guests} == {""}
        assert {row.get("participant_user_id", "none") for row in guests} == {"", "none"}
        assert all(row["email"].endswith("@university.example") for row in rows if row["id"])
        assert not any("registrant_id" in row for row in rows)
        assert {row["status"] for row in rows} == {"in_meeting", "in_waiting_room"}


async def people(client: ZoomClient, meeting: dict[str, str]) -> list[dict[str, str]]:
    answer = await client.get(f"/metrics/meetings/{encoded(meeting['uuid'])}/participants", type="past", page_size=300)
    return list(answer.json.get("participants", []))


async def test_people_come_again_under_the_same_or_another_user_id() -> None:
    async with zoom() as client:
        account = client.running.sandbox.account
        again, other = 0, 0
        for meeting in client.made(5):
            seen: dict[str, set[str]] = {}
            stays = [stay for stay in account.sessions(meeting) if stay.person.id and stay.status == "in_meeting"]
            for stay in stays:
                again += stay.user_id in seen.get(stay.person.id, set())
                other += bool(seen.get(stay.person.id)) and stay.user_id not in seen[stay.person.id]
                seen.setdefault(stay.person.id, set()).add(stay.user_id)
        assert again > 10
        assert other > 10


async def test_a_hipaa_account_tells_no_name_mail_address_or_place() -> None:
    async with zoom(hipaa=True) as client:
        rows = [row for meeting in (await client.meetings())[:10] for row in await people(client, meeting)]
        names = ("user_name", "email", "ip_address", "location")
        assert rows
        assert {row[name] for row in rows for name in names} == {""}
        assert all(stay.name is stay.email is stay.ip is None for stay in client.running.truth(*SPAN).sessions.values())


@pytest.mark.parametrize("switches", [{"plan": "pro"}, {"dashboard": False}], ids=str)
async def test_without_dashboard_reports_are_left(switches: dict[str, object]) -> None:
    async with zoom(**switches) as client:
        refused = await client.get("/metrics/meetings", type="past", **QUIET)
        assert refused.status == 400
        assert "Business or higher" in refused.json["message"]
        users = await client.rows("/report/users", "users", type="active", page_size=300, **QUIET)
        found = []
        for user in users:
            for kind in ("past", "pastOne"):
                found += await client.rows(f"/report/users/{user['id']}/meetings", "meetings", type=kind, **QUIET)
        truth = client.running.truth(*SPAN)
        assert {meeting["uuid"] for meeting in found} == set(truth.meetings)
        assert not any(meeting.readable for meeting in truth.meetings.values() if meeting.one)
        ended = [meeting for meeting in found if meeting["duration"]]
        assert {meeting["uuid"]: meeting["duration"] for meeting in ended} == {
            uuid: meeting.minutes for uuid, meeting in truth.meetings.items() if meeting.minutes
        }


async def test_a_meeting_by_number_is_the_latest_and_one_by_chance_is_none() -> None:
    async with zoom() as client:
        past = client.past()
        latest = next(m for m in past if m.series.type != INSTANT)
        by_number = (await client.get(f"/past_meetings/{latest.series.number}")).json
        assert by_number["uuid"] == latest.uuid
        chance = next(m for m in past if m.series.type == INSTANT)
        assert (await client.get(f"/past_meetings/{chance.series.number}")).json["code"] == 3001
        assert (await client.get(f"/past_meetings/{encoded(chance.uuid)}")).json["id"] == chance.series.number
        assert {len(str(m.series.number)) for m in past} == {9, 10, 11}


async def test_of_a_deleted_meeting_nothing_but_its_row_is_left() -> None:
    async with zoom() as client:
        gone = next(m for m in client.made() if m.deleted and client.running.sandbox.moment().past(m) and not m.one)
        for path in ("metrics/meetings/{}/participants", "report/meetings/{}/participants", "past_meetings/{}"):
            assert (
                await client.get("/" + path.format(encoded(gone.uuid)), **{"type": "past"} if "metrics" in path else {})
            ).status == 404
        start = moment_of(gone.start)
        day = start.date().isoformat()
        assert gone.uuid in {meeting["uuid"] for meeting in await client.meetings(**{"from": day, "to": day})}
        truth = client.running.truth(start, start + timedelta(seconds=1))
        assert not truth.meetings[gone.uuid].readable
        assert gone.uuid not in {stay.uuid for stay in truth.sessions.values()}


async def test_some_meetings_never_tell_their_end_and_some_tell_one_before_the_start() -> None:
    async with zoom(meetings_per_day=1500) as client:
        rows = await client.meetings()
        never = [row for row in rows if row["end_time"] == row["duration"] == ""]
        assert {row["start_time"] == "" for row in never} == {True, False}
        assert {row["participants"] for row in never if row["start_time"] == ""} == {0}
        assert any(row["end_time"] and row["end_time"] < row["start_time"] for row in rows)
