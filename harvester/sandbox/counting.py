"""Every request is counted with what became of it."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from harvester.sandbox.mishaps import was_reset
from harvester.sandbox.stats import Stats

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def counting(stats: Stats, endpoint_of: Callable[[web.Request], str]) -> Callable[..., Awaitable[web.StreamResponse]]:
    """A middleware; `endpoint_of` names what a request asked."""

    @web.middleware
    async def count(request: web.Request, handler: Answer) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as refused:
            stats.request(endpoint_of(request), str(refused.status))
            raise
        stats.request(endpoint_of(request), "reset" if was_reset(response) else str(response.status))
        return response

    return count
