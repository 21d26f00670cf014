"""GitHub's comments and repositories, and the sweep: told when they changed, each stream alone."""

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest
from aiohttp import web

from harvester.coverage import Coverage, Interval, Intervals
from harvester.errors import PermanentError
from harvester.event import Event
from harvester.protocols import Page
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
    read_up_to_an_error,
    refusal,
    served,
    stream_of,
)
from tests.opencast_table import Got

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


async def test_where_comments_are_switched_off_with_the_issues_those_of_pull_requests_are_read_one_by_one() -> None:
    organisation = of_pulls(Pull(1, at(9)), Pull(2, at(86400 + 60)), Pull(3, at(-60)), Pull(4, at(7)))
    organisation.repo.issues_off = organisation.repo.comments_off = True
    told = [(1, 1, 5), (2, 1, 9), (3, 2, 20), (4, 2, 86400 + 60), (5, 3, -60)]  # their ids, on what, and when
    organisation.repo.issue_comments = [comment(n, at(seconds), on=on) for n, on, seconds in told]
    organisation.reply = lambda r, _: refusal(404, "Not Found") if r.path.endswith("/issues/4/comments") else None
    async with served(organisation) as source:
        stream = await stream_of(source, "issue_comments")
        got = await read(stream)
        again = await read(stream, Interval(DAY.end, NOW))
    assert sorted(d["comment"]["id"] for d in data(got.events, "issue_comment")) == [1, 2, 3]
    assert Intervals([page.covered for page in got.pages if page.covered]) == Intervals([DAY])
    assert not [page for page in got.pages[:-1] if page.covered]
    assert [d["comment"]["id"] for d in data(again.events, "issue_comment")] == [4]


async def test_comments_that_are_refused_half_way_cover_nothing_of_what_is_left() -> None:
    organisation = of_pulls(Pull(1, at(9)), most=2)
    organisation.repo.issue_comments = [comment(n, at(n)) for n in range(1, 9)]
    organisation.reply = lambda *_: refusal(410, "off") if organisation.count("/issues/comments") > 1 else None
    async with served(organisation) as source:
        pages, error = await read_up_to_an_error(await stream_of(source, "issue_comments"))
    assert isinstance(error, PermanentError)
    assert Intervals([page.covered for page in pages if page.covered]) == Intervals(
        [Interval(DAY.start, DAY.start + timedelta(seconds=2))]
    )


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
        organisation.now += timedelta(hours=1)
        again = await read(stream, DAY, first.pages[-1].notes or b"")
        once = await read(stream, DAY, again.pages[-1].notes or b"")
        assert {s.name.partition("/")[2] for s in await source.streams()} == {"", "1"}
    told = {e.subject: e for e in again.events}
    assert data([told["2"]], "repository")[0]["repository_detail"]["gone"] is True
    assert told["2"].time == {e.subject: e for e in first.events}["2"].time
    assert told["2"].version > {e.subject: e for e in first.events}["2"].version
    assert [e.subject for e in again.events] == ["2"], "what did not change is not told again"
    assert once.events == []


async def test_a_repository_that_comes_back_unchanged_outranks_its_tombstone() -> None:
    organisation = Organisation([Repo(1, "widgets"), Repo(2, "gadgets")])
    notes, found = b"", list[Event]()
    async with served(organisation) as source:
        stream = await stream_of(source, "repositories")
        for gone in (0, 404, 0):
            organisation.repos[1].gone = gone
            got = await read(stream, DAY, notes)
            notes = got.pages[-1].notes or b""
            found += [event for event in got.events if event.subject == "2"]
            organisation.now += timedelta(hours=1)
    first, tombstone, again = found
    assert bytes(first.data) == bytes(again.data)
    assert first.version < tombstone.version < again.version


REFUSALS: dict[str, Callable[[], web.Response]] = {
    "403": lambda: refusal(403, "Resource not accessible"),
    "422": lambda: refusal(422, "odd"),
    "500": lambda: refusal(500, "Server Error"),
    "502": lambda: refusal(502, "Server Error"),
    "no JSON": lambda: web.Response(text="<html>"),
    "not UTF-8": lambda: web.Response(body=b'{"id":2,"name":"\xff"}', content_type="application/json"),
    "no repository": lambda: web.json_response({"id": 2}),
    "null": lambda: web.Response(text="null", content_type="application/json"),
}


