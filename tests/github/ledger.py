"""What GitHub was asked, and what it would have been asked by the predecessor's plan."""

import re
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

OLD_CALLS = 4
"""The predecessor asked so often for every pull request, in every run."""
OLD_RUNS = 4
"""Its runs a day: one every six hours, unless told otherwise."""
_COST = re.compile(rb'"rateLimit":\{"cost":(\d+)')


class Calls(NamedTuple):
    """Requests by what they were for, and what they used of the hour."""

    total: int = 0
    graphql: int = 0
    unchanged: int = 0
    """Answered that nothing has changed: GitHub does not count them."""
    points: int = 0
    """Of GraphQL."""

    @property
    def spent(self) -> int:
        """Requests and points of the hour together."""
        return self.total - self.graphql - self.unchanged + self.points

    def since(self, before: "Calls") -> "Calls":
        return Calls(*(now - then for now, then in zip(self, before, strict=True)))


class Ledger:
    """Stands in front of a simulated GitHub."""

    def __init__(self) -> None:
        self.calls = Calls()

    @web.middleware
    async def keep(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.calls = self.calls._replace(total=self.calls.total + 1)
        if request.path.endswith("/graphql"):
            self.calls = self.calls._replace(graphql=self.calls.graphql + 1)
        response = await handler(request)
        if response.status == 304:
            self.calls = self.calls._replace(unchanged=self.calls.unchanged + 1)
        elif isinstance(response, web.Response) and (cost := _COST.search(bytes(response.body or b""))):  # type: ignore[arg-type]
            self.calls = self.calls._replace(points=self.calls.points + int(cost[1]))
        return response
