"""The dashboard *Pull requests*: what is opened and what becomes of it, who reviews, how large it is, how long it takes."""

from consumers.records.github import PullRequest
from consumers.records.github_commits import Commit
from consumers.records.github_reviews import IssueComment, Review, ReviewComment
from dashboards.boards.velocity import VELOCITY
from dashboards.builder.aggregation import Aggregation, Cases, Is, Newest, Ranges, Times, Top, average, count, distinct, total
from dashboards.builder.board import Board, Chart, Control, Rows, Text
from dashboards.builder.listing import Listing

_OPENED = count("opened")
_IS_MERGED = (Is("is_merged", (True,)),)
_MERGED = count("merged", where=_IS_MERGED)
_ADDED, _DELETED = total("additions", "lines added"), total("deletions", "lines deleted")
_REVIEWS = count("reviews")
_BECAME = Cases(
    "became",
    {
        "merged": _IS_MERGED,
        "closed unmerged": (Is("state", ("closed",)), Is("is_merged", (False,))),
        "open": (Is("state", ("open",)), Is("is_draft", (False,))),
        "a draft": (Is("state", ("open",)), Is("is_draft", (True,))),
    },
)
_UNREVIEWED = (Is("state", ("open",)), Is("is_draft", (False,)), Is("review_count", (0,)))
_LINES = (0, 10, 50, 100, 200, 500, 1000)
_PEOPLE = (Is("author_type", ("User",)),)

_OVERVIEW = """[Lectures](#/view/harvester-lectures) · [Meetings](#/view/harvester-meetings) · **Pull requests** · \
[Harvester](#/view/harvester-harvester)

What is opened on GitHub and what becomes of it. A pull request stands at the time when it was opened, in its newest state; \
reviews, remarks on lines and comments at their own time. Bots are counted unless a panel says *people*. How long it all \
takes stands below, under *Velocity*."""


BOARD = Board(
    name="pull_requests",
    title="Pull requests",
    about="What is opened in the repositories of an organisation and what becomes of it, who reviews it, how long it "
    "takes, and what waits.",
    rows=(
        (Text("Overview", width=48, height=4, markdown=_OVERVIEW),),
        (
            Chart("Opened", "metric", 12, 6, Aggregation(PullRequest, (count("pull requests opened"),)), "Bots' too."),
            Chart(
                "Merged",
                "metric",
                12,
                6,
                Aggregation(PullRequest, (count("of them merged", where=_IS_MERGED),)),
                "Of those that were opened in this time; they may have been merged later.",
            ),
            Chart("Reviews", "metric", 12, 6, Aggregation(Review, (_REVIEWS,)), "Verdicts and comments that were given."),
            Chart(
                "People",
                "metric",
                12,
                6,
                Aggregation(PullRequest, (distinct("author_id", "people who opened one"),), where=_PEOPLE),
                "Different accounts, without bots.",
            ),
        ),
        (
            Chart(
                "Pull requests by day",
                "bar_stacked",
                34,
                12,
                Aggregation(PullRequest, (count("pull requests"),), (_BECAME, Times("day"))),
                "By the day on which they were opened, and by what has become of them since.",
            ),
            Chart(
                "People and bots",
                "donut",
                14,
                12,
                Aggregation(PullRequest, (_OPENED,), (Top("author_type", "author", 4),)),
                "Who opens them. A mannequin came with an import, an unknown account is gone.",
            ),
        ),
        (
            Chart(
                "Repositories",
                "table",
                48,
                11,
                Aggregation(
                    PullRequest,
                    (_OPENED, _MERGED, _ADDED, _DELETED, average("review_count", "reviews each")),
                    (Top("repository_id", "number", 20),),
                    names=(Newest("repository", "repository"),),
                ),
                "By their number, which stays when a repository is renamed, under its newest name.",
            ),
        ),
        (
            Chart(
                "Who opens",
                "table",
                24,
                14,
                Aggregation(PullRequest, (_OPENED, _MERGED, _ADDED, _DELETED), (Top("author", "author", 15),), _PEOPLE),
                "People, by how many pull requests they opened.",
            ),
            Chart(
                "Who reviews",
                "table",
                24,
                14,
                Aggregation(
                    Review,
                    (
                        _REVIEWS,
                        count("approvals", where=(Is("state", ("APPROVED",)),)),
                        count("changes", where=(Is("state", ("CHANGES_REQUESTED",)),)),
                        total("comment_count", "remarks"),
                    ),
                    (Top("reviewer", "reviewer", 15),),
                    (Is("reviewer_type", ("User",)),),
                ),
                "People, by the reviews they gave, and how many asked for changes; a dismissed one counts as a review alone.",
            ),
        ),
        (
            Chart(
                "Sizes",
                "bar",
                24,
                11,
                Aggregation(PullRequest, (_OPENED,), (Ranges("additions", "lines added", _LINES),)),
                "By how many lines they add; those of which GitHub did not tell it are left out.",
            ),
            Chart(
                "Waiting for a first review",
                "bar_horizontal",
                24,
                11,
                Aggregation(PullRequest, (count("open"),), (Top("repository", "repository", 10),), _UNREVIEWED),
                "Open, no draft, and nobody has reviewed it.",
            ),
        ),
        (
            Chart(
                "Reviews by day",
                "bar_stacked",
                34,
                12,
                Aggregation(Review, (_REVIEWS,), (Top("state", "verdict", 5), Times("day"))),
                "By the day on which they were given.",
            ),
            Chart(
                "Verdicts",
                "donut",
                14,
                12,
                Aggregation(Review, (_REVIEWS,), (Top("state", "verdict", 5),)),
                "What reviews end with, as it stands now.",
            ),
        ),
        (
            Chart(
                "Commits by day",
                "line",
                16,
                11,
                Aggregation(Commit, (count("commits"),), (Times("day"),)),
                "Commits of pull requests, by when they were committed; each counts once.",
            ),
            Chart(
                "Remarks on lines by day",
                "line",
                16,
                11,
                Aggregation(ReviewComment, (count("remarks"),), (Times("day"),)),
                "What reviewers wrote beside the code, and the answers there.",
            ),
            Chart(
                "Comments by day",
                "line",
                16,
                11,
                Aggregation(IssueComment, (count("comments"),), (Times("day"),)),
                "What was said in the conversations.",
            ),
        ),
        *VELOCITY,
        (
            Rows(
                "Newest pull requests",
                48,
                14,
                Listing(
                    PullRequest,
                    ("repository", "pr_number", "title", "author", "state", "is_merged", "additions", "review_count"),
                ),
                "What was opened last, one document a row; each opens to all of its fields.",
            ),
        ),
    ),
    controls=(Control(PullRequest, "organization", "Organisation"), Control(PullRequest, "repository", "Repository")),
)
