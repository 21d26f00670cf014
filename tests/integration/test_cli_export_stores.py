"""`harvest export` out of a real Elasticsearch: the same, to the byte, as out of DuckDB, however many pages it takes."""

from pathlib import Path

import pytest

from harvester.commands.export import EXPORTS
from tests.exported import ALGEBRA, export, exported, met, picked, played, stayed, watched, write
from tests.indexed import put_templates
from tests.integration.test_cli_export import LECTURES, MEETINGS
from tests.services import ElasticsearchServer
from tests.site import HOUR, NOON, Site, stamp, world
from tests.zoom_account import Account, beside, environment, meeting, stay

NAMES = [one.name for one in EXPORTS]
SELECTIONS: tuple[tuple[str, ...], ...] = (
    ("--start", stamp(NOON - HOUR / 2), "--end", stamp(NOON)),
    ("--series", "20260133383"),
    ("--course", "Algebra I"),
)


@pytest.fixture
def demo(tmp_path: Path, elasticsearch: ElasticsearchServer) -> Site:
    """An hour of a simulated Opencast, a few of Zoom's meetings, and lectures with every trap, in both stores."""
    put_templates(elasticsearch)
    account = Account([meeting("x=="), meeting("y==", "2026-11-02T12:00:00Z")], {"x==": [stay(), stay(7)], "y==": [stay()]})
    with world() as vendor, beside(account):
        site = Site(tmp_path, vendor.url, HARVESTER_ELASTICSEARCH_URL=elasticsearch.url, **environment(account))
        assert site.harvest("useractions", "-s", stamp(NOON - HOUR), "-e", stamp(NOON)).code == 0
        assert site.harvest("backfill", "zoom", "--start", "2026-11-01", HARVESTER_SOURCES="zoom").code == 0
        assert site.harvest("consume", "duckdb", "elasticsearch", "--until-empty").code == 0
    write(tmp_path, [*LECTURES, *MEETINGS], elasticsearch)
    return site


def test_both_stores_give_the_same_over_the_demo_set_page_after_page(demo: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harvester.commands.export_index.PAGE", 150)
    monkeypatch.setattr("harvester.commands.export_lectures._TOGETHER", 20)
    for name, *words in [*((name,) for name in NAMES), *(("attendance", *words) for words in SELECTIONS)]:
        index, tables = (export(demo, name, *words, "--from", store) for store in ("elasticsearch", "duckdb"))
        assert (index.code, tables.code) == (0, 0), index.err + tables.err
        assert index.out == tables.out
        assert index.out.count("\r\n") > (1 if words else 150)


def test_more_than_ten_thousand_rows_are_all_there(tmp_path: Path, elasticsearch_any: ElasticsearchServer) -> None:
    put_templates(elasticsearch_any)
    number = 10_100
    write(tmp_path, [played(n, "groups", n, "02T10:00:00", (0, 60), ALGEBRA) for n in range(number)], elasticsearch_any)
    site = Site(tmp_path, HARVESTER_ELASTICSEARCH_URL=elasticsearch_any.url, HARVESTER_SINKS="elasticsearch")
    rows = exported(site, "attendance")
    assert {row["person"] for row in rows} == {str(n) for n in range(number)}
    assert picked(exported(site, "viewing_options")[:1], "viewers", "seconds_watched") == [(str(number), str(60 * number))]


def test_more_lectures_and_meetings_than_one_page_holds_are_all_there(
    tmp_path: Path, elasticsearch_any: ElasticsearchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harvester.commands.export_index.PAGE", 10)
    put_templates(elasticsearch_any)
    lectures = [watched(n, f"lecture-{n}", 11, "02T10:00:00", {**ALGEBRA, "title": f"Lecture {n}"}) for n in range(120)]
    meetings = [met(f"m-{n}", f"Meeting {n}", "02T14:00:00", "02T15:00:00", 10**9 + n) for n in range(45)]
    stays = [stayed(f"m-{n}", "02T14:00:00", "02T14:30:00") for n in range(45)]
    write(tmp_path, [*lectures, *meetings, *stays], elasticsearch_any)
    site = Site(tmp_path, HARVESTER_ELASTICSEARCH_URL=elasticsearch_any.url, HARVESTER_SINKS="elasticsearch")
    titles = {f"Lecture {n}" for n in range(120)} | {f"Meeting {n}" for n in range(45)}
    assert {row["title"] for row in exported(site, "attendance")} == titles


@pytest.mark.parametrize("name", NAMES)
def test_without_any_index_there_is_the_header_alone(tmp_path: Path, elasticsearch: ElasticsearchServer, name: str) -> None:
    done = export(Site(tmp_path), name, "--from", "elasticsearch", "--es_host", elasticsearch.url.removeprefix("http://"))
    assert (done.code, done.out.count("\r\n")) == (0, 1), done.err
    assert "nothing fits" in done.err


def test_an_index_that_cannot_be_reached_ends_with_1_and_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harvester.retry.OUTAGE_FIRST", 0.001)
    done = export(Site(tmp_path), "attendance", "--from", "elasticsearch", "--es-host", "localhost:1")
    assert (done.code, done.out) == (1, "")
    assert "localhost:1" in done.err


def test_an_index_that_was_made_without_our_template_is_told(tmp_path: Path, elasticsearch_any: ElasticsearchServer) -> None:
    document = {"mpid": "groups", "event": {"module": "opencast"}, "@timestamp": "2026-11-02T10:00:00Z"}
    elasticsearch_any.call("PUT", "/useractions-2026.11.02/_doc/1?refresh=true", document)
    done = export(Site(tmp_path, ES_HOST=elasticsearch_any.url), "attendance", "--from", "elasticsearch")
    assert (done.code, done.out) == (1, "")
    assert "harvest setup load_index_templates" in done.err
