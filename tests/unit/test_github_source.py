"""GitHub's pull requests from a scripted organisation: nothing is lost while things move, and no page is read twice."""

from datetime import timedelta
from itertools import pairwise

import msgspec
import pytest
from aiohttp import web

from harvester.coverage import EPOCH, Interval, Intervals
from harvester.errors import InvalidEventError, PermanentError, TransientError
from tests.github_organisation import (
    DAY,
    NOW,
    YOUNG,
    Organisation,
    Pull,
    Repo,
    asked_for,
    at,
    comment,
    data,
    numbers,
    read,
    read_up_to_an_error,
    refusal,
    review,
    served,
    stream_of,
)


def of_pulls(*pulls: Pull, **more: object) -> Organisation:
    return Organisation([Repo(pulls=list(pulls))], **more)  # type: ignore[arg-type]


# --- what is there


async def test_b1_b2_b3_a_pull_request_comes_with_its_commits_and_reviews_each_as_an_event() -> None:
    organisation = of_pulls(Pull(12, at(60), commits=2, reviews=[review(5, comments=2), review(6, "COMMENTED", comments=1)]))
    async with served(organisation) as source:
        got = await read(await stream_of(source))
    kinds = [event.type.removeprefix("github.") for event in got.events]
    assert kinds == ["pull_request", *["commit", "pull_request_commit"] * 2, "review", "review"]
    [pull] = data(got.events, "pull_request")
    assert pull["repository"] == {"id": 1, "name": "widgets", "owner": "acme"}
    assert (pull["from"], pull["host"]) == ("graphql", "127.0.0.1")
    assert {name: pull["pull_request"][name] for name in ("additions", "deletions", "changedFiles", "merged")} == {
        "additions": 3, "deletions": 1, "changedFiles": 2, "merged": False,
    }  # fmt: skip
    assert (pull["pull_request"]["commits"], pull["pull_request"]["review_comments_count"]) == ({"totalCount": 2}, 3)
    assert [link["position"] for link in data(got.events, "pull_request_commit")] == [0, 1]
    assert [one["review"]["state"] for one in data(got.events, "review")] == ["APPROVED", "COMMENTED"]


async def test_q22_of_two_pull_requests_with_one_commit_the_lower_number_has_the_higher_version() -> None:
    organisation = of_pulls(Pull(12, at(60)), Pull(13, at(61)))
    organisation.repo.pulls[1].oids = organisation.repo.pulls[0].oids  # type: ignore[method-assign]
    async with served(organisation) as source:
        commits = [e for e in (await read(await stream_of(source))).events if e.type == "github.commit"]
    assert len({e.subject for e in commits}) == 1
    assert data([max(commits, key=lambda e: e.version)], "commit")[0]["number"] == 12


async def test_drafts_of_reviews_are_left_out_and_people_who_are_gone_drop_nothing() -> None:
    lonely = Pull(12, at(60), reviews=[review(5, "PENDING", submittedAt=None), review(6, author=None)], author=None)
    async with served(of_pulls(lonely)) as source:
        got = await read(await stream_of(source))
    assert not got.broken
    assert [one["review"]["author"] for one in data(got.events, "review")] == [None]
    assert data(got.events, "pull_request")[0]["pull_request"]["author"] is None


async def test_a_pull_request_without_commits_and_reviews_is_recorded() -> None:
    async with served(of_pulls(Pull(12, at(60), commits=0))) as source:
        got = await read(await stream_of(source))
    assert [event.type for event in got.events] == ["github.pull_request"]


async def test_more_commits_than_one_answer_holds_are_all_there_in_their_order() -> None:
    organisation = of_pulls(Pull(12, at(60), commits=260))
    async with served(organisation) as source:
        got = await read(await stream_of(source))
    links = data(got.events, "pull_request_commit")
    assert [link["position"] for link in links] == list(range(260))
    assert [link["sha"] for link in links] == organisation.repo.pulls[0].oids()
    assert {link["from"] for link in links[:250]} == {"graphql"}
    assert {link["from"] for link in links[250:]} == {"rest"}


async def test_one_event_alone_becomes_what_it_was() -> None:
    organisation = of_pulls(Pull(12, at(60), reviews=[review(5)]))
    organisation.repo.issue_comments = [comment(1, at(5))]
    async with served(organisation) as source:
        for kind in ("repositories", "pulls", "issue_comments", "sweep"):
            stream = await stream_of(source, kind)
            got = await read(stream)
            assert got.events
            assert [stream.event(bytes(e.data), e.read_at) for e in got.events] == list(got.events)


# --- nothing is lost


