"""GitHub's pull requests in batches and by REST alone: what is too much is asked for in parts, what is broken ends nothing."""

import msgspec
import pytest
from aiohttp import web

from harvester.errors import InvalidEventError
from harvester.sources.github_details import batch_query
from tests.github_organisation import (
    NOW,
    YOUNG,
    Organisation,
    Pull,
    asked_for,
    at,
    comment,
    data,
    numbers,
    of_pulls,
    read,
    refusal,
    review,
    served,
    stream_of,
)

# --- what is too much, and what is broken


async def test_batches_halve_when_they_are_too_much_and_grow_back() -> None:
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(1, 101)))
    organisation.reply = lambda _, body: (
        refusal(502, "Something went wrong") if len(asked_for(body)) > 12 and organisation.count("p60:") == 0 else None
    )
    async with served(organisation) as source:
        got = await read(await stream_of(source))
    sizes = [len(asked_for(call)) for call in organisation.calls if asked_for(call)]
    assert sizes[:2] == [25, 12]
    assert max(sizes[-4:]) > 12
    assert numbers(got) == [*range(1, 101)]


def test_a_batch_says_once_what_it_asks_for() -> None:
    assert batch_query(range(1, 26)).count("mergeCommit") == 1


async def test_one_pull_request_is_asked_for_once_more_before_rest_that_tells_less_is_asked() -> None:
    organisation = of_pulls(Pull(1, at(1), reviews=[review(1)]))
    organisation.reply = lambda _, body: (
        refusal(502, "Something went wrong") if asked_for(body) and organisation.count("p1:") == 1 else None
    )
    async with served(organisation) as source:
        got = await read(await stream_of(source))
    assert organisation.count("p1:") == 2
    assert [told["review"]["updatedAt"] for told in data(got.events, "review")] == [at(10)]


async def test_one_pull_request_that_graphql_cannot_give_is_read_by_rest() -> None:
    organisation = of_pulls(*(Pull(n, at(n), reviews=[review(n)]) for n in range(1, 4)))
    organisation.reply = lambda _, body: refusal(504, "timeout") if 2 in asked_for(body) else None
    async with served(organisation) as source:
        got = await read(await stream_of(source))
    assert not got.broken
    assert [(d["from"], d["pull_request"]["number"]) for d in data(got.events, "pull_request")] == [
        ("graphql", 1), ("rest", 2), ("graphql", 3),
    ]  # fmt: skip
    assert len(data(got.events, "review")) == 3


async def test_q23_partial_errors_give_the_good_ones_and_what_is_refused_for_good_is_a_letter() -> None:
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(1, 5)))

    def reply(request: web.BaseRequest, body: str) -> web.Response | None:
        if request.path.endswith("/pulls/2"):
            return refusal(404, "Not Found")
        if asked_for(body):
            answer = organisation._usual(request, body)
            told = msgspec.json.decode((answer.text or "").encode())
            told["data"]["node"]["p2"] = None
            told["data"]["node"]["p3"]["reviews"] = None
            told["data"]["node"]["p4"]["author"] = None  # not because the account is gone
            told["errors"] = [
                {"type": "NOT_FOUND", "path": ["node", "p2"], "message": "gone"},
                {"message": "Something went wrong", "path": ["node", "p3", "reviews"]},
                {"message": "Something went wrong", "path": ["node", "p4", "author"]},
            ]
            return web.json_response(told)
        return None

    organisation.reply = reply
    async with served(organisation) as source:
        stream = await stream_of(source)
        got = await read(stream)
        assert [(d["pull_request"]["number"], d["from"]) for d in data(got.events, "pull_request")] == [
            (1, "graphql"), (3, "rest"), (4, "rest"),
        ]  # fmt: skip
        [broken] = got.broken
        assert broken.reason == "gone"
        assert msgspec.json.decode(broken.body)["number"] == 2
        with pytest.raises(InvalidEventError):
            stream.event(broken.body, NOW)


async def test_an_answer_without_anything_is_too_much_and_asked_for_in_parts() -> None:
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(1, 31)))
    spent = {"data": None, "errors": [{"type": "MAX_NODE_LIMIT_EXCEEDED", "message": "too many nodes"}]}
    organisation.reply = lambda _, body: web.json_response(spent) if len(asked_for(body)) > 10 else None
    async with served(organisation) as source:
        got = await read(await stream_of(source))
    assert numbers(got) == [*range(1, 31)]
    assert {d["from"] for d in data(got.events, "pull_request")} == {"graphql"}


async def test_a_server_with_another_schema_is_read_by_rest() -> None:
    organisation, told = of_pulls(Pull(1, at(5))), list[tuple[str, str]]()
    older = {"errors": [{"message": "Field 'isDraft' doesn't exist on type 'PullRequest'"}]}
    organisation.reply = lambda _, body: web.json_response(older) if asked_for(body) else None
    async with served(organisation, on_mode=lambda *m: told.append(m)) as source:
        got = await read(await stream_of(source))
    assert (numbers(got), [mode for mode, _ in told]) == ([1], ["rest"])


async def test_an_answer_of_graphql_that_is_no_json_ends_nothing() -> None:
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(1, 4)))
    organisation.reply = lambda _, body: (
        web.Response(body=b'{"data":{"node":{"p2":"\xff"}}}', content_type="application/json") if 2 in asked_for(body) else None
    )
    async with served(organisation) as source:
        assert numbers(await read(await stream_of(source))) == [1, 2, 3]


async def test_a_list_that_is_too_much_is_asked_for_less_at_once() -> None:
    organisation = Organisation()
    organisation.repo.issue_comments = [comment(n, at(n)) for n in range(1, 61)]
    organisation.reply = lambda r, _: refusal(502, "x") if r.query.get("per_page") == "100" and "comments" in r.path else None
    async with served(organisation) as source:
        got = await read(await stream_of(source, "issue_comments"))
    assert len(got.events) == 60


# --- REST alone


@pytest.mark.parametrize("how", ["set", "refused", "forbidden"])
async def test_without_graphql_everything_is_read_by_rest_and_that_is_told(how: str) -> None:
    told: list[tuple[str, str]] = []
    organisation = of_pulls(Pull(1, at(5), commits=260, reviews=[review(5), review(6, "PENDING", submittedAt=None)]))
    forbidden = {"data": None, "errors": [{"type": "FORBIDDEN", "message": "Resource not accessible", "path": ["node"]}]}
    if how == "refused":
        organisation.reply = lambda r, _: refusal(404, "Not Found") if r.path == "/graphql" else None
    if how == "forbidden":
        organisation.reply = lambda r, _: web.json_response(forbidden) if r.path == "/graphql" else None
    async with served(organisation, mode="rest" if how == "set" else "auto", on_mode=lambda *m: told.append(m)) as source:
        stream = await stream_of(source)
        got = await read(stream)
        await read(stream)
    assert organisation.count("graphql") == (0 if how == "set" else 1)
    assert [mode for mode, _ in told] == ([] if how == "set" else ["rest"])
    assert len(data(got.events, "pull_request_commit")) == 260
    assert len(data(got.events, "review")) == 1
    assert {d["from"] for e in got.events for d in [msgspec.json.decode(e.data)]} == {"rest"}


async def test_by_rest_a_clean_repository_costs_one_conditional_request_a_poll() -> None:
    organisation = of_pulls(Pull(1, at(5)))
    async with served(organisation, mode="rest", poll=0) as source:
        stream = await stream_of(source)
        organisation.calls.clear()
        for _ in range(3):
            assert (await read(stream, YOUNG)).events == []
    assert len(organisation.calls) == 3
