"""Every panel of every dashboard, asked of a real Elasticsearch and of DuckDB over the same week: something, and the same."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import isclose
from pathlib import Path

import pytest

from consumers.records.opencast import UserAction
from consumers.records.zoom import Session
from dashboards.boards import boards
from dashboards.builder import elastic, listing
from dashboards.builder.aggregation import (
    Aggregation,
    AtLeast,
    Below,
    Is,
    Known,
    Not,
    Ranges,
    Row,
    Span,
    Times,
    Top,
    average,
    count,
    distinct,
    greatest,
    total,
)
from dashboards.builder.board import Chart, Rows
from tests.dashboards import NEWEST, WEEK, asked, consumed, measured, newest, pictures, week
from tests.exported import ALGEBRA, met, watched, write
from tests.indexed import put_templates
from tests.services import ElasticsearchServer
from tests.site import Site

CHARTS = [(board.name, chart) for board in boards() for chart in board.charts()]
LISTS = [panel for board in boards() for panel in board.asking() if isinstance(panel, Rows)]
_PLAYED = (Is("action.type", ("PLAY", "PAUSE")),)
_LONG = (AtLeast("duration", 60), Below("duration", 5400), Known("country"), Not(Is("role", ("host",))))
_MEAN, _STAYS, _SHORT = average("duration", "seconds"), count("stays"), count("stays", where=_LONG)
OTHERS = [
    # what the builder can and no panel asks yet
    Aggregation(UserAction, (count("actions"),), (Times("hour"),), _PLAYED),
    Aggregation(UserAction, (average("episode.duration", "ms"), greatest("action.inpoint", "s")), (Top("is_live", "live"),)),
    Aggregation(UserAction, (total("action.length", "seconds"),), (Top("action.inpoint", "second", 7),)),
    Aggregation(Session, (_MEAN, _SHORT), (Top("country", "country", 2), Top("city", "city", 1))),
    Aggregation(Session, (distinct("user_id", "numbers", where=_LONG), total("duration", "s", where=_LONG)), (Times("week"),)),
    Aggregation(Session, (_STAYS,), (Top("device", "device", 3), Ranges("duration", "s", (0, 60, 600)), Times("day")), _LONG),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The week in the queue and in DuckDB, with what is computed of it."""
    with week(tmp_path_factory.mktemp("week")) as found:
        consumed(found, "duckdb")
        measured(found)
        yield found


def indexed(server: ElasticsearchServer, data: Aggregation, span: Span = WEEK) -> list[Row]:
    path, body = elastic.request(data, span)
    return elastic.rows(data, server.call("POST", path, body))


def duck(site: Site, data: Sequence[Aggregation], span: Span = WEEK) -> list[list[Row]]:
    return asked(site.folder / "var/harvest.duckdb", data, span)


def same(one: Sequence[Row], other: Sequence[Row]) -> bool:
    """Whether both have the same buckets with the same values, in whatever order."""
    left, right = ({row.keys: row for row in rows} for rows in (one, other))
    return left.keys() == right.keys() and all(
        left[key].names == right[key].names
        and all(
            a == b or (a is not None and b is not None and isclose(a, b))
            for a, b in zip(left[key].values, right[key].values, strict=True)
        )
        for key in left
    )


def test_f19_every_panel_gives_something_and_what_duckdb_gives(site: Site, elasticsearch_any: ElasticsearchServer) -> None:
    put_templates(elasticsearch_any)
    site.settings["HARVESTER_ELASTICSEARCH_URL"] = elasticsearch_any.url
    consumed(site, "elasticsearch")
    measured(site, "elasticsearch")
    elasticsearch_any.call("POST", "/_refresh")
    data = [*(chart.data for _, chart in CHARTS), *OTHERS]
    names = [*((board, chart.title) for board, chart in CHARTS), *map(str, OTHERS)]
    pairs = [(indexed(elasticsearch_any, one), rows) for one, rows in zip(data, duck(site, data), strict=True)]
    assert [name for name, (_, rows) in zip(names, pairs, strict=True) if not any(any(row.values) for row in rows)] == []
    assert [(name, *pair) for name, pair in zip(names, pairs, strict=True) if not same(*pair)] == []
    for panel in LISTS:
        path, body = listing.request(panel.data, WEEK, NEWEST)
        found = listing.lines(panel.data, elasticsearch_any.call("POST", path, body))
        assert len(found) == NEWEST, panel.title
        assert found == newest(site.folder / "var/harvest.duckdb", panel.data), panel.title
    empty = Span(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC))
    pairs = [(indexed(elasticsearch_any, one, empty), rows) for one, rows in zip(data, duck(site, data, empty), strict=True)]
    assert [name for name, pair in zip(names, pairs, strict=True) if not same(*pair)] == [], "and nothing is the same nothing"
    everything = Aggregation(UserAction, (count("actions"),))
    narrower = everything._replace(where=(Is("is_live", (True,)),))
    assert not same(indexed(elasticsearch_any, everything), duck(site, [narrower])[0]), "a difference would be seen"


RENAMED = [
    watched(1, "groups", 11, "02T10:00:00", {**ALGEBRA, "title": "Groups", "course": "Algebra"}, type="PLAY"),
    watched(2, "groups", 12, "04T10:00:00", {**ALGEBRA, "title": "Semigroups", "course": "Algebra I"}, type="PLAY"),
    watched(3, "groups", 13, "05T10:00:00", type="PLAY"),
    watched(4, "groups", "anonymous", "03T10:00:00", {**ALGEBRA, "title": "Groups", "course": "Algebra"}, type="PAUSE"),
    watched(5, "lost", 11, "05T10:00:00", type="PAUSE"),
    met("a==", "Algebra", "02T14:00:00", "02T15:00:00", host="Ada Byron", participants=1),
    met("b==", "Algebra I", "09T14:00:00", "09T15:00:00", host="Ada Lovelace", participants=4),
    met("c==", "Algebra", "03T14:00:00", "03T15:00:00", host="Ada Byron", participants=2),
]
"""A recording, a series and a host that had other names before."""


def test_a_row_counts_all_of_its_key_whatever_it_was_called_and_bears_the_newest_name(
    tmp_path: Path, elasticsearch: ElasticsearchServer
) -> None:
    put_templates(elasticsearch)
    write(tmp_path, RENAMED, elasticsearch)
    elasticsearch.call("POST", "/_refresh")
    month = Span(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    tables = ("Most watched recordings", "Hosts, by meetings", "Series and rooms")
    panels: list[Chart] = [chart for _, chart in CHARTS if chart.title in tables]
    recordings, hosts, series = asked(tmp_path / "var/harvest.duckdb", [chart.data for chart in panels], month)
    assert recordings == [
        Row(("groups",), (4, 3, 3, 0), ("Semigroups", "Algebra I")),
        Row(("lost",), (1, 1, 0, 0), (None, None)),
    ]
    assert [(row.keys, row.values[:2], row.names) for row in hosts] == [(("jchill@example.edu",), (3, 10800), ("Ada Lovelace",))]
    assert series == [Row(("93201235621",), (3, 10800, 7), ("Algebra I",))]
    for chart, rows in zip(panels, (recordings, hosts, series), strict=True):
        assert same(indexed(elasticsearch, chart.data, month), rows), chart.title


def test_the_pictures_of_the_docs_show_these_answers(site: Site) -> None:
    drawn = pictures(site)
    assert [path.name for path, text in drawn.items() if path.read_text(encoding="utf-8") != text] == [], (
        "run `python -m tests.dashboards`"
    )
    assert {path.name for path in Path(next(iter(drawn))).parent.iterdir()} == {path.name for path in drawn}
