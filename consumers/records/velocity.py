"""Records that are computed from GitHub's tables, and not told by GitHub: metrics a day and author, metrics a pull request."""

from datetime import date, datetime
from typing import Annotated, TypeVar

import msgspec

from consumers.records.record import Record
from harvester.errors import InvalidEventError
from harvester.event import Event


class Metric(
    Record,
    index="github-metrics",
    table="metrics",
    key="subject",
    partition="metric_date",
    cluster=("organization", "repository", "author"),
):
    """What one author did in one repository on one day (UTC). Opening, merging and closing count on their own days."""

    subject: Annotated[str, "id of the repository, day and author, joined by /"]
    metric_date: Annotated[date, "the day, UTC"]
    host: Annotated[str, "the GitHub it is on: github.com, or a server of one's own"]
    repository_id: Annotated[int, "number of the repository, which stays when it is renamed or moved"]
    repository: Annotated[str, "name of the repository when something of it was read last"]
    organization: Annotated[str, "login of its owner then"]
    author: Annotated[str, "login, or git's name (100 characters of it) where no account is linked; `?` when it was not told"]
    author_type: Annotated[str, "User, Bot, Mannequin or Unknown"]
    author_id: Annotated[int | None, "number of the author's account"]
    prs_opened: Annotated[int, "pull requests opened"]
    prs_merged: Annotated[int, "own pull requests that were merged"]
    prs_closed: Annotated[int, "own pull requests that were closed, the merged ones too"]
    commits_count: Annotated[int, "commits of pull requests, by the time of the commit"]
    reviews_given: Annotated[int, "reviews given, of one's own pull requests, too"]
    review_comments_given: Annotated[int, "remarks on lines"]
    lines_added: Annotated[int, "lines added by the pull requests that were merged"]
    lines_deleted: Annotated[int, "lines deleted by them"]
    files_changed: Annotated[int, "files changed by them"]
    calculation_timestamp: Annotated[datetime, "when this row was computed; an equal result later does not change it"]


class PullRequestMetric(
    Record,
    index="github-pr-metrics",
    table="pr_metrics",
    key="subject",
    partition="created_at",
    cluster=("organization", "repository", "author"),
):
    """How one pull request went. Times between are whole minutes, null where there is none. Others are people, not bots."""

    subject: Annotated[str, "id of the repository and number, joined by /"]
    host: Annotated[str, "the GitHub it is on: github.com, or a server of one's own"]
    repository_id: Annotated[int, "number of the repository, which stays when it is renamed or moved"]
    repository: Annotated[str, "name of the repository when something of it was read last"]
    organization: Annotated[str, "login of its owner then"]
    pr_number: Annotated[int, "its number in its repository"]
    author: Annotated[str, "login of who opened it; `?` when it was not told"]
    author_type: Annotated[str, "User, Bot, Mannequin or Unknown"]
    author_id: Annotated[int | None, "number of the author's account"]
    is_merged: Annotated[bool | None, "whether it was merged"]
    created_at: Annotated[datetime | None, "when it was opened; from then on it counts as ready"]
    closed_at: Annotated[datetime | None, "when it was closed or merged"]
    merged_at: Annotated[datetime | None, "when it was merged"]
    first_commit_at: Annotated[datetime | None, "when the oldest of its commits was written"]
    first_review_at: Annotated[datetime | None, "the first review or remark by somebody else"]
    first_approval_at: Annotated[datetime | None, "the first approval by somebody else that still holds"]
    coding_time: Annotated[int | None, "first commit → opened; 0 where the commits are younger"]
    is_coding_clamped: Annotated[bool | None, "whether its commits are younger than it: rebased, or pushed later"]
    time_to_first_review: Annotated[int | None, "opened → first review"]
    review_time: Annotated[int | None, "first review → merged; null when it was merged without"]
    time_to_first_approval: Annotated[int | None, "opened → first approval"]
    time_to_merge: Annotated[int | None, "opened → merged"]
    lead_time_to_merge: Annotated[int | None, "first commit → merged"]
    size_lines: Annotated[int | None, "lines added and deleted"]
    size_files: Annotated[int | None, "files changed"]
    size_band: Annotated[str | None, "of its label size/…, else XS < 10 lines, S < 30, M < 100, L < 500, XL < 1000, XXL"]
    review_rounds: Annotated[int, "how often others requested changes"]
    review_depth: Annotated[int, "remarks on lines by others"]
    reviewers_count: Annotated[int, "how many others reviewed it"]
    is_reverted: Annotated[bool, "whether a merged one is called `Revert` and its title"]
    is_hotfix: Annotated[bool, "whether its title or its branch says hotfix"]
    calculation_timestamp: Annotated[datetime, "when this row was computed; an equal result later does not change it"]


_T = TypeVar("_T", Metric, PullRequestMetric)
_metric = msgspec.json.Decoder(Metric)
_pr_metric = msgspec.json.Decoder(PullRequestMetric)


def metric(event: Event) -> Metric:
    """The row that was computed. Raises InvalidEventError when the data are none."""
    return _decoded(_metric, event)


def pr_metric(event: Event) -> PullRequestMetric:
    """The row that was computed. Raises InvalidEventError when the data are none."""
    return _decoded(_pr_metric, event)


def _decoded(decoder: "msgspec.json.Decoder[_T]", event: Event) -> _T:
    try:
        return decoder.decode(event.data)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no metric: {error}") from error
