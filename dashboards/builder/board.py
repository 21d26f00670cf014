"""Boards: what a dashboard shows, and where on its grid."""

from collections.abc import Iterator
from typing import Literal, NamedTuple
from uuid import UUID, uuid5

from consumers.records.record import Record
from dashboards.builder.aggregation import Aggregation, Times
from dashboards.builder.fields import check, place
from dashboards.builder.listing import Listing, check_listing

WIDTH = 48
"""Columns of Kibana's grid."""
Shape = Literal["metric", "bar", "bar_stacked", "bar_horizontal", "line", "area_stacked", "pie", "donut", "table"]
XY = ("bar", "bar_stacked", "bar_horizontal", "line", "area_stacked")
_SPACE = UUID("6f0c3f0e-5d0b-5d7c-9a55-0b6a1f2f6c11")
"""Of all our ids: the same words make the same id, in every installation and after every change around them."""


class Text(NamedTuple):
    """A panel of words. `name` tells it apart and is not shown."""

    name: str
    width: int
    height: int
    markdown: str


class Chart(NamedTuple):
    """A panel that answers something. `about`: what it shows, for the page; its fields follow from `data`."""

    title: str
    shape: Shape
    width: int
    height: int
    data: Aggregation
    about: str


class Rows(NamedTuple):
    """A panel of the documents themselves, newest first."""

    title: str
    width: int
    height: int
    data: Listing
    about: str


Panel = Text | Chart | Rows


class Control(NamedTuple):
    """A list above the panels, by which a reader narrows them to some values of a field."""

    record: type[Record]
    field: str
    title: str


class Board(NamedTuple):
    """A dashboard. `rows`: from top to bottom, each as wide as the grid; `past`: what it shows when it is opened."""

    name: str
    title: str
    about: str
    rows: tuple[tuple[Panel, ...], ...]
    controls: tuple[Control, ...] = ()
    past: str = "now-30d"

    @property
    def id(self) -> str:
        """By which links and a second import find it."""
        return f"harvester-{self.name}"

    def charts(self) -> list[Chart]:
        return [panel for row in self.rows for panel in row if isinstance(panel, Chart)]

    def records(self) -> list[type[Record]]:
        """Those it reads, in the order in which it does."""
        asking = [panel.data.record for panel in self.asking()]
        return list(dict.fromkeys([*asking, *(one.record for one in self.controls)]))

    def asking(self) -> "list[Chart | Rows]":
        """All panels but words."""
        return [panel for row in self.rows for panel in row if not isinstance(panel, Text)]


class Placed(NamedTuple):
    panel: Panel
    id: str
    x: int
    y: int


def stable_id(*words: object) -> str:
    """A uuid that follows from the words."""
    return str(uuid5(_SPACE, "/".join(map(str, words))))


def name_of(panel: Panel) -> str:
    return panel.name if isinstance(panel, Text) else panel.title


def placed(board: Board) -> Iterator[Placed]:
    """Every panel with its id and its upper left corner. Raises ValueError for a board that cannot be laid out or asked."""
    names = [name_of(panel) for row in board.rows for panel in row]
    if len(set(names)) < len(names):
        raise ValueError(f"{board.name}: two panels of one name in {names}")
    for control in board.controls:
        for record in board.records():  # a filter on a field that an index has not empties every panel of that index
            place(record, control.field)
    top = 0
    for row in board.rows:
        heights = {panel.height for panel in row}
        if len(heights) != 1 or sum(panel.width for panel in row) != WIDTH:
            raise ValueError(f"{board.name}: a row is {WIDTH} wide and of one height, not {[(p.width, p.height) for p in row]}")
        left = 0
        for panel in row:
            if isinstance(panel, Chart):
                _check(panel)
            elif isinstance(panel, Rows):
                check_listing(panel.data)
            yield Placed(panel, stable_id(board.name, name_of(panel)), left, top)
            left += panel.width
        top += heights.pop()


def _check(chart: Chart) -> None:
    check(chart.data)
    buckets, measures = len(chart.data.buckets), len(chart.data.measures)
    fits = {
        "metric": buckets == 0 and measures == 1,
        "pie": buckets == 1 and measures == 1,
        "donut": buckets == 1 and measures == 1,
        "table": buckets >= 1,
    }.get(chart.shape, buckets == 1 or (buckets == 2 and measures == 1))
    if not fits:
        raise ValueError(f"{chart.title}: a {chart.shape} does not show {buckets} buckets and {measures} measures")
    if chart.data.names and chart.shape != "table":
        raise ValueError(f"{chart.title}: a {chart.shape} does not show names: a table does")


def axis_and_split(data: Aggregation) -> tuple[int, int | None]:
    """Which bucket lies along a chart, Times where there is one, and which splits it."""
    along = next((number for number, bucket in enumerate(data.buckets) if isinstance(bucket, Times)), len(data.buckets) - 1)
    others = [number for number in range(len(data.buckets)) if number != along]
    return along, others[0] if others else None
