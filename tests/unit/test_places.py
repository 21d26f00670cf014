"""Places: where an address is, by a file of MaxMind."""

import os
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.enrichers.places import LOOK, GeoipSettings, Places, open_places, place
from consumers.records import records_of
from consumers.records.places import Place
from harvester.errors import ConfigError
from harvester.event import Event
from tests.mmdb import BOSTON, GERMANY, write_mmdb
from tests.useractions import useraction_event
from tests.zoomevents import dashboard_participant, meeting_event, session_event


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_mmdb(tmp_path / "city.mmdb", {"203.0.113.0/24": BOSTON, "2001:db8:1::/48": GERMANY})


def stay(address: Any) -> Event:
    return session_event(dashboard_participant(ip_address=address))


async def found(path: Path, *events: Event) -> list[Any]:
    async with open_places(GeoipSettings(path=str(path))) as places:
        enriched = await places.enrich(events)
    return [getattr(record, "geoip", "no field") for event in enriched for record in records_of(event)]


async def test_e40_the_address_of_a_session_and_of_an_action_has_its_place(file: Path) -> None:
    boston = Place(
        ip="203.0.113.7",
        country_code2="US",
        country_name="United States",
        continent_code="NA",
        region_name="Massachusetts",
        city_name="Boston",
        timezone="America/New_York",
        latitude=42.36,
        longitude=-71.05,
        location=[-71.05, 42.36],
    )
    germany = Place(ip="2001:db8:1::7", country_code2="DE", country_name="Germany")
    action = useraction_event(sessionId={"userIp": "203.0.113.7, 10.0.0.1"})
    assert await found(file, stay("203.0.113.7"), action, stay("2001:db8:1::7")) == [boston, boston, germany]


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "198.51.100.1", "::1", "2001:db8:2::1", "unknown", "", None, "203.0.113", "p-0a"]
)
async def test_e40_q54_f07_an_address_that_nobody_knows_is_null_and_no_fault(file: Path, address: Any) -> None:
    assert await found(file, stay(address), useraction_event(sessionId={"userIp": address})) == [None, None]


async def test_a_file_without_ipv6_is_not_asked_for_it(tmp_path: Path) -> None:
    path = write_mmdb(tmp_path / "old.mmdb", {"203.0.113.0/24": GERMANY}, version=4)
    place_found, none = await found(path, stay("203.0.113.7"), stay("2001:db8:1::7"))
    assert (place_found.country_name, none) == ("Germany", None)


async def test_what_has_no_address_is_left_alone_and_a_place_is_not_looked_up_twice(file: Path) -> None:
    known = session_event(context={"ip": "203.0.113.7"})
    async with open_places(GeoipSettings(path=str(file))) as places:
        given = [meeting_event(), known, msgspec.structs.replace(known, type="opencast.unheard", context={})]
        assert await places.enrich(given) == given
        assert [places.concerns(event) for event in given] == [False, True, False]


@pytest.mark.parametrize("content", [None, b"", b"no such thing", b"\xab\xcd\xefMaxMind.com"])
async def test_a_file_that_is_none_is_refused_by_its_setting(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "city.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"HARVESTER_GEOIP_PATH.*city\.mmdb"):
        await found(path)


async def test_a_new_file_is_used_within_a_minute_and_a_broken_one_is_not(file: Path) -> None:
    now, hosts = 0.0, count(1)
    places = Places(file, clock=lambda: now)

    async def country() -> str | None:
        (event,) = await places.enrich([stay(f"203.0.113.{next(hosts)}")])
        return str(msgspec.json.decode(event.context["geoip"])["country_code2"])

    assert await country() == "US"
    write_mmdb(file, {"203.0.113.0/24": GERMANY})
    assert await country() == "US"
    now += LOOK
    assert await country() == "DE"
    os.truncate(file, 40)  # as `cp` does before it writes: mapped into memory, this would kill the process
    now += LOOK
    assert await country() == "DE"
    os.unlink(file)  # noqa: PTH108 - of a file that nobody waits for
    now += LOOK
    assert await country() == "DE"
    write_mmdb(file, {"203.0.113.0/24": BOSTON})
    now += LOOK
    assert await country() == "US"
    places.close()


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda e: st.lists(e) | st.dictionaries(st.text(), e))


@given(st.dictionaries(st.sampled_from([*BOSTON]), JSON))
def test_whatever_a_file_says_a_place_is_made(told: dict[str, Any]) -> None:
    assert place("203.0.113.7", told).ip == "203.0.113.7"
