"""The mapping and the data dictionary of a record follow from its class, and fit what is written."""

from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Annotated, Any, get_type_hints

import msgspec
import pytest

from consumers.records import _FUNCTIONS, records_of
from consumers.records.mapping import dictionary, mapping, record_classes
from consumers.records.opencast import MAX_PROXIES, UserAction, useraction
from consumers.records.opencast_episode import Recording
from consumers.records.record import Family, Ip, Kind, Record, columns, document, index_pattern
from harvester.event import Event
from tests.github_records import (
    comment_event,
    commit_event,
    pair_event,
    pull_request_event,
    repository_event,
    review_event,
    sample,
)
from tests.useractions import FOUND, useraction_event
from tests.zoomevents import UUID, meeting_event, report_participant, session_event

PLACE = {"ip": "203.0.113.7", "country_code2": "US", "latitude": 42.36, "longitude": -71.05, "location": [-71.05, 42.36]}
INGESTED = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
KEYWORD = {"type": "keyword", "ignore_above": 1024}
FITS: dict[Kind, set[str]] = {
    "text": {"keyword", "ip", "text"},
    "integer": {"long"},
    "number": {"double"},
    "boolean": {"boolean"},
    "timestamp": {"date"},
    "date": {"date"},
    "json": {"keyword", "long", "double", "boolean", "date", "flattened", "geo_point"},
}


