"""What the episode enricher reads out of the search service's answers, of every Opencast there is."""

from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import msgspec
import pytest

from consumers.enrichers.episodes import derived
from consumers.records.opencast import Episode


def recorded(name: str) -> bytes:
    return files("harvester.sandbox").joinpath(name).read_bytes()


LIVE = "ed5514d1-8b95-418d-a814-4807428e4c18"
SEGMENTS = "83ebde9d-0812-4071-8fb7-a97c1472ceb9"
RIVER = "ID-strong-river-flowing-down-the-green-forest"


def test_a_recorded_answer_of_dce_gives_its_episode() -> None:
    assert derived(recorded("recorded-episode-dce-live.json"), LIVE) == Episode(
        title="Lecture 10",
        duration=11520000,
        start=datetime(2015, 7, 22, 15, 59, tzinfo=UTC),
        course="The Economics of Business",
        series="20150333383",
        type="L10",
    )
    segments = derived(recorded("recorded-episode-dce-segments.json"), SEGMENTS)
    assert segments is not None
    assert (segments.title, segments.series, segments.duration) == ("Lecture 11", "20150221144", 6875847)
    assert segments.description


def test_both_shapes_of_one_recording_give_the_same_episode() -> None:
    old, new = (derived(recorded(f"recorded-episode-{name}.json"), RIVER) for name in ("pre16", "v16"))
    assert old == new
    assert old is not None
    assert (old.title, old.duration, old.start) == (
        "Strong river flowing down the forest",
        29996,
        datetime(2019, 6, 18, 7, 40, 53, tzinfo=UTC),
    )


def test_a_series_hit_is_no_episode() -> None:
    assert derived(recorded("recorded-series-dce.json"), "20160119999") is None


@pytest.mark.parametrize(
    "answer",
    [
        {"search-results": {"total": "0", "offset": "0", "limit": "1"}},
        {"search-results": {"total": 0, "result": ""}},
        {"offset": 0, "total": 0, "limit": 20, "result": []},
        {"result": [{"mediapackage": {"id": "another"}}]},
        {"result": ["what", None, {"mediapackage": ""}]},
    ],
)
def test_no_result_is_nothing_to_find(answer: Any) -> None:
    assert derived(msgspec.json.encode(answer), "m") is None


def test_among_many_results_the_recording_itself_is_taken() -> None:
    hits = [{"id": "s", "dcTitle": "series"}, *({"mediapackage": {"id": n, "title": f"t{n}"}} for n in (1, 2, 3))]
    assert derived(msgspec.json.encode({"search-results": {"result": hits}}), "2") == Episode(title="t2")


def test_dublin_core_fills_in_what_the_media_package_lacks_in_both_shapes() -> None:
    flat = {
        "dcTitle": "T",
        "dcCreated": "2015-07-22T11:59:00-04:00",
        "dcIsPartOf": 20150333383,
        "dcType": "L1",
        "dcDescription": "D",
    }
    lists = {
        "title": ["T"],
        "created": ["2015-07-22T11:59:00-04:00"],
        "isPartOf": ["20150333383"],
        "type": ["L1"],
        "description": ["D"],
    }
    wanted = Episode(title="T", start=datetime(2015, 7, 22, 15, 59, tzinfo=UTC), series="20150333383", type="L1", description="D")
    for hit in ({"id": "m", "mediapackage": {}, **flat}, {"dc": lists, "mediapackage": {"id": "m"}}):
        assert derived(msgspec.json.encode({"result": [hit]}), "m") == wanted


@pytest.mark.parametrize(
    ("duration", "milliseconds"),
    [("95000", 95000), (4160.0, 4160), (-1, None), ("", None), ("long", None), ({}, None), ("1e999", None)],
)
def test_q62_a_duration_or_start_that_is_none_costs_only_itself(duration: Any, milliseconds: int | None) -> None:
    package = {"id": "m", "title": True, "duration": duration, "start": "yesterday"}
    answer = msgspec.json.encode({"result": [{"mediapackage": package, "dc": {"created": [], "type": {}}}]})
    assert derived(answer, "m") == Episode(title="true", duration=milliseconds)
