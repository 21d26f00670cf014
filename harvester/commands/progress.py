"""Progress for people: a bar on a terminal for what takes longer than two seconds, else nothing."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from harvester.commands.outlook import clock_time

_PATIENCE = 2.0


class Bar:
    """What has been done of a span of time (or a number of things), with rate, time left and the date reached.

    May be updated from any thread.
    """

    def __init__(self, title: str, total: float, unit: str) -> None:
        self._title = title
        self._total = total
        self._unit = unit
        self._began = time.monotonic()
        self._lock = Lock()
        self._shown: Any = None
        self._task: Any = None
        self._last: dict[str, Any] = {"completed": 0, "rate": "", "reached": "", "ends": None}

    def update(
        self,
        done: float,
        *,
        count: int = 0,
        reached: datetime | None = None,
        total: float | None = None,
        ends: datetime | None = None,
    ) -> None:
        """`done` of the total; `count` things so far; `reached`: up to which time; `total`: when it is known only now.

        `ends`: when all will be done, by a forecast.
        """
        with self._lock:
            seconds = time.monotonic() - self._began
            self._total = self._total if total is None else total
            rate = f"{count / seconds:,.0f} {self._unit}/s" if seconds else ""
            date = f"{reached:%Y-%m-%d %H:%M}" if reached else ""
            if ends:
                date = f"{date}  ends {clock_time(ends)}".strip()
            self._last = {"completed": min(done, self._total), "rate": rate, "reached": date, "ends": ends}
            if self._shown is not None:
                self._shown.update(self._task, total=self._total, **self._last)

    def show(self) -> None:
        """From now on it is seen, also before the first part is done."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.text import Text

        class Left(TimeRemainingColumn):
            """By the pace alone: where a forecast knows of limits, it is not shown beside it."""

            def render(self, task: Task) -> Text:
                return Text() if task.fields["ends"] else super().render(task)

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),  # gives way, so that rate and time left are whole on a narrow terminal
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            Left(),
            TextColumn("{task.fields[reached]}"),
        )
        with self._lock:
            self._shown = Progress(*columns, console=Console(stderr=True), transient=True, expand=True, redirect_stdout=False)
            self._task = self._shown.add_task(self._title, total=self._total or None, **self._last)
            self._shown.start()

    def close(self) -> None:
        if self._shown is not None:
            self._shown.stop()


@contextmanager
def bar(
    title: str, total: float | timedelta, *, unit: str = "events", printing: bool = False, wanted: bool = True
) -> Iterator[Bar]:
    """A bar that is gone when the work is. `printing`: data go to stdout, and no bar is drawn between them on a terminal."""
    shown = Bar(title, total.total_seconds() if isinstance(total, timedelta) else total, unit)
    seen = wanted and sys.stderr.isatty() and not (printing and sys.stdout.isatty())
    patience = float(os.environ.get("HARVESTER_TEST_PATIENCE", _PATIENCE))
    timer = asyncio.get_running_loop().call_later(patience, shown.show) if seen else None
    try:
        yield shown
    finally:
        if timer is not None:
            timer.cancel()
        shown.close()