class Room(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: Annotated[str, "name of the room"]
    floor: Annotated[int | None, "where it is"] = None


class Meeting(Record, index="meetings-{time:%Y.%m}", table="meetings", key="uuid"):
    """One of every type that a record may have."""

    uuid: Annotated[str, "id"]
    score: Annotated[float | None, "how good it was"]
    ended: Annotated[datetime | None, "when it was over"]
    hosts: Annotated[list[str], "who invited"]
    minutes: Annotated[list[int], "length of each part"]
    rooms: Annotated[list[Room], "where"]
    labels: Annotated[dict[str, str], "what people wrote on it"]
    room: Room
    gate: Annotated[str, "address of the gate", Ip()]
    hops: Annotated[dict[str, str], "addresses on the way", Family("hop*"), Ip()]


RECORDS = [*record_classes(), Meeting]


def meeting() -> Meeting:
    return Meeting(
        uuid="x",
        score=1.5,
        ended=INGESTED,
        hosts=["a"],
        minutes=[1],
        rooms=[Room(name="a", floor=2)],
        labels={"any": "thing"},
        room=Room(name="b"),
        gate="::1",
        hops={"hop1": "::2"},
    )


def actions() -> Iterator[Event]:
    addresses = ",".join(f"10.0.0.{number}" for number in range(MAX_PROXIES + 5))
    yield useraction_event(context=FOUND | {"course": "Economics", "description": "About"})
    yield useraction_event(context={})
    yield useraction_event(sessionId={"userIp": addresses, "userAgent": "x" * 9000})
    yield useraction_event(sessionId="abc", userIp="unknown", userId=7)
    yield useraction_event(sessionId={"userIp": "-omitted-"})


def zooms() -> Iterator[Event]:
    yield meeting_event()
    yield meeting_event({"uuid": UUID}, given="report")
    yield session_event(context=PLACE)
    yield session_event(context=...)
    yield session_event(report_participant())


def githubs() -> Iterator[Event]:
    yield from (pull_request_event(), pull_request_event(sample("pr-list")), review_event(), repository_event())
    yield from (comment_event(), comment_event("review_comment", sample("pr-review-comments")), commit_event(), pair_event())


DOCUMENTS: list[tuple[type[Record], bytes]] = [
    (Meeting, document(meeting(), useraction_event(), INGESTED)),
    *[(type(record), document(record, event, INGESTED)) for event in (*zooms(), *githubs()) for record in records_of(event)],
    *[(UserAction, document(useraction(event), event, INGESTED)) for event in actions()],
]


def faults(found: dict[str, Any], given: dict[str, Any], rules: list[dict[str, Any]], path: str = "") -> Iterator[str]:
    """What an index would refuse, or keep without indexing it."""
    for name, value in found.items():
        where = f"{path}{name}"
        rule = given["properties"].get(name)
        if rule is None and not path:
            rule = next((r["mapping"] for one in rules for r in one.values() if fnmatchcase(name, r["match"])), None)
        if rule is None:
            yield f"{where} has no mapping"
        elif "properties" in rule and value is not None:
            yield from faults(value, rule, rules, f"{where}.")
        elif value is not None and not all(fits(one, rule["type"]) for one in (value if isinstance(value, list) else [value])):
            yield f"{where} is no {rule['type']}: {value!r}"


def fits(value: Any, type_: str) -> bool:
    if value is None:
        return True
    if type_ == "date":
        return datetime.fromisoformat(value).tzinfo is not None
    wanted = {
        "long": int,
        "double": float,
        "boolean": bool,
        "keyword": str,
        "text": str,
        "ip": str,
        "flattened": dict,
        "geo_point": float,
    }[type_]
    return type(value) is wanted


def check(record: type[Record], body: bytes) -> list[str]:
    made = mapping(record)
    return [*faults(msgspec.json.decode(body), made, made.get("dynamic_templates", []))]


@pytest.mark.parametrize(("record", "body"), DOCUMENTS)
def test_no_key_of_a_document_is_without_a_mapping_and_each_value_fits_it(record: type[Record], body: bytes) -> None:
    assert check(record, body) == []


@pytest.mark.parametrize("body", [b'{"new":1}', b'{"episode":{"new":1}}', b'{"event":{"new":1}}', b'{"is_live":"no"}'])
def test_a_key_without_a_mapping_or_a_value_that_does_not_fit_would_be_noticed(body: bytes) -> None:
    assert len(check(UserAction, body)) == 1


def test_e66_user_actions_are_mapped_as_the_requirements_say() -> None:
    made = mapping(UserAction)
    own = made["properties"]
    assert index_pattern(UserAction) == "useractions-*"
    assert own["is_live"] == {"type": "boolean"}
    assert own["@timestamp"] == own["timestamp"] == own["episode"]["properties"]["start"] == {"type": "date"}
    assert own["ip"] == {"type": "ip", "ignore_malformed": True}
    assert own["episode"]["properties"]["series"] == own["mpid"] == KEYWORD
    assert own["action_id"] == own["action"]["properties"]["outpoint"] == {"type": "long"}
    assert own["event"] == {
        "dynamic": False,
        "properties": {**dict.fromkeys(("id", "dataset", "module", "enrichment"), KEYWORD), "ingested": {"type": "date"}},
    }


def test_e66_recordings_are_mapped_as_the_requirements_say() -> None:
    own = mapping(Recording)["properties"]
    assert index_pattern(Recording) == "episodes*"
    assert own["live_stream"] == {"type": "boolean"}
    assert own["course"] == {"type": "text", "fields": {"keyword": KEYWORD}}
    texts = ("title", "mpid", "series", "year", "term", "cdn", "crn", "type", "description", "presenter_still")
    assert [own[name] for name in texts] == [KEYWORD] * len(texts)


def test_an_open_family_is_a_dynamic_template_and_no_property() -> None:
    made = mapping(UserAction)
    assert made["dynamic"] is True
    assert made["dynamic_templates"] == [
        {"proxies": {"match": "proxy*", "match_mapping_type": "string", "mapping": KEYWORD}},
    ]
    assert "proxies" not in made["properties"]
    assert mapping(Meeting)["dynamic_templates"][0]["hops"]["mapping"] == {"type": "ip", "ignore_malformed": True}


def test_without_a_family_nothing_is_mapped_that_the_class_does_not_name() -> None:
    class Plain(Record, index="plain", table="plain", key="id"):
        id: str

    made = mapping(Plain)
    assert made["dynamic"] is False
    assert "dynamic_templates" not in made


def test_lists_are_mapped_as_what_is_in_them_and_plain_dicts_flattened() -> None:
    own = mapping(Meeting)["properties"]
    assert (own["hosts"], own["minutes"], own["score"]) == (KEYWORD, {"type": "long"}, {"type": "double"})
    assert own["labels"] == own["rooms"] == {"type": "flattened", "ignore_above": 1024}


def test_a_mapping_is_plain_json_and_nobody_changes_it_for_the_next_reader() -> None:
    made = mapping(UserAction)
    assert msgspec.json.decode(msgspec.json.encode(made)) == made
    made["properties"]["mpid"]["type"] = "changed"
    assert mapping(UserAction)["properties"]["mpid"] == mapping(UserAction)["properties"]["huid"] == KEYWORD


def test_a_field_of_a_type_that_no_index_has_is_refused() -> None:
    class Odd(Record, index="odd", table="odd", key="id"):
        id: int | str

    with pytest.raises(TypeError, match="no index has a type for id"):
        mapping(Odd)


def leaves(given: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, rule in given["properties"].items():
        if "properties" in rule:
            yield from leaves(rule, (*path, name))
        else:
            yield (*path, name), rule["type"]


@pytest.mark.parametrize("record", RECORDS)
def test_columns_and_mapping_agree_on_every_field_and_its_type(record: type[Record]) -> None:
    made = mapping(record)
    indexed = dict(leaves(made))
    families = {(name,) for rule in made.get("dynamic_templates", []) for name in rule}
    assert {column.path for column in columns(record)} == indexed.keys() | families
    for column in columns(record):
        assert column.path in families or indexed[column.path] in FITS[column.kind], column.name


@pytest.mark.parametrize("record", RECORDS)
def test_every_field_of_a_record_says_what_it_means(record: type[Record]) -> None:
    assert [field.document for field in dictionary(record) if not field.text.strip()] == []
    assert (record.__doc__ or "").strip()


@pytest.mark.parametrize(("record", "body"), DOCUMENTS)
def test_a_document_holds_the_fields_that_the_dictionary_says_are_always_there(record: type[Record], body: bytes) -> None:
    found = msgspec.json.decode(body)
    for field in dictionary(record):
        value: Any = found
        for name in field.document.split("."):
            value = value.get(name, ...) if isinstance(value, dict) and "*" not in name else ...
        if field.null != "left out":
            assert value is not ..., field.document
        assert value is not None or field.null == "yes", field.document


def test_the_dictionary_says_what_is_null_and_what_is_left_out() -> None:
    null = {field.document: field.null for field in dictionary(UserAction)}
    assert (null["action_id"], null["huid"], null["episode.title"], null["proxy*"]) == ("no", "yes", "left out", "left out")
    assert {name: null[name] for name in ("@timestamp", "event.id", "action.type")} == {
        "@timestamp": "no",
        "event.id": "no",
        "action.type": "no",
    }


def test_every_type_of_event_with_records_is_in_the_dictionary() -> None:
    assert UserAction in record_classes()
    assert Meeting not in record_classes()
    for place in _FUNCTIONS.values():
        module, _, name = place.partition(":")
        given = get_type_hints(getattr(import_module(module), name))["return"]
        assert [record for record in record_classes() if record.__name__ in str(given)], place
