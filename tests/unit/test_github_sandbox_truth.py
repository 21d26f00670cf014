"""What the simulated GitHub serves is what it says is true, by REST and by GraphQL."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from harvester.errors import ConfigError
from harvester.sandbox.actions import viewers
from harvester.sandbox.faults import rates_of
from harvester.sandbox.github_names import node_id
from harvester.sandbox.github_people import team
from harvester.sandbox.github_settings import GITHUB_FAULTS, GitHubSandboxSettings
from harvester.sandbox.github_truth import TABLES, GitHubTruth
from tests.unit.github_sandboxes import DELETED, NOON, GitHubClient, github

SMALL = {"repositories": 3, "pulls_per_day": 2.0, "traps": False}
PULL = """
fragment Whole on PullRequest {
  number title state createdAt updatedAt closedAt mergedAt additions deletions changedFiles isDraft merged
  mergeCommit { oid } baseRefName headRefName author { __typename login }
  labels(first: 50) { nodes { name } } comments { totalCount }
  commits(first: 100) { totalCount pageInfo { hasNextPage endCursor } nodes { commit {
    oid message committedDate author { name email user { login } } committer { name email } } } }
  reviews(first: 50) { nodes { fullDatabaseId state body submittedAt updatedAt author { __typename login } commit { oid }
    comments { totalCount } } }
}
"""


def at(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def person(author: Any) -> tuple[str, str]:
    if author is None:
        return "ghost", "Unknown"
    return author["login"] + ("[bot]" if author["__typename"] == "Bot" else ""), author["__typename"]


async def by_graphql(client: GitHubClient, index: int, numbers: list[int]) -> list[Any]:
    asked = " ".join(f"p{number}: pullRequest(number: {number}) {{ ...Whole }}" for number in numbers)
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on Repository {{ {asked} }} }} }} {PULL}"
    answer = await client.graphql(query, id=node_id("R", client.repository(index).id))
    assert "errors" not in answer.json
    return list(answer.json["data"]["node"].values())


async def test_the_pull_requests_of_graphql_are_the_truth() -> None:
    async with github(**SMALL) as client:
        truth = client.running.truth()
        found = {}
        for index in range(3):
            numbers = [thread.number for thread in client.pulls(index)]
            for first in range(0, len(numbers), 50):
                for pull in await by_graphql(client, index, numbers[first : first + 50]):
                    found[f"{client.repository(index).id}/{pull['number']}"] = pull
    assert found.keys() == truth.pull_requests.keys()
    for key, pull in found.items():
        row = truth.pull_requests[key]
        reviews = [review for review in pull["reviews"]["nodes"] if review["state"] != "PENDING"]
        assert (row["author"], row["author_type"]) == person(pull["author"])
        assert row["state"] == ("open" if pull["state"] == "OPEN" else "closed")
        assert row["labels"] == [label["name"] for label in pull["labels"]["nodes"]]
        assert row["merge_commit_sha"] == (pull["mergeCommit"] or {}).get("oid")
        names = {"created_at": "createdAt", "updated_at": "updatedAt", "closed_at": "closedAt", "merged_at": "mergedAt"}
        assert {name: row[name] for name in names} == {name: at(pull[theirs]) for name, theirs in names.items()}
        plain = ("title", "additions", "deletions", "changedFiles", "isDraft", "merged", "baseRefName", "headRefName")
        ours = ("title", "additions", "deletions", "changed_files", "is_draft", "is_merged", "base_ref", "head_ref")
        assert [row[name] for name in ours] == [pull[name] for name in plain]
        counts = (pull["commits"]["totalCount"], len(reviews), pull["comments"]["totalCount"])
        assert (row["commit_count"], row["review_count"], row["issue_comment_count"]) == counts
        assert row["review_comment_count"] == sum(review["comments"]["totalCount"] for review in reviews)
        for review in reviews:
            told = truth.reviews[f"{key.partition('/')[0]}/{review['fullDatabaseId']}"]
            assert (told["reviewer"], told["reviewer_type"]) == person(review["author"])
            assert (told["state"], told["body"], told["commit_id"]) == (review["state"], review["body"], review["commit"]["oid"])
            assert (told["submitted_at"], told["updated_at"]) == (at(review["submittedAt"]), at(review["updatedAt"]))


async def test_the_commits_of_rest_and_graphql_are_the_truth() -> None:
    async with github(**SMALL, huge_every=0) as client:
        truth = client.running.truth()
        current = {key for key, pair in truth.pr_commits.items() if pair["current"]}
        repository, found = client.repository(), set()
        for pull in client.pulls():
            for place, row in enumerate(await client.rows(f"{client.path()}/pulls/{pull.number}/commits")):
                key = f"{repository.id}/{pull.number}/{row['sha']}"
                found.add(key)
                assert truth.pr_commits[key]["position"] == place
                told = truth.commits[f"{repository.id}/{row['sha']}"]
                assert told["message"] == row["commit"]["message"]
                assert told["author_email"] == row["commit"]["author"]["email"]
                assert told["commit_date"] == at(row["commit"]["committer"]["date"])
        (pull,) = await by_graphql(client, 0, [client.pulls()[-1].number])
    assert found == {key for key in current if key.startswith(f"{repository.id}/")}
    assert len(truth.pr_commits) > len(current)  # some were forced away
    shared = [key for key in truth.commits if sum(pair.endswith(key.partition("/")[2]) for pair in truth.pr_commits) > 1]
    assert shared  # stacked pull requests
    for node in pull["commits"]["nodes"]:
        told, commit = truth.commits[f"{repository.id}/{node['commit']['oid']}"], node["commit"]
        assert told["author_login"] == (commit["author"]["user"] or {}).get("login")
        assert (told["author_name"], told["committer_email"]) == (commit["author"]["name"], commit["committer"]["email"])


async def test_the_comments_of_rest_are_the_truth() -> None:
    async with github(**SMALL) as client:
        truth = client.running.truth()
        for kind, path in (("review_comments", "/pulls/comments"), ("issue_comments", "/issues/comments")):
            rows = [row for index in range(3) for row in await client.rows(client.path(index) + path)]
            on_pulls = [row for row in rows if "/pull/" in row["html_url"]]
            assert {row["id"] for row in on_pulls} == {row["comment_id"] for row in getattr(truth, kind).values()}
            told = {row["comment_id"]: row for row in getattr(truth, kind).values()}
            for row in on_pulls:
                one = told[row["id"]]
                assert (one["body"], one["url"]) == (row["body"], row["html_url"])
                assert (one["created_at"], one["updated_at"]) == (at(row["created_at"]), at(row["updated_at"]))
                assert one["author"] == (row["user"] or {"login": "ghost"})["login"]
        assert len(rows) > len(on_pulls)  # comments on plain issues stand among them


async def test_the_truth_comes_as_a_document_and_as_lines_of_a_span() -> None:
    async with github(**SMALL) as client:
        query = {"start": "2026-11-01", "end": "2026-11-10"}
        whole = msgspec.json.decode((await client.get("/truth", **query)).body, type=GitHubTruth)
        lines = (await client.get("/truth", **query, format="ndjson")).body.splitlines()
        span = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 10, tzinfo=UTC)
        truth = client.running.truth(*span)
    assert whole.pull_requests.keys() == truth.pull_requests.keys()
    assert all(span[0] <= row["updated_at"] < span[1] for row in truth.pull_requests.values())
    keys = {(line["table"], line["key"]) for line in map(msgspec.json.decode, lines)}
    assert keys == {(table, key) for table in TABLES for key in getattr(truth, table)}


async def test_equal_settings_make_equal_worlds_and_other_seeds_others() -> None:
    worlds = []
    for seed in ("sandbox", "sandbox", "other"):
        async with github(**SMALL, seed=seed) as client:
            worlds.append(client.running.truth())
    assert worlds[0] == worlds[1]
    assert not worlds[0].commits.keys() & worlds[2].commits.keys()


async def test_what_is_true_of_a_moment_does_not_depend_on_when_it_is_asked() -> None:
    async with github(**SMALL) as client:
        before = client.running.truth()
        client.advance(days=20)
        assert client.running.truth(at=NOON) == before
        assert client.running.truth().pull_requests.keys() > before.pull_requests.keys()


async def test_nothing_changes_any_more_when_it_says_so() -> None:
    async with github(**SMALL) as client:
        assert client.running.sandbox.stop_changing() == NOON
        before = client.running.truth()
        client.advance(days=30)
        after = client.running.truth()
    assert all(getattr(before, table) == getattr(after, table) for table in TABLES)


async def test_what_is_deleted_stays_as_it_was_last_and_is_told_as_gone() -> None:
    async with github() as client:
        repository = client.repository(DELETED)
        client.advance(days=5)
        truth = client.running.truth()
        assert (await client.get(client.path(DELETED))).status == 404
    assert [key for key, row in truth.repositories.items() if row["gone"]] == [str(repository.id)]
    gone = [row for row in truth.pull_requests.values() if row["repository_id"] == repository.id]
    assert gone
    assert max(row["updated_at"] for row in gone) < NOON + timedelta(days=2)


def test_the_people_are_those_of_the_opencast_with_that_seed() -> None:
    users = {str(viewer.user) for viewer in viewers("sandbox")}
    assert {person.login.rpartition("-")[2] for person in team("sandbox").people} <= users


def test_wrong_settings_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as told:
        GitHubSandboxSettings(pace=0, repositories=1001, now=NOON.replace(tzinfo=None))
    assert len(str(told.value).splitlines()) == 3
    with pytest.raises(ConfigError, match="no fault 'empty'"):
        rates_of({"empty": 0.1}, GITHUB_FAULTS)
