"""GitHub's comments and repositories, and the sweep: told when they changed, each stream alone."""

from datetime import timedelta

import pytest
from aiohttp import web

from harvester.coverage import Interval, Intervals
from harvester.errors import PermanentError
from tests.github_organisation import (
    DAY,
    NOW,
    YOUNG,
    Organisation,
    Pull,
    Repo,
    at,
    comment,
    data,
    numbers,
    of_pulls,
    read,
    refusal,
    served,
    stream_of,
)

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


async def test_comments_of_the_overlap_are_told_again_only_when_they_changed() -> None:
    recent, organisation = NOW - timedelta(minutes=4), Organisation()
    organisation.repo.pulls = [Pull(1, at(2, recent))]
    organisation.repo.issue_comments = [comment(1, at(0, recent)), comment(2, at(1, recent))]
    async with served(organisation) as source:
        stream = await stream_of(source, "issue_comments")
        got = await read(stream, YOUNG)
        organisation.repo.issue_comments[1]["updated_at"] = at(30, recent)
        again = await read(stream, YOUNG, got.pages[-1].notes or b"")
    assert [len(got.events), len(again.events)] == [2, 1]
    assert data(again.events, "issue_comment")[0]["comment"]["id"] == 2


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
    assert [e.subject for e in again.events] == ["2"], "what did not change is not told again"
    assert once.events == []


async def test_a_repository_that_graphql_does_not_know_is_no_reason_to_leave_it() -> None:
    told: list[tuple[str, str]] = []
    organisation = Organisation([Repo(1, "widgets"), Repo(2, "gadgets", [Pull(1, at(5))])])
    async with served(organisation, on_mode=lambda *m: told.append(m)) as source:
        stream = await stream_of(source)
        usual = organisation.repo.pulls
        usual.append(Pull(1, at(5)))
        gone = {"data": {"node": None}, "errors": [{"type": "NOT_FOUND", "path": ["node"], "message": "no node N_1"}]}
        organisation.reply = lambda _, body: web.json_response(gone) if "N_1" in body else None
        with pytest.raises(PermanentError, match="no node N_1"):
            await read(stream)
        got = await read(await stream_of(source, repo=2))
    assert told == []
    assert data(got.events, "pull_request")[0]["from"] == "graphql"


async def test_an_organisation_that_graphql_does_not_know_is_read_for_real() -> None:
    organisation = of_pulls(Pull(1, at(-60, NOW)))
    renamed = {"data": {"organization": None}, "errors": [{"type": "NOT_FOUND", "message": "no organisation acme"}]}
    organisation.reply = lambda _, body: web.json_response(renamed) if "organization(" in body else None
    async with served(organisation) as source:
        assert numbers(await read(await stream_of(source), YOUNG)) == [1]


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