async def test_more_pull_requests_of_one_second_than_a_page_has_are_all_found() -> None:
    organisation = of_pulls(*(Pull(n, at(60)) for n in range(1, 26)), Pull(30, at(61)), Pull(31, at(59)), most=7)
    async with served(organisation) as source:
        got = await read(await stream_of(source))
    assert sorted(numbers(got)) == [*range(1, 26), 30, 31]


async def test_what_moves_to_the_end_while_a_second_is_read_hides_none_of_its_neighbours() -> None:
    organisation = of_pulls(*(Pull(n, at(60)) for n in range(1, 26)), most=7)

    def move(organisation: Organisation) -> None:
        here = [pull for pull in organisation.repo.pulls if pull.updated == at(60)]
        if organisation.count("/issues?") % 2 and len(here) > 20:
            here[0].updated = at(7200)

    organisation.after = move
    async with served(organisation) as source:
        got = await read(await stream_of(source))
    assert {*numbers(got)} == {*range(1, 26)}


async def test_what_changes_between_two_pages_is_found_where_it_is_then() -> None:
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(1, 31)), most=10)
    organisation.after = lambda o: setattr(o.repo.pulls[o.count("/issues?")], "updated", at(80000 + o.count("/issues?")))
    async with served(organisation) as source:
        got = await read(await stream_of(source))
    assert {*numbers(got)} == {*range(1, 31)}


async def test_a_window_ends_where_it_ends_and_a_page_covers_what_is_finished() -> None:
    organisation = of_pulls(*(Pull(n, at(n * 60)) for n in range(1, 61)), Pull(99, at(86400)), most=20)
    async with served(organisation) as source:
        got = await read(await stream_of(source))
    assert 99 not in numbers(got)
    covered = [page.covered for page in got.pages if page.covered]
    assert Intervals(covered) == Intervals([DAY])
    assert all(one.end == other.start for one, other in pairwise(covered))
    for page in got.pages[:-1]:
        seen = {n for p in got.pages[: got.pages.index(page) + 1] for n in numbers(type(got)(p.events, (), ()))}
        if page.covered:
            assert seen >= {p.number for p in organisation.repo.pulls if p.updated < at(0, page.covered.end)}


async def test_b12_a_run_that_dies_refetches_one_page_at_most() -> None:
    organisation = of_pulls(*(Pull(n, at(n * 60)) for n in range(1, 201)))
    organisation.reply = lambda r, body: refusal(500, "boom") if organisation.count("... on Repository") >= 5 else None
    async with served(organisation, mode="graphql") as source:
        stream = await stream_of(source)
        pages, error = await read_up_to_an_error(stream)
        assert isinstance(error, TransientError)
        organisation.reply = lambda *_: None
        done = Intervals([p.covered for p in pages if p.covered])
        [left] = Intervals([DAY]) - done
        again = await read(stream, left)
    fetched = [n for call in organisation.calls for n in asked_for(call)]
    assert {*fetched} == {*range(1, 201)}
    seen = {int(e.subject.partition("/")[2]) for p in pages for e in p.events if e.type == "github.pull_request"}
    assert seen | {*numbers(again)} == {*range(1, 201)}
    assert len(seen & {*numbers(again)}) <= 1  # the last of a list, for others may have changed in its second


async def test_b9_of_a_range_what_was_updated_in_it_is_read() -> None:
    organisation = of_pulls(Pull(1, at(-1)), Pull(2, at(0)), Pull(3, at(86399)), Pull(4, at(86400)))
    async with served(organisation) as source:
        assert numbers(await read(await stream_of(source))) == [2, 3]


async def test_a_far_begin_is_left_out_of_the_request() -> None:
    organisation = of_pulls(Pull(1, at(5)))
    async with served(organisation) as source:
        assert numbers(await read(await stream_of(source), Interval(EPOCH, DAY.end))) == [1]
    assert not [call for call in organisation.calls if "since" in call]


async def test_with_issues_switched_off_pull_requests_are_found_by_their_own_list() -> None:
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(-20, 31)), most=10)
    organisation.repo.issues_off = True
    async with served(organisation) as source:
        got = await read(await stream_of(source))
    assert numbers(got) == [*range(31)]
    assert Intervals([p.covered for p in got.pages if p.covered]) == Intervals([DAY])


async def test_issues_are_no_pull_requests() -> None:
    async with served(of_pulls(Pull(1, at(5)), Pull(2, at(6), issue=True))) as source:
        assert numbers(await read(await stream_of(source))) == [1]


