"""`harvest load_episodes`: the recordings that people watched, in an index of their own (E23–E33)."""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from consumers.sinks.elasticsearch_cluster import open_cluster
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from consumers.sinks.elasticsearch_terms import distinct
from harvester.sandbox.episodes import lectures
from tests.indexed import put_templates
from tests.services import ElasticsearchServer
from tests.site import HOUR, NOON, PASSWORD, Site, World, stamp, world

CATALOGUE = {lecture.mpid: lecture for lecture in lectures("sandbox")}


def site_of(folder: Path, vendor: World, server: ElasticsearchServer, **settings: str) -> Site:
    """The settings of the predecessor, by its names alone (E68)."""
    return Site(
        folder,
        MATTERHORN_ENGAGE_HOST=vendor.url,
        MATTERHORN_ADMIN_HOST=vendor.url,
        MATTERHORN_REST_USER="harvester",
        MATTERHORN_REST_PASS=PASSWORD,
        ES_HOST=server.url,
        HARVESTER_OPENCAST_WAIT="0",
        **settings,
    )


def indexed(server: ElasticsearchServer, index: str = "episodes") -> dict[str, dict[str, Any]]:
    server.call("POST", f"/{index}/_refresh")
    hits = server.call("POST", f"/{index}/_search", {"size": 1000})["hits"]["hits"]
    return {hit["_id"]: hit["_source"] for hit in hits}


def watched(site: Site) -> None:
    """Three hours of actions in the index."""
    assert site.harvest("setup", "load_index_templates").code == 0
    assert site.harvest("useractions", "-s", stamp(NOON - 3 * HOUR), "-e", stamp(NOON)).code == 0
    assert site.harvest("consume", "elasticsearch", "--until-empty").code == 0


@pytest.mark.parametrize("release", ["listed/pre16", "by-package/16"])
def test_e31_all_recordings_that_were_watched_are_loaded_once_each(
    tmp_path: Path, elasticsearch: ElasticsearchServer, release: str
) -> None:
    workflows, search = release.split("/")
    with world(workflows=workflows, search=search) as vendor:
        site = site_of(tmp_path, vendor, elasticsearch)
        watched(site)
        seen = {action.mpid for action in vendor.truth(NOON - 3 * HOUR, NOON).values()}
        done = site.harvest("load_episodes", "-s", "useractions-2024.11.05", "--json")
        assert done.code == 0, done.err
        known = {mpid for mpid in seen if mpid in CATALOGUE and CATALOGUE[mpid].exists}
        assert done.json["indexed"] == len(known)
        assert set(done.json["absent"]) == seen - known
        found = indexed(elasticsearch)
        assert found.keys() == known
        for mpid, document in found.items():
            lecture = CATALOGUE[mpid]
            assert (document["mpid"], document["live_stream"]) == (mpid, lecture.live)
            if lecture.recorded is None:
                assert document["title"] == lecture.title
                assert document["course"] == (lecture.course or None)
        recorded = [document for mpid, document in found.items() if document["live_start"] is not None]
        assert recorded
        for document in recorded:
            assert document["live_duration"] == document["duration"] or CATALOGUE[document["mpid"]].recorded
            assert document["available"] is not None
        again = site.harvest("load_episodes", "-s", "useractions-2024.11.05")
        assert again.code == 0
        assert indexed(elasticsearch).keys() == known


def test_the_command_and_the_stream_write_the_same_documents_and_neither_undoes_the_other(
    tmp_path: Path, elasticsearch_any: ElasticsearchServer
) -> None:
    mpids = [lecture.mpid for lecture in CATALOGUE.values() if lecture.recorded]
    written: list[dict[str, str]] = []

    def held() -> dict[str, Any]:
        found = indexed(elasticsearch_any)
        written.append({mpid: document["event"].pop("ingested") for mpid, document in found.items()})
        return found

    with world(search="16") as vendor:
        site = site_of(
            tmp_path, vendor, elasticsearch_any, HARVESTER_OPENCAST_STREAMS="episodes", HARVESTER_SINKS="elasticsearch"
        )
        assert site.harvest("setup", "load_index_templates").code == 0
        for mpid in mpids:
            assert site.harvest("load_episodes", "--mpid", mpid).code == 0
        loaded = held()
        assert loaded.keys() == set(mpids)
        assert any(document["live_start"] for document in loaded.values())
        for settings in ({}, {"MATTERHORN_ADMIN_HOST": ""}):
            assert site.harvest("once", "opencast", "--since", "20100101000000", **settings).code == 0
            assert site.harvest("consume", "elasticsearch", "--until-empty").code == 0
            assert held() == loaded
        by_command, by_stream, without_workflows = written
        assert all(by_command[mpid] != by_stream[mpid] for mpid in mpids)
        rich = {mpid for mpid, document in loaded.items() if document["live_start"]}
        assert {mpid for mpid in mpids if by_stream[mpid] == without_workflows[mpid]} >= rich > set(), "poorer is older"


