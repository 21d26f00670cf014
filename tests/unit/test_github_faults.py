"""GitHub's pull requests when something is wrong with one of them: it becomes a letter, and its repository goes on."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import web

from harvester.coverage import Intervals
from harvester.errors import PermanentError, TransientError
from harvester.sources.github_details import batch_query, more_query
from tests.github_organisation import (
    DAY,
    NOW,
    YOUNG,
    Pull,
    Reply,
    asked_for,
    at,
    data,
    numbers,
    of_pulls,
    read,
    read_up_to_an_error,
    refusal,
    review,
    served,
    stream_of,
)


def of_one(number: int, refused: Callable[[], web.Response], *parts: str) -> Reply:
    """What answers for one pull request and its parts by REST, and for whatever of GraphQL names it."""
    asked = f"/pulls/{number}"

    def reply(request: web.BaseRequest, body: str) -> web.Response | None:
        if request.path == "/graphql":
            answer = refused()
            whole = answer.status in (403, 404)  # there these are about GraphQL as such
            return None if number not in asked_for(body) else refusal(502, "too much") if whole else answer
        whole = request.path.endswith(asked) and not parts
        return refused() if whole or any(request.path.endswith(f"{asked}/{part}") for part in parts) else None

    return reply


REFUSALS: dict[str, tuple[Callable[[], web.Response], str]] = {
    "422": (lambda: refusal(422, "Validation Failed"), "refused"),
    "418": (lambda: refusal(418, "odd"), "refused"),
    "403": (lambda: refusal(403, "not for you"), "denied"),
    "404": (lambda: refusal(404, "Not Found"), "gone"),
    "500": (lambda: refusal(500, "Server Error"), "unavailable"),
    "502": (lambda: refusal(502, "Server Error"), "unavailable"),
    "504": (lambda: refusal(504, "timeout"), "unavailable"),
    "no JSON": (lambda: web.Response(text="<html>"), "unavailable"),
    "too large": (lambda: web.Response(text=f'{{"a":"{"x" * 40_000}"}}', content_type="application/json"), "payload_too_large"),
}


@pytest.mark.parametrize("parts", [[], ["commits"], ["reviews"]], ids=["itself", "commits", "reviews"])
@pytest.mark.parametrize("what", REFUSALS)
@pytest.mark.parametrize("mode", ["graphql", "rest"])
async def test_one_pull_request_that_is_refused_is_a_letter_and_the_others_come(what: str, parts: list[str], mode: str) -> None:
    refused, reason = REFUSALS[what]
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(1, 6)))
    organisation.reply = of_one(3, refused, *parts)
    async with served(organisation, mode=mode, max_body=30_000) as source:
        got = await read(await stream_of(source))
    assert numbers(got) == [1, 2, 4, 5]
    [broken] = got.broken
    assert (msgspec.json.decode(broken.body)["number"], broken.reason) == (3, reason)
    assert Intervals([page.covered for page in got.pages if page.covered]) == Intervals([DAY])


@pytest.mark.parametrize("answer", [
    lambda: refusal(502, "Server Error"),
    lambda: refusal(422, "odd"),
    lambda: web.json_response({"data": {"node": [1]}}),
    lambda: web.json_response({"data": {"node": {"p": {"commits": {"totalCount": 260, "nodes": [None], "pageInfo": {}}}}}}),
    lambda: web.json_response({"data": {"node": {"p": {"commits": {"totalCount": 260, "nodes": [{"commit": None}]}}}}}),
])  # fmt: skip
async def test_when_further_commits_cannot_be_had_all_of_it_comes_by_rest(answer: Callable[[], web.Response]) -> None:
    organisation = of_pulls(Pull(1, at(1)), Pull(2, at(2), commits=60))
    organisation.reply = lambda _, body: answer() if "p:pullRequest" in body else None
    async with served(organisation) as source:
        got = await read(await stream_of(source))
    assert not got.broken
    assert [(d["pull_request"]["number"], d["from"]) for d in data(got.events, "pull_request")] == [(1, "graphql"), (2, "rest")]
    assert len(data(got.events, "pull_request_commit")) == 61


async def test_a_comparison_that_github_never_manages_makes_a_letter_of_its_pull_request() -> None:
    organisation = of_pulls(Pull(1, at(1)), Pull(2, at(2), commits=260))
    organisation.reply = lambda r, _: refusal(504, "timeout") if "/compare/" in r.path else None
    async with served(organisation) as source:
        got = await read(await stream_of(source))
    assert (numbers(got), [one.reason for one in got.broken]) == ([1], ["unavailable"])


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("mode", ["auto", "graphql", "rest"])
async def test_an_outage_of_everything_is_an_error_of_the_stream_and_no_letter(status: int, mode: str) -> None:
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(1, 6)))
    async with served(organisation, mode=mode) as source:
        stream = await stream_of(source)
        organisation.reply = lambda *_: refusal(status, "Server Error")
        pages, error = await read_up_to_an_error(stream)
    assert isinstance(error, TransientError)
    assert not [page for page in pages if page.broken or page.covered]


@pytest.mark.parametrize("mode", ["auto", "rest"])
async def test_an_outage_of_all_details_is_an_error_of_the_stream_although_lists_come(mode: str) -> None:
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(1, 6)))
    organisation.reply = lambda r, body: refusal(502, "x") if "/pulls/" in r.path or asked_for(body) else None
    async with served(organisation, mode=mode) as source:
        pages, error = await read_up_to_an_error(await stream_of(source))
    assert isinstance(error, TransientError)
    assert not [page for page in pages if page.broken or page.covered]


async def test_two_that_are_refused_beside_each_other_are_two_letters() -> None:
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(1, 6)))
    both = of_one(4, lambda: refusal(502, "x")), of_one(5, lambda: refusal(502, "x"))
    organisation.reply = lambda r, body: both[0](r, body) or both[1](r, body)
    async with served(organisation) as source:
        got = await read(await stream_of(source))
    assert (numbers(got), len(got.broken)) == ([1, 2, 3], 2)


@pytest.mark.parametrize("mode", ["auto", "rest"])
async def test_a_token_that_is_refused_while_details_are_read_is_an_error_of_the_stream(mode: str) -> None:
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(1, 6)))
    organisation.reply = lambda r, body: refusal(401, "Bad credentials") if "/pulls/" in r.path or asked_for(body) else None
    async with served(organisation, mode=mode) as source:
        pages, error = await read_up_to_an_error(await stream_of(source))
    assert isinstance(error, PermanentError)
    assert "token" in str(error)
    assert not [page for page in pages if page.broken]


async def test_a_token_that_may_read_no_pull_request_any_more_makes_no_letters() -> None:
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(1, 6)))
    organisation.reply = lambda r, _: refusal(403, "Resource not accessible") if "/pulls/" in r.path else None
    async with served(organisation, mode="rest") as source:
        pages, error = await read_up_to_an_error(await stream_of(source))
    assert isinstance(error, PermanentError)
    assert not [page for page in pages if page.broken]


async def test_a_rate_limit_at_one_pull_request_is_waited_out() -> None:
    organisation, times = of_pulls(*(Pull(n, at(n)) for n in range(1, 4))), list[str]()

    def reply(request: web.BaseRequest, _: str) -> web.Response | None:
        if request.path.endswith("/pulls/2") and len(times) < 5:
            times.append(request.path)
            return refusal(403, "You have exceeded a secondary rate limit", Retry_After="1")
        return None

    organisation.reply = reply
    async with served(organisation, mode="rest") as source:
        got = await read(await stream_of(source))
    assert (numbers(got), got.broken, len(times)) == ([1, 2, 3], [], 5)


@pytest.mark.parametrize("node", [[1], "odd", 5, {"p1": [1]}, {"p1": {"number": 1}}, {"p1": {"commits": {"nodes": [None]}}}])
async def test_a_node_of_graphql_that_is_none_is_read_by_rest(node: Any) -> None:
    organisation = of_pulls(Pull(1, at(1)))
    organisation.reply = lambda _, body: web.json_response({"data": {"node": node}}) if asked_for(body) else None
    async with served(organisation, mode="graphql") as source:
        got = await read(await stream_of(source))
    assert [d["from"] for d in data(got.events, "pull_request")] == ["rest"]


@pytest.mark.parametrize("commits", [[None], [{"commit": None}], [{"commit": [1]}], [{"commit": {}}], [5]])
async def test_odd_rows_of_commits_end_nothing_in_either_mode(commits: list[Any]) -> None:
    odd = Pull(1, at(1))
    usual = odd.node()

    def node() -> dict[str, Any]:
        return {**usual, "commits": {"totalCount": 300, "pageInfo": {"hasNextPage": False}, "nodes": commits}}

    odd.node = node  # type: ignore[method-assign]
    organisation = of_pulls(odd, Pull(2, at(2)))
    organisation.reply = lambda r, _: web.json_response(commits) if r.path.endswith("/pulls/1/commits") else None
    for mode in ("graphql", "rest"):
        async with served(organisation, mode=mode) as source:
            got = await read(await stream_of(source))
        assert numbers(got)[-1] == 2
        assert {*numbers(got)} == {1, 2} or got.broken


async def test_a_canary_with_a_row_that_is_none_knows_the_others() -> None:
    organisation = of_pulls(Pull(1, at(0)))

    def reply(request: web.BaseRequest, body: str) -> web.Response | None:
        if "organization(" not in body:
            return None
        told = msgspec.json.decode((organisation._usual(request, body).text or "").encode())
        told["data"]["organization"]["repositories"]["nodes"][:0] = [None, [1], {"databaseId": 9, "pullRequests": None}]
        return web.json_response(told)

    organisation.reply = reply
    async with served(organisation) as source:
        assert (await read(await stream_of(source), YOUNG)).events == []
    assert organisation.count("/issues?") == 0


# --- a replica that is behind


@pytest.mark.parametrize("mode", ["graphql", "rest"])
async def test_what_a_replica_behind_the_list_told_is_asked_for_again_at_the_next_poll(mode: str) -> None:
    recent = NOW - timedelta(minutes=4)
    organisation = of_pulls(Pull(1, at(30, recent)), Pull(2, at(0, recent)))
    behind = Pull(1, at(10, recent), title="before")
    fresh = organisation.repo.pulls[0].node, organisation.repo.pulls[0].detail
    organisation.repo.pulls[0].node, organisation.repo.pulls[0].detail = behind.node, behind.detail  # type: ignore[method-assign]
    async with served(organisation, mode=mode) as source:
        stream = await stream_of(source)
        old = await read(stream, YOUNG)
        organisation.repo.pulls[0].node, organisation.repo.pulls[0].detail = fresh  # type: ignore[method-assign]
        new = await read(stream, YOUNG, old.pages[-1].notes or b"")
        rest = await read(stream, YOUNG, new.pages[-1].notes or b"")
    assert [sorted(numbers(got)) for got in (old, new, rest)] == [[1, 2], [1], []]
    assert new.events[0].version > next(e for e in old.events if e.subject == "1/1").version


# --- ids


def test_ids_are_asked_for_as_text_of_any_length() -> None:
    for query in (batch_query([1]), more_query(1, "reviews")):
        assert "fullDatabaseId" in query
        assert " databaseId" not in query.replace("node(id:$id){... on Repository{id databaseId", "").replace(
            "login databaseId", ""
        )


async def test_an_id_beyond_32_bits_names_its_review_also_where_its_number_is_not_told() -> None:
    long = review(1, databaseId=None, fullDatabaseId="5000000000")
    both = review(2, databaseId=705032704, fullDatabaseId="5000000001")
    async with served(of_pulls(Pull(1, at(1), reviews=[long, both, review(3)]))) as source:
        got = await read(await stream_of(source))
    assert [e.subject for e in got.events if e.type == "github.review"] == ["1/5000000000", "1/5000000001", "1/3"]
    assert not got.broken


async def test_a_server_that_has_no_whole_ids_is_asked_for_numbers_and_graphql_is_not_left() -> None:
    told: list[tuple[str, str]] = []
    organisation = of_pulls(Pull(1, at(1), commits=60, reviews=[review(5)]))
    older = {"errors": [{"message": "Field 'fullDatabaseId' doesn't exist on type 'PullRequest'"}]}
    organisation.reply = lambda _, body: web.json_response(older) if "fullDatabaseId" in body else None
    async with served(organisation, on_mode=lambda *m: told.append(m)) as source:
        stream = await stream_of(source)
        got = await read(stream)
        again = await read(stream)
    assert (told, organisation.count("fullDatabaseId")) == ([], 1)
    assert {d["from"] for d in data([*got.events, *again.events], "pull_request")} == {"graphql"}
    assert [e.subject for e in got.events if e.type == "github.review"] == ["1/5"]
