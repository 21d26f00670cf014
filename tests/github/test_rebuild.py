"""The proof that all can be made again, at a size of seconds; and its judge, which can see a difference."""

from contextlib import closing
from pathlib import Path

import duckdb

from tests.github.rebuild import FILE, Plan, Rebuilt, Report, Speed, digest, digests, prove, text
from tests.site import Site

ROWS = [{"subject": "1/1", "title": "a"}, {"subject": "1/2", "title": "b"}]


def test_b48_what_was_dropped_is_made_again_the_same_from_the_archive_with_github_off(tmp_path: Path) -> None:
    plan = Plan(repositories=3, pulls=30, days=10, sinks=("duckdb",), rounds=1)
    report = prove(plan, tmp_path)
    assert report.wrong(least=0) == []
    held = report.sinks["duckdb"].after
    assert all(held[table].rows for table in ("pull_requests", "commits", "reviews", "metrics", "pr_metrics"))
    assert "every digest is the same" in text(report, plan)
    # The same where a table is of an older version: a column less.
    with closing(duckdb.connect(tmp_path / FILE)) as connection:
        connection.execute("ALTER TABLE pull_requests DROP COLUMN title")
    site = Site(tmp_path, HARVESTER_SINKS="duckdb")
    assert site.harvest("github", "load-gcs").code == 0
    assert digests("duckdb", site, {}) == held


def test_a_row_that_is_gone_altered_or_there_twice_makes_another_digest() -> None:
    whole = digest(ROWS)
    assert digest(reversed(ROWS)) == whole
    others = [digest(ROWS[:1]), digest([*ROWS, ROWS[0]]), digest([ROWS[0], {**ROWS[1], "title": "c"}])]
    assert whole not in others
    for other in others:
        rebuilt = Rebuilt({"commits": whole}, {"commits": other}, 1.0)
        assert Report(1.0, {"duckdb": rebuilt}, {}, None).wrong() == ["duckdb: commits is another one than before"]


def test_a_load_that_is_too_slow_is_told() -> None:
    rebuilt = Rebuilt({"commits": digest(ROWS)}, {"commits": digest(ROWS)}, 1.0)
    slow = Report(1.0, {"duckdb": rebuilt}, {}, Speed(2, [1.0, 5.0, 1.0], [0.29, 0.29, 9.0], [1.0]))
    assert slow.wrong() == ["DuckDB was filled at 0.29 of its own speed, less than 0.3"]
    assert Report(1.0, {"duckdb": rebuilt}, {}, Speed(2, [1.0], [0.3], [1.0])).wrong() == []