def test_e29_one_recording_with_its_pictures_into_another_index(tmp_path: Path, elasticsearch_any: ElasticsearchServer) -> None:
    segments = next(lecture for lecture in CATALOGUE.values() if lecture.recorded == "dce-segments")
    with world() as vendor:
        site = site_of(tmp_path, vendor, elasticsearch_any)
        assert site.harvest("setup", "load_index_templates").code == 0
        done = site.harvest("load_episodes", "--mpid", segments.mpid, "-t", "episodes-2026")
        assert done.code == 0, done.err
        (document,) = indexed(elasticsearch_any, "episodes-2026").values()
        assert document["presenter_still"].startswith("https://")
        assert document["presentation_still"].startswith("https://")
        assert [slide["time"] for slide in document["slides"]] == [0, 53, 78, 133, 143, 153, 163]
        parts = (document["series"], document["year"], document["term"], document["cdn"], document["crn"])
        assert parts == ("20150221144", "2015", "02", "21144", "21144")
        count = elasticsearch_any.call("POST", "/episodes-2026/_count", {"query": {"match": {"course": "website"}}})["count"]
        assert count == 1, "the words of a course are found"


def test_q62_a_live_stream_without_pictures_and_workflow_is_loaded_too(
    tmp_path: Path, elasticsearch_any: ElasticsearchServer
) -> None:
    live = next(lecture for lecture in CATALOGUE.values() if lecture.recorded == "dce-live")
    with world() as vendor:
        site = site_of(tmp_path, vendor, elasticsearch_any)
        assert site.harvest("setup", "load_index_templates").code == 0
        assert site.harvest("load_episodes", "--mpid", live.mpid).code == 0
        (document,) = indexed(elasticsearch_any).values()
        assert document["live_stream"] is True
        assert (document["slides"], document["presenter_still"], document["live_start"]) == ([], None, None)


def test_what_the_index_refuses_is_counted_apart_named_and_ends_with_5(
    tmp_path: Path, elasticsearch_any: ElasticsearchServer
) -> None:
    pictured = next(lecture.mpid for lecture in CATALOGUE.values() if lecture.recorded == "dce-segments")
    plain = next(lecture.mpid for lecture in CATALOGUE.values() if lecture.exists and lecture.recorded is None)
    with world() as vendor:
        site = site_of(tmp_path, vendor, elasticsearch_any)
        numbers = {"template": {"mappings": {"properties": {"presenter_still": {"type": "long"}}}}}
        elasticsearch_any.call("PUT", "/_component_template/harvester-episodes@custom", numbers)
        assert site.harvest("setup", "load_index_templates").code == 0
        for number, mpid in enumerate((pictured, plain)):
            elasticsearch_any.call("PUT", f"/useractions-2024.11.05/_doc/{number}", {"mpid": mpid})
        done = site.harvest("load_episodes", "-s", "useractions-2024.11.05", "--json")
        assert done.code == 5
        assert (done.json["indexed"], done.json["refused"]) == (1, [pictured])
        assert indexed(elasticsearch_any).keys() == {plain}
        assert "1 recording in episodes" in done.err
        assert f"refused by the index: 1: {pictured}" in done.err
        (letter,) = site.harvest("dead-letters", "list", "--group", "elasticsearch", "--json").lines
        assert letter["key"].endswith(pictured)


def test_without_templates_nothing_is_written(tmp_path: Path, elasticsearch_any: ElasticsearchServer) -> None:
    with world() as vendor:
        site = site_of(tmp_path, vendor, elasticsearch_any)
        done = site.harvest("load_episodes", "--mpid", next(iter(CATALOGUE)))
        assert done.code == 1
        assert "no index template harvester-episodes" in done.err
        assert elasticsearch_any.indices() == []


def test_no_action_yesterday_is_said_with_what_to_do(tmp_path: Path, elasticsearch_any: ElasticsearchServer) -> None:
    with world() as vendor:
        done = site_of(tmp_path, vendor, elasticsearch_any).harvest("load_episodes")
        assert done.code == 0
        assert "no action in useractions*-" in done.err
        assert "-s" in done.err


