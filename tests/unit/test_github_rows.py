"""GitHub's records as they were recorded: each becomes an event, whoever is missing in it, and hides its people when told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from harvester.errors import InvalidEventError, TransientError
from harvester.privacy import PrivacySettings, Veil
from harvester.sources.github_comments import number_of
from harvester.sources.github_details import batch_cost, batch_query, events_of, graphql_pull, rest_pull
from harvester.sources.github_details import children_of as children
from harvester.sources.github_privacy import fields
from harvester.sources.github_repository import Repository
from harvester.sources.github_rows import MOST_NUMBERS, checked_event, rows_of
from tests.github_organisation import NOW, Pull, at, comment, review

SAMPLES = Path(__file__).parents[1] / "fixtures/github"
WIDGETS = Repository(1, "N_1", "acme", "widgets")
HEAD = '{"from":"rest","host":"github.com","repository":{"id":1,"name":"widgets","owner":"acme"}'


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def recorded(name: str) -> list[bytes]:
    """The records of a file, which holds one or a list of them."""
    body = sample(name).strip()
    return list(rows_of(body).rows) if body[:1] == b"[" else [msgspec.json.format(body, indent=-1)]


def wrapped(name: str) -> Iterator[bytes]:
    kinds = {"pr-detail": "pull_request", "pr-detail-ghost-author": "pull_request", "pr-review-comments": "comment"}
    kind = kinds.get(name, "commit" if "commit" in name else "review")
    for row in recorded(name):
        yield b'%b,"number":12,"%b":%b}' % (HEAD.encode(), kind.encode(), row)


RECORDED = {
    "pr-detail": 1, "pr-detail-ghost-author": 1, "pr-commits": 3, "commits-null-author": 2, "pr-review-comments": 4,
    "pr-reviews-null-user": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDED)
def test_b13_what_was_recorded_becomes_events_whoever_is_missing_in_it(name: str) -> None:
    events = [checked_event(data, "github", NOW) for data in wrapped(name)]
    assert len(events) == RECORDED[name]
    assert len({event.subject for event in events}) == len(events)
    for event, data in zip(events, wrapped(name), strict=True):
        assert bytes(event.data) == data
        assert event.subject.startswith("1/")


def test_a_review_that_is_a_draft_has_no_time_and_is_no_event() -> None:
    [data] = wrapped("pr-review-pending-no-submitted-at")
    with pytest.raises(InvalidEventError, match="review without its time"):
        checked_event(data, "github", NOW)
    [row] = recorded("pr-review-pending-no-submitted-at")
    [detail] = recorded("pr-detail")
    events, broken = events_of(rest_pull(detail, [], [row], NOW), WIDGETS, "github.com", "github")
    assert ([event.type for event in events], broken) == (["github.pull_request"], [])


def test_the_vendors_bytes_are_kept_but_for_the_children_that_are_events_themselves() -> None:
    pull = Pull(12, at(60), reviews=[review(5, comments=3)], title="1e400 \\u00e9")
    node = msgspec.json.encode({**pull.node(), "huge": 2**70, "float": 0.1})
    whole = graphql_pull(node, *children(node), NOW)
    assert b'"huge":%d,"float":0.1' % 2**70 in whole.node
    assert b'"nodes"' not in whole.node
    events, _ = events_of(whole, WIDGETS, "github.com", "github")
    commit = next(event for event in events if event.type == "github.commit")
    assert commit.version == MOST_NUMBERS - 12
    assert msgspec.json.encode(pull.node()["commits"]["nodes"][0]["commit"]) in bytes(commit.data)


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[1]", b'{"repository":{"id":1},"from":"rest"}', b"\xff", b"[" * 10_000])
def test_f42_what_is_no_record_is_an_invalid_event(body: bytes) -> None:
    with pytest.raises(InvalidEventError):
        checked_event(body, "github", NOW)


@pytest.mark.parametrize("what", [
    '"number":12,"commit":{"sha":"a/b","committedDate":"2026-11-01T00:00:00Z"}',
    '"number":12,"commit":{"sha":"ab"}',
    '"number":4294967296,"commit":{"sha":"ab","committedDate":"2026-11-01T00:00:00Z"}',
    '"number":12,"review":{"id":"R_1","submittedAt":"2026-11-01T00:00:00Z"}',
    '"number":12,"comment":{"id":1,"created_at":"yesterday","updated_at":"2026-11-01T00:00:00Z"}',
    '"pull_request":{"number":-1,"created_at":"2026-11-01T00:00:00Z","updated_at":"2026-11-01T00:00:00Z"}',
    '"pull_request":{"number":1,"created_at":"2026-11-01T00:00:00Z","updated_at":"9999-99-99"}',
])  # fmt: skip
def test_a_record_without_what_its_event_needs_is_an_invalid_event(what: str) -> None:
    with pytest.raises(InvalidEventError):
        checked_event(f"{HEAD},{what}}}".encode(), "github", NOW)


def test_a_list_of_which_one_record_is_broken_gives_the_others() -> None:
    found = rows_of(b'[{"id":1},{"id":NaN},\n{"id":2,\n"a":3}]')
    assert (found.rows, [one.body for one in found.refused]) == ([b'{"id":1}', b'{"id":2,"a":3}'], [b'{"id":NaN}'])
    for body in (b"{}", b"", b"[1", b"<html>"):
        with pytest.raises(TransientError):
            rows_of(body)


def test_a_comment_is_on_the_pull_request_that_its_addresses_name() -> None:
    [first, *_] = recorded("pr-review-comments")
    assert number_of(first) == 484
    assert number_of(msgspec.json.encode(comment(1, at(1), on=7))) == 7
    assert number_of(msgspec.json.encode(comment(1, at(1), on=7, issue=True))) is None


def test_a_query_asks_for_each_pull_request_by_the_repositorys_id_and_its_cost_is_known() -> None:
    text = batch_query([12, 13])
    assert text.startswith("query($id:ID!){node(id:$id){... on Repository{")
    assert "p12:pullRequest(number:12)" in text
    assert text.count("{") == text.count("}")
    assert "rateLimit{cost remaining resetAt}" in text
    assert batch_cost(25) < 25


# --- people


def people(record: Any) -> set[str]:
    """Logins, names and addresses in a record; the organisation is nobody."""
    found: set[str] = set()
    if isinstance(record, dict):
        if record.get("type") != "Organization":
            found |= {v for k in ("login", "email") if isinstance(v := record.get(k), str)}
        if "email" in record and isinstance(record.get("name"), str):
            found.add(record["name"])
        record = list(record.values())
    if isinstance(record, list):
        found |= {one for value in record for one in people(value)}
    return {one for one in found if len(one) > 2 and one not in ("hub4j-test-org", "GitHub")}


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("name", [*RECORDED, "pr-review-pending-no-submitted-at"])
def test_records_show_nobody_in_either_of_their_shapes(name: str, bare: bool) -> None:
    over = Veil(PrivacySettings(privacy="pseudonymous", key=SecretStr("0123456789abcdef")), fields)
    for row in recorded(name) if bare else wrapped(name):
        shown = over.record(row)[0]
        assert [who for who in people(msgspec.json.decode(row)) if who.lower() in shown.decode().lower()] == []
        assert over.record(shown)[0] == shown
        if not bare and name in RECORDED:
            assert checked_event(shown, "github", NOW).subject == checked_event(row, "github", NOW).subject


def test_what_graphql_gives_shows_nobody_and_stays_an_event() -> None:
    over = Veil(PrivacySettings(privacy="pseudonymous", key=SecretStr("0123456789abcdef")), fields)
    pull = Pull(12, at(60), reviews=[review(5, body="as Ada said")], title="Ada's change")
    node = msgspec.json.encode(pull.node())
    events, _ = events_of(graphql_pull(node, *children(node), NOW), WIDGETS, "github.com", "github")
    assert len(events) == 4
    for event in events:
        shown = over.record(event.data)[0]
        for who in (b"ada@", b'"ada"', b'"Ada"', b'"bob"'):
            assert who not in shown
        veiled = checked_event(shown, "github", NOW)
        assert (veiled.subject, veiled.version, veiled.time) == (event.subject, event.version, event.time)
