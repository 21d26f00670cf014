"""A prefix before the names of all indexes (E69): what every command writes, reads, looks at and deletes is called by it."""

import json
from pathlib import Path

import pytest

from consumers.records.mapping import record_classes
from consumers.records.template import template_name
from tests.indexed import indexes
from tests.integration.test_cli_episodes import CATALOGUE, site_of
from tests.kibana import kibana
from tests.services import ElasticsearchServer
from tests.site import HOUR, NOON, Site, stamp, world

PREFIX = "dce-"
_SETTING = {"HARVESTER_ELASTICSEARCH_INDEX_PREFIX": PREFIX, "HARVESTER_SINKS": "elasticsearch"}
_DAY = f"{PREFIX}useractions-2024.11.05"


def test_e69_every_command_goes_by_the_prefix_and_an_installation_without_one_sees_nothing_of_it(
    tmp_path: Path, elasticsearch_any: ElasticsearchServer
) -> None:
    with world(now=NOON) as vendor:
        site = site_of(tmp_path, vendor, elasticsearch_any, **_SETTING)
        assert site.harvest("setup").code == 0
        for record in record_classes():
            elasticsearch_any.call("GET", f"/_index_template/{PREFIX}{template_name(record)}")
        assert site.harvest("useractions", "-s", stamp(NOON - HOUR), "-e", stamp(NOON)).code == 0
        assert site.harvest("consume", "elasticsearch", "--until-empty").code == 0
        assert indexes(elasticsearch_any, "*") == [_DAY]
        made = elasticsearch_any.call("GET", f"/{_DAY}/_mapping")[_DAY]["mappings"]
        assert made["_meta"]["managed_by"] == "event-harvester", "made by our template"

        action = next(action for action in vendor.truth(NOON - HOUR, NOON).values() if action.mpid in CATALOGUE)
        assert f"index {_DAY}" in site.harvest("trace", str(action.id)).out
        assert len(site.harvest("export", "attendance").out.splitlines()) > 1

        assert site.harvest("load_episodes", "-s", f"{_DAY}", "--json").json["index"] == f"{PREFIX}episodes"
        done = site.harvest("load_episodes", "--mpid", action.mpid, "-t", f"{PREFIX}episodes-2024")
        assert done.code == 0, done.err
        wrong = site.harvest("load_episodes", "--mpid", action.mpid, "-t", "episodes-2024")
        assert (wrong.code, f"begin with {PREFIX}episodes" in wrong.err) == (2, True)
        assert indexes(elasticsearch_any, "*") == [f"{PREFIX}episodes", f"{PREFIX}episodes-2024", _DAY]

        amended = site.harvest("re-enrich", "--since", "20000101000000", "--json")
        assert (amended.code, amended.json["recordings"] > 0) == (0, True)
        looked = site.harvest("doctor", "--json").out
        assert f"{PREFIX}useractions-*, all as the template says" in looked

        other = site_of(tmp_path / "other", vendor, elasticsearch_any, HARVESTER_SINKS="elasticsearch")
        assert other.harvest("setup").code == 0, "its templates do not overlap"
        assert len(other.harvest("export", "attendance").out.splitlines()) == 1


def test_e69_data_views_of_the_dashboards_are_of_the_indexes_with_the_prefix(tmp_path: Path) -> None:
    with kibana() as server:
        site = Site(tmp_path, HARVESTER_KIBANA_URL=server.url, **{**_SETTING, "HARVESTER_SINKS": "duckdb"})
        for words in (("setup",), ("setup", "dashboards")):
            server.objects.clear()
            done = site.harvest(*words)
            assert done.code == 0, done.err
            titles = {one["attributes"]["title"] for (kind, _), one in server.objects.items() if kind == "index-pattern"}
            assert titles >= {f"{PREFIX}useractions-*", f"{PREFIX}meetings-*", f"{PREFIX}harvester-windows-*"}
            assert all(title.startswith(PREFIX) for title in titles)
        printed = [json.loads(line) for line in site.harvest("setup", "dashboards", "--print").out.splitlines()]
        assert {(one["type"], one["id"]) for one in printed} == server.objects.keys()
        assert titles == {one["attributes"]["title"] for one in printed if one["type"] == "index-pattern"}


@pytest.mark.parametrize("words", [("load_index_templates",), ("dashboards",)], ids=" ".join)
def test_what_is_only_printed_reads_the_prefix_and_stops_for_no_other_setting(words: tuple[str, ...], tmp_path: Path) -> None:
    wrong = {"HARVESTER_LOG_LEVEL": "loud", "HARVESTER_ELASTICSEARCH_PASSWORD_FILE": "/nowhere", "HARVESTER_TYPO": "1"}
    plain = Site(tmp_path).harvest("setup", *words, "--print")
    assert (plain.code, plain.err) == (0, "")
    site = Site(tmp_path, **wrong, **_SETTING)
    done = site.harvest("setup", *words, "--print")
    assert (done.code, done.err) == (0, "")
    assert done.out.count(f"{PREFIX}useractions") >= plain.out.count("useractions-") > 0
    assert site.harvest("setup", *words).code == 3
    prefix = site.harvest("setup", *words, "--print", HARVESTER_ELASTICSEARCH_INDEX_PREFIX="NO/")
    assert (prefix.code, prefix.out) == (3, "")
    assert "HARVESTER_ELASTICSEARCH_INDEX_PREFIX" in prefix.err