def test_what_is_missing_or_wrong_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    with world() as vendor:
        site = Site(tmp_path, vendor.url)
        done = site.harvest("load_episodes", "--mpid", "x")
        assert done.code == 3
        assert "MATTERHORN_ADMIN_HOST" in done.err
        assert site.harvest("load_episodes", "-t", "lectures").code == 2
        assert site.harvest("load_episodes", "--mpid", "x", "-s", "y").code == 2


def test_e23_to_e30_every_option_is_there_by_both_names_and_suffices_without_any_setting(
    tmp_path: Path, elasticsearch_any: ElasticsearchServer
) -> None:
    shown = " ".join(Site(tmp_path).harvest("load_episodes", "--help").out.split())
    pairs = "-A/--admin-host -E/--engage-host -u/--user -p/--password -e/--es-host -t/--target-index -s/--source-index-pattern"
    for pair in (*pairs.split(), "-w/--wait"):
        assert pair.replace("/", ", ") in shown
    for variable in (
        "MATTERHORN_ADMIN_HOST",
        "MATTERHORN_ENGAGE_HOST",
        "MATTERHORN_REST_USER",
        "MATTERHORN_REST_PASS",
        "ES_HOST",
    ):
        assert variable in shown
    put_templates(elasticsearch_any)
    mpid = next(lecture.mpid for lecture in CATALOGUE.values() if lecture.exists and lecture.recorded is None)
    with world() as vendor:
        site = Site(tmp_path)
        server = elasticsearch_any.url.removeprefix("http://")
        where = ("-A", vendor.url, "-E", vendor.url, "-u", "harvester", "-p", PASSWORD, "-e", server)
        done = site.harvest("load_episodes", *where, "-t", "episodes-mine", "--mpid", mpid, "-w", "0")
        assert done.code == 0, done.err
    assert indexed(elasticsearch_any, "episodes-mine").keys() == {mpid}


@pytest.mark.parametrize("left_out", ["-E", "-u", "-p"])
def test_e24_e25_what_is_required_is_missed(tmp_path: Path, left_out: str) -> None:
    given = {"-A": "127.0.0.1:9", "-E": "127.0.0.1:9", "-u": "harvester", "-p": "x"}
    words = [word for name, value in given.items() if name != left_out for word in (name, value)]
    done = Site(tmp_path).harvest("load_episodes", "--mpid", "x", *words)
    assert done.code == 3
    assert f"HARVESTER_OPENCAST_{ {'-E': 'URL', '-u': 'USER', '-p': 'PASSWORD'}[left_out] } (not set)" in done.err


def test_e26_without_an_address_the_index_is_on_this_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harvester.retry.OUTAGE_FIRST", 0.001)
    words = ("-A", "127.0.0.1:9", "-E", "127.0.0.1:9", "-u", "harvester", "-p", "x")
    assert "localhost:9200" in Site(tmp_path).harvest("load_episodes", *words).err
    assert "localhost:1" in Site(tmp_path).harvest("load_episodes", *words, ES_HOST="localhost:1").err


def test_e31_however_many_they_are(tmp_path: Path, elasticsearch_any: ElasticsearchServer) -> None:
    put_templates(elasticsearch_any)
    many = [f"lecture-{number:05}" for number in range(2100)]
    lines = [json.dumps(each) for mpid in many for each in ({"index": {"_id": mpid}}, {"mpid": mpid})]
    body = ("\n".join(lines) + "\n").encode()
    address = f"{elasticsearch_any.url}/useractions-2024.11.05/_bulk"
    with urlopen(Request(address, body, {"Content-Type": "application/x-ndjson"}), timeout=60) as answer:
        assert json.load(answer)["errors"] is False

    async def found() -> Sequence[str]:
        async with open_cluster(ElasticsearchSettings(url=elasticsearch_any.url)) as cluster:
            return await distinct(cluster, "useractions-2024.*", "mpid")

    assert asyncio.run(found()) == many


def test_e30_requests_keep_their_distance(tmp_path: Path, elasticsearch_any: ElasticsearchServer) -> None:
    mpid = next(lecture.mpid for lecture in CATALOGUE.values() if lecture.exists and lecture.recorded is None)
    with world() as vendor:
        site = site_of(tmp_path, vendor, elasticsearch_any)
        assert site.harvest("setup", "load_index_templates").code == 0
        began = time.monotonic()
        assert site.harvest("load_episodes", "--mpid", mpid, "--wait", "1").code == 0
        assert time.monotonic() - began >= 1, "the search and the workflows are two requests"
