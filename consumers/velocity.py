"""The statements that compute GitHub's metrics from its tables: one text, which three stores spell in their own way.

The definitions stand in docs/github-metrics.md, and with the columns in `consumers.records.velocity`.
"""

from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple

from consumers.records.record import Kind, Record
from consumers.records.velocity import Metric, PullRequestMetric

MEASURES = (
    "prs_opened",
    "prs_merged",
    "prs_closed",
    "commits_count",
    "reviews_given",
    "review_comments_given",
    "lines_added",
    "lines_deleted",
    "files_changed",
)
TABLES = ("pull_requests", "pr_commits", "commits", "reviews", "review_comments")
"""What is read; all of them have to be there."""
_PLACE = "event_module, host, repository_id"
_PULL = "event_module, repository_id, pr_number"
_LONGEST = 100
"""Characters of an author: a name of git can be of any length, and an index takes ids of 512 bytes."""
_LIMITS = (("XS", 10), ("S", 30), ("M", 100), ("L", 500), ("XL", 1000))
_BAND = (
    "CASE WHEN size_label IS NOT NULL THEN SUBSTR(size_label, 6) "
    + " ".join(f"WHEN additions + deletions < {limit} THEN '{band}'" for band, limit in _LIMITS)
    + " WHEN additions + deletions IS NOT NULL THEN 'XXL' END"
)


class Dialect(NamedTuple):
    """How a store spells what each spells in its own way. `{}` is an expression."""

    text: str
    day: str
    """The day of a time, in UTC."""
    minutes: str
    """Whole minutes from {1} to {0}."""
    seconds: str
    """A time as seconds since 1970."""
    integer: str


DUCKDB = Dialect(
    text="VARCHAR",
    day="CAST({} AS DATE)",
    minutes="date_sub('minute', {1}, {0})",
    seconds="CAST(epoch({}) AS BIGINT)",
    integer="BIGINT",
)
POSTGRES = Dialect(
    text="text",
    day="CAST({} AT TIME ZONE 'UTC' AS DATE)",
    minutes="CAST(TRUNC(EXTRACT(EPOCH FROM {0} - {1}) / 60) AS BIGINT)",
    seconds="CAST(EXTRACT(EPOCH FROM {}) AS BIGINT)",
    integer="BIGINT",
)
BIGQUERY = Dialect(
    text="STRING",
    day="DATE({}, 'UTC')",
    minutes="DIV((UNIX_SECONDS({0}) - UNIX_SECONDS({1})), 60)",
    seconds="UNIX_SECONDS({})",
    integer="INT64",
)


class Days(NamedTuple):
    """From the first of them on, and before the second; None: without an end."""

    since: date | None = None
    until: date | None = None

    def hold(self, day: str) -> str:
        """The condition on an expression that is a day."""
        bounds = ((">=", self.since), ("<", self.until))
        return " AND ".join(["TRUE", *(f"{day} {how} DATE '{bound}'" for how, bound in bounds if bound)])


Name = Callable[[str], str]
"""What a statement calls a table."""


def computed(record: type[Record], dialect: Dialect, name: Name, days: Days, *, changed: bool) -> str:
    """The rows of `record` as they should be: texts, integers and booleans, with times as seconds and days as texts.

    For what its table has too much, a row of zeros. `changed`: those alone that it has otherwise, or not at all.
    """
    made = _pull_requests(dialect, name, days) if record is PullRequestMetric else _daily(dialect, name, days)
    columns = [(column.name, column.kind) for column in record.__shape__.columns if not column.name.startswith("event_")]
    shown = [(column, kind) for column, kind in columns if column != "calculation_timestamp"]
    told = ", ".join(
        f"{_told(dialect, f'new.{column}', kind)} AS {column}" for column, kind in [("event_module", "text"), *shown]
    )
    statement = f"WITH {made} SELECT {told} FROM computed AS new"  # noqa: S608 - names of ours
    table, on = name(record.__shape__.table), "old.event_module = new.event_module AND old.subject = new.subject"
    differs = " OR ".join(f"old.{column} IS DISTINCT FROM new.{column}" for column, _ in shown)
    if changed:
        statement += f" LEFT JOIN {table} AS old ON {on} WHERE old.subject IS NULL OR {differs}"
    if record is Metric:
        zeroed = (
            f"{'0' if column in MEASURES else _told(dialect, f'old.{column}', kind)} AS {column}"
            for column, kind in [("event_module", "text"), *shown]
        )
        statement += (
            f" UNION ALL SELECT {', '.join(zeroed)} FROM {table} AS old LEFT JOIN computed AS new ON {on} "  # noqa: S608 - names of ours
            f"WHERE new.subject IS NULL AND {' + '.join(f'old.{one}' for one in MEASURES)} > 0 AND {days.hold('old.metric_date')}"
        )
    return statement


