"""A way to a server on which answers can be lost: what is asked arrives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Listens on `port` of the loopback address and hands everything on to a server there."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.target = 0
        self.passing = asyncio.Event()
        """Cleared: answers are kept back, and lost when `cut` follows."""
        self.passing.set()
        self.kept_back = 0
        self._ways: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Ends every connection, with what was kept back."""
        for writer in self._ways:
            writer.transport.abort()
        self.passing.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._ways.add(writer)
        try:
            with suppress(OSError):
                from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
                self._ways.add(to_server)
                await asyncio.gather(self._copy(reader, to_server), self._answers(from_server, writer))
        finally:
            self._ways.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if not self.passing.is_set():
                self.kept_back += 1
                await self.passing.wait()
                return
            writer.write(data)
            await writer.drain()
        writer.close()

    async def end(self) -> None:
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def proxy(port: int) -> AsyncIterator[Proxy]:
    """Set its `target` before anybody connects."""
    found = Proxy(port)
    server = await asyncio.start_server(found.serve, "127.0.0.1", port)
    try:
        yield found
    finally:
        server.close()
        await found.end()
        await server.wait_closed()
