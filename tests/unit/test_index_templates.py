"""Index templates: the files follow from the classes, versions only grow, and nothing is written without them."""

import json
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from consumers.records.mapping import mapping, record_classes
from consumers.records.opencast import UserAction
from consumers.records.record import Record, index_pattern
from consumers.records.template import template
from consumers.records.zoom import Session
from consumers.sinks.elasticsearch_cluster import open_cluster
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from consumers.sinks.elasticsearch_templates import Guard, all_pieces, load, pieces
from harvester.errors import PermanentError, TransientError
from tests.unit.bulkserver import answer_of, scripted
from tests.unit.webserver import serving
from tests.useractions import useraction_event

FOLDER = Path(__file__).parents[2] / "index_templates"
CONTENT = {
    ("repositories", 1): "44936696be9fd5b9e58c671b9ee06287",
    ("pull_requests", 1): "fbd47f46b1f7c6f70a7b7dadd38381da",
    ("commits", 1): "5ff961f47366513d7d725ecff82252d4",
    ("pr_commits", 1): "f15374ea7efb3b5467f3e54456a4ed4b",
    ("reviews", 1): "bb995580e67b5662cf7a60502d5c5f9c",
    ("review_comments", 1): "f485e7b2c1a95e7de6067c644b78f970",
    ("issue_comments", 1): "982a6ce9721c7f94ec2bbc6cc372f4e9",
    ("metrics", 1): "635223424dbc5f266ba13f2475bddbac",
    ("pr_metrics", 1): "2c3405bd6fbbb9be5ec59a97abc834ab",
    ("meetings", 1): "fb37d04adf390edd8a8234b3e3138b9f",
    ("sessions", 1): "4b3b0b0a5d04ec0cdfffb46271591b2d",
    ("harvester_consumers", 1): "7cd92c7fa23d1e17a8f86220af26b0f6",
    ("harvester_windows", 1): "104f9daa9630324b6d90cc5c7bfb7cb6",
    ("episodes", 1): "c03f410a85043fb23166eae729228f80",
    ("episodes", 2): "ec88fdab6d19b1e405db676d7e71a732",
    ("useractions", 1): "2edd2d1ea4e1cc6cc799cacf998205a9",
    ("useractions", 2): "9dc89c539a34f3ffe302c862d0c86165",
}
"""Digest of what each version holds, for ever: servers that have a version are not given another content under its number."""


def digest(record: type[Record]) -> str:
    return blake2b(msgspec.json.encode(template(record), order="sorted"), digest_size=16).hexdigest()


@pytest.mark.parametrize("record", record_classes())
def test_e66_the_file_of_an_index_is_what_its_class_says(record: type[Record]) -> None:
    held = json.loads((FOLDER / f"{record.__shape__.table}.json").read_text())
    assert held == template(record), "run `make docs`"
    made = held["component_template"]["template"]["mappings"]
    own = mapping(record)
    assert made["properties"].items() >= own["properties"].items()
    assert {key: made[key] for key in own if key != "properties"} == {key: own[key] for key in own if key != "properties"}
    assert held["index_template"]["index_patterns"] == [index_pattern(record)]


def test_e66_there_is_one_file_an_index_and_no_other() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {record.__shape__.table for record in record_classes()}


@pytest.mark.parametrize("record", record_classes())
def test_what_a_template_holds_changes_only_with_its_version(record: type[Record]) -> None:
    version = template(record)["index_template"]["version"]
    known = CONTENT.get((record.__shape__.table, version))
    assert known == digest(record), (
        f"the template of {record.__name__} is not what version {version} was: raise its number in consumers/records/template.py "
        "and add that number here, with the digest that this test then shows"
    )


def test_every_number_of_a_template_is_the_same() -> None:
    for piece in all_pieces():
        body = piece.body
        assert body["version"] == body["_meta"]["version"]
        assert body["_meta"]["managed_by"] == "event-harvester"
    mappings = pieces(UserAction)[0].body["template"]["mappings"]
    assert mappings["_meta"]["version"] == pieces(UserAction)[0].version, "an index tells which version made it"


