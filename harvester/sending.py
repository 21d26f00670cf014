"""How often one request is sent: what counts and spaces requests has to know of every one."""

import aiohttp


class Once:
    """Sends a request no second time: aiohttp repeats one whose connection broke, past every limit and count."""

    def __init__(self) -> None:
        self._broke: Exception | None = None

    async def __call__(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if self._broke is not None:
            raise self._broke
        try:
            return await handler(request)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            self._broke = error
            raise
