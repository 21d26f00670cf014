"""The process: signals, draining, and supervision of tasks that must not stop each other."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from harvester.errors import ConfigError, PermanentError, RefusedError, TransientError
from harvester.logs import get_logger

_LONGEST_PAUSE = 60.0
_PERMANENT_PAUSE = 300.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(Exception):  # noqa: N818 - not an error: the person asked for it
    """A signal ended a one-shot command."""


async def until_signal(work: Callable[[asyncio.Event], Awaitable[None]], *, drain: float) -> None:
    """Run a daemon: the first signal sets the event and leaves `drain` seconds to finish, a second ends the process (130)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work(stop))

    def stopping() -> None:
        if stop.is_set():
            os._exit(130)
        get_logger("service").info("stopping", drain=drain)
        stop.set()
        loop.call_later(drain, task.cancel)

    for number in _SIGNALS:
        loop.add_signal_handler(number, stopping)
    try:
        await task
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        get_logger("service").warning("stopped before everything was finished: what is left comes again at the next start")


def run_once(work: Coroutine[Any, Any, int]) -> int:
    """Run a one-shot command; a signal cancels it and ends in exit code 130, with nothing claimed that is not durable."""

    async def main() -> int:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return 130

    return asyncio.run(main())


async def supervise(name: str, work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Run `work` until it returns or `stop` is set; whatever else ends it, it is started anew, alone, after a pause.

    ConfigError and RefusedError go up: they need a person and end the process.
    """
    log = get_logger("service").bind(task=name)
    pause, loop = 1.0, asyncio.get_running_loop()
    while not stop.is_set():
        began = loop.time()
        try:
            await work()
            return
        except (ConfigError, RefusedError):
            raise
        except TransientError as error:
            log.warning("tried again", error=str(error), seconds=error.retry_after or pause)
            wait = error.retry_after or pause
        except PermanentError as error:
            log.error("stopped: it cannot work until somebody acts; the others go on", error=str(error), retry=_PERMANENT_PAUSE)
            wait = _PERMANENT_PAUSE
        except Exception as error:
            log.exception("died and is started anew", error=str(error), seconds=pause)
            wait = pause
        if loop.time() - began > _LONGEST_PAUSE:
            pause = 1.0
        await sleep_until(stop, wait * random.uniform(0.5, 1))  # noqa: S311 - jitter
        pause = min(pause * 2, _LONGEST_PAUSE)


async def sleep_until(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, but not a moment longer than until the stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