@pytest.mark.parametrize("record", [UserAction, Session])
def test_e66_actions_and_sessions_have_a_place_for_where_they_came_from(record: type[Record]) -> None:
    properties = template(record)["component_template"]["template"]["mappings"]["properties"]
    assert properties["geoip"]["properties"]["location"] == {"type": "geo_point"}


def test_what_the_user_says_wins_and_needs_not_be_there() -> None:
    held = template(UserAction)["index_template"]
    assert held["composed_of"] == ["harvester-useractions@package", "harvester-useractions@custom"]
    assert held["ignore_missing_component_templates"] == ["harvester-useractions@custom"]
    assert "template" not in held, "what stands here would win over the user's"


@pytest.mark.parametrize("version", [None, 0])
async def test_e66_without_its_template_or_with_an_older_one_nothing_is_written(version: int | None) -> None:
    async with scripted() as (sink, script, _):
        script.template_version = version
        with pytest.raises(PermanentError, match="harvest setup load_index_templates") as caught:
            await sink.write([useraction_event(1)])
        assert "harvester-useractions" in str(caught.value)
        assert script.bulks == []
        script.template_version = pieces(UserAction)[-1].version
        assert list(await sink.write([useraction_event(1)])) == [], "it is looked for again"


async def test_a_newer_template_is_fine_and_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    async with scripted() as (sink, script, _):
        script.template_version = 99
        assert list(await sink.write([useraction_event(1)])) == []


async def test_one_look_at_a_template_holds_for_a_minute_and_not_beyond_an_outage() -> None:
    clock = 1000.0
    async with scripted() as (sink, script, _):
        sink._guard = Guard(sink._cluster, clock=lambda: clock)

        async def looks(number: int) -> int:
            script.requests.clear()
            await sink.write([useraction_event(number)])
            return sum(request.startswith("GET") for request in script.requests)

        assert [await looks(number) for number in range(3)] == [1, 0, 0]
        clock += 61
        assert [await looks(number) for number in range(3)] == [1, 0, 0]
        script.whole = lambda _: answer_of({}, status=503)
        with pytest.raises(TransientError):
            await sink.write([useraction_event(1)])
        script.whole = lambda _: None
        assert [await looks(number) for number in range(3)] == [1, 0, 0]


class Shelf:
    """A server that keeps templates."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, Any]] = {}
        self.puts: list[str] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "PUT":
            self.puts.append(request.path)
            self.held[request.path] = msgspec.json.decode(await request.read())
            return answer_of({"acknowledged": True})
        if request.path not in self.held:
            return answer_of({"error": {"type": "resource_not_found_exception", "reason": "none"}}, status=404)
        kind = request.path.split("/")[1].strip("_")
        return answer_of({f"{kind}s": [{"name": "x", kind: self.held[request.path]}]})


def paths() -> Iterator[str]:
    for record in record_classes():
        name = f"harvester-{record.__shape__.table}"
        yield from (f"/_component_template/{name}@package", f"/_index_template/{name}")


async def test_e63_loading_is_repeatable_and_upgrades_only_upwards() -> None:
    shelf = Shelf()
    async with serving(shelf) as server, open_cluster(ElasticsearchSettings(url=str(server.url))) as cluster:

        async def actions() -> set[str]:
            return {(await load(cluster, piece)).action for piece in all_pieces()}

        assert await actions() == {"loaded"}
        assert await actions() == {"loaded again"}
        assert shelf.puts == [*paths()] * 2, "the part before the whole"
        for path in paths():
            shelf.held[path] = {"version": 0}
        assert await actions() == {"upgraded"}
        for path in paths():
            shelf.held[path] = {"version": 99}
        assert await actions() == {"left alone"}
        assert [shelf.held[path] for path in paths()] == [{"version": 99}] * len([*paths()])
        for path in paths():
            shelf.held[path] = {"priority": 7}  # without a version: nobody knows what it is
        assert await actions() == {"upgraded"}
    assert not any("@custom" in path for path in shelf.puts)
