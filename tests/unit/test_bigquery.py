"""What the sink BigQuery sends: schemas, rows and statements of every record, and how it reads what is answered."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import sqlglot

from consumers.records import records_of
from consumers.records.mapping import record_classes
from consumers.records.record import Record
from consumers.sinks.bigquery import open_bigquery
from consumers.sinks.bigquery_errors import failed, refused
from consumers.sinks.bigquery_settings import BigQuerySettings
from consumers.sinks.bigquery_sql import Span, add, faults, fields, layout, line, merge, missing, span_of
from consumers.sinks.rows import row_of
from consumers.sinks.shaped import Shaped
from harvester.errors import ConfigError, HarvesterError, InvalidEventError, PermanentError, TransientError
from harvester.event import Event
from harvester.google import Answered
from tests.github_records import ALL_GITHUB, READ_AT, pull_request_event, pull_request_node, review_event, review_node
from tests.servers.bigquery_front import fault
from tests.useractions import FOUND, useraction_event
from tests.zoomevents import meeting_event, session_event

SPAN = Span(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, 12, 30, 0, 5, tzinfo=UTC))
EVENTS = [*ALL_GITHUB, useraction_event(1, context=FOUND), useraction_event(2), meeting_event(), session_event()]


def row(event: Event) -> tuple[type[Record], list[Any]]:
    (record,) = records_of(event)
    return type(record), row_of(Shaped(record, event, 4), READ_AT)


@pytest.mark.parametrize("record", record_classes())
@pytest.mark.parametrize("span", [None, SPAN])
def test_every_statement_is_bigquerys(record: type[Record], span: Span | None) -> None:
    parsed = sqlglot.parse_one(merge(record, "`p-1.d.table`", "`p-1.d.stage`", span), dialect="bigquery")
    assert isinstance(parsed, sqlglot.exp.Merge)
    names = {one["name"].lower() for one in fields(record)}
    assert len(names) == len(fields(record)), "BigQuery does not tell capitals apart in names"
    on, insert = parsed.args["on"].sql(), parsed.find(sqlglot.exp.Insert)
    assert insert is not None
    assert {column.name for column in insert.this.expressions} == names
    assert ("BETWEEN" in on) is (span is not None)


@pytest.mark.parametrize("event", EVENTS)
def test_every_row_fits_the_schema_of_its_table(event: Event) -> None:
    record, values = row(event)
    found = msgspec.json.decode(line(record, values))
    assert fault(found, {one["name"]: one for one in fields(record)}) == ""
    assert None not in found.values()
    assert (found["event_id"], found["event_rank"], found["event_module"]) == (event.id, 4, event.source)


def test_a_number_that_json_would_round_is_written_as_text_and_a_list_stays_one() -> None:
    record, values = row(pull_request_event(pull_request_node(databaseId=2**53 + 1)))
    found = msgspec.json.decode(line(record, values))
    assert (found["pull_request_id"], found["pr_number"], found["labels"]) == (str(2**53 + 1), 12, ["bug", "size/M"])


@pytest.mark.parametrize(
    ("value", "field", "said"),
    [
        ({"a": 1}, {"name": "b", "type": "INTEGER"}, "No such field"),
        ({}, {"name": "b", "type": "INTEGER", "mode": "REQUIRED"}, "Missing required"),
        ({"b": None}, {"name": "b", "type": "STRING", "mode": "REPEATED"}, "Only optional"),
        ({"b": [None]}, {"name": "b", "type": "STRING", "mode": "REPEATED"}, "Could not convert"),
        ({"b": 2**60}, {"name": "b", "type": "INTEGER"}, "Could not convert"),
        ({"b": str(2**63)}, {"name": "b", "type": "INTEGER"}, "Could not convert"),
        ({"b": True}, {"name": "b", "type": "INTEGER"}, "Could not convert"),
        ({"b": "2026-01-01T00:00:00"}, {"name": "b", "type": "TIMESTAMP"}, "Could not convert"),
    ],
)
def test_the_front_of_the_emulator_refuses_what_bigquery_does(value: Any, field: Any, said: str) -> None:
    assert said in fault(value, {"b": field})


def test_b54_b55_tables_are_cut_by_month_and_sorted_by_names() -> None:
    laid = {record.__shape__.table: layout(record, "MONTH") for record in record_classes()}
    assert laid["pull_requests"] == {
        "timePartitioning": {"type": "MONTH", "field": "created_at"},
        "clustering": {"fields": ["organization", "repository", "author"]},
    }
    assert laid["reviews"]["timePartitioning"]["field"] == "submitted_at"
    assert laid["reviews"]["clustering"]["fields"] == ["organization", "repository", "reviewer"]
    assert laid["commits"]["timePartitioning"]["field"] == "commit_date"
    assert laid["useractions"] == {"timePartitioning": {"type": "MONTH", "field": "event_time"}}


@pytest.mark.parametrize(
    ("table", "cut", "sorted_by"),
    [
        ("pull_requests", "created_at", "author"),
        ("commits", "commit_date", "author"),
        ("reviews", "submitted_at", "reviewer"),
        ("review_comments", "created_at", "author"),
        ("issue_comments", "created_at", "author"),
    ],
)
def test_b54_b55_each_of_the_five_tables_is_cut_and_sorted(table: str, cut: str, sorted_by: str) -> None:
    (record,) = (record for record in record_classes() if record.__shape__.table == table)
    assert layout(record, "DAY") == {
        "timePartitioning": {"type": "DAY", "field": cut},
        "clustering": {"fields": ["organization", "repository", sorted_by]},
    }


def test_rows_lie_between_the_times_of_their_partition_column_unless_one_is_not_known() -> None:
    events = [pull_request_event(pull_request_node(n, createdAt=f"2026-11-{n:02}T00:00:00Z")) for n in (5, 3, 9)]
    record, _ = row(events[0])
    rows = [row(event)[1] for event in events]
    assert span_of(record, rows) == Span(datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 9, tzinfo=UTC))
    review, unknown = row(review_event(review_node(submittedAt=None)))
    assert span_of(review, [unknown]) is None


def test_columns_that_are_added_are_spoken_of_as_in_sql() -> None:
    record, _ = row(pull_request_event())
    statement = add("`p.d.pull_requests`", [one for one in fields(record) if one["name"] in ("labels", "pr_number", "is_draft")])
    assert statement == (
        "ALTER TABLE `p.d.pull_requests` ADD COLUMN IF NOT EXISTS `pr_number` INT64, "
        "ADD COLUMN IF NOT EXISTS `labels` ARRAY<STRING>, ADD COLUMN IF NOT EXISTS `is_draft` BOOL"
    )
    assert isinstance(sqlglot.parse_one(statement, dialect="bigquery"), sqlglot.exp.Alter)


def test_a_schema_that_differs_is_told_and_what_is_new_is_listed() -> None:
    record, _ = row(pull_request_event())
    there: list[dict[str, Any]] = [dict(one) for one in fields(record)]
    assert (faults(there, record), missing(there, record)) == ([], [])
    spoken = [one | {"type": {"INTEGER": "INT64", "BOOLEAN": "BOOL"}.get(one["type"], one["type"])} for one in there]
    assert faults(spoken, record) == []
    theirs = [{"name": "subject", "type": "INTEGER"}, {"name": "own", "type": "STRING", "mode": "REQUIRED"}]
    assert faults(theirs, record) == [
        "subject is INTEGER NULLABLE, it should be STRING NULLABLE",
        "own is REQUIRED, and none of ours",
    ]
    assert {one["name"] for one in missing(there[:-2], record)} == {"event_enrichment", "event_rank"}


@pytest.mark.parametrize(
    ("reason", "message", "kind"),
    [
        ("invalid", "bad row", InvalidEventError),
        ("backendError", "try again", TransientError),
        ("notFound", "Not found: Table", TransientError),
        ("quotaExceeded", "too many", TransientError),
        ("invalidQuery", "Could not serialize access to table due to concurrent update", TransientError),
        ("invalidQuery", "Syntax error", PermanentError),
        ("accessDenied", "no", PermanentError),
        ("unheard", "of", PermanentError),
    ],
)
def test_f33_what_a_job_failed_of_is_the_error_of_the_next_action(reason: str, message: str, kind: type[HarvesterError]) -> None:
    found = failed({"status": {"state": "DONE", "errorResult": {"reason": reason, "message": message}}}, "bigquery p.d")
    assert type(found) is kind
    assert failed({"status": {"state": "DONE"}}, "bigquery p.d") is None


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (403, "rateLimitExceeded", TransientError),
        (403, "quotaExceeded", TransientError),
        (403, "accessDenied", PermanentError),
        (401, "authError", PermanentError),
        (400, "invalid", PermanentError),
        (503, "backendError", TransientError),
        (429, "", TransientError),
    ],
)
def test_b61_what_is_refused_is_told_with_the_permissions_it_takes(status: int, reason: str, kind: type[HarvesterError]) -> None:
    body = msgspec.json.encode({"error": {"message": "no", "errors": [{"reason": reason}]}})
    found = refused(Answered(status, body, {}), "bigquery p.d")
    assert isinstance(found, kind)
    if status in (401, 403) and kind is PermanentError:
        wanted = ("datasets.create", "tables.create", "tables.updateData", "jobs.create")
        assert all(f"bigquery.{permission}" in str(found) for permission in wanted)


async def test_b32_without_a_project_it_is_told_which_setting_lacks() -> None:
    with pytest.raises(ConfigError, match="HARVESTER_BIGQUERY_PROJECT_ID"):
        async with open_bigquery(BigQuerySettings()):
            pytest.fail("opened")


async def test_jobs_are_few_and_large() -> None:
    settings = BigQuerySettings(project_id="p", url="http://127.0.0.1:9")
    async with open_bigquery(settings) as sink:
        assert sink.pace.events >= 10_000
        assert 86_400 / sink.pace.seconds < 1_500 / 2
