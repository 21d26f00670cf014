"""Jobs of BigQuery: each is run once, whatever becomes of the answers."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import sqlglot
from aiohttp import web

from consumers.sinks.bigquery import BigQuerySink, open_bigquery
from consumers.sinks.bigquery_settings import BigQuerySettings
from harvester.errors import ConfigError, InvalidEventError, PermanentError, TransientError
from tests.github_records import pull_request_event, review_event
from tests.servers.bigquery_front import parts
from tests.unit.webserver import serving

Job = dict[str, Any]


class Service:
    """Remembers jobs and tables, and runs nothing. `spoil` is asked before each job is made."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.tables: dict[str, Any] = {"harvester_turn": {}}
        self.loaded: list[bytes] = []
        self.dropped: list[str] = []
        self.location = "US"
        self.fails: list[str] = []
        self.lose = 0
        self.running = 0
        self.status = 0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        if self.status:
            body = {"error": {"message": "no", "errors": [{"reason": "rateLimitExceeded"}]}}
            return web.json_response(body, status=self.status)
        if "/jobs" in request.path:
            return await self._job(request) if request.method == "POST" else self._seen(request.path.rpartition("/")[2])
        name = request.path.rpartition("/tables")[2].strip("/")
        if request.method == "POST":
            body = msgspec.json.decode(await request.read())
            if "tableReference" in body:
                self.tables[body["tableReference"]["tableId"]] = body
            return web.json_response(body)
        if "/tables" not in request.path:
            return web.json_response({"location": self.location})
        if request.method == "DELETE":
            self.dropped.append(name)
            return web.Response(status=204)
        return web.json_response(self.tables[name]) if name in self.tables else web.json_response({}, status=404)

    async def _job(self, request: web.BaseRequest) -> web.Response:
        job, content = parts(request.content_type, request.headers["Content-Type"], await request.read())
        name = job["jobReference"]["jobId"]
        if name in self.jobs:
            return web.json_response({"error": {"message": "Already Exists"}}, status=409)
        if content:
            self.loaded.append(content)
        error = {"errorResult": {"reason": self.fails.pop(0), "message": "as asked"}} if self.fails else {}
        self.jobs[name] = job | {"status": {"state": "DONE", **error}}
        if self.lose:
            self.lose -= 1
            return web.Response(status=500)
        return web.json_response(job | {"status": {"state": "PENDING"}})

    def _seen(self, name: str) -> web.Response:
        if self.running:
            self.running -= 1
            return web.json_response({"status": {"state": "RUNNING"}})
        return web.json_response(self.jobs[name])

    @property
    def ran(self) -> list[str]:
        return [f"{(parts := name.split('_'))[1]}_{parts[-1]}" for name in self.jobs]


@asynccontextmanager
async def opened(service: Service, **settings: Any) -> AsyncIterator[BigQuerySink]:
    async with serving(service.answer) as server:
        url = str(server.url).rstrip("/")
        async with open_bigquery(BigQuerySettings(**({"project_id": "p", "url": url} | settings))) as sink:
            yield sink


async def test_a_batch_is_one_load_a_table_and_one_transaction_and_its_stages_are_dropped() -> None:
    service = Service()
    async with opened(service) as sink:
        assert list(await sink.write([pull_request_event(), review_event()])) == []
    assert sorted(service.ran) == ["load_0", "load_0", "merge_0"]
    (merge,) = [job["configuration"]["query"]["query"] for job in service.jobs.values() if "query" in job["configuration"]]
    parts = [type(one).__name__ for one in sqlglot.parse(merge, dialect="bigquery") if one]
    assert parts == ["Transaction", "Update", "Merge", "Merge", "Commit"], "two that change one row do not run at once"
    stages = {name for name in service.tables if name.startswith("harvester_stage_")}
    assert (len(stages), set(service.dropped)) == (2, stages)
    assert all(int(service.tables[name]["expirationTime"]) > 0 for name in stages)
    rows = [msgspec.json.decode(line) for content in service.loaded for line in gzip.decompress(content).splitlines()]
    assert {row["event_dataset"] for row in rows} == {"github.pull_request", "github.review"}


