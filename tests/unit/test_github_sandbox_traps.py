"""The simulated GitHub has the vendor's traps, each of them once (github.md 2, 4 and 5)."""

from datetime import timedelta
from typing import Any

import pytest

from harvester.sandbox.clock import moment_of
from harvester.sandbox.github_names import iso, node_id
from harvester.sandbox.github_threads import NEVER, Thread
from tests.unit.github_sandboxes import COMING, DELETED, EMPTY, NOON, RENAMED, WITHOUT_ISSUES, GitHubClient, github, in_repository

SIZES = {"additions", "deletions", "changed_files", "merged", "commits", "comments", "review_comments", "mergeable", "merged_by"}
PLAIN = {"repositories": 1, "traps": False}


async def test_a_renamed_repository_is_led_to_by_its_id_and_not_found_by_graphql() -> None:
    async with github() as client:
        repository = client.repository(RENAMED)
        old, name = (repository.names[nth][1] for nth in range(2))
        before = (await client.get(client.path(RENAMED))).json
        client.advance(days=1, hours=1)
        new = repository.name(client.now)
        for gone in (old, name):
            moved = await client.get(f"/repos/acme/{gone}/pulls", state="all", per_page=2)
            assert moved.status == 301
            assert moved.headers["Location"] == f"{client.running.url}{client.path(RENAMED)}/pulls?state=all&per_page=2"
            assert len((await client.get(moved.headers["Location"])).json) == 2
            answer = (await client.graphql(f'{{ repository(owner: "acme", name: "{gone}") {{ id }} }}')).json
            assert (answer["data"], answer["errors"][0]["type"]) == ({"repository": None}, "NOT_FOUND")
        after = (await client.get(f"/repos/acme/{new}")).json
        assert (after["id"], after["node_id"]) == (before["id"], before["node_id"])
        assert after["name"] != before["name"]
        named = await client.graphql("query ($id: ID!) { node(id: $id) { ... on Repository { name } } }", id=after["node_id"])
        assert named.json["data"]["node"]["name"] == new


async def test_a_deleted_repository_is_gone_everywhere_and_a_new_one_comes() -> None:
    async with github() as client:
        names = {row["name"] for row in (await client.get("/orgs/acme/repos")).json}
        gone, coming = client.repository(DELETED), client.repository(COMING)
        assert gone.name(client.now) in names
        client.advance(days=3)
        later = {row["name"] for row in (await client.get("/orgs/acme/repos")).json}
        assert (names - later, later - names) == (
            {gone.name(client.now), client.repository(RENAMED).name(int(NOON.timestamp()))},
            {coming.name(client.now), client.repository(RENAMED).name(client.now)},
        )
        node = node_id("R", gone.id)
        query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
        answer = (await client.graphql(query, ids=[node, node_id("R", coming.id)])).json
        assert [each is None for each in answer["data"]["nodes"]] == [True, False]
        assert (answer["errors"][0]["type"], answer["errors"][0]["path"]) == ("NOT_FOUND", ["nodes", 0])


async def test_issues_that_are_off_are_410_though_there_are_pull_requests_and_what_is_empty_is_409() -> None:
    async with github() as client:
        assert (await client.get(f"{client.path(WITHOUT_ISSUES)}/issues")).status == 410
        assert (await client.get(f"{client.path(WITHOUT_ISSUES)}/pulls")).json
        assert (await client.get(f"{client.path(WITHOUT_ISSUES)}/issues/comments")).json
        assert (await client.get(f"{client.path(EMPTY)}/commits")).status == 409
        assert (await client.get(f"{client.path(EMPTY)}/pulls")).json == []


async def test_what_single_sign_on_keeps_is_403_by_rest_and_null_beside_what_is_good_by_graphql() -> None:
    async with github(repositories=3, forbidden=["lectures"]) as client:
        refused = await client.get("/repos/acme/lectures/pulls")
        assert refused.status == 403
        assert refused.headers["x-github-sso"].startswith("required; url=")
        query = '{ organization(login: "acme") { repositories(first: 10) { totalCount nodes { name } } } }'
        answer = (await client.graphql(query)).json
        assert answer["data"]["organization"]["repositories"] == {
            "totalCount": 3,
            "nodes": [None, {"name": "player"}, {"name": "widgets"}],
        }
        (error,) = answer["errors"]
        assert (error["type"], error["path"]) == ("FORBIDDEN", ["organization", "repositories", "nodes", 0])
        assert error["extensions"] == {"saml_failure": True}


async def test_the_list_has_no_sizes_and_the_detail_has() -> None:
    async with github(**PLAIN) as client:
        (row,) = (await client.get(f"{client.path()}/pulls", per_page=1)).json
        assert not SIZES & row.keys()
        assert (await client.get(f"{client.path()}/pulls/{row['number']}")).json.keys() >= SIZES


