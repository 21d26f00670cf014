"""A source behind a veil: pages, letters and errors that hold nothing clear."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from pydantic import SecretStr

from harvester.coverage import Interval, Timing
from harvester.errors import ConfigError, InvalidEventError
from harvester.event import Event, event_id
from harvester.privacy import PrivacySettings
from harvester.protocols import Broken, Page, Source, Stream
from harvester.sources.opencast_rows import useraction_event
from harvester.veiled import VeiledSource, veiled
from tests.useractions import action

NOW = datetime(2026, 11, 20, tzinfo=UTC)
DAY = Interval(NOW - timedelta(days=1), NOW)
HIDES = PrivacySettings(privacy="pseudonymous", key=SecretStr("0123456789abcdef"))
NOT_JSON = b'{"userId": "81234567", '


class Given:
    """A stream of one page."""

    name, timing, extra = "useractions", Timing(), "of the vendor"

    def __init__(self) -> None:
        self.left = False

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        try:
            yield Page([self.event(msgspec.json.encode(action()), NOW)], covered=window, notes=notes)
            no_id = msgspec.json.encode({"userId": "81234567", "more": "81234567"})
            yield Page([], [Broken(no_id, "no id in 81234567", "schema"), Broken(NOT_JSON, "bad: 81234567", "not_json")])
        finally:
            self.left = True

    def event(self, record: bytes, read_at: datetime) -> Event:
        try:
            return useraction_event(record, "opencast", read_at, ZoneInfo("UTC"))
        except InvalidEventError as error:
            raise InvalidEventError(f"{error}: {record!r}", reason=error.reason) from error


class Vendor:
    name, extra = "opencast", "of the vendor"

    def __init__(self) -> None:
        self.stream = Given()

    async def streams(self) -> Sequence[Stream]:
        return [self.stream]

    def now(self) -> datetime:
        return NOW


async def pages(vendor: Vendor) -> list[Page]:
    (stream,) = await veiled(vendor, "opencast", HIDES).streams()
    return [page async for page in stream.fetch(DAY, b"noted")]


async def test_an_event_has_the_id_of_what_is_left_of_it_and_all_else_of_the_page_stays() -> None:
    (first, _) = await pages(Vendor())
    (event,) = first.events
    clear = Given().event(msgspec.json.encode(action()), NOW)
    assert b"81234567" not in bytes(event.data)
    assert event.id == event_id("opencast", event.type, event.subject, event.data) != clear.id
    kept = {name: getattr(event, name) for name in ("source", "type", "subject", "version", "time", "read_at")}
    assert kept == {name: getattr(clear, name) for name in kept}
    assert (first.covered, first.notes) == (DAY, b"noted")


async def test_a_broken_record_becomes_a_letter_without_what_is_to_be_hidden() -> None:
    _, second = await pages(Vendor())
    half, nothing = second.broken
    assert msgspec.json.decode(half.body)["userId"].startswith("p-")
    told = msgspec.json.decode(nothing.body)["withheld"]
    assert (told["bytes"], told["digest"][:2]) == (len(NOT_JSON), "p-")
    assert [(one.reason, one.error.partition(":")[0]) for one in second.broken] == [
        ("schema", "schema"),
        ("not_json", "not_json"),
    ]
    assert "81234567" not in repr(second)


async def test_a_letter_is_read_again_whether_it_is_from_before_or_veiled_already() -> None:
    (stream,) = await veiled(Vendor(), "opencast", HIDES).streams()
    old = stream.event(msgspec.json.encode(action()), NOW)
    assert b"81234567" not in bytes(old.data)
    assert stream.event(bytes(old.data), NOW) == old
    with pytest.raises(InvalidEventError) as caught:
        stream.event(b'{"userId": "81234567"}', NOW)
    assert "81234567" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_whoever_leaves_early_leaves_no_request_behind_and_what_a_source_has_more_is_still_there() -> None:
    vendor = Vendor()
    source: Any = veiled(vendor, "opencast", HIDES)
    (stream,) = await source.streams()
    fetching = stream.fetch(DAY, b"")
    await anext(fetching)
    await fetching.aclose()
    assert vendor.stream.left
    assert source.extra == stream.extra == "of the vendor"
    assert (source.name, source.now(), stream.name, stream.timing) == ("opencast", NOW, "useractions", Timing())


async def test_where_all_is_kept_nothing_stands_before_a_source_and_one_that_says_nothing_of_people_is_refused() -> None:
    vendor: Source = Vendor()
    assert veiled(vendor, "opencast", PrivacySettings()) is vendor
    assert isinstance(veiled(vendor, "zoom", HIDES), VeiledSource)
    assert veiled(vendor, "punchcards", PrivacySettings()) is vendor
    with pytest.raises(ConfigError, match="punchcards does not say"):
        veiled(vendor, "punchcards", HIDES)
