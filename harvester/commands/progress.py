"""Progress for people: a bar on a terminal for what takes longer than two seconds, else nothing."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

_PATIENCE = 2.0


class Bar:
    """What has been done of a span of time (or a number of events), with rate, time left and the date reached."""

    def __init__(self, title: str, total: float) -> None:
        self._title = title
        self._total = total
        self._began = time.monotonic()
        self._shown: Any = None
        self._task: Any = None

    def update(self, done: float, *, events: int = 0, reached: datetime | None = None) -> None:
        """`done` of the total; `events` so far; `reached`: up to which time."""
        seconds = time.monotonic() - self._began
        if self._shown is None and (seconds < _PATIENCE or not sys.stderr.isatty()):
            return
        if self._shown is None:
            self._open()
        rate = f"{events / seconds:,.0f} events/s" if seconds else ""
        date = f"{reached:%Y-%m-%d %H:%M}" if reached else ""
        self._shown.update(self._task, completed=min(done, self._total), rate=rate, reached=date)

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[reached]}"),
        )
        self._shown = Progress(*columns, console=Console(stderr=True), transient=True)
        self._shown.start()
        self._task = self._shown.add_task(self._title, total=self._total, rate="", reached="")

    def close(self) -> None:
        if self._shown is not None:
            self._shown.stop()


@contextmanager
def bar(title: str, total: float | timedelta) -> Iterator[Bar]:
    """A bar that is gone when the work is."""
    shown = Bar(title, total.total_seconds() if isinstance(total, timedelta) else total)
    try:
        yield shown
    finally:
        shown.close()
