"""Kibana's dashboards: made of one declaration each, the same at every making, and without a fault that an import would take."""

import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from consumers.records.opencast import UserAction
from consumers.records.velocity import Metric, PullRequestMetric
from consumers.records.zoom import Meeting, Session
from dashboards.boards import boards
from dashboards.builder.aggregation import (
    Aggregation,
    AtLeast,
    Below,
    Cases,
    Is,
    Known,
    Newest,
    Not,
    Ranges,
    Times,
    Top,
    average,
    count,
    total,
)
from dashboards.builder.board import Board, Chart, Control, Rows, Text, placed
from dashboards.builder.fields import check
from dashboards.builder.filters import kql
from dashboards.builder.kql import Asked, asked
from dashboards.builder.lens import attributes
from dashboards.builder.listing import Listing
from dashboards.builder.objects import ndjson
from dashboards.builder.page import fields
from dashboards.builder.svg_marks import number
from tests.unit.test_house import imports, modules

ROOT = Path(__file__).parents[2]
FILES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "dashboards").glob("*.ndjson")}


def test_f19_each_board_has_its_file_which_the_product_and_the_folder_of_docker_hold() -> None:
    names = [board.name for board in boards()]
    assert FILES.keys() == set(names)
    assert {path.stem for path in (ROOT / "docker/kibana").glob("*.ndjson")} == set(names)
    for name in names:
        assert files("dashboards").joinpath(f"{name}.ndjson").read_text(encoding="utf-8") == FILES[name]
        assert (ROOT / f"docker/kibana/{name}.ndjson").read_text(encoding="utf-8") == FILES[name]


def test_what_makes_the_files_is_not_installed_and_nothing_installed_reads_it() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "dashboards" in setuptools["packages"]["find"]["include"]
    assert setuptools["package-data"]["dashboards"] == ["*.ndjson"]
    users = [
        name
        for name in [*modules("harvester/"), *modules("consumers/")]
        if any(taken.startswith("dashboards.") for taken in imports(name))
    ]
    assert users == []


@pytest.mark.parametrize("board", boards(), ids=lambda board: board.name)
def test_the_same_board_makes_the_same_bytes_and_ids_that_stay(board: Board) -> None:
    made = ndjson(board)
    assert made == ndjson(board) == FILES[board.name]
    moved = ndjson(board._replace(rows=(board.rows[0], *reversed(board.rows[1:]))))
    assert moved != made
    assert ids(moved) == ids(made), "a panel that moves stays the same panel"


def ids(text: str) -> set[str]:
    dashboard = json.loads(text.splitlines()[-1])
    return {panel["panelIndex"] for panel in json.loads(dashboard["attributes"]["panelsJSON"])}


WHERE = (
    Is("action.type", ("PLAY", 'a "b" \\ c')),
    Known("mpid"),
    AtLeast("action.length", 3),
    Below("action.length", 9),
    Not(Is("is_live", (True,))),
)


def test_a_filter_in_kql_says_what_was_declared() -> None:
    assert asked(kql(WHERE)) == [
        Asked("action.type", ":", ("PLAY", 'a "b" \\ c')),
        Asked("mpid", ":", ("*",)),
        Asked("action.length", ">=", ("3",)),
        Asked("action.length", "<", ("9",)),
        Asked("is_live", ":", ("true",)),
    ]
    assert asked("") == []
    assert asked("(a: 1 or not b > 2) AND c: x") == [Asked("a", ":", ("1",)), Asked("b", ">", ("2",)), Asked("c", ":", ("x",))]