async def test_what_a_poll_has_read_is_not_asked_for_again_until_it_changes() -> None:
    recent = NOW - timedelta(minutes=4)
    organisation = of_pulls(Pull(1, at(0, recent)), Pull(2, at(1, recent)))
    async with served(organisation) as source:
        stream = await stream_of(source)
        got = await read(stream, YOUNG)
        notes = got.pages[-1].notes or b""
        organisation.repo.pulls[1].updated = at(30, recent)
        again = await read(stream, YOUNG, notes)
        forgotten = await read(stream, YOUNG, b"")
    assert (numbers(got), numbers(again), numbers(forgotten)) == ([1, 2], [2], [1, 2])


# --- the canary


async def test_b11_a_clean_organisation_costs_one_call_a_poll_and_what_can_be_settled_is_read_for_real() -> None:
    organisation = Organisation([Repo(n, f"r{n}", [Pull(1, at(0))]) for n in range(1, 21)])
    async with served(organisation) as source:
        streams = [s for s in await source.streams() if "/" in s.name and not s.name.startswith("sweep")]
        organisation.calls.clear()
        for stream in streams:
            got = await read(stream, YOUNG)
            assert (got.events, [page.covered for page in got.pages]) == ([], [YOUNG])
        assert len(streams) == 60
        assert len(organisation.calls) == 1
        for stream in streams:
            await read(stream, DAY)
        assert organisation.count("/issues?") == 20
        assert organisation.count("/comments?") == 40


async def test_a_repository_that_changed_is_read_while_the_others_rest() -> None:
    organisation = Organisation([Repo(n, f"r{n}", [Pull(1, at(0))]) for n in range(1, 4)])
    organisation.repos[1].pulls.append(Pull(2, at(-60, NOW)))
    async with served(organisation) as source:
        organisation.calls.clear()
        found = [numbers(await read(await stream_of(source, repo=n), YOUNG)) for n in (1, 2, 3)]
    assert found == [[], [2], []]
    assert organisation.count("/issues?") == 1


async def test_a_window_that_reaches_back_behind_what_settles_is_read_for_real() -> None:
    organisation = of_pulls(Pull(1, at(0)))
    async with served(organisation) as source:
        got = await read(await stream_of(source), Interval(NOW - timedelta(hours=30), NOW))
    assert got.events == []
    assert organisation.count("/issues?") == 1


async def test_a_repository_that_the_canary_does_not_know_is_read() -> None:
    organisation = of_pulls(Pull(1, at(-60, NOW)))
    hidden = {"data": {"organization": {"repositories": {"pageInfo": {"hasNextPage": False}, "nodes": [None]}}}}
    organisation.reply = lambda _, body: web.json_response(hidden) if "organization(" in body else None
    async with served(organisation) as source:
        assert numbers(await read(await stream_of(source), YOUNG)) == [1]


async def test_a_canary_of_many_pages_is_asked_for_less_at_once_when_that_is_too_much() -> None:
    organisation = Organisation([Repo(n, f"r{n}", [Pull(1, at(0))]) for n in range(1, 61)])
    organisation.reply = lambda _, body: refusal(502, "too slow") if '"first":100' in body else None
    async with served(organisation) as source:
        assert (await read(await stream_of(source, repo=60), YOUNG)).events == []
    assert organisation.count('"first":50') == 2


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
            told["errors"] = [
                {"type": "NOT_FOUND", "path": ["node", "p2"], "message": "gone"},
                {"message": "Something went wrong", "path": ["node", "p3", "reviews"]},
            ]
            return web.json_response(told)
        return None

    organisation.reply = reply
    async with served(organisation) as source:
        stream = await stream_of(source)
        got = await read(stream)
        assert [(d["pull_request"]["number"], d["from"]) for d in data(got.events, "pull_request")] == [
            (1, "graphql"), (3, "rest"), (4, "graphql"),
        ]  # fmt: skip
        [broken] = got.broken
        assert broken.reason == "gone"
        assert msgspec.json.decode(broken.body)["number"] == 2
        with pytest.raises(InvalidEventError):
            stream.event(broken.body, NOW)


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


# --- comments


async def test_b4_b5_both_kinds_of_comments_come_by_the_list_of_the_repository() -> None:
    organisation = Organisation(most=10)
    url = "https://api.github.com/repos/acme/widgets/pulls/12"
    organisation.repo.review_comments = [comment(n, at(n), pull_request_url=url, path="a.py", position=3) for n in range(1, 26)]
    organisation.repo.issue_comments = [comment(1, at(5), on=12), comment(2, at(6), on=3, issue=True)]
    async with served(organisation) as source:
        remarks = await read(await stream_of(source, "review_comments"))
        talk = await read(await stream_of(source, "issue_comments"))
    assert [(d["number"], d["comment"]["id"]) for d in data(remarks.events, "review_comment")] == [(12, n) for n in range(1, 26)]
    assert [(d["number"], d["comment"]["id"]) for d in data(talk.events, "issue_comment")] == [(12, 1)]
    assert Intervals([p.covered for p in remarks.pages if p.covered]) == Intervals([DAY])


