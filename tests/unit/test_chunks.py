"""The predecessor's archive of GitHub: its chunks become events, and records can be made of them."""

from pathlib import Path
from typing import Any

import pytest

from consumers import chunks
from consumers.archived import Wanted
from consumers.records import records_of
from consumers.records.record import Record
from harvester.event import Event, decode_event
from harvester.privacy import PrivacySettings, Veil
from harvester.veiled import veil_of, veiled_event
from tests.archiving import COLLECTED, chunk_pull_request, chunked, stored

ROW = {"pr_number": 42, "repository": "widgets", "organization": "acme", "url": "https://github.com/acme/widgets/pull/42#x"}
PERSON = {"author": "octocat", "author_type": "User"}
TIMES = {"created_at": "2026-01-01T10:00:00Z", "updated_at": "2026-01-01T11:00:00Z"}
COMMENT = {**ROW, **PERSON, **TIMES, "body": "why?"}
COMMIT = {
    **ROW,
    "sha": "ab" * 20,
    "author": "Mona",
    "author_email": "mona@acme.example",
    "committer": "GitHub",
    "committer_email": "noreply@github.com",
    "message": "Mend it",
    "commit_date": "2026-01-01T09:00:00Z",
    "author_date": "2026-01-01T08:00:00Z",
}
REVIEW = {**ROW, "review_id": 7, "reviewer": "hubot[bot]", "reviewer_type": "Bot", "state": "APPROVED", "body": None}
REVIEW |= {"submitted_at": "2026-01-01T12:00:00Z", "commit_id": "ab" * 20}


async def read(url: str, veil: Veil | None = None) -> tuple[list[Event], list[str]]:
    events, broken = list[Event](), list[str]()
    async with stored(url) as objects:
        async for found in chunks.events(objects, await chunks.chunks(objects), Wanted(), veil):
            events += [one.event for one in found.events]
            broken += [one.error for one in found.broken]
    return events, broken


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/old"


def records(events: list[Event]) -> dict[str, Record]:
    return {event.type.partition(".")[2]: record for event in events for record in records_of(event)}


async def test_q27_every_kind_of_chunk_becomes_records_under_the_repositorys_number(url: str) -> None:
    number = chunk_pull_request()["base"]["repo"]["id"]
    remark = {**COMMENT, "comment_id": 8, "path": "a.py", "position": 3, "commit_id": "ab" * 20}
    talk = {**COMMENT, "comment_id": 9}
    await chunked(
        url,
        commits=[COMMIT],
        pull_requests=[chunk_pull_request()],
        reviews=[REVIEW],
        review_comments=[remark],
        issue_comments=[talk],
    )
    events, broken = await read(url)
    assert broken == []
    assert [event.subject for event in events] == [
        f"{number}/42",
        f"{number}/{COMMIT['sha']}",
        f"{number}/42/{COMMIT['sha']}",
        f"{number}/9",
        f"{number}/8",
        f"{number}/7",
    ]
    made: Any = records(events)
    pull = made["pull_request"]
    assert (pull.pr_number, pull.organization, pull.repository_id, pull.commit_count, pull.review_count) == (
        42,
        "acme",
        number,
        2,
        0,
    )
    commit = made["commit"]
    assert (commit.author, commit.author_email, commit.message) == ("Mona", "mona@acme.example", "Mend it")
    assert made["pull_request_commit"].sha == COMMIT["sha"]
    assert (made["review"].reviewer, made["review"].reviewer_type, made["review"].state) == ("hubot[bot]", "Bot", "APPROVED")
    assert (made["review_comment"].path, made["review_comment"].position, made["review_comment"].author) == ("a.py", 3, "octocat")
    assert (made["issue_comment"].comment_id, made["issue_comment"].author_type) == (9, "User")
    assert {event.read_at.isoformat() for event in events} == {COLLECTED}


async def test_what_github_told_us_itself_is_never_replaced(url: str) -> None:
    await chunked(url, pull_requests=[chunk_pull_request()], issue_comments=[{**COMMENT, "comment_id": 9}])
    pull, comment = (await read(url))[0]
    changed = 1767265200000  # 2026-01-01T11:00:00Z
    assert comment.version == changed - 1
    assert pull.version % 1000 == 999


async def test_a_commit_never_replaces_what_we_read_and_of_several_the_first_pull_request_stays(url: str) -> None:
    """However late the pull request is in which we saw it, and however far ahead the clock of who committed was."""
    ahead = {**COMMIT, "commit_date": "2099-01-01T00:00:00Z"}
    await chunked(url, pull_requests=[chunk_pull_request()], commits=[{**ahead, "pr_number": 7}, {**ahead, "pr_number": 3}])
    commits = {event.version for event in (await read(url))[0] if event.type == "github.commit"}
    pairs = {event.version for event in (await read(url))[0] if event.type == "github.pull_request_commit"}
    assert max(commits) == 2**30 - 3
    assert min(commits) == 2**30 - 7
    assert max(commits) < 2**31 - 1_000_000  # our own, of the millionth
    assert pairs == {0}


def veil() -> Veil:
    found = veil_of("github", PrivacySettings.model_validate({"privacy": "pseudonymous", "key": "0123456789abcdef"}))
    assert found is not None
    return found


async def test_what_is_hidden_of_people_in_live_events_is_hidden_in_chunks(url: str) -> None:
    people = ("octocat", "mona", "mona@acme.example", "hubot", "tony stark")
    talk = {**COMMENT, "comment_id": 9, "body": "octocat wrote it"}
    commit = {**COMMIT, "committer": "Tony Stark"}
    await chunked(url, pull_requests=[chunk_pull_request()], commits=[commit], reviews=[REVIEW], issue_comments=[talk])
    async with stored(url) as objects:
        parts = [part async for part in chunks.events(objects, await chunks.chunks(objects), Wanted(), veil())]
    bodies = [one.body for part in parts for one in part.events]
    assert len(bodies) == 5
    assert [name for name in people for body in bodies if name in body.decode().lower()] == []
    clear, _ = await read(url)
    assert [decode_event(body) for body in bodies] == [veiled_event(event, veil()) for event in clear]
    assert all(part.broken == [] for part in parts)


async def test_what_is_told_of_a_broken_item_quotes_nothing_of_it(url: str) -> None:
    await chunked(url, pull_requests=[chunk_pull_request()], commits=[{**COMMIT, "pr_number": "octocat"}])
    (told,) = (await read(url))[1]
    assert "no item of commits: ValueError" in told
    assert "octocat" not in told


async def test_what_can_be_no_event_is_told_with_its_place_and_the_rest_goes_on(url: str) -> None:
    await chunked(url, issue_comments=[{**COMMENT, "comment_id": 9}])
    events, broken = await read(url)
    assert events == []
    assert "number of the repository acme/widgets is not known" in broken[0]
    await chunked(
        url,
        pull_requests=[chunk_pull_request(), {"number": 1}, {**chunk_pull_request(), "number": "x"}],
        commits=[{}, COMMIT, {"sha": None}],
    )
    events, broken = await read(url)
    assert (len(events), len(broken)) == (1 + 2 + 1, 4)
    async with stored(url) as objects:
        await objects.put("acme/widgets/reviews/2026-01-02/x_chunk_1.json", b"{")
    assert len((await read(url))[1]) == 5
