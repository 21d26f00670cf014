"""GitHub's pull requests from a scripted organisation: nothing is lost while things move, and no page is read twice."""

from datetime import timedelta
from itertools import pairwise

from aiohttp import web

from harvester.coverage import EPOCH, Interval, Intervals
from harvester.errors import TransientError
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
    of_pulls,
    read,
    read_up_to_an_error,
    refusal,
    review,
    served,
    stream_of,
)

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


async def test_what_was_read_in_the_second_of_its_change_is_read_once_more() -> None:
    organisation = of_pulls(Pull(1, at(-1, NOW)))
    async with served(organisation) as source:
        stream = await stream_of(source)
        got = await read(stream, YOUNG)
        assert numbers(await read(stream, YOUNG, got.pages[-1].notes or b"")) == [1]


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