async def test_a_comment_that_is_on_nothing_is_a_letter_and_the_others_come() -> None:
    organisation = Organisation()
    organisation.repo.issue_comments = [comment(1, at(5)), comment(2, at(6), issue_url="…")]
    async with served(organisation) as source:
        got = await read(await stream_of(source, "issue_comments"))
    assert (len(got.events), len(got.broken)) == (1, 1)


# --- repositories


async def test_b10_repositories_can_be_named_and_one_that_is_not_there_is_told_with_those_that_are() -> None:
    organisation = Organisation([Repo(1, "widgets"), Repo(2, "gadgets")])
    async with served(organisation, repos="Gadgets") as source:
        assert {s.name.partition("/")[2] for s in await source.streams()} == {"", "2"}
    async with served(organisation, repos="gizmos") as source:
        with pytest.raises(PermanentError, match=r"there is no gizmos; there are gadgets, widgets"):
            await source.streams()


async def test_one_repository_that_is_refused_stops_its_own_streams_alone() -> None:
    organisation = Organisation([Repo(1, "widgets", [Pull(1, at(5))]), Repo(2, "gadgets", [Pull(1, at(5))])])
    async with served(organisation) as source:
        await source.streams()
        organisation.reply = lambda r, _: refusal(451, "Repository access blocked") if "/widgets/" in r.path else None
        for kind in ("pulls", "review_comments", "issue_comments"):
            with pytest.raises(PermanentError, match="451"):
                await read(await stream_of(source, kind))
        assert numbers(await read(await stream_of(source, repo=2))) == [1]


async def test_a_renamed_repository_goes_on_under_its_ids() -> None:
    organisation = Organisation([Repo(1, "widgets", [Pull(1, at(-60, NOW))])])
    async with served(organisation) as source:
        stream = await stream_of(source)
        organisation.repo.name = "gizmos"
        got = await read(stream, YOUNG)  # the canary tells the new name
        [repositories] = [s for s in await source.streams() if s.name == "repositories"]
        [event] = (await read(repositories)).events
    assert stream.name == "pulls/1"
    assert data(got.events, "pull_request")[0]["repository"]["name"] == "gizmos"
    assert (event.subject, data([event], "repository")[0]["repository_detail"]["name"]) == ("1", "gizmos")


async def test_a_repository_that_is_gone_leaves_a_tombstone_and_its_streams_are_no_more() -> None:
    organisation = Organisation([Repo(1, "widgets"), Repo(2, "gadgets")])
    async with served(organisation) as source:
        stream = await stream_of(source, "repositories")
        first = await read(stream)
        organisation.repos[1].gone = 404
        again = await read(stream, DAY, first.pages[-1].notes or b"")
        once = await read(stream, DAY, again.pages[-1].notes or b"")
        assert {s.name.partition("/")[2] for s in await source.streams()} == {"", "1"}
    told = {e.subject: e for e in again.events}
    assert data([told["2"]], "repository")[0]["repository_detail"]["gone"] is True
    assert told["2"].time == {e.subject: e for e in first.events}["2"].time
    assert told["2"].version > {e.subject: e for e in first.events}["2"].version
    assert [e.subject for e in once.events] == ["1"]


# --- the sweep


async def test_the_sweep_reads_open_ones_and_those_closed_lately_once_a_day() -> None:
    organisation = of_pulls(Pull(1, at(-86400 * 100)), Pull(2, at(0), state="closed"), Pull(3, at(-86400 * 100), state="closed"))
    async with served(organisation) as source:
        stream = await stream_of(source, "sweep")
        got = await read(stream, YOUNG)
        notes = [page.notes for page in got.pages if page.notes][-1]
        soon = await read(stream, YOUNG, notes)
        organisation.now = NOW + timedelta(hours=24)
        await source._calls.get("/orgs/acme/repos", "x")
        later = await read(stream, Interval(YOUNG.end, organisation.now), notes)
    assert (sorted(numbers(got)), numbers(soon), sorted(numbers(later))) == ([1, 2], [], [1, 2])


async def test_a_sweep_that_broke_off_goes_on_where_it_was() -> None:
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(1, 101)))
    async with served(organisation) as source:
        stream = await stream_of(source, "sweep")
        pages = aiter(stream.fetch(YOUNG, b""))
        first = await anext(pages)
        assert first.covered is not None
        assert first.covered.start == first.covered.end
        await pages.aclose()  # type: ignore[attr-defined]
        organisation.calls.clear()
        rest = await read(stream, YOUNG, first.notes or b"")
    assert min(numbers(rest)) == 26
    assert max(numbers(rest)) == 100


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
