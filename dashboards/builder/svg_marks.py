"""The marks that drawings are made of, and how numbers are told on them."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from textwrap import wrap
from typing import NamedTuple

from dashboards.builder.aggregation import Every, Measure, Unit

COLOURS = ("#16a085", "#5b8def", "#e0a030", "#c0567f", "#7e57c2", "#7a8b99", "#3fb8d6", "#b8705a", "#8bb04a", "#99508a")
_FORMS = {"minute": "%-d %b %H:%M", "hour": "%-d %b %H:00", "day": "%-d %b", "week": "%-d %b"}
_UNITS: Mapping[Unit, tuple[int, str]] = {
    "seconds": (1, "s"),
    "minutes": (60, "min"),
    "hours": (3600, "h"),
    "hours of minutes": (60, "h"),
    "bytes": (2**20, "MB"),
}
"""How much of a field one of the unit is, and its sign."""
_WIDE = 7.1
"""Pixels that a character takes, about."""


class Box(NamedTuple):
    x: float
    y: float
    width: float
    height: float


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """A line of text with its left end, its middle or its right `end` at x."""
    style = f' class="{kind}"' if kind else ""
    at = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{style}{at}>{escape(words)}</text>'


def bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" fill="{colour}"/>'


def rule(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<path class="axis" d="M{x:.1f},{y:.1f}L{to_x:.1f},{to_y:.1f}"/>'


def cut(words: str, width: float) -> str:
    """As much of it as has room."""
    most = max(int(width / _WIDE), 2)
    return words if len(words) <= most else f"{words[: most - 1]}…"


def lines_of(markdown: str, width: int) -> list[str]:
    """Its words, without the marks."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown).replace("**", "").replace("*", "").replace("`", "")
    return [line for part in plain.splitlines() if part for line in wrap(part, width)]


def number(value: float | None, measure: Measure) -> str:
    """As Kibana would show it, about."""
    if value is None:
        return "–"
    if measure.unit:
        size, sign = _UNITS[measure.unit]
        return f"{value / size:,.1f} {sign}"
    return f"{value:,.1f}" if measure.operation == "average" else f"{value:,.0f}"


def key(value: int | str, every: Every = "day") -> str:
    """The name of a bucket."""
    return f"{datetime.fromtimestamp(value / 1000, UTC):{_FORMS[every]}}" if isinstance(value, int) else value


def steps(most: float, measure: Measure) -> Sequence[float]:
    """Values from 0 to above the greatest, four to six of them, that are round in the measure's unit."""
    unit, _ = _UNITS.get(measure.unit, (1, ""))
    return [unit * value for value in _round(most / unit)]


def _round(most: float) -> Sequence[float]:
    size = 1.0
    while size * 5 < most:
        size *= 10
    while size * 5 > most * 2 and size > 0.001:
        size /= 2
    return [size * nth for nth in range(int(most / size) + 2)]
