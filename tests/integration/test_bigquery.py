"""The sink BigQuery before an emulator with a strict front: tables, jobs that are run once, and what fails."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from consumers.sinks.bigquery import BigQuerySink, open_bigquery
from consumers.sinks.bigquery_settings import BigQuerySettings
from harvester.errors import ConfigError, InvalidEventError, TransientError
from harvester.event import Event
from tests.github_records import pull_request_event, pull_request_node, review_event, review_node
from tests.servers.bigquery import DATASET, PROJECT, BigQueryServer
from tests.useractions import useraction_event

ROOT = Path(__file__).parents[2]
TABLES = f"/bigquery/v2/projects/{PROJECT}/datasets/{DATASET}/tables"


def sink(server: BigQueryServer, **settings: Any) -> AbstractAsyncContextManager[BigQuerySink]:
    return open_bigquery(BigQuerySettings(**({"project_id": PROJECT, "dataset_id": DATASET, "url": server.url} | settings)))


async def write(server: BigQueryServer, *events: Event, **settings: Any) -> None:
    async with sink(server, **settings) as opened:
        assert list(await opened.write(events)) == []


def tables(server: BigQueryServer) -> set[str]:
    found = {one["tableReference"]["tableId"] for one in server.call("GET", TABLES).get("tables", ())}
    return found - {"harvester_turn"}


def jobs(server: BigQueryServer) -> list[str]:
    """What kind each job was, and at which attempt."""
    ids = [job["jobReference"]["jobId"].split("_") for job in server.call("GET", "/front")]
    return [f"{one[1]} {one[-1]}" for one in ids if one[1] != "turn"]


async def test_b56_dataset_and_tables_are_made_and_a_batch_leaves_nothing_else(bigquery: BigQueryServer) -> None:
    await write(bigquery, pull_request_event(), review_event(), partitioning="DAY")
    assert tables(bigquery) == {"pull_requests", "reviews"}
    made = bigquery.call("GET", f"{TABLES}/pull_requests")
    assert made["timePartitioning"] == {"type": "DAY", "field": "created_at"}
    assert made["clustering"] == {"fields": ["organization", "repository", "author"]}
    row = bigquery.rows(f"SELECT pr_number, title, ARRAY_TO_STRING(labels, ','), is_merged FROM {DATASET}.pull_requests")
    assert row == [["12", "Add a widget", "bug,size/M", "true"]]
    with pytest.raises(ConfigError, match="is in US, HARVESTER_BIGQUERY_LOCATION says EU"):
        await write(bigquery, pull_request_event(), location="EU")


async def test_b56_a_column_that_a_newer_class_has_more_is_added(bigquery: BigQueryServer) -> None:
    await write(bigquery, pull_request_event())
    schema = bigquery.call("GET", f"{TABLES}/pull_requests")["schema"]["fields"]
    bigquery.call("DELETE", f"{TABLES}/pull_requests")
    reference = {"projectId": PROJECT, "datasetId": DATASET, "tableId": "pull_requests"}
    older = [field for field in schema if field["name"] not in ("title", "is_draft")]
    bigquery.call("POST", TABLES, {"tableReference": reference, "schema": {"fields": older}})
    await write(bigquery, pull_request_event())
    assert bigquery.rows(f"SELECT title, is_draft FROM {DATASET}.pull_requests") == [["Add a widget", "false"]]
    bigquery.call("DELETE", f"{TABLES}/pull_requests")
    wrong = [{"name": "subject", "type": "INTEGER"}]
    bigquery.call("POST", TABLES, {"tableReference": reference, "schema": {"fields": wrong}})
    with pytest.raises(ConfigError, match="subject is INTEGER NULLABLE, it should be STRING"):
        await write(bigquery, pull_request_event())


async def test_b57_a_lost_answer_runs_no_job_twice_and_the_same_batch_later_does(bigquery: BigQueryServer) -> None:
    async with sink(bigquery) as opened:
        bigquery.call("POST", "/front", {"lose": 1, "of": "load"})
        with pytest.raises(TransientError, match="no answer"):
            await opened.write([pull_request_event()])
        assert jobs(bigquery) == ["load 0"]
        assert list(await opened.write([pull_request_event()])) == []
        assert jobs(bigquery) == ["load 0", "merge 0"]
        # A table that was emptied meanwhile is filled again: jobs of the past are no proof of rows.
        bigquery.call("DELETE", f"{TABLES}/pull_requests")
        with pytest.raises(TransientError):
            await opened.write([pull_request_event()])
        assert list(await opened.write([pull_request_event()])) == []
    assert bigquery.rows(f"SELECT COUNT(*) FROM {DATASET}.pull_requests") == [["1"]]


@pytest.mark.parametrize("lost", ["load 0", "merge 0"])
async def test_a_stage_that_is_gone_between_two_tries_is_loaded_again(bigquery: BigQueryServer, lost: str) -> None:
    async with sink(bigquery) as opened:
        bigquery.call(
            "POST", "/front", {"lose": 1, "of": "load"} if lost == "load 0" else {"fail": "backendError", "of": "merge"}
        )
        with pytest.raises(TransientError):
            await opened.write([pull_request_event()])
        assert jobs(bigquery)[-1] == lost
        for stage in tables(bigquery) - {"pull_requests"}:
            bigquery.call("DELETE", f"{TABLES}/{stage}")
        try:
            await opened.write([pull_request_event()])
        except TransientError:  # the run whose stage is gone ends with this, and the next one begins
            await opened.write([pull_request_event()])
    assert bigquery.rows(f"SELECT COUNT(*) FROM {DATASET}.pull_requests") == [["1"]]


async def test_f33_a_job_that_failed_is_tried_again_under_another_id(bigquery: BigQueryServer) -> None:
    async with sink(bigquery) as opened:
        bigquery.call("POST", "/front", {"fail": "backendError", "of": "load"})
        with pytest.raises(TransientError, match="backendError"):
            await opened.write([pull_request_event()])
        bigquery.call("POST", "/front", {"fail": "invalid"})
        with pytest.raises(InvalidEventError):
            await opened.write([pull_request_event()])
        await opened.write([pull_request_event()])
    assert jobs(bigquery) == ["load 0", "load 1", "load 2", "merge 0"]
    assert bigquery.rows(f"SELECT COUNT(*) FROM {DATASET}.pull_requests") == [["1"]]


async def test_two_that_merge_overlapping_batches_at_once_write_each_thing_once(bigquery: BigQueryServer) -> None:
    await write(bigquery, pull_request_event(pull_request_node(1)))
    bigquery.call("POST", "/front", {"meet": 2})
    batches = [[pull_request_event(pull_request_node(number)) for number in numbers] for numbers in ((2, 3), (3, 4))]
    async with sink(bigquery) as one, sink(bigquery) as other:
        sinks = (one, other)
        ended = await asyncio.gather(*(sinks[n].write(batches[n]) for n in (0, 1)), return_exceptions=True)
        for n in (0, 1):
            if isinstance(ended[n], TransientError):
                await sinks[n].write(batches[n])
    assert bigquery.rows(f"SELECT pr_number FROM {DATASET}.pull_requests ORDER BY 1") == [["1"], ["2"], ["3"], ["4"]]
    assert [type(one) for one in ended if isinstance(one, BaseException)] == [TransientError]


async def test_a_time_that_was_not_told_before_makes_no_second_row(bigquery: BigQueryServer) -> None:
    await write(bigquery, review_event(review_node(submittedAt=None), version=1))
    await write(bigquery, review_event(review_node(), version=2))
    assert bigquery.rows(f"SELECT submitted_at IS NULL FROM {DATASET}.reviews") == [["false"]]


async def test_q29_a_replay_of_older_states_turns_no_row_back(bigquery: BigQueryServer) -> None:
    old = pull_request_event(pull_request_node(title="old"), version=1)
    new = pull_request_event(pull_request_node(title="new"), version=2)
    await write(bigquery, new, old)
    await write(bigquery, old)
    assert bigquery.rows(f"SELECT title, event_rank FROM {DATASET}.pull_requests") == [["new", "4"]]


CHILD = """
import asyncio, sys
from tests.integration.test_bigquery import write
from tests.services import SERVERS
from tests.useractions import useraction_event

asyncio.run(write(SERVERS["bigquery"].address(sys.argv[1]), *[useraction_event(n) for n in range(50)]))
"""


async def test_a_kill_between_load_and_merge_and_the_same_write_again_is_the_truth(bigquery: BigQueryServer) -> None:
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", CHILD, bigquery.url],
        env={**os.environ, "HARVESTER_CRASH_AT": "sink.in_write:1"},
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert ended.returncode == -signal.SIGKILL
    assert jobs(bigquery) == ["load 0"]
    await write(bigquery, *[useraction_event(n) for n in range(50)])
    assert jobs(bigquery) == ["load 0", "load 1", "merge 0"]
    assert bigquery.rows(f"SELECT COUNT(*) FROM {DATASET}.useractions") == [["50"]]
