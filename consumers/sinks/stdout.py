"""The sink stdout: one JSON document a line, as the index would hold it."""

import asyncio
import os
import select
import stat
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import msgspec

from consumers.protocols import Rejection
from consumers.records.record import document
from consumers.sinks.shaped import shaped
from harvester import crash
from harvester.disk import named
from harvester.errors import PermanentError, TransientError
from harvester.event import Event
from harvester.screens import plain_json
from harvester.url import Url

_AT_ONCE = 2**20


class ReaderGoneError(PermanentError):
    """Who read our output has closed it (`| head`). The command ends with 1 and one line: what was not read is not done."""

    exit_code: ClassVar[int] = 1


class StdoutSink:
    """Writes to a file descriptor. Each batch is out when `write` returns. Delivered twice = printed twice."""

    name = "stdout"

    def __init__(self, fd: int, thread: ThreadPoolExecutor, *, now: Callable[[], datetime]) -> None:
        self._fd = fd
        self._thread = thread
        self._now = now
        self._rest = b""
        self._closing = False
        # A pipe that poll calls writable takes this much without blocking, so that a stuck reader cannot hold us.
        self._step = _AT_ONCE if stat.S_ISREG(os.fstat(fd).st_mode) else select.PIPE_BUF

    async def write(self, events: Sequence[Event]) -> Sequence[Rejection]:
        """Waits while the reader does not read. ReaderGoneError when there is none; TransientError when the disk is full."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._write, events)

    def give_up(self) -> None:
        """End a write that waits for its reader."""
        self._closing = True

    def _write(self, events: Sequence[Event]) -> Sequence[Rejection]:
        crash.point("sink.before_write")
        records, rejections = shaped(events)
        now = self._now()
        lines = [document(record, event, now) for record, event, _ in records]
        self._pour(plain_json(b"\n".join([*lines, b""])))
        crash.point("sink.after_write")
        return rejections

    def _pour(self, body: bytes) -> None:
        """All of `body`, after the rest of a line that a full disk tore: so every line stays whole, whatever comes twice."""
        begun, done = len(self._rest), 0
        body = self._rest + body
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        try:
            while done < len(body):
                if self._closing:
                    raise TransientError("stdout: its reader did not read until we were stopped")
                if poll.poll(200):
                    done += os.write(self._fd, body[done : done + self._step])
        except BrokenPipeError as error:
            raise ReaderGoneError("stdout: the reader has closed it") from error
        except OSError as error:
            raise named(error, Path("stdout")) from error
        finally:
            self._rest = body[done:begun] or _rest_of_line(body, done)


def _rest_of_line(body: bytes, done: int) -> bytes:
    """What is missing of a line that was begun."""
    whole = done in (0, len(body)) or body[done - 1 : done] == b"\n"
    return b"" if whole else body[done : body.index(b"\n", done) + 1]


class _NoOptions(msgspec.Struct):
    """stdout:// has none."""


@asynccontextmanager
async def open_stdout(
    url: Url | None = None, *, fd: int | None = None, now: Callable[[], datetime] | None = None
) -> AsyncIterator[StdoutSink]:
    """stdout://, or the file descriptor `fd`. What Python still holds for stdout goes out first."""
    if url is not None:
        url.options(_NoOptions)
    sys.stdout.flush()
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stdout")
    sink = StdoutSink(sys.stdout.fileno() if fd is None else fd, thread, now=now or (lambda: datetime.now(UTC)))
    try:
        yield sink
    finally:
        sink.give_up()
        await asyncio.to_thread(thread.shutdown)