async def test_the_commits_of_a_huge_pull_request_end_at_250_and_compare_has_all() -> None:
    async with github(**PLAIN, huge_every=10, pulls_per_day=0.5) as client:
        huge = next(pull for pull in client.pulls() if len(pull.state(client.now).commits) > 250)
        path = f"{client.path()}/pulls/{huge.number}"
        detail = (await client.get(path)).json
        assert detail["commits"] > 250
        assert len(await client.rows(f"{path}/commits")) == 250
        compare = f"{client.path()}/compare/{detail['base']['sha']}...{detail['head']['sha']}"
        for query, pages in (({}, 2), ({"per_page": 100}, -(-detail["commits"] // 100))):
            found = [page.json for page in await client.pages(compare, **query)]
            shas = [row["sha"] for page in found for row in page["commits"]]
            assert shas == [commit.sha for commit in huge.state(client.now).commits]
            assert [page["total_commits"] for page in found] == [detail["commits"]] * pages


async def test_what_was_imported_shares_one_second_and_a_list_ends_at_its_hundredth_page() -> None:
    async with github(**PLAIN, imported=150, pulls_per_day=0.0) as client:
        query: dict[str, Any] = {"state": "all", "sort": "updated", "direction": "asc"}
        founded = iso(client.repository().founded)
        since = await client.rows(f"{client.path()}/issues", since=founded, **query)
        assert {row["updated_at"] for row in since} == {founded}
        assert [row["number"] for row in since] == list(range(1, 151))
        assert {row["user"]["type"] for row in since} >= {"Mannequin", "User"}
        later = iso(client.repository().founded + 1)
        assert await client.rows(f"{client.path()}/issues", since=later, **query) == []
        assert await client.rows(f"{client.path()}/issues", since="1970-01-01T00:00:00Z", **query) == []
        refused = await client.get(f"{client.path()}/issues", per_page=1, page=100, **query)
        assert refused.status == 422
        assert "cursor based pagination" in refused.json["message"]
        assert len((await client.get(f"{client.path()}/pulls", per_page=1, page=100, state="all")).json) == 1


async def test_links_lead_by_id_and_tell_of_no_last_page_of_issues() -> None:
    async with github(**PLAIN) as client:
        issues = (await client.get(f"{client.named()}/issues", state="all")).headers["Link"]
        assert issues.startswith(f"<{client.running.url}{client.path()}/issues?state=all&after=")
        assert 'rel="last"' not in issues
        pulls = (await client.get(f"{client.named()}/pulls", state="all", page=2)).headers["Link"]
        assert [part.partition("; ")[2] for part in pulls.split(", ")] == [
            'rel="prev"',
            'rel="next"',
            'rel="last"',
            'rel="first"',
        ]


async def test_page_numbers_lose_what_moves_and_a_cursor_does_not() -> None:
    async with github(**PLAIN) as client:
        query: dict[str, Any] = {"state": "all", "sort": "updated", "direction": "asc", "per_page": 2}
        at(client, client.repository().founded + 30 * 86_400)
        before = [thread.number for thread in client.running.sandbox.world.by_update(client.repository(), client.now)]
        moving = next(nth for nth, number in enumerate(before) if moves(client.threads()[number - 1], client.now))
        page = moving // 2 + 1
        first = await client.get(f"{client.path()}/issues", page=page, **query)
        ahead = first.headers["Link"].partition(">")[0].lstrip("<")
        client.advance(days=30)
        rest = [row["number"] for row in await client.rows(f"{client.path()}/issues", page=page + 1, **query)]
        seen = {*before[: page * 2], *rest}
        assert set(before) - seen  # shifted to the left, and missed
        rest = [row["number"] for row in await client.rows(ahead)]
        assert set(before) <= {*before[: page * 2], *rest}


def moves(thread: Thread, now: int) -> bool:
    return thread.updated(now + 30 * 86_400) > now


async def test_deleted_accounts_are_a_ghost_or_null() -> None:
    async with github(**PLAIN) as client:
        pulls = [pull for pull in client.pulls() if pull.author is None]
        assert (await client.get(f"{client.path()}/pulls/{pulls[0].number}")).json["user"]["id"] == 10137
        query = in_repository(f"pullRequest(number: {pulls[0].number}) {{ author {{ login }} }}")
        answer = (await client.graphql(query, id=node_id("R", client.repository().id))).json
        assert answer["data"]["node"]["pullRequest"] == {"author": None}
        reviewed = next(pull for pull in client.pulls() for review in pull.shown_reviews(client.now) if review.author is None)
        assert None in [row["user"] for row in (await client.get(f"{client.path()}/pulls/{reviewed.number}/reviews")).json]
        comments = await client.rows(f"{client.path()}/issues/comments")
        assert None in [row["user"] for row in comments]
        assert "ghost" in [row["user"]["login"] for row in comments if row["user"]]


async def test_bots_bear_a_suffix_in_rest_and_some_say_that_they_are_users() -> None:
    async with github(**PLAIN) as client:
        users = {row["user"]["login"]: row["user"]["type"] for row in await client.rows(f"{client.path()}/pulls", state="all")}
        assert users["renovate[bot]"] == "Bot"
        assert users["acme-release-robot"] == "User"
        asked = in_repository("pullRequests(first: 100) { nodes { author { login __typename } } }")
        answer = (await client.graphql(asked, id=node_id("R", client.repository().id))).json
        nodes = answer["data"]["node"]["pullRequests"]["nodes"]
        assert {"login": "renovate", "__typename": "Bot"} in [node["author"] for node in nodes]


async def test_a_fork_that_is_gone_is_null_and_commits_of_unknown_addresses_have_no_author() -> None:
    async with github(**PLAIN) as client:
        gone = next(pull for pull in client.pulls() if pull.fork_gone <= client.now)
        head = (await client.get(f"{client.path()}/pulls/{gone.number}")).json["head"]
        assert (head["repo"], head["user"], head["ref"]) == (None, None, gone.head_ref)
        commits = await client.rows(f"{client.path()}/commits")
        assert None in [row["author"] for row in commits]
        assert all(row["commit"]["author"]["email"] for row in commits)
        assert "web-flow" in [row["committer"]["login"] for row in commits if row["committer"]]


def at(client: GitHubClient, moment: int) -> int:
    client.running.clock.set(moment_of(moment * 1000))
    return moment


async def review_of(client: GitHubClient, pull: Thread, number: int) -> Any:
    rows = (await client.get(f"{client.path()}/pulls/{pull.number}/reviews")).json
    return next((row for row in rows if row["id"] == number), None)


@pytest.mark.parametrize("moved", [True, False])
async def test_a_dismissal_overwrites_a_review_and_does_not_always_move_its_pull_request(moved: bool) -> None:
    async with github(**PLAIN) as client:
        pull, review = next(
            (pull, review)
            for pull in client.pulls()
            for review in pull.reviews
            if review.dismissed < client.now and (pull.updated(review.dismissed) == review.dismissed) == moved
        )
        at(client, review.dismissed - 1)
        before = await review_of(client, pull, review.id)
        told = pull.updated(client.now)
        at(client, review.dismissed)
        after = await review_of(client, pull, review.id)
        assert (before["state"], after["state"]) == (review.verdict, "DISMISSED")
        assert before["submitted_at"] == after["submitted_at"]
        assert (pull.updated(client.now) > told) == moved


async def test_a_draft_of_a_review_has_no_time_and_becomes_one() -> None:
    async with github(**PLAIN) as client:
        pull, review = next(
            (pull, review) for pull in client.pulls() for review in pull.reviews if review.begun < review.submitted < NEVER
        )
        assert any(each.submitted == NEVER for pull in client.pulls() for each in pull.reviews)
        at(client, review.begun)
        draft = await review_of(client, pull, review.id)
        assert (draft["state"], "submitted_at" in draft) == ("PENDING", False)
        at(client, review.submitted)
        row = await review_of(client, pull, review.id)
        assert (row["state"], row["submitted_at"]) == (review.verdict, iso(review.submitted))


@pytest.mark.parametrize("kind", ["comments", "remarks"])
async def test_an_edit_moves_a_comment_and_not_its_pull_request(kind: str) -> None:
    async with github(**PLAIN) as client:
        pull, comment = next((pull, each) for pull in client.pulls() for each in getattr(pull, kind) if each.edited < client.now)
        path = f"{client.path()}/{'issues' if kind == 'comments' else 'pulls'}"
        rows = []
        for moment in (comment.edited - 1, comment.edited):
            at(client, moment)
            rows.append(next(row for row in await client.rows(f"{path}/{pull.number}/comments") if row["id"] == comment.id))
        assert (rows[0]["updated_at"], rows[1]["updated_at"]) == (iso(comment.created), iso(comment.edited))
        assert rows[0]["body"] != rows[1]["body"]
        assert pull.updated(comment.edited) == pull.updated(comment.edited - 1)
        changed = await client.rows(f"{path}/comments", since=iso(comment.edited), sort="updated", direction="asc")
        assert changed[0]["id"] == comment.id


async def test_a_force_push_takes_commits_away_and_a_stacked_pull_request_shares_some() -> None:
    async with github(**PLAIN) as client:
        ever = {pull.number: pull.commits_ever(client.now).keys() for pull in client.pulls()}
        now = {pull.number: {commit.sha for commit in pull.state(client.now).commits} for pull in client.pulls()}
        assert any(ever[number] > now[number] for number in ever)
        assert any(ever[one] & ever[two] for one in ever for two in ever if one < two)
        assert any(pull.state(client.now).base.startswith("topic-") for pull in client.pulls())


async def test_labels_that_are_set_in_bulk_share_a_second() -> None:
    async with github(**PLAIN, pulls_per_day=30.0, history=timedelta(days=40)) as client:
        threads = client.threads()
        stale = [thread for thread in threads if "stale" in thread.state(client.now).labels]
        seconds = [thread.updated(client.now) for thread in stale]
        assert max(map(seconds.count, seconds)) > 3
        assert any(label.startswith("size/") for thread in threads for label in thread.state(client.now).labels)
