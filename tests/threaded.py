"""A server that serves from a thread while a block runs, for commands that have a loop of their own."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def threaded(opened: Callable[[], AbstractAsyncContextManager[T]], name: str) -> Iterator[T]:
    """What `opened` gives, in a loop and a thread of its own. It is closed there at the end of the block."""
    ready, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    found: list[T] = []

    async def serving() -> None:
        async with opened() as server:
            found.append(server)
            ready.set()
            await stop.wait()

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serving())

    thread = threading.Thread(target=work, name=name)
    thread.start()
    try:
        assert ready.wait(20)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
