"""One request to Opencast for a page, asked for again while the answer is none."""

from collections.abc import Callable
from typing import Any, TypeVar

from harvester.errors import TransientError
from harvester.http import Answer, HttpClient
from harvester.retry import UnusableError

T = TypeVar("T")


async def whole_page(http: HttpClient, path: str, read: Callable[[bytes], T], query: dict[str, Any]) -> tuple[Answer, T]:
    """The answer, and what `read` makes of its body: TransientError for what is no page. Raises what HttpClient.get does."""
    pages: list[T] = []

    def whole(answer: Answer, _: str) -> None:
        try:
            pages.append(read(answer.body))
        except TransientError as error:
            raise UnusableError(str(error)) from error

    answer = await http.get(path, check=whole, **query)
    return answer, pages[-1] if pages else read(answer.body)