def counted(dialect: Dialect, table: str) -> str:
    """How many rows each repository has, with its host."""
    return (
        f"SELECT host, repository_id, CAST(COUNT(*) AS {dialect.integer}) AS rows_count FROM {table} GROUP BY host, repository_id"  # noqa: S608 - names of ours
    )


def _told(dialect: Dialect, column: str, kind: Kind | str) -> str:
    if kind == "timestamp":
        return dialect.seconds.format(column)
    return f"CAST({column} AS {dialect.text})" if kind == "date" else column


def _daily(dialect: Dialect, name: Name, days: Days) -> str:
    acts = " UNION ALL ".join(
        f"SELECT {_PLACE}, SUBSTR({who}, 1, {_LONGEST}) AS author, {kind} AS author_type, {id_} AS author_id, "  # noqa: S608 - names of ours
        f"{dialect.day.format(time)} AS day, {_measures(given)} FROM {name(table)} WHERE {time} IS NOT NULL"
        for table, who, kind, id_, time, given in _ACTS
    )
    sums = ", ".join(f"CAST(SUM({one}) AS {dialect.integer}) AS {one}" for one in MEASURES)
    subject = f"CONCAT(CAST(days.repository_id AS {dialect.text}), '/', CAST(day AS {dialect.text}), '/', author)"
    return (
        f"{_names(name)}, acts AS ({acts}), days AS (SELECT {_PLACE}, day, COALESCE(author, '?') AS author, "  # noqa: S608 - names of ours
        f"COALESCE(MAX(author_type), 'Unknown') AS author_type, MAX(author_id) AS author_id, {sums} FROM acts "
        f"WHERE {days.hold('day')} GROUP BY {_PLACE}, day, COALESCE(author, '?')), "
        f"computed AS (SELECT days.*, {subject} AS subject, day AS metric_date, repository, organization "
        f"FROM days {_NAMED.format('days')})"
    )


def _measures(given: dict[str, str]) -> str:
    return ", ".join(f"{given.get(one, '0')} AS {one}" for one in MEASURES)


_AUTHOR = ("author", "author_type", "author_id")
_LINES = {
    "prs_merged": "1",
    "lines_added": "COALESCE(additions, 0)",
    "lines_deleted": "COALESCE(deletions, 0)",
    "files_changed": "COALESCE(changed_files, 0)",
}
_ACTS: Sequence[tuple[str, str, str, str, str, dict[str, str]]] = (
    ("pull_requests", *_AUTHOR, "created_at", {"prs_opened": "1"}),
    ("pull_requests", *_AUTHOR, "merged_at", _LINES),
    ("pull_requests", *_AUTHOR, "closed_at", {"prs_closed": "1"}),
    ("commits", *_AUTHOR, "commit_date", {"commits_count": "1"}),
    ("reviews", "reviewer", "reviewer_type", "reviewer_id", "submitted_at", {"reviews_given": "1"}),
    ("review_comments", *_AUTHOR, "created_at", {"review_comments_given": "1"}),
)
_NAMED = (
    "JOIN names ON names.event_module = {0}.event_module AND names.host = {0}.host AND names.repository_id = {0}.repository_id"
)


def _names(name: Name) -> str:
    """What each repository was called when it, or something in it, was read last."""
    read = f"{_PLACE}, repository AS called, organization AS owner, ingestion_timestamp"
    all_ = " UNION ALL ".join(f"SELECT {read} FROM {name(table)}" for table in TABLES)  # noqa: S608 - names of ours
    newest = f"ROW_NUMBER() OVER (PARTITION BY {_PLACE} ORDER BY ingestion_timestamp DESC, called) AS nth"
    listed = f"SELECT {_PLACE}, called, owner, {newest} FROM ({all_}) AS read_rows"  # noqa: S608 - names of ours
    return (
        f"names AS (SELECT {_PLACE}, called AS repository, owner AS organization FROM ({listed}) AS ordered_rows WHERE nth = 1)"  # noqa: S608 - names of ours
    )


