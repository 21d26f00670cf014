"""A picture of a board over given answers: our own drawing, which says so, for the docs and for a look at what is asked."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from dashboards.builder.aggregation import Span
from dashboards.builder.board import WIDTH, Board, Chart, Placed, Text, placed
from dashboards.builder.svg_charts import chart, listed
from dashboards.builder.svg_marks import Box, lines_of, text

_CELL, _ROW, _GAP, _TOP = 25, 20, 4, 64
_STYLE = (
    "text{font-family:'DejaVu Sans',Verdana,sans-serif;font-size:12px;fill:#343741}.title{font-weight:bold}.big{font-size:34px;"
    "font-weight:bold}.head{font-size:22px;font-weight:bold}.small{font-size:10.5px;fill:#69707d}.axis{stroke:#d3dae6;fill:none}"
)


def drawing(board: Board, answers: Sequence[Sequence[Any]], span: Span) -> str:
    """The board as SVG; an answer for each panel that asks, in their order. The same answers make the same bytes."""
    panels = list(placed(board))
    rest = iter(answers)
    height = _TOP + max((one.y + one.panel.height) * _ROW for one in panels) + 8
    width = WIDTH * _CELL + 16
    shown = [line for one in panels for line in _panel(one, () if isinstance(one.panel, Text) else next(rest))]
    note = f"our own drawing, not Kibana's · the simulated university, {span.start:%-d} to {span.end:%-d %B %Y} (UTC)"
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        f"<title>{escape(board.title)}: {escape(note)}</title><style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#f5f7fa"/>',
        text(12, 28, board.title, "head"),
        text(12, 50, note, "small"),
    ]
    return "\n".join([*head, *shown, "</svg>"]) + "\n"


def _panel(one: Placed, rows: Sequence[Any]) -> Iterator[str]:
    panel = one.panel
    box = Box(
        8 + one.x * _CELL + _GAP / 2,
        _TOP + one.y * _ROW + _GAP / 2,
        panel.width * _CELL - _GAP,
        panel.height * _ROW - _GAP,
    )
    yield f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="5" fill="#fff" stroke="#d3dae6"/>'
    if isinstance(panel, Text):
        for number, line in enumerate(lines_of(panel.markdown, int(box.width / 6.6))):
            yield text(box.x + 12, box.y + 20 + number * 17, line)
        return
    if not isinstance(panel, Chart) or panel.shape != "metric":
        yield text(box.x + 10, box.y + 20, panel.title, "title")
        box = Box(box.x + 10, box.y + 32, box.width - 20, box.height - 40)
    yield from chart(panel, rows, box) if isinstance(panel, Chart) else listed(panel, rows, box)
