"""Records of GitHub, for both shapes of its answers and all the holes they have."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.records import gives_vendor_records, records_of
from consumers.records.mapping import record_classes
from consumers.records.record import columns, document, document_id, index_name
from harvester.errors import InvalidEventError
from harvester.event import Event
from tests.github_records import (
    ALL_GITHUB,
    ANN,
    SHA,
    comment_event,
    comment_item,
    commit_event,
    commit_node,
    github_event,
    pair_event,
    pull_request_event,
    pull_request_node,
    repository_event,
    review_event,
    review_node,
    sample,
)

INGESTED = datetime(2026, 11, 27, 15, 0, tzinfo=UTC)
PLACE = {"host": "github.com", "repository_id": 123, "repository": "widgets", "organization": "acme"}


def read(event: Event) -> dict[str, Any]:
    (record,) = records_of(event)
    found = msgspec.json.decode(document(record, event, INGESTED))
    assert isinstance(found, dict)
    del found["@timestamp"], found["event"]
    return found


def test_b52_a_pull_request_of_graphql_has_every_column() -> None:
    assert read(pull_request_event()) == {
        "subject": "123/12",
        **PLACE,
        "ingestion_timestamp": "2026-11-27T12:00:00+00:00",
        "pr_number": 12,
        "pull_request_id": 9012,
        "title": "Add a widget",
        "state": "closed",
        "author": "ann",
        "author_type": "User",
        "author_id": 11,
        "created_at": "2026-11-01T09:00:00+00:00",
        "updated_at": "2026-11-03T09:00:00+00:00",
        "closed_at": "2026-11-02T19:30:00+00:00",
        "merged_at": "2026-11-02T19:30:00+00:00",
        "url": "https://github.com/acme/widgets/pull/12",
        "additions": 30,
        "deletions": 4,
        "changed_files": 3,
        "labels": ["bug", "size/M"],
        "size_label": "size/M",
        "commit_count": 2,
        "review_count": 1,
        "review_comment_count": 7,
        "issue_comment_count": 5,
        "is_draft": False,
        "is_merged": True,
        "is_complete": True,
        "merge_commit_sha": "b" * 40,
        "base_ref": "main",
        "head_ref": "widget",
        "head_sha": SHA,
    }


def test_b1_q23_a_pull_request_of_rest_says_the_same() -> None:
    found = read(pull_request_event(sample("pr-detail")))
    assert (found["pr_number"], found["pull_request_id"], found["state"]) == (484, 1922732948, "closed")
    assert (found["author"], found["author_type"], found["author_id"]) == ("maximevw", "User", 48218208)
    assert found["url"] == "https://github.com/hub4j-test-org/github-api/pull/484"
    assert (found["additions"], found["deletions"], found["changed_files"]) == (3, 2, 2)
    assert (found["commit_count"], found["review_comment_count"], found["issue_comment_count"]) == (3, 3, 0)
    assert (found["base_ref"], found["head_ref"]) == ("main", "test/stable")
    assert (found["labels"], found["size_label"]) == ([], None)
    assert (found["is_draft"], found["is_merged"], found["merged_at"]) == (False, False, None)
    assert found["merge_commit_sha"] is None, "REST tells of a trial merge that no branch has"


def test_q23_what_the_list_does_not_tell_is_null_and_never_0() -> None:
    found = read(pull_request_event(sample("pr-list")))
    counts = ("additions", "deletions", "changed_files", "commit_count", "review_count", "review_comment_count")
    assert [found[name] for name in (*counts, "issue_comment_count")] == [None] * 7
    assert found["is_complete"] is False
    assert found["is_merged"] is False, "the time of the merge is told, and it is null"


@pytest.mark.parametrize("name", ["additions", "changedFiles", "commits", "reviews", "comments", "review_comments_count"])
@pytest.mark.parametrize("missing", [..., None, {}, {"totalCount": None}, -1, "7", True])
def test_b14_one_count_that_is_missing_leaves_the_row_incomplete(name: str, missing: Any) -> None:
    node = pull_request_node(**{name: missing})
    if missing is ...:
        del node[name]
    assert read(pull_request_event(node))["is_complete"] is False


def test_a_pull_request_of_which_neither_merge_nor_its_time_is_told_is_not_called_unmerged() -> None:
    node = {"number": 12, "state": "CLOSED"}
    assert read(pull_request_event(node))["is_merged"] is None


@pytest.mark.parametrize(
    ("state", "merged", "expected"), [("OPEN", False, "open"), ("CLOSED", False, "closed"), ("MERGED", True, "closed")]
)
def test_states_are_named_as_rest_names_them(state: str, merged: bool, expected: str) -> None:
    found = read(pull_request_event(pull_request_node(state=state, merged=merged)))
    assert (found["state"], found["is_merged"]) == (expected, merged)


NOBODY = ("ghost", "Unknown", None)
PEOPLE = [
    (ANN, ("ann", "User", 11)),
    (None, NOBODY),
    ({}, NOBODY),
    ({"login": "ghost", "id": 10137, "type": "User"}, NOBODY),
    ({"__typename": "Bot", "login": "dependabot", "databaseId": 5}, ("dependabot[bot]", "Bot", 5)),
    ({"login": "dependabot[bot]", "id": 5, "type": "Bot"}, ("dependabot[bot]", "Bot", 5)),
    ({"__typename": "Mannequin", "login": "moved", "databaseId": 6}, ("moved", "Mannequin", 6)),
    ({"__typename": "EnterpriseUserAccount", "login": "ann_acme"}, ("ann_acme", "User", None)),
    ({"__typename": "Organization", "login": "acme", "databaseId": 7}, ("acme", "Unknown", 7)),
]


@pytest.mark.parametrize(("author", "expected"), PEOPLE)
def test_b7_who_wrote_is_of_one_of_four_types(author: Any, expected: Any) -> None:
    for event in (
        pull_request_event(pull_request_node(author=author)),
        comment_event(item=comment_item(user=author)),
        comment_event("review_comment", comment_item(user=author)),
    ):
        found = read(event)
        assert (found["author"], found["author_type"], found["author_id"]) == expected
    found = read(review_event(review_node(author=author)))
    assert (found["reviewer"], found["reviewer_type"], found["reviewer_id"]) == expected


def test_b13_recorded_accounts_that_are_gone_are_ghosts() -> None:
    found = read(pull_request_event(sample("pr-detail-ghost-author")))
    assert (found["author"], found["author_type"], found["author_id"]) == NOBODY
    found = read(review_event(sample("pr-reviews-null-user"), number=1))
    assert (found["reviewer"], found["reviewer_type"], found["state"], found["pr_number"]) == ("ghost", "Unknown", "APPROVED", 1)
    assert found["submitted_at"] == "2021-11-01T03:15:32+00:00"
    assert found["commit_id"] == "427887c52303ad158651fbe3894f70beabaddd2f"


def test_an_author_that_was_not_told_is_no_ghost() -> None:
    node = pull_request_node()
    del node["author"]
    assert read(pull_request_event(node))["author"] is None


@pytest.mark.parametrize(
    ("labels", "names", "size"),
    [
        (..., None, None),
        (None, None, None),
        ({"totalCount": 0, "nodes": []}, [], None),
        ([{"name": "size/XL"}, {"name": "size/S"}, "old"], ["size/XL", "size/S", "old"], "size/XL"),
        ([{"name": "resize/S"}, None, {}], ["resize/S"], None),
    ],
)
def test_b8_all_labels_are_kept_and_the_first_size_stands_alone(labels: Any, names: Any, size: str | None) -> None:
    node = pull_request_node(labels=labels)
    if labels is ...:
        del node["labels"]
    found = read(pull_request_event(node))
    assert (found["labels"], found["size_label"]) == (names, size)


def test_b3_a_review_of_graphql_has_every_column() -> None:
    found = read(review_event())
    assert found == {
        "subject": "123/501",
        **PLACE,
        "ingestion_timestamp": "2026-11-27T12:00:00+00:00",
        "review_id": 501,
        "pr_number": 12,
        "reviewer": "ann",
        "reviewer_type": "User",
        "reviewer_id": 11,
        "state": "APPROVED",
        "body": None,
        "submitted_at": "2026-11-02T10:00:00+00:00",
        "updated_at": "2026-11-02T10:00:00+00:00",
        "commit_id": SHA,
        "comment_count": 0,
        "url": "https://github.com/acme/widgets/pull/12#r",
    }


def test_a_draft_of_a_review_and_a_dismissed_one_are_records_too() -> None:
    found = read(review_event(sample("pr-review-pending-no-submitted-at")))
    assert (found["state"], found["submitted_at"]) == ("PENDING", None)
    assert read(review_event(review_node(state="dismissed")))["state"] == "DISMISSED"


def test_b4_review_comments_know_their_line_their_review_and_what_they_answer() -> None:
    first, *_, last = (read(comment_event("review_comment", sample("pr-review-comments", at), number=484)) for at in range(4))
    assert (first["comment_id"], first["pr_number"], first["path"], first["position"], first["line"]) == (
        1641776780,
        484,
        "README.md",
        1,
        1,
    )
    assert (first["review_id"], first["commit_id"]) == (2121317005, "07374fe73aff1c2024a8d4114b32406c7a8e89b7")
    assert (first["body"], first["author"], first["in_reply_to_id"]) == ("Sample review comment", "maximevw", None)
    assert last["in_reply_to_id"] is not None


def test_b5_issue_comments_have_no_place_in_the_code() -> None:
    found = read(comment_event())
    assert not {"path", "position", "commit_id"} & found.keys()
    assert (found["comment_id"], found["pr_number"], found["body"], found["url"]) == (
        701,
        12,
        "Why?",
        "https://github.com/acme/widgets/pull/12#c",
    )


def test_b2_q26_commits_have_login_and_git_name_in_both_shapes() -> None:
    found = read(commit_event())
    assert (found["sha"], found["pr_number"], found["message"]) == (SHA, 12, "Add it")
    assert (found["author"], found["author_type"], found["author_id"]) == ("ann", "User", 11)
    assert (found["author_name"], found["author_email"]) == ("Ann Author", "ann@example.org")
    assert (found["committer"], found["committer_id"], found["committer_email"]) == ("GitHub", None, "noreply@github.com")
    assert (found["commit_date"], found["author_date"]) == ("2026-11-01T08:00:00+00:00", "2026-10-31T08:00:00+00:00")
    found = read(commit_event(sample("pr-commits")))
    assert (found["author"], found["author_type"], found["author_id"]) == ("bitwiseman", "User", 1958953)
    assert (found["author_name"], found["author_email"]) == ("Liam Newman", "liam@example.org")
    assert (found["commit_date"], found["author_date"]) == ("2019-09-07T00:08:49+00:00", "2019-09-06T23:38:37+00:00")
    assert found["url"].startswith("https://github.com/")


def test_what_was_committed_on_a_page_of_github_has_one_committer_in_both_shapes() -> None:
    rest = sample("pr-commits") | {"committer": {"login": "web-flow", "id": 19864447, "type": "User"}}
    rest["commit"]["committer"] = {"name": "GitHub", "email": "noreply@github.com", "date": "2026-11-01T08:00:00Z"}
    for found in (read(commit_event(rest)), read(commit_event())):
        assert (found["committer"], found["committer_id"], found["committer_email"]) == ("GitHub", None, "noreply@github.com")


def test_what_a_bot_committed_has_one_author_in_both_shapes() -> None:
    wrote = {"name": "renovate", "email": "29139614+renovate[bot]@users.noreply.github.com", "date": "2026-11-01T08:00:00Z"}
    rest = sample("pr-commits") | {"author": {"login": "renovate[bot]", "id": 29139614, "type": "Bot"}}
    rest["commit"]["author"] = wrote
    for found in (read(commit_event(rest)), read(commit_event(commit_node(author=wrote | {"user": None})))):
        assert (found["author"], found["author_type"], found["author_id"]) == ("renovate[bot]", "Bot", 29139614)


def test_reviews_are_counted_by_who_read_them_all() -> None:
    for told, expected in ((2, 2), (0, 0), (None, 1), ("x", None)):
        data = {"review_count": told, "pull_request": pull_request_node()}
        assert read(github_event("pull_request", "12", data))["review_count"] == expected


def test_b13_commits_whose_address_belongs_to_no_account_have_the_name_that_git_has() -> None:
    for found in (
        read(commit_event(sample("commits-null-author"))),
        read(commit_event(commit_node(author={"name": "kohsuke", "email": "somebody@example.org", "user": None}))),
    ):
        assert (found["author"], found["author_type"], found["author_id"]) == ("kohsuke", None, None)
        assert found["author_email"] == "somebody@example.org"


def test_b7_commits_of_bots_are_known_by_their_name() -> None:
    bot = {"name": "dependabot[bot]", "email": "x@example.org", "user": None}
    assert read(commit_event(commit_node(author=bot)))["author_type"] == "Bot"
    rest = sample("pr-commits") | {"author": {"login": "renovate[bot]", "id": 5, "type": "Bot"}, "committer": {}}
    found = read(commit_event(rest))
    assert (found["author"], found["author_type"], found["committer"]) == ("renovate[bot]", "Bot", "Liam Newman")


def test_q22_each_pair_of_commit_and_pull_request_is_a_row() -> None:
    found = read(pair_event(number=13, position=2))
    assert (found["subject"], found["pr_number"], found["sha"], found["position"]) == (f"123/13/{SHA}", 13, SHA, 2)


def test_a_repository_keeps_its_row_when_it_is_gone() -> None:
    found = read(repository_event())
    assert (found["subject"], found["is_private"], found["is_gone"], found["topics"]) == ("123", True, False, ["tools"])
    assert (found["stars_count"], found["language"], found["url"]) == (0, None, "https://github.com/acme/widgets")
    gone = read(repository_event({"id": 123, "gone": True}))
    assert (gone["repository"], gone["is_gone"], gone["is_private"]) == ("widgets", True, None)


@pytest.mark.parametrize("event", ALL_GITHUB, ids=lambda event: event.type)
def test_b58_every_record_is_known_by_its_subject_whatever_its_repository_is_called(event: Event) -> None:
    renamed = bytes(event.data).replace(b'"widgets"', b'"gadgets"')
    (record,) = records_of(event)
    (again,) = records_of(msgspec.structs.replace(event, data=msgspec.Raw(renamed)))
    assert document_id(record, event) == document_id(again, event) == event.subject
    assert gives_vendor_records(event)


@pytest.mark.parametrize("event", ALL_GITHUB, ids=lambda event: event.type)
def test_b54_b55_tables_are_cut_by_a_time_that_never_moves_and_sorted_by_names(event: Event) -> None:
    (record,) = records_of(event)
    shape = type(record).__shape__
    assert shape.partition in {"created_at", "commit_date", "submitted_at", "event_time"}
    assert shape.cluster[:2] == ("organization", "repository")
    assert len(shape.cluster) <= 4
    if shape.partition != "event_time":
        assert getattr(record, shape.partition) == event.time
    month = "" if shape.table == "repositories" else "-2026.11"
    assert index_name(record, event) == shape.table + month


def test_every_record_of_github_has_the_same_names_for_its_place() -> None:
    ours = [record for record in record_classes() if record.__module__.startswith("consumers.records.github")]
    assert len(ours) == 7
    for record in ours:
        assert {*PLACE, "subject", "ingestion_timestamp"} <= {column.name for column in columns(record)}
        assert record.__shape__.key == "subject"


@pytest.mark.parametrize(
    "event",
    [
        github_event("pull_request", "12", {}),
        github_event("pull_request", "12", {"pull_request": {}}),
        github_event("pull_request", "12", {"pull_request": []}),
        github_event("review", "501", {"review": review_node()}),
        github_event("review", "501", {"number": 12, "review": review_node(databaseId=None)}),
        github_event("issue_comment", "7", {"number": 12, "comment": {"id": "IC_kw"}}),
        github_event("commit", SHA, {"number": 12, "commit": commit_node(oid=None)}),
        github_event("pull_request_commit", "12/x", {"number": 12}),
        github_event("repository", "", {"repository_detail": {}, "repository": {"name": "widgets"}}),
        msgspec.structs.replace(pull_request_event(), data=msgspec.Raw(b"[]")),
    ],
)
def test_an_event_without_what_its_key_is_made_of_is_refused_alone(event: Event) -> None:
    with pytest.raises(InvalidEventError, match=r"no "):
        records_of(event)


def test_f44_nul_is_dropped_wherever_it_stands() -> None:
    node = pull_request_node(title="a\0b", author=ANN | {"login": "an\0n"}, labels=[{"name": "x\0"}], headRefName="\0")
    found = read(pull_request_event(node))
    assert (found["title"], found["author"], found["labels"], found["head_ref"]) == ("ab", "ann", ["x"], None)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["login", "nodes", "totalCount", "oid"]), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(sorted({*pull_request_node(), *review_node(), *comment_item(), *commit_node()})), anything)
)
def test_b13_whatever_a_field_turns_into_it_is_a_record_or_refused_alone(fields: dict[str, Any]) -> None:
    for event in (
        github_event("pull_request", "12", {"pull_request": pull_request_node() | fields}),
        github_event("review", "501", {"number": 12, "review": review_node() | fields}),
        github_event("review_comment", "701", {"number": 12, "comment": comment_item() | fields}),
        github_event("commit", SHA, {"number": 12, "commit": commit_node() | fields}),
    ):
        try:
            (record,) = records_of(event)
        except InvalidEventError:
            continue
        document(record, event, INGESTED)
