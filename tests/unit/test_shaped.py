"""What a sink compares: a state of which less is known never outranks one of which more is."""

import msgspec
import pytest

from consumers.records.record import Record
from consumers.sinks.shaped import shaped
from harvester.event import Event
from tests.useractions import FOUND, useraction_event


class Both(Record, index="both", table="both", key="id", enrichers=("one", "two")):
    """Made of what two enrichers find."""

    id: str


def ranks(**context: bytes) -> list[int]:
    event = msgspec.structs.replace(useraction_event(version=4), context={k: msgspec.Raw(v) for k, v in context.items()})
    return [item.rank for item in shaped([event])[0]]


def test_what_one_of_several_enrichers_has_not_found_ranks_below_what_all_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(event: Event) -> list[Record]:
        return [Both(id=event.subject)]

    monkeypatch.setattr("consumers.sinks.shaped.records_of", both)
    assert ranks(one=b"1", two=b"2") == [9]
    assert ranks(one=b"1") == ranks(two=b"2") == ranks(one=b"1", two=b"null") == ranks() == [8]


def test_what_is_found_outranks_what_is_not() -> None:
    found, pending = useraction_event(1, version=4, context=FOUND), useraction_event(1, version=4, context=None)
    assert [item.rank for item in shaped([found, pending])[0]] == [9, 8]
