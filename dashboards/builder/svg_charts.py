"""One drawing for each shape of chart."""

from collections.abc import Callable, Iterator, Sequence
from math import ceil, cos, pi, sin

from dashboards.builder.aggregation import Cases, Every, Ranges, Row, Times
from dashboards.builder.board import Chart, Rows, Shape, axis_and_split
from dashboards.builder.listing import Line
from dashboards.builder.svg_marks import COLOURS, Box, bar, cut, key, number, rule, steps, text

_LEGEND = 160
_DOTTED = 40
"""So many points of a line are marked; of more the line alone is seen."""


def chart(panel: Chart, rows: Sequence[Row], box: Box) -> Iterator[str]:
    """What the panel shows of the rows, within the box."""
    if not rows:
        yield text(box.x, box.y + 20, "nothing found", "small")
        return
    yield from _DRAWN[panel.shape](panel, rows, box)


def listed(panel: Rows, rows: Sequence[Line], box: Box) -> Iterator[str]:
    """As many documents as have room."""
    names = ("@timestamp", *panel.data.fields)
    wide = box.width / len(names)
    shown = rows[: int((box.height - 22) / 17)]
    for nth, line in enumerate([names, *((key(int(row[0] or 0), "minute"), *row[1:]) for row in shown)]):
        for number_, words in enumerate(line):
            said = "–" if words is None else str(words)
            yield text(
                box.x + number_ * wide, box.y + 12 + nth * 17 + (4 if nth else 0), cut(said, wide - 8), "" if nth else "title"
            )
    yield rule(box.x, box.y + 18, box.x + box.width, box.y + 18)


def _metric(panel: Chart, rows: Sequence[Row], box: Box) -> Iterator[str]:
    measure = panel.data.measures[0]
    yield text(box.x + 14, box.y + 26, measure.label)
    yield text(box.x + box.width - 14, box.y + box.height - 22, number(rows[0].values[0], measure), "big", "end")


def _table(panel: Chart, rows: Sequence[Row], box: Box) -> Iterator[str]:
    data = panel.data
    names = [one.label for one in (*data.buckets, *data.names, *data.measures)]
    keys = len(data.buckets) + len(data.names)
    weights = [2.2 if number_ < keys else 1 for number_ in range(len(names))]
    edges = [box.x + box.width * sum(weights[:number_]) / sum(weights) for number_ in range(len(names) + 1)]
    shown = sorted(rows, key=lambda row: -(row.values[0] or 0))[: int((box.height - 22) / 17)]
    cells = [
        names,
        *([*map(key, row.keys), *(name or "–" for name in row.names), *_numbers(panel, row)] for row in shown),
    ]
    for nth, line in enumerate(cells):
        y = box.y + 12 + nth * 17 + (4 if nth else 0)
        for number_, words in enumerate(line):
            room = edges[number_ + 1] - edges[number_] - 8
            right = number_ >= keys
            x = edges[number_ + 1] - 6 if right else edges[number_]
            yield text(x, y, cut(words, room), "" if nth else "title", "end" if right else "start")
    yield rule(box.x, box.y + 18, box.x + box.width, box.y + 18)


def _numbers(panel: Chart, row: Row) -> list[str]:
    return [number(value, measure) for value, measure in zip(row.values, panel.data.measures, strict=True)]


def _rows(panel: Chart, rows: Sequence[Row], box: Box) -> Iterator[str]:
    """Bars that lie, the longest at the top."""
    measure = panel.data.measures[0]
    shown = sorted(rows, key=lambda row: -(row.values[0] or 0))
    most = max(row.values[0] or 0 for row in shown) or 1
    left, high = box.x + box.width * 0.36, min(box.height / len(shown), 26)
    for nth, row in enumerate(shown):
        y = box.y + nth * high
        wide = (box.width * 0.64 - 52) * (row.values[0] or 0) / most
        yield text(left - 8, y + high / 2 + 4, cut(key(row.keys[0]), left - box.x - 8), "", "end")
        yield bar(left, y + 3, wide, high - 6, COLOURS[0])
        yield text(left + wide + 6, y + high / 2 + 4, number(row.values[0], measure), "small")


def _ring(panel: Chart, rows: Sequence[Row], box: Box) -> Iterator[str]:
    measure = panel.data.measures[0]
    shown = sorted(rows, key=lambda row: -(row.values[0] or 0))
    whole = sum(row.values[0] or 0 for row in shown) or 1
    radius = min(box.height / 2 - 4, box.width / 4)
    x, y, at = box.x + radius + 6, box.y + box.height / 2, 0.0
    for nth, row in enumerate(shown):
        share = (row.values[0] or 0) / whole
        yield _slice(x, y, radius, (at, at + share), COLOURS[nth % len(COLOURS)])
        line = box.y + 16 + nth * 18
        yield bar(x + radius + 14, line - 9, 10, 10, COLOURS[nth % len(COLOURS)])
        told = f"{share:.0%}"
        yield text(x + radius + 29, line, cut(f"{key(row.keys[0])}", box.x + box.width - x - radius - 70))
        yield text(box.x + box.width, line, told, "small", "end")
        at += share
    if panel.shape == "donut":
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius * 0.6:.1f}" fill="#fff"/>'
        yield text(x, y + 4, number(whole, measure), "title", "middle")


def _slice(x: float, y: float, radius: float, part: tuple[float, float], colour: str) -> str:
    if part[1] - part[0] > 0.9999:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}"/>'
    (sx, sy), (ex, ey) = ((x + radius * sin(2 * pi * at), y - radius * cos(2 * pi * at)) for at in part)
    wide = int(part[1] - part[0] > 0.5)
    return (
        f'<path d="M{x:.1f},{y:.1f}L{sx:.1f},{sy:.1f}A{radius:.1f},{radius:.1f} 0 {wide} 1 {ex:.1f},{ey:.1f}Z" '
        f'fill="{colour}" stroke="#fff"/>'
    )