@pytest.mark.parametrize("what", REFUSALS)
async def test_only_what_is_not_there_is_told_as_gone_and_no_odd_row_ends_a_poll(what: str) -> None:
    organisation = Organisation([Repo(1, "widgets"), Repo(2, "gadgets"), Repo(3, "gizmos")])
    async with served(organisation) as source:
        stream = await stream_of(source, "repositories")
        first = await read(stream)
        organisation.repos[1].gone = organisation.repos[2].gone = 404
        organisation.reply = lambda r, _: REFUSALS[what]() if r.path == "/repositories/2" else None
        again = await read(stream, DAY, first.pages[-1].notes or b"")
        organisation.reply = lambda *_: None
        then = await read(stream, DAY, again.pages[-1].notes or b"")
    assert [e.subject for e in again.events] == ["3"]
    assert len(again.broken) == (what in ("not UTF-8", "no repository"))
    assert [(d["repository"]["id"], d["repository_detail"]["gone"]) for d in data(then.events, "repository")] == [(2, True)]


async def test_a_refused_token_is_no_word_on_what_became_of_a_repository() -> None:
    organisation = Organisation([Repo(1, "widgets"), Repo(2, "gadgets")])
    async with served(organisation) as source:
        stream = await stream_of(source, "repositories")
        first = await read(stream)
        organisation.repos[1].gone = 404
        organisation.reply = lambda r, _: refusal(401, "Bad credentials") if r.path == "/repositories/2" else None
        with pytest.raises(PermanentError, match="the token was refused"):
            await read(stream, DAY, first.pages[-1].notes or b"")


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


def kept(*pages: Page, before: bytes = b"") -> bytes:
    """The notes that a book has after these pages: they are of one live edge."""
    noted = Coverage(notes=before, notes_at=NOW)
    for page in pages:
        noted |= Coverage(notes=page.notes or b"", notes_at=NOW)
    return noted.notes


async def test_a_sweep_that_was_killed_in_its_second_part_does_not_begin_that_anew() -> None:
    closed = [Pull(n, at(n), state="closed") for n in range(101, 201)]
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(1, 61)), *closed)
    async with served(organisation) as source:
        stream = await stream_of(source, "sweep")
        before = kept(*(await read(stream, YOUNG)).pages)
        organisation.now = NOW + timedelta(hours=24)
        await source._calls.get("/orgs/acme/repos", "x")
        sweep = aiter(stream.fetch(Interval(YOUNG.end, organisation.now), before))
        pages = list[Page]()
        while not {*range(126, 151)} <= {*numbers(Got([e for p in pages for e in p.events], (), ()))}:
            pages.append(await anext(sweep))
        await sweep.aclose()  # type: ignore[attr-defined]
        notes = kept(*pages, before=before)
        rest = await read(stream, Interval(YOUNG.end, organisation.now), notes)
        over = kept(*rest.pages, before=notes)
        assert (await read(stream, Interval(YOUNG.end, organisation.now), over)).events == []
    assert (min(numbers(rest)), max(numbers(rest))) == (151, 200)


@pytest.mark.parametrize(("state", "left"), [("open", [*range(31, 61), *range(101, 121)]), ("closed", [*range(111, 121)])])
async def test_a_sweep_goes_on_by_the_notes_of_before_and_its_own_outrank_them(state: str, left: list[int]) -> None:
    closed = [Pull(n, at(n), state="closed") for n in range(101, 121)]
    organisation = of_pulls(*(Pull(n, at(n)) for n in range(1, 61)), *closed)
    old = msgspec.json.encode({"began": NOW, "state": state, "since": at(31 if state == "open" else 111)})
    async with served(organisation) as source:
        stream = await stream_of(source, "sweep")
        got = await read(stream, YOUNG, old)
    assert numbers(got) == left
    noted = [page.notes for page in got.pages if page.notes]
    assert min(noted) > old
    assert noted == sorted(noted)


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