@pytest.mark.parametrize("query", ["a", "a:", "a: (b", "a: b c", "a: b)", "a: b and", ": b", '"a', "a = b"])
def test_what_is_no_kql_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        asked(query)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Aggregation(UserAction, (total("mpid", "x"),)), "total does not fit UserAction.mpid"),
        (Aggregation(UserAction, (total("acton.length", "x"),)), "has no field"),
        (Aggregation(UserAction, (count("x"),), (Top("ip", "x"),)), "Top does not fit"),
        (Aggregation(UserAction, (count("x"),), (Ranges("mpid", "x", (0, 1)),)), "Ranges does not fit"),
        (Aggregation(UserAction, (count("x"),), (Ranges("action.inpoint", "x", (5, 1)),)), "do not grow"),
        (Aggregation(UserAction, (count("x"),), (Times(), Times())), "once"),
        (Aggregation(UserAction, ()), "one measure"),
        (Aggregation(UserAction, (count("x", where=WHERE),), (Top("mpid", "x"),)), "no `where` of its own"),
        (Aggregation(UserAction, (count("x"),), (Top("mpid", "x"),), names=(Newest("is_live", "x"),)), "Newest does not fit"),
        (Aggregation(UserAction, (count("x"),), where=(Is("is_live", ("yes",)),)), "'yes' does not fit"),
        (Aggregation(UserAction, (count("x"),), (Cases("x", {"y": (AtLeast("mpid", 1),)}),)), "a comparison does not fit"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_the_making(data: Aggregation, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(data)


def board_of(*rows: tuple[Any, ...], controls: tuple[Control, ...] = ()) -> Board:
    return Board("test", "Test", "A test.", rows, controls)


def test_a_board_that_cannot_be_laid_out_is_refused() -> None:
    one = Aggregation(Meeting, (count("meetings"),))
    number = Chart("Meetings", "metric", 24, 6, one, "x")
    words = Text("Words", 24, 6, "x")
    assert [(it.x, it.y) for it in placed(board_of((number, words)))] == [(0, 0), (24, 0)]
    with pytest.raises(ValueError, match="48 wide"):
        list(placed(board_of((number,))))
    with pytest.raises(ValueError, match="one height"):
        list(placed(board_of((number, words._replace(height=5)))))
    with pytest.raises(ValueError, match="two panels of one name"):
        list(placed(board_of((number, number))))
    with pytest.raises(ValueError, match="has no field 'tpic'"):
        list(placed(board_of((words, Rows("Rows", 24, 6, Listing(Meeting, ("tpic",)), "x")))))
    with pytest.raises(ValueError, match="does not show"):
        list(placed(board_of((number._replace(shape="line"), words))))
    named = one._replace(buckets=(Top("series_id", "number"),), names=(Newest("topic", "topic"),))
    with pytest.raises(ValueError, match="a bar does not show names"):
        list(placed(board_of((number._replace(shape="bar", data=named), words))))
    other = number._replace(title="Stays", data=Aggregation(Session, (count("stays"),)))
    with pytest.raises(ValueError, match="Session has no field 'topic'"):
        list(placed(board_of((number, other), controls=(Control(Meeting, "topic", "Topic"),))))


def test_the_page_names_every_panel_with_the_fields_that_it_reads() -> None:
    text = (ROOT / "docs/dashboards.md").read_text(encoding="utf-8")
    for board in boards():
        assert f"dashboards/{board.name}.svg" in text
        for panel in board.asking():
            (line,) = [line for line in text.splitlines() if line.startswith(f"**{panel.title}** ") and panel.about in line]
            read = fields(panel.data) if isinstance(panel, Chart) else panel.data.fields
            assert all(f"`{name}`" in line for name in read)


def test_ranges_are_named_by_what_is_in_them() -> None:
    assert Ranges("x", "people", (1, 2, 5)).names == ("1", "2–4", "5 or more")
    assert Ranges("x", "minutes", (0, 300, 3600), 60).names == ("0–5", "5–60", "60 or more")


def test_a_field_in_minutes_is_told_in_hours_in_kibana_and_in_the_picture() -> None:
    minutes = average("time_to_merge", "to merge", unit="hours of minutes")
    chart = Chart("Merge", "metric", 12, 6, Aggregation(PullRequestMetric, (minutes,)), "")
    (layer,) = attributes(chart, "x")["state"]["datasourceStates"]["formBased"]["layers"].values()
    (column,) = layer["columns"].values()
    shown = column["params"]["format"]
    assert (shown["id"], shown["params"]["fromUnit"], shown["params"]["toUnit"]) == ("duration", "minutes", "asHours")
    assert number(90, minutes) == "1.5 h"


def test_f13_every_panel_of_velocity_says_what_fills_it_and_tells_its_minutes_in_hours() -> None:
    panels = [chart for board in boards() for chart in board.charts() if chart.data.record in (Metric, PullRequestMetric)]
    assert {chart.data.record for chart in panels} == {Metric, PullRequestMetric}
    assert [chart.title for chart in panels if "`harvest github metrics`" not in chart.about] == []
    times = [one for chart in panels for one in chart.data.measures if "time" in one.field]
    assert {one.unit for one in times} == {"hours of minutes"}
