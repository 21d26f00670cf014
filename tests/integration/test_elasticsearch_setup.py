"""Index templates on real servers: nothing is written without them, and what they say of a document fits it."""

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consumers.breaker import LEAST
from consumers.records.harvester import OWN
from consumers.records.mapping import mapping
from consumers.records.opencast import UserAction
from consumers.records.record import index_pattern
from consumers.records.template import template, template_name
from tests.indexed import held, put_templates
from tests.indexing import CUSTOM, DAY, consume, letters, publish, site_of
from tests.ownweek import own_week
from tests.services import ElasticsearchServer, RefusedError
from tests.site import HOUR, World
from tests.unit.test_mapping import DOCUMENTS, RECORDS
from tests.useractions import useraction_event

PATIENCE = 180.0
DAY_ONE = datetime(2024, 11, 4, tzinfo=UTC)


def test_e66_without_its_template_nothing_is_written_and_with_it_everything(
    tmp_path: Path, elasticsearch: ElasticsearchServer, vendor: World
) -> None:
    site = site_of(tmp_path, elasticsearch, vendor)
    publish(site, [useraction_event(number) for number in range(20)])
    done = consume(site)
    assert (done.code, site.lag("elasticsearch")) == (1, 20)
    assert "harvest setup load_index_templates" in done.err
    assert elasticsearch.indices() == []

    assert site.harvest("setup", "load_index_templates").code == 0
    assert consume(site).code == 0
    assert len(held(elasticsearch)) == 20
    made = elasticsearch.call("GET", f"/{DAY}/_mapping")[DAY]["mappings"]
    assert made["properties"]["geoip"]["properties"]["location"] == {"type": "geo_point"}
    assert made["_meta"]["managed_by"] == "event-harvester"


def test_without_the_templates_of_own_events_all_other_data_go_on_and_these_come_later(
    tmp_path: Path, elasticsearch_any: ElasticsearchServer, vendor: World
) -> None:
    site = site_of(tmp_path, elasticsearch_any, vendor)
    put_templates(elasticsearch_any)
    for record in OWN:
        elasticsearch_any.call("DELETE", f"/_index_template/{template_name(record)}")
    own = list(islice(own_week(DAY_ONE), 2 * LEAST))
    publish(site, [*own, *(useraction_event(number) for number in range(20))])
    done = consume(site)
    assert (done.code, len(held(elasticsearch_any))) == (5, 20), done.err
    assert "harvest setup load_index_templates, then harvest dead-letters requeue --reason no_template" in done.err
    assert {letter["reason"] for letter in letters(site)} == {"no_template"}
    assert len(letters(site)) == len(own), "the breaker stayed shut: they say nothing of the others"

    assert site.harvest("setup", "load_index_templates").code == 0
    assert site.harvest("dead-letters", "requeue", "--reason", "no_template").code == 0
    assert consume(site).code == 0
    assert (len(held(elasticsearch_any, "harvester-*")), letters(site)) == (len(own), [])


def test_e63_setup_loads_again_upgrades_leaves_newer_ones_alone_and_never_touches_the_users(
    tmp_path: Path, elasticsearch: ElasticsearchServer, vendor: World
) -> None:
    site = site_of(tmp_path, elasticsearch, vendor)
    whole, package = "/_index_template/harvester-useractions", "/_component_template/harvester-useractions@package"

    def set_up() -> list[str]:
        done = site.harvest("setup", "load-index-templates", "--json")
        assert done.code == 0, done.err
        return [one["action"] for one in done.json["templates"] if "useractions" in one["name"]]

    def set_version(version: int) -> None:
        for path, kind in ((package, "component_template"), (whole, "index_template")):
            body = elasticsearch.call("GET", path)[f"{kind}s"][0][kind]
            elasticsearch.call("PUT", path, {name: body[name] for name in body if "_date" not in name} | {"version": version})

    elasticsearch.call("PUT", CUSTOM, {"template": {"settings": {"index": {"refresh_interval": "1s"}}}})
    assert set_up() == ["loaded", "loaded"]
    assert set_up() == ["loaded again", "loaded again"]
    set_version(0)
    publish(site, [useraction_event(0)])
    done = consume(site)
    assert done.code == 1
    assert f"in version 0, {template(UserAction)['index_template']['version']} is needed" in done.err
    assert set_up() == ["upgraded", "upgraded"]
    set_version(99)
    assert set_up() == ["left alone", "left alone"]
    assert "version 99" in site.harvest("setup", "load_index_templates").out
    assert elasticsearch.call("GET", whole)["index_templates"][0]["index_template"]["version"] == 99
    assert consume(site).code == 0
    settings = elasticsearch.call("GET", f"/{DAY}/_settings?flat_settings=true")[DAY]["settings"]
    assert settings["index.refresh_interval"] == "1s", "what the user says wins"


