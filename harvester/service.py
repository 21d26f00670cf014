"""The process: signals, draining, and supervision of tasks that must not stop each other."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

from harvester.errors import ConfigError, HarvesterError, PermanentError, RefusedError, TransientError
from harvester.logs import Logger, get_logger
from harvester.retry import TOLD_CAP
from harvester.states import Component

_LONGEST_PAUSE = 60.0
_PERMANENT_PAUSE = 300.0
_START = 10.0
"""Seconds within which a fault of the settings shows."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class CutError(HarvesterError):
    """A signal cut a one-shot command (exit 130); the text says what was done before and how to go on."""

    exit_code = 130


class ReaderGoneError(HarvesterError):
    """Whoever read stdout closed it, as `head` does (exit 1)."""


async def until_signal(work: Callable[[asyncio.Event], Awaitable[None]], *, drain: float) -> None:
    """Run a daemon: the first signal sets the event and leaves `drain` seconds to finish, a second ends the process (130).

    A tenth of `drain` is kept back for closing what was cut.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work(stop))

    def stopping() -> None:
        if stop.is_set():
            get_logger("service").warning("ended at once by a second signal: what is left comes again at the next start")
            _end()
        get_logger("service").info("stopping", drain=drain)
        stop.set()
        loop.call_later(drain * 0.9, task.cancel)

    for number in _SIGNALS:
        loop.add_signal_handler(number, stopping)
    try:
        await task
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        get_logger("service").warning("stopped before everything was finished: what is left comes again at the next start")


def _end() -> NoReturn:
    """Without waiting for anybody."""
    sys.stderr.flush()
    os._exit(130)


def run_once(work: Coroutine[Any, Any, int]) -> int:
    """Run a one-shot command; a signal cancels it: CutError, with nothing claimed that is not durable.

    A second signal ends the process at once. ReaderGoneError when stdout was closed by its reader.
    """

    async def main() -> int:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()

        def stopping() -> None:
            if task.cancelling():
                print("harvest: ended at once by a second signal", file=sys.stderr)  # noqa: T201 - as errors of commands are told
                _end()
            task.cancel()

        for number in _SIGNALS:
            loop.add_signal_handler(number, stopping)
        try:
            return await task
        except asyncio.CancelledError as error:
            raise CutError("interrupted") from error

    try:
        return asyncio.run(main())
    except BrokenPipeError as error:
        # What Python still holds for stdout goes nowhere, or it would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ReaderGoneError("stdout: the reader has closed it") from error


async def supervise(
    name: str,
    work: Callable[[], Awaitable[None]],
    stop: asyncio.Event,
    *,
    component: Component | None = None,
    may_end: bool = True,
) -> None:
    """Run `work` until it returns or `stop` is set; whatever else ends it, it is started anew, alone, after a pause.

    ConfigError and RefusedError, out of groups too, need a person: at the start they end the process (with `may_end`), so that he
    sees them; once the task has worked, it waits for him alone and the others go on. `component` is told how it goes.
    """
    log = get_logger("service").bind(task=name)
    pause, worked, loop = 1.0, not may_end, asyncio.get_running_loop()
    while not stop.is_set():
        began = loop.time()
        try:
            await work()
            return
        except Exception as error:
            worked = worked or loop.time() - began > _START
            if not worked and (fatal := _for_a_person(error)):
                raise fatal from error
            if loop.time() - began > _LONGEST_PAUSE:
                pause = 1.0
            cause = cause_of(error)
            wait = _wait_after(cause, pause, log)
            if component is not None:
                component.failed(cause, seconds=wait)
            await sleep_until(stop, wait)
            pause = min(pause * 2, _LONGEST_PAUSE)


def _for_a_person(error: Exception) -> Exception | None:
    if isinstance(error, ExceptionGroup):
        return error.subgroup((ConfigError, RefusedError))
    return error if isinstance(error, ConfigError | RefusedError) else None


def cause_of(error: Exception) -> Exception:
    """What to say of an error: of a group's members the first that nobody foresaw, else the one that needs a person."""
    if not isinstance(error, ExceptionGroup):
        return error
    leaves = [cause_of(one) for one in error.exceptions]
    unforeseen = [one for one in leaves if not isinstance(one, HarvesterError)]
    return next(iter([*unforeseen, *(one for one in leaves if not isinstance(one, TransientError)), *leaves]))


def _wait_after(error: Exception, pause: float, log: Logger) -> float:
    """Say what happened, and how long to wait. A wait that was asked for is never cut short."""
    if isinstance(error, PermanentError | ConfigError | RefusedError):
        log.error("stopped: it cannot work until somebody acts; the others go on", error=str(error), retry=_PERMANENT_PAUSE)
        return _PERMANENT_PAUSE
    told = min(error.retry_after or 0.0, TOLD_CAP) if isinstance(error, TransientError) else 0.0
    wait = told or pause * random.uniform(0.5, 1)  # noqa: S311 - jitter
    if isinstance(error, TransientError):
        log.warning("tried again", error=str(error), seconds=round(wait, 1))
    else:
        log.error("died and is started anew", error=str(error), seconds=round(wait, 1), exc_info=error)
    return wait


async def unless(halt: asyncio.Event, work: Callable[[], Awaitable[None]], *, drain: float = 0.0) -> None:
    """Do the work; once `halt` is set it has `drain` seconds to end by itself, then it is cancelled.

    TransientError: it was cancelled from within, which would otherwise look as if it were done.
    """
    task, halting = asyncio.ensure_future(work()), asyncio.ensure_future(halt.wait())
    try:
        await asyncio.wait([task, halting], return_when=asyncio.FIRST_COMPLETED)
        if drain and not task.done():
            await asyncio.wait([task], timeout=drain)
    finally:
        by_itself = not task.cancel()
        halting.cancel()
        await asyncio.gather(task, halting, return_exceptions=True)
    if not task.cancelled():
        task.result()
    elif by_itself:
        raise TransientError("it was cancelled from within")


async def sleep_until(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, but not a moment longer than until the stop."""
    # Not wait_for: Python 3.11's forgets a cancellation that comes together with the stop.
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
