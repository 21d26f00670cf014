"""B48 where the warehouse is PostgreSQL: what was dropped is made again the same from the archive, with GitHub off."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from tests import services
from tests.github.rebuild import Plan, digests, prove
from tests.github_stores import postgres_of
from tests.services import Server
from tests.site import Site


async def altered(server: Server, statement: str) -> None:
    connection = await asyncpg.connect(server.url, user="postgres")
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def test_b48_postgres_is_made_again_the_same_from_the_archive_also_where_a_column_is_missing(
    postgres: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(services.variable("postgres"), postgres.url)
    report = prove(Plan(repositories=2, pulls=10, days=5, sinks=("postgres",), rounds=0), tmp_path)
    assert (report.left_out, report.wrong()) == ({}, [])
    held = report.sinks["postgres"].after
    assert all(held[table].rows for table in ("repositories", "pull_requests", "commits", "pr_commits", "reviews"))
    site = Site(tmp_path, HARVESTER_SINKS="postgres", **postgres_of(postgres))
    asyncio.run(altered(postgres, "ALTER TABLE pull_requests DROP COLUMN title"))
    assert site.harvest("github", "load-gcs").code == 0
    assert digests("postgres", site, {}) == held