def _pull_requests(dialect: Dialect, name: Name, days: Days) -> str:
    def between(end: str, start: str) -> str:
        return dialect.minutes.format(end, start)

    pulls = name("pull_requests")
    looks = (
        f"looks AS (SELECT {_PULL}, reviewer AS who, reviewer_id AS who_id, reviewer_type AS kind, "  # noqa: S608 - names of ours
        f"submitted_at AS seen_at, state FROM {name('reviews')} UNION ALL SELECT {_PULL}, author AS who, "
        f"author_id AS who_id, author_type AS kind, created_at AS seen_at, 'REMARK' AS state FROM {name('review_comments')})"
    )
    same = " AND ".join("{0}.%s = pull.%s" % (column, column) for column in _PULL.split(", "))  # noqa: UP031 - braces are for later
    others = (
        "others AS (SELECT pull.event_module, pull.repository_id, pull.pr_number, MIN(seen_at) AS first_review_at, "  # noqa: S608 - names of ours
        "MIN(CASE WHEN look.state = 'APPROVED' THEN seen_at END) AS first_approval_at, "
        "SUM(CASE WHEN look.state = 'CHANGES_REQUESTED' THEN 1 ELSE 0 END) AS rounds, "
        "SUM(CASE WHEN look.state = 'REMARK' THEN 1 ELSE 0 END) AS remarks, COUNT(DISTINCT who) AS people "
        f"FROM {pulls} AS pull JOIN looks AS look ON {same.format('look')} WHERE kind = 'User' AND seen_at IS NOT NULL "
        "AND NOT COALESCE(who_id = pull.author_id, who = pull.author, FALSE) GROUP BY 1, 2, 3)"
    )
    firsts = (
        "firsts AS (SELECT pair.event_module, pair.repository_id, pair.pr_number, MIN(done.author_date) AS first_commit_at "  # noqa: S608 - names of ours
        f"FROM {name('pr_commits')} AS pair JOIN {name('commits')} AS done ON done.event_module = pair.event_module "
        "AND done.repository_id = pair.repository_id AND done.sha = pair.sha GROUP BY 1, 2, 3)"
    )
    # Who undoes a pull request on GitHub's page is given this title.
    undone = (
        f"undone AS (SELECT DISTINCT event_module, repository_id, title FROM {pulls} WHERE is_merged AND title LIKE 'Revert \"%')"  # noqa: S608 - names of ours
    )
    reverted = (
        "undone.event_module = pull.event_module AND undone.repository_id = pull.repository_id "
        "AND undone.title = CONCAT('Revert \"', pull.title, '\"')"
    )
    rows = {
        "event_module": "pull.event_module",
        "subject": "pull.subject",
        "host": "pull.host",
        "repository_id": "pull.repository_id",
        "repository": "names.repository",
        "organization": "names.organization",
        "pr_number": "pull.pr_number",
        "author": "COALESCE(author, '?')",
        "author_type": "COALESCE(author_type, 'Unknown')",
        "author_id": "author_id",
        "is_merged": "is_merged",
        "created_at": "created_at",
        "closed_at": "closed_at",
        "merged_at": "merged_at",
        "first_commit_at": "first_commit_at",
        "first_review_at": "first_review_at",
        "first_approval_at": "first_approval_at",
        "coding_time": f"GREATEST(0, {between('created_at', 'first_commit_at')})",
        "is_coding_clamped": "first_commit_at > created_at",
        "time_to_first_review": between("first_review_at", "created_at"),
        "review_time": f"CASE WHEN merged_at >= first_review_at THEN {between('merged_at', 'first_review_at')} END",
        "time_to_first_approval": between("first_approval_at", "created_at"),
        "time_to_merge": between("merged_at", "created_at"),
        "lead_time_to_merge": between("merged_at", "first_commit_at"),
        "size_lines": "additions + deletions",
        "size_files": "changed_files",
        "size_band": _BAND,
        "review_rounds": f"CAST(COALESCE(rounds, 0) AS {dialect.integer})",
        "review_depth": f"CAST(COALESCE(remarks, 0) AS {dialect.integer})",
        "reviewers_count": f"CAST(COALESCE(people, 0) AS {dialect.integer})",
        "is_reverted": "COALESCE(is_merged, FALSE) AND undone.title IS NOT NULL",
        "is_hotfix": "LOWER(CONCAT(COALESCE(pull.title, ''), ' ', COALESCE(head_ref, ''))) LIKE '%hotfix%'",
    }
    # PostgreSQL's and DuckDB's GREATEST passes over null, BigQuery's does not.
    rows["coding_time"] = f"CASE WHEN first_commit_at IS NOT NULL THEN {rows['coding_time']} END"
    told = ", ".join(f"{expression} AS {column}" for column, expression in rows.items())
    return (
        f"{_names(name)}, {looks}, {others}, {firsts}, {undone}, computed AS (SELECT {told} FROM {pulls} AS pull "  # noqa: S608 - names of ours
        f"{_NAMED.format('pull')} LEFT JOIN others ON {same.format('others')} LEFT JOIN firsts ON {same.format('firsts')} "
        f"LEFT JOIN undone ON {reverted} WHERE {days.hold(dialect.day.format('created_at'))})"
    )
