"""Privacy: what of people leaves a source, by kind and policy."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from consumers.records import records_of
from harvester.opencast_answers import hits
from harvester.privacy import Kind, PrivacySettings, Veil
from harvester.sources import PRIVACY, SOURCES, github_privacy, opencast_privacy, zoom_privacy
from harvester.sources.opencast_episodes import episode_event
from harvester.veiled import veiled_event
from tests.useractions import action, event_of, useraction_event
from tests.zoomevents import (
    UUID,
    dashboard_meeting,
    dashboard_participant,
    meeting_event,
    report_meeting,
    report_participant,
    session_event,
)

SANDBOX = Path(__file__).parents[2] / "harvester/sandbox"
KEY = "0123456789abcdef"


def settings(**given: Any) -> PrivacySettings:
    return PrivacySettings(**{"key": SecretStr(KEY), **given})


def veil(source: str = "opencast", **given: Any) -> Veil:
    tables = {"opencast": opencast_privacy.fields, "zoom": zoom_privacy.fields, "github": github_privacy.fields}
    return Veil(settings(**{"privacy": "pseudonymous", **given}), tables[source])


def shown(over: Veil, record: Any) -> dict[str, Any]:
    found = msgspec.json.decode(over.record(msgspec.json.encode(record))[0])
    assert isinstance(found, dict)
    return found


def test_by_default_everything_is_kept_and_no_key_is_needed() -> None:
    assert PrivacySettings().keeps
    assert {PrivacySettings().policy(kind) for kind in Kind} == {"keep"}


def test_one_setting_makes_an_installation_pseudonymous_and_each_kind_can_be_set_alone() -> None:
    told = settings(privacy="pseudonymous")
    kinds = (Kind.NAME, Kind.MAIL, Kind.USER, Kind.SESSION, Kind.ADDRESS)
    assert [told.policy(kind) for kind in kinds] == ["hash", "hash", "hash", "hash", "truncate"]
    own = settings(privacy="pseudonymous", users="keep", mails="drop", addresses="hash")
    assert [own.policy(kind) for kind in kinds] == ["hash", "drop", "keep", "keep", "hash"]
    assert not settings(names="truncate").keeps


@pytest.mark.parametrize("key", ["", "0123456789abcde"])
def test_without_a_key_nothing_is_hidden_badly_but_the_setting_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="HARVESTER_PRIVACY_KEY"):
        PrivacySettings(privacy="pseudonymous", key=SecretStr(key))


@pytest.mark.parametrize(
    ("policy", "kind", "clear", "left"),
    [
        *[("keep", Kind.NAME, "Jill Chill", "Jill Chill"), ("drop", Kind.NAME, "Jill Chill", None)],
        *[
            ("truncate", Kind.NAME, "Jill Chill", "J. C."),
            ("truncate", Kind.NAME, "J. C.", "J. C."),
            ("truncate", Kind.NAME, "?", None),
        ],
        *[("drop", Kind.MAIL, "j@example.edu", None), ("truncate", Kind.MAIL, "j@example.edu", "@example.edu")],
        *[("truncate", Kind.MAIL, "@example.edu", "@example.edu"), ("truncate", Kind.MAIL, "jill", None)],
        *[
            ("truncate", Kind.ADDRESS, "203.0.113.7", "203.0.113.0"),
            ("truncate", Kind.ADDRESS, "2001:db8:1:2::7", "2001:db8:1::"),
        ],
        *[("truncate", Kind.ADDRESS, "::ffff:203.0.113.7", "203.0.113.0"), ("truncate", Kind.ADDRESS, "203.0.113.7:80", None)],
        *[("truncate", Kind.ADDRESS, "unknown", "unknown"), ("drop", Kind.ADDRESS, "203.0.113.7", None)],
    ],
)
def test_what_a_policy_leaves_of_a_value(policy: str, kind: Kind, clear: str, left: str | None) -> None:
    over = Veil(settings(users="hash", **{kind.value: policy}), opencast_privacy.fields)
    assert over.value(kind, clear) == left


@pytest.mark.parametrize("nobody", ["", "None", "-omitted-", "unknown", "anonymous"])
def test_q64_what_stands_for_nobody_stays(nobody: str) -> None:
    assert {veil().value(kind, nobody) for kind in Kind} == {nobody}


def test_a_hash_is_the_same_for_one_person_and_one_key_and_for_no_other() -> None:
    over = veil(mail_domains="Example.edu, other.edu")
    one = over.value(Kind.USER, "jchill")
    assert one == over.value(Kind.MAIL, "JChill@example.edu") == over.value(Kind.MAIL, " jchill@other.edu")
    assert one != over.value(Kind.MAIL, "jchill@elsewhere.edu") != over.value(Kind.USER, "jchil")
    assert veil().value(Kind.USER, "j@example.edu") == veil().value(Kind.MAIL, "J@EXAMPLE.EDU"), "one person without domains, too"
    assert over.value(Kind.USER, "jchill") != over.value(Kind.NAME, "jchill"), "names tell nothing of ids"
    assert one != veil(key=SecretStr(KEY[::-1]), mail_domains="example.edu").value(Kind.USER, "jchill")
    assert veil().value(Kind.USER, "jchill") == "p-09d3204deccc6ca39039f3c2439162dd", "for ever, or nobody is recognised"


def test_an_action_shows_nobody_and_stays_the_same_action() -> None:
    agent = "App/1.0 (user 81234567; node01abc)"
    record = action(101, more="unheard of 81234567")
    record["sessionId"]["userAgent"] = agent
    found = shown(veil(), record)
    viewer = found.pop("sessionId")
    assert viewer["userId"] == veil().value(Kind.USER, "81234567"), "a number counts as its text"
    assert viewer["userIp"] == "203.0.113.0,198.51.100.0"
    assert viewer["userAgent"] == "App/1.0 (user [hidden]; [hidden])"
    assert viewer["sessionId"].startswith("p-")
    assert found == {name: value for name, value in record.items() if name not in ("sessionId", "more")}
    flat = shown(veil(), {"sessionId": "node01abc", "userId": 81234567, "userIp": "203.0.113.7", "userAgent": agent})
    assert [flat[name] for name in ("sessionId", "userId")] == [viewer[name] for name in ("sessionId", "userId")]
    assert flat["userAgent"] == viewer["userAgent"]


def test_values_of_nobody_keep_every_byte() -> None:
    body = b'{"id":12345678901234567890123, "inpoint": 1.0E2,"type":"\\u0041","userId":null,"sessionId":"-omitted-"}'
    assert veil().record(body)[0] == (
        b'{"id":12345678901234567890123,"inpoint":1.0E2,"type":"\\u0041","userId":null,"sessionId":"-omitted-"}'
    )


@pytest.mark.parametrize("name", ["dce-live", "pre16", "v16"])
def test_a_recording_tells_nobody_who_made_it_and_gives_the_same_record(name: str) -> None:
    answer = (SANDBOX / f"recorded-episode-{name}.json").read_bytes()
    (hit, *_) = hits(answer)
    maker = {"username": "danj", "email": "danj@example.edu"}
    operations = {"operation": [{"id": "capture", "started": 1000, "completed": "2000", "configurations": maker}]}
    workflow = {"id": 7, "state": "SUCCEEDED", "template": "publish", "creator": maker, "operations": operations}
    event = episode_event(
        "some-id", hit, msgspec.Raw(msgspec.json.encode(workflow)), "opencast", datetime(2026, 1, 1, tzinfo=UTC)
    )
    hidden = veiled_event(event, veil())
    assert b"danj" not in bytes(hidden.data)
    assert b"reator" not in bytes(hidden.data)
    assert records_of(hidden) == records_of(event)


CLEAR = ["Jill", "Chill", "jchill", "Sam", "sstudent", "zJKyaiAyTNC", "D444CD06", "203.0.113.7", "10.0.0.7", "SAMS-LAPTOP"]


@pytest.mark.parametrize("bare", [False, True])
def test_zooms_rows_show_nobody_in_any_of_their_shapes(bare: bool) -> None:
    over = veil("zoom")
    topic = "Jill Chill's Personal Meeting Room with jchill@example.edu"
    meetings = [
        dashboard_meeting(topic=topic, tracking_fields=[{"field": "Jill"}]),
        report_meeting(topic=topic, host_id="jchill"),
    ]
    stays = [dashboard_participant(customer_key="sstudent"), report_participant(participant_user_id="D444CD06-2ABB")]
    rows: list[Any] = [*meetings, *stays]
    if not bare:
        wrapped = {"uuid": UUID, "id": 7, "topic": topic}
        rows = [{"meeting": row, "from": "dashboard"} for row in meetings]
        rows += [{"meeting": wrapped, "participant": row} for row in stays]
    for row in rows:
        body = over.record(msgspec.json.encode(row))[0].decode()
        assert [clear for clear in CLEAR if clear.lower() in body.lower()] == []


def test_what_zoom_could_not_give_and_what_became_no_event_shows_nobody_either() -> None:
    head = {"uuid": UUID, "id": 7, "topic": "Jill Chill's Personal Meeting Room"}
    assert shown(veil("zoom"), {"meeting": head, "participants": None}) == {
        "meeting": {"uuid": UUID, "id": 7},
        "participants": None,
    }
    user = shown(veil("zoom"), {"id": "jchill", "user_name": "Jill Chill", "email": "jchill@example.edu", "type": 2})
    assert [clear for clear in CLEAR if clear in str(user)] == []
    assert user["type"] == 2


def test_records_can_be_made_of_veiled_rows_and_the_same_person_is_found_in_all_of_them() -> None:
    given = {"mail_domains": "example.edu"}
    event = session_event()
    hidden = msgspec.structs.replace(event, data=msgspec.Raw(veil("zoom", **given).record(event.data)[0]))
    (stay,), (clear,) = records_of(hidden), records_of(event)
    for name in ("session_id", "meeting", "user_id", "duration", "join_time", "device", "city", "country", "role"):
        assert getattr(stay, name) == getattr(clear, name), name
    viewed = useraction_event(sessionId={"userId": "SSTUDENT"})
    viewed = msgspec.structs.replace(viewed, data=msgspec.Raw(veil(**given).record(viewed.data)[0]))
    (viewing,) = records_of(viewed)
    assert getattr(viewing, "huid") == getattr(stay, "email")  # noqa: B009 - of two classes
    held = meeting_event()
    (meeting,) = records_of(msgspec.structs.replace(held, data=msgspec.Raw(veil("zoom").record(held.data)[0])))
    assert getattr(meeting, "topic") == "Algebra"  # noqa: B009
    assert getattr(stay, "ip_address") == "203.0.113.0"  # noqa: B009 - still a place on a map


@pytest.mark.parametrize("source", ["opencast", "zoom"])
def test_what_is_veiled_stays_as_it_is(source: str) -> None:
    for policy in ({}, {"names": "truncate", "mails": "truncate"}, {"addresses": "hash"}):
        over = veil(source, **policy)
        for event in (event_of(msgspec.json.encode(action())), meeting_event(), session_event()):
            once = over.record(event.data)[0]
            assert over.record(once)[0] == once


def test_the_same_bytes_are_judged_by_the_record_they_stand_in() -> None:
    over, meeting = veil("zoom"), {"uuid": UUID, "topic": "With Jill Chill"}
    assert shown(over, {"meeting": meeting})["meeting"] == meeting, "nobody knows that this is a name"
    assert shown(over, {"meeting": meeting, "participant": {}})["meeting"] == {"uuid": UUID}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.sampled_from(["userId", "userIp", "sessionId"]), ANYTHING)
def test_whatever_stands_in_a_field_about_people_is_hidden(name: str, value: Any) -> None:
    found = shown(veil(users="drop", addresses="drop"), {name: value})[name]
    if name == "sessionId" and isinstance(value, dict):
        assert found.keys() <= {"sessionId", "userId", "userIp", "userAgent"}
        return
    left = [found] if not isinstance(found, list) else msgspec.json.encode(found).decode()
    clear = [one for one in texts(value) if len(one) > 3 and one not in ("null", "None")]
    assert not [one for one in clear if any(one in str(part) for part in left)]


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(text for one in value.values() for text in texts(one))]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"7", b"{", b'{"a": NaN}'])
def test_what_is_no_object_cannot_be_looked_into(body: bytes) -> None:
    with pytest.raises(ValueError):
        veil().record(body)
    assert veil().digest(body) != veil(key=SecretStr(KEY[::-1])).digest(body)


def test_every_source_says_which_of_its_fields_are_about_people() -> None:
    assert SOURCES.keys() <= PRIVACY.keys()