def test_what_setup_prints_is_what_an_administrator_can_put_by_hand(
    tmp_path: Path, elasticsearch: ElasticsearchServer, vendor: World
) -> None:
    site = site_of(tmp_path, elasticsearch, vendor)
    for request in site.harvest("setup", "load_index_templates", "--print", "--json").json:
        elasticsearch.call(request["method"], request["path"], request["body"])
    spelled = site.harvest("setup", "load_index_templates", "--print").out
    assert "\nPUT /_component_template/harvester-useractions@package\n{" in f"\n{spelled}"
    publish(site, [useraction_event(0)])
    assert consume(site).code == 0


@pytest.mark.parametrize("record", RECORDS)
def test_every_document_fits_the_mapping_of_its_class_and_adds_nothing_to_it(
    elasticsearch: ElasticsearchServer, record: type[Any]
) -> None:
    index, made = index_pattern(record).replace("*", "round.trip"), mapping(record)
    elasticsearch.call("PUT", f"/{index}", {"mappings": made})
    families = [one for rule in made.get("dynamic_templates", []) for one in rule.values()]
    for number, body in enumerate(body for one, body in DOCUMENTS if one is record):
        elasticsearch.call("PUT", f"/{index}/_doc/{number}", msgspec.json.decode(body))
    known = elasticsearch.call("GET", f"/{index}/_mapping")[index]["mappings"]["properties"]
    more = {name: known[name]["type"] for name in known.keys() - made["properties"].keys()}
    assert known.keys() >= made["properties"].keys()
    for family in families:
        types = {type_ for name, type_ in more.items() if fnmatchcase(name, family["match"])}
        assert types == {family["mapping"]["type"]}
    assert all(any(fnmatchcase(name, family["match"]) for family in families) for name in more)
    with pytest.raises(RefusedError, match="failed to parse"):
        elasticsearch.call("PUT", f"/{index}/_doc/bad", {"@timestamp": "no time"})


def test_the_daemon_feeds_other_sinks_while_one_waits_for_its_template(
    tmp_path: Path, elasticsearch: ElasticsearchServer, vendor: World
) -> None:
    site = site_of(tmp_path, elasticsearch, vendor, HARVESTER_OPENCAST_START=f"{vendor.now() - 3 * HOUR:%Y%m%d%H%M%S}")
    with site.process("run", "--sink", "duckdb", "--sink", "elasticsearch") as process:
        process.logged("cannot work until somebody acts", PATIENCE)
        assert "harvest setup load_index_templates" in process.err
        process.until(lambda: site.lag() == 0 and site.lag("elasticsearch") > 0, PATIENCE)
        assert process.stop() == 0
    assert elasticsearch.indices() == []
    assert site.harvest("setup", "load_index_templates").code == 0
    with site.process("run", "--sink", "duckdb", "--sink", "elasticsearch") as process:
        process.until(lambda: site.lag("elasticsearch") == 0, PATIENCE)
        assert process.stop() == 0
    assert site.harvest("consume", "duckdb", "elasticsearch", "--until-empty").code == 0
    assert {int(id_) for id_ in held(elasticsearch)} == site.held().keys()
