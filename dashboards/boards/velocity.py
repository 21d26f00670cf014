"""Rows of *Pull requests* about velocity: how long reviews and merges take, by week, size and repository, and who did what."""

from consumers.records.velocity import Metric, PullRequestMetric
from dashboards.builder.aggregation import Aggregation, Filter, Is, Newest, Ranges, Times, Top, average, count, greatest, total
from dashboards.builder.board import Chart, Panel, Text

_PEOPLE: Filter = (Is("author_type", ("User",)),)
_IS_MERGED: Filter = (Is("is_merged", (True,)),)
_PULLS = count("opened")
_MERGED = count("merged", where=_IS_MERGED)
_REVIEW = average("time_to_first_review", "to review", unit="hours of minutes")
_MERGE = average("time_to_merge", "to merge", unit="hours of minutes")
_LEAD = average("lead_time_to_merge", "lead time", unit="hours of minutes")
_HOURS = (0, 60, 240, 1440, 4320, 10080)
"""In minutes: up to an hour, half a day of work, a day, three days, a week, longer."""
_FILLED = "From `harvest github metrics`."

_WORDS = """**Velocity.** Pull requests of people, at the time when they were opened. A first review is by another person: \
no bot, and not the author. These panels are filled by `harvest github metrics`, which runs by itself after each collection \
(`harvest github collect`, `backfill`, `resume`, `scheduled`) and computes in DuckDB, PostgreSQL or BigQuery: without one of \
them beside Elasticsearch in HARVESTER_SINKS they stay empty. Where `harvest run` alone reads GitHub let a timer run it; an \
index that is new is filled by `harvest github metrics --since 2008-01-01`."""


VELOCITY: tuple[tuple[Panel, ...], ...] = (
    (Text("Velocity", width=48, height=5, markdown=_WORDS),),
    (
        Chart(
            "Time to a first review",
            "metric",
            16,
            6,
            Aggregation(PullRequestMetric, (_REVIEW._replace(label="hours to a first review"),), where=_PEOPLE),
            f"From the opening to the first review or remark by another person, in hours, on average. {_FILLED}",
        ),
        Chart(
            "Time to merge",
            "metric",
            16,
            6,
            Aggregation(PullRequestMetric, (_MERGE._replace(label="hours to the merge"),), where=_PEOPLE),
            f"From the opening to the merge, in hours, on average over those that were merged. {_FILLED}",
        ),
        Chart(
            "Lead time to merge",
            "metric",
            16,
            6,
            Aggregation(PullRequestMetric, (_LEAD._replace(label="hours from the first commit"),), where=_PEOPLE),
            f"From the oldest commit to the merge, in hours, on average over those that were merged. {_FILLED}",
        ),
    ),
    (
        Chart(
            "Review and merge by week",
            "bar",
            24,
            11,
            Aggregation(PullRequestMetric, (_REVIEW, _MERGE), (Times("week"),), _PEOPLE),
            "Hours from the opening to the first review, and to the merge, on average, by the week in which they were opened: "
            f"what waits still does not count yet, so the last weeks look shorter than they will be. {_FILLED}",
        ),
        Chart(
            "How long a first review takes",
            "bar",
            12,
            11,
            Aggregation(PullRequestMetric, (_PULLS,), (Ranges("time_to_first_review", "hours", _HOURS, 60),), _PEOPLE),
            f"Pull requests by the hours to their first review: the right end is what an average hides. {_FILLED}",
        ),
        Chart(
            "How long a merge takes",
            "bar",
            12,
            11,
            Aggregation(PullRequestMetric, (_PULLS,), (Ranges("time_to_merge", "hours", _HOURS, 60),), _PEOPLE),
            f"Pull requests by the hours from their opening to their merge. {_FILLED}",
        ),
    ),
    (
        Chart(
            "Velocity by size",
            "table",
            24,
            11,
            Aggregation(
                PullRequestMetric,
                (_PULLS, _MERGED, _REVIEW, _MERGE, average("review_depth", "remarks")),
                (Top("size_band", "size", 10),),
                _PEOPLE,
            ),
            "By the label size/…, else by the lines added and deleted: XS below 10, S 30, M 100, L 500, XL 1,000, XXL. "
            f"Times in hours, on average. {_FILLED}",
        ),
        Chart(
            "Merged by week",
            "bar_stacked",
            24,
            11,
            Aggregation(Metric, (total("prs_merged", "merged"),), (Top("repository", "repository", 8), Times("week")), _PEOPLE),
            f"Pull requests of people that were merged, by the week of the merge and by repository. {_FILLED}",
        ),
    ),
    (
        Chart(
            "Velocity by repository",
            "table",
            48,
            11,
            Aggregation(
                PullRequestMetric,
                (
                    _PULLS,
                    _MERGED,
                    _REVIEW,
                    _MERGE,
                    greatest("time_to_merge", "slowest", unit="hours of minutes"),
                    _LEAD,
                    average("review_rounds", "rounds"),
                    count("unreviewed", where=(*_IS_MERGED, Is("reviewers_count", (0,)))),
                ),
                (Top("repository_id", "number", 20),),
                _PEOPLE,
                (Newest("repository", "repository"),),
            ),
            "By their number, under their newest name. Times in hours: averages, and the slowest merge. Lead time: from the "
            "first commit to the merge. Rounds: how often another person asked for changes, on average. "
            f"Unreviewed: merged without a look by another person. {_FILLED}",
        ),
    ),
    (
        Chart(
            "Velocity by author",
            "table",
            48,
            14,
            Aggregation(
                Metric,
                (
                    total("prs_merged", "merged"),
                    total("prs_opened", "opened"),
                    total("prs_closed", "closed"),
                    total("lines_added", "lines added"),
                    total("lines_deleted", "lines deleted"),
                    total("commits_count", "commits"),
                    total("reviews_given", "reviews"),
                    total("review_comments_given", "remarks"),
                ),
                (Top("author", "author", 20),),
                _PEOPLE,
            ),
            "People, most merged first: what they did on the days of this time, each thing on its own day; lines are those of "
            f"what was merged. Look at a team before a person. {_FILLED}",
        ),
    ),
)
"""From top to bottom."""