def _columns(panel: Chart, rows: Sequence[Row], box: Box) -> Iterator[str]:
    """Columns, lines and areas along an axis, one series a value of the split or a measure."""
    along, split = axis_and_split(panel.data)
    ticks, series = _ticks(panel, rows, along), _series(panel, rows, along, split)
    stacked = panel.shape in ("bar_stacked", "area_stacked")
    sums = [sum(values.get(tick, 0) for values in series.values()) for tick in ticks]
    most = max(sums) if stacked else max(max(values.values()) for values in series.values())
    marks = steps(most, panel.data.measures[0])
    room = min(_LEGEND, 40 + 7 * max(map(len, series))) if len(series) > 1 else 0
    inner = Box(box.x + 70, box.y + 4, box.width - 74 - room, box.height - 40)
    yield from _frame(panel, inner, marks, [key(tick, _every(panel)) for tick in ticks])
    drawn = _as_lines if panel.shape == "line" else _as_columns
    yield from drawn(list(series.values()), ticks, inner, marks[-1], stacked=stacked)
    for nth, name in enumerate(series if room else ()):
        yield bar(box.x + box.width - room + 12, box.y + 6 + nth * 18, 10, 10, COLOURS[nth])
        yield text(box.x + box.width - room + 27, box.y + 15 + nth * 18, cut(name, room - 27))


def _every(panel: Chart) -> Every:
    return next((bucket.every for bucket in panel.data.buckets if isinstance(bucket, Times)), "day")


def _ticks(panel: Chart, rows: Sequence[Row], along: int) -> list[int | str]:
    """The buckets along the axis, in the order in which it has them."""
    bucket, found = panel.data.buckets[along], {row.keys[along] for row in rows}
    match bucket:
        case Times():
            return sorted(found)
        case Ranges():
            return list(bucket.names)
        case Cases(_, cases):
            return [name for name in cases if name in found]
    return list(dict.fromkeys(row.keys[along] for row in sorted(rows, key=lambda row: -(row.values[0] or 0))))


def _series(panel: Chart, rows: Sequence[Row], along: int, split: int | None) -> dict[str, dict[int | str, float]]:
    if split is None:
        return {
            measure.label: {row.keys[along]: row.values[nth] or 0 for row in rows}
            for nth, measure in enumerate(panel.data.measures)
        }
    bucket = panel.data.buckets[split]
    names = list(bucket.cases) if isinstance(bucket, Cases) else list(dict.fromkeys(str(row.keys[split]) for row in rows))
    found: dict[str, dict[int | str, float]] = {name: {} for name in names}
    for row in rows:
        found[str(row.keys[split])][row.keys[along]] = row.values[0] or 0
    return {name: values for name, values in found.items() if values}


def _frame(panel: Chart, box: Box, marks: Sequence[float], ticks: Sequence[str]) -> Iterator[str]:
    measure = panel.data.measures[0]
    for mark in marks:
        y = box.y + box.height * (1 - mark / marks[-1])
        yield rule(box.x, y, box.x + box.width, y)
        yield text(box.x - 6, y + 4, number(mark, measure).replace(".0", ""), "small", "end")
    wide = box.width / len(ticks)
    every = max(1, ceil((max(map(len, ticks)) * 6 + 10) / wide))
    for nth, tick in enumerate(ticks):
        if nth % every == 0:
            yield text(box.x + wide * (nth + 0.5), box.y + box.height + 15, tick, "small", "middle")
    along, _ = axis_and_split(panel.data)
    label = "" if isinstance(panel.data.buckets[along], Times) else panel.data.buckets[along].label
    if label:
        yield text(box.x + box.width / 2, box.y + box.height + 31, label, "small", "middle")


def _as_columns(
    series: Sequence[dict[int | str, float]], ticks: Sequence[int | str], box: Box, most: float, *, stacked: bool
) -> Iterator[str]:
    wide = box.width / len(ticks)
    for nth, tick in enumerate(ticks):
        below = 0.0
        for number_, values in enumerate(series):
            high = box.height * values.get(tick, 0) / most
            thin = wide * 0.72 / (1 if stacked else len(series))
            x = box.x + wide * (nth + 0.14) + (0 if stacked else thin * number_)
            yield bar(x, box.y + box.height - below - high, thin - min(1, thin / 5), high, COLOURS[number_ % len(COLOURS)])
            below += high if stacked else 0


def _as_lines(
    series: Sequence[dict[int | str, float]], ticks: Sequence[int | str], box: Box, most: float, *, stacked: bool
) -> Iterator[str]:
    assert not stacked
    wide = box.width / len(ticks)
    for number_, values in enumerate(series):
        points = [
            (box.x + wide * (nth + 0.5), box.y + box.height * (1 - values.get(tick, 0) / most)) for nth, tick in enumerate(ticks)
        ]
        colour = COLOURS[number_ % len(COLOURS)]
        path = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        if len(points) <= _DOTTED:
            yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)


_DRAWN: dict[Shape, Callable[[Chart, Sequence[Row], Box], Iterator[str]]] = {
    "metric": _metric,
    "table": _table,
    "bar_horizontal": _rows,
    "pie": _ring,
    "donut": _ring,
    "bar": _columns,
    "bar_stacked": _columns,
    "area_stacked": _columns,
    "line": _columns,
}
