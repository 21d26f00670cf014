"""What becomes of a search hit and a workflow: the record of a recording."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from consumers.records.opencast_episode import recording
from harvester.errors import InvalidEventError, TransientError
from harvester.opencast_answers import hit_of, instances
from harvester.sources.opencast_episodes import episode_event, gone_event

READ_AT = datetime(2026, 11, 28, tzinfo=UTC)


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def made(hit: dict[str, Any], workflow: object = None) -> Any:
    return recording(episode_event("m", raw(hit), None if workflow is None else raw(workflow), "opencast", READ_AT))


def test_what_is_not_known_of_a_recording_is_null() -> None:
    found = msgspec.structs.asdict(made({"mediapackage": {"id": "m", "attachments": "", "media": ""}}))
    assert (found.pop("mpid"), found.pop("slides"), found.pop("live_stream"), found.pop("deleted")) == ("m", [], False, False)
    assert set(found.values()) == {None}


def test_of_a_deleted_recording_that_is_left_and_when() -> None:
    gone = gone_event(raw({"id": "m", "kind": "event-deleted", "updated": 1_767_312_000_000}), "opencast", READ_AT)
    found = msgspec.structs.asdict(recording(gone))
    assert (found.pop("mpid"), found.pop("slides"), found.pop("live_stream"), found.pop("deleted")) == ("m", [], False, True)
    assert found.pop("updated") == gone.time == datetime(2026, 1, 2, tzinfo=UTC)
    assert set(found.values()) == {None}


def test_one_picture_counts_like_many() -> None:
    still = {"type": "presenter/player+preview", "url": "https://x/still"}
    assert made({"mediapackage": {"attachments": {"attachment": still}}}).presenter_still == "https://x/still"


@pytest.mark.parametrize("operations", [lambda one: {"operation": one}, lambda one: {"operation": [one]}, lambda one: [one]])
def test_e32_times_of_a_capture_are_found_in_every_shape(operations: Any) -> None:
    capture = {"id": "capture", "started": "1445961600000", "completed": 1445965200000}
    found = made({"mediapackage": {"id": "m"}}, {"operations": operations(capture)})
    assert found.live_start == datetime(2015, 10, 27, 16, tzinfo=UTC)
    assert (found.live_duration, found.available) == (3_600_000, None)


@pytest.mark.parametrize(
    ("body", "amount"),
    [
        (b'{"workflows": {"totalCount": "0"}}', 0),
        (b'{"workflows": ""}', 0),
        (b'{"workflows": {"workflow": {"id": 1}}}', 1),
        (b'{"workflows": {"workflow": [{"id": 1}, {"id": 2}]}}', 2),
        (b'[{"id": 1}, {"id": 2}]', 2),
        (b"[]", 0),
    ],
)
def test_workflows_are_found_in_every_shape(body: bytes, amount: int) -> None:
    found = instances(body)
    assert len([one for one in found if b'"id"' in bytes(one)]) == amount


def test_what_is_no_answer_is_an_outage_and_a_hit_without_package_is_refused() -> None:
    for body in (b"<html>", b'{"other": 1}', b"[1]"):
        with pytest.raises(TransientError):
            hit_of(body, "m")
    with pytest.raises(InvalidEventError):
        made({"id": "m"})


def test_a_recording_is_versioned_by_its_change_and_keeps_its_time() -> None:
    hit = {"id": "m", "modified": "2026-01-02T00:00:00Z", "mediapackage": {"id": "m", "start": "2026-01-01T00:00:00Z"}}
    event = episode_event("m", raw(hit), None, "opencast", READ_AT)
    assert event.time == datetime(2026, 1, 1, tzinfo=UTC)
    assert event.version == 1_767_312_000_000
    assert b'"search":{"id":"m"' in bytes(event.data), "the vendor's record as it came"


def test_what_is_known_without_the_workflow_never_replaces_what_was_known_with_it() -> None:
    hit = raw({"id": "m", "modified": "2026-01-02T00:00:00Z", "mediapackage": {"id": "m"}})
    poor = episode_event("m", hit, None, "opencast", READ_AT)
    operations = {"operation": [{"id": "capture", "completed": "1767316000000"}, {"id": "clean", "completed": None}]}
    ended = episode_event("m", hit, raw({"operations": operations}), "opencast", READ_AT)
    silent = episode_event("m", hit, raw({"id": 1, "operations": ""}), "opencast", READ_AT)
    assert (silent.version, ended.version) == (poor.version + 1, 1_767_316_000_000)
    later = raw({"id": "m", "modified": "2026-01-03T00:00:00Z", "mediapackage": {"id": "m"}})
    assert episode_event("m", later, None, "opencast", READ_AT).version > ended.version


def test_a_recording_that_does_not_say_when_it_began_is_dated_with_its_creation_in_both_shapes() -> None:
    created = datetime(2026, 1, 1, tzinfo=UTC)
    for hit in ({"dcCreated": "2026-01-01T00:00:00Z"}, {"dc": {"created": ["2026-01-01T00:00:00Z"]}}):
        found = episode_event("m", raw({"mediapackage": {"id": "m"}, **hit}), None, "opencast", READ_AT)
        assert found.time == created
    odd: list[Any] = [{"created": 1}, [], {"created": [5]}]
    for dc in odd:
        assert episode_event("m", raw({"mediapackage": {"id": "m"}, "dc": dc}), None, "opencast", READ_AT).time.year == 1970