@pytest.mark.parametrize("lost", [1, 2])
async def test_b57_a_job_whose_answer_was_lost_is_not_run_again(lost: int) -> None:
    service = Service()
    async with opened(service) as sink:
        service.lose = lost
        for _ in range(lost):
            with pytest.raises(TransientError):
                await sink.write([pull_request_event()])
        assert list(await sink.write([pull_request_event()])) == []
        assert service.ran == ["load_0", "merge_0"]
        await sink.write([pull_request_event()])
    assert service.ran == ["load_0", "merge_0", "load_1", "merge_1"], "what succeeded is no proof of rows for a later write"


async def test_a_stage_that_is_gone_is_not_made_again_for_the_load_that_was_its_own() -> None:
    service = Service()
    async with opened(service) as sink:
        service.lose = 1
        with pytest.raises(TransientError):
            await sink.write([pull_request_event()])
        del service.tables[next(name for name in service.tables if name.startswith("harvester_stage_"))]
        await sink.write([pull_request_event()])
    assert service.ran == ["load_0", "merge_0"]
    assert set(service.tables) == {"harvester_turn", "pull_requests"}, "an empty stage would be merged as if it were the batch"
    loads = [job["configuration"]["load"] for job in service.jobs.values() if "load" in job["configuration"]]
    assert [load["createDisposition"] for load in loads] == ["CREATE_NEVER"]


async def test_a_job_that_another_process_left_running_is_waited_for_and_then_run_once_more() -> None:
    service = Service()
    async with opened(service) as sink:
        await sink.write([pull_request_event()])
    service.running = 3
    async with opened(service) as sink:
        await sink.write([pull_request_event()])
    assert service.running == 0
    assert service.ran == ["load_0", "merge_0", "load_1", "merge_1"]


@pytest.mark.parametrize(
    ("reason", "kind"), [("backendError", TransientError), ("invalid", InvalidEventError), ("accessDenied", PermanentError)]
)
async def test_f33_a_failed_job_is_told_and_tried_again_under_the_next_number(reason: str, kind: type[Exception]) -> None:
    service = Service()
    async with opened(service) as sink:
        service.fails = [reason]
        with pytest.raises(kind):
            await sink.write([pull_request_event()])
        assert list(await sink.write([pull_request_event()])) == []
    assert service.ran == ["load_0", "load_1", "merge_0"]


async def test_of_several_tables_what_stops_counts_more_than_what_passes() -> None:
    service = Service()
    async with opened(service) as sink:
        service.fails = ["backendError", "accessDenied"]
        with pytest.raises(PermanentError):
            await sink.write([pull_request_event(), review_event()])


async def test_limits_are_waited_out_also_those_that_come_as_403() -> None:
    service = Service()
    async with opened(service) as sink:
        service.status = 403
        with pytest.raises(TransientError):
            await sink.write([pull_request_event()])
        service.status = 0
        assert list(await sink.write([pull_request_event()])) == []


async def test_a_job_without_an_end_is_given_up_for_now() -> None:
    service = Service()
    async with opened(service, timeout=0.01) as sink:
        service.running = 1000
        with pytest.raises(TransientError, match="has not ended"):
            await sink.write([pull_request_event()])


async def test_the_table_of_turns_is_made_with_its_row_where_it_is_not_there() -> None:
    service = Service()
    service.tables.clear()
    async with opened(service) as sink:
        await sink.write([pull_request_event()])
    first = next(iter(service.jobs.values()))
    assert "harvester_turn` AS SELECT 0" in first["configuration"]["query"]["query"]


async def test_b34_a_dataset_elsewhere_is_refused_before_anything_is_written() -> None:
    service = Service()
    service.location = "EU"
    async with opened(service) as sink:
        with pytest.raises(ConfigError, match="is in EU, HARVESTER_BIGQUERY_LOCATION says US"):
            await sink.write([pull_request_event()])
    assert (service.jobs, service.tables) == ({}, {"harvester_turn": {}})


async def test_b56_a_table_of_an_older_class_gets_its_columns_in_one_statement() -> None:
    service = Service()
    async with opened(service) as sink:
        await sink.write([pull_request_event()])
    fields = service.tables["pull_requests"]["schema"]["fields"]
    service.tables["pull_requests"]["schema"]["fields"] = [one for one in fields if one["name"] not in ("title", "labels")]
    async with opened(service) as sink:
        await sink.write([pull_request_event()])
    (altered,) = [job for name, job in service.jobs.items() if "_alter_" in name]
    assert altered["configuration"]["query"]["query"].count("ADD COLUMN IF NOT EXISTS") == 2
