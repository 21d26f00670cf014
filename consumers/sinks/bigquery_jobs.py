"""BigQuery's REST API: datasets, tables, and jobs that are run once: https://cloud.google.com/bigquery/docs/reference/rest."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from itertools import count
from typing import Any

import msgspec
from yarl import URL

from consumers.sinks.bigquery_errors import failed, refused
from consumers.sinks.bigquery_settings import BigQuerySettings
from harvester.errors import HarvesterError, TransientError
from harvester.google import Answered, Google

ADDRESS = URL("https://bigquery.googleapis.com")
_JSON = "application/json"
_FIRST, _LONGEST = 0.1, 2.0
_RUN = "harvester_run"
"""The label that tells our own jobs from those of another process."""


class Warehouse:
    """One project and dataset."""

    def __init__(self, google: Google, settings: BigQuerySettings) -> None:
        self._google = google
        self._settings = settings
        self._address = URL(settings.url) if settings.url else ADDRESS
        self._project = f"projects/{settings.project_id}"
        self.where = f"bigquery {settings.project_id}.{settings.dataset_id}"

    def name_of(self, table: str) -> str:
        """As statements have it."""
        return f"`{self._settings.project_id}.{self._settings.dataset_id}.{table}`"

    def reference(self, table: str) -> dict[str, str]:
        """As requests have it."""
        return {**self.dataset_reference(), "tableId": table}

    def dataset_reference(self) -> dict[str, str]:
        return {"projectId": self._settings.project_id, "datasetId": self._settings.dataset_id}

    async def dataset(self) -> dict[str, Any] | None:
        """What is told of it; None when it is not there."""
        return await self._found("GET", f"datasets/{self._settings.dataset_id}")

    async def make_dataset(self) -> None:
        """Also when somebody else did meanwhile."""
        body = {"datasetReference": self.dataset_reference(), "location": self._settings.location}
        await self._found("POST", "datasets", body)

    async def table(self, name: str) -> dict[str, Any] | None:
        """What is told of it; None when it is not there."""
        return await self._found("GET", f"{self._tables}/{name}")

    async def make_table(self, name: str, body: Mapping[str, Any]) -> None:
        """Also when somebody else did meanwhile."""
        await self._found("POST", self._tables, {"tableReference": self.reference(name), **body})

    async def drop_table(self, name: str) -> None:
        """Also when it is gone already."""
        await self._found("DELETE", f"{self._tables}/{name}")

    async def run(
        self, name: str, run: str, configuration: Mapping[str, Any], content: bytes | None = None
    ) -> HarvesterError | None:
        """Run a job to its end, once however often this is asked with one `run`, and say what it failed of.

        An id is taken for ever. Where a job of it stands that another run began, which may have been cut off, its end is
        awaited: two at once could both insert a row. Then, or when it failed, the next number is taken. `content`: what it
        loads. TransientError: no answer, or no end in time; then ask again.
        """
        for attempt in count():
            job_id = f"{name}_{attempt}"
            body = {
                "jobReference": {"projectId": self._settings.project_id, "jobId": job_id, "location": self._settings.location},
                "configuration": {**configuration, "labels": {_RUN: run}},
            }
            answer = await self._began(body, content)
            job = await self._ended(job_id)
            error = failed(job, self.where)
            ours = job.get("configuration", {}).get("labels", {}).get(_RUN) == run
            if answer.status != 409 or (ours and error is None):
                return error
        raise AssertionError("unreachable")

    async def _began(self, body: Mapping[str, Any], content: bytes | None) -> Answered:
        """The answer to the request that makes the job: it is there then, whoever made it."""
        place, encoded = f"bigquery/v2/{self._project}/jobs", msgspec.json.encode(body)
        if content is None:
            answer = await self._google.request("POST", self._address / place, body=encoded, kind=_JSON)
        else:
            edge = secrets.token_hex(16)
            url = self._address / "upload" / place % {"uploadType": "multipart"}
            kind = f"multipart/related; boundary={edge}"
            answer = await self._google.request("POST", url, body=_parts(edge, encoded, content), kind=kind)
        return self._checked(answer)

    async def _ended(self, job_id: str) -> dict[str, Any]:
        deadline, pause = time.monotonic() + self._settings.timeout, _FIRST
        while True:
            job = await self._found("GET", f"jobs/{job_id}?location={self._settings.location}")
            if job is None:
                raise TransientError(f"{self.where}: job {job_id} is not to be seen")
            if job.get("status", {}).get("state") == "DONE":
                return job
            if time.monotonic() > deadline:
                raise TransientError(f"{self.where}: job {job_id} has not ended after {self._settings.timeout:g} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST)

    @property
    def _tables(self) -> str:
        return f"datasets/{self._settings.dataset_id}/tables"

    async def _found(self, method: str, path: str, body: object = None) -> dict[str, Any] | None:
        """The answer; None for what is not there, or there already."""
        url = self._address.join(URL(f"/bigquery/v2/{self._project}/{path}"))
        encoded = None if body is None else msgspec.json.encode(body)
        answer = await self._google.request(method, url, body=encoded, kind=_JSON if encoded else "")
        if answer.status in (404, 409):
            return None
        found = msgspec.json.decode(self._checked(answer).body or b"{}")
        return found if isinstance(found, dict) else {}

    def _checked(self, answer: Answered) -> Answered:
        if 200 <= answer.status < 300 or answer.status == 409:
            return answer
        raise refused(answer, self.where)


def _parts(edge: str, told: bytes, content: bytes) -> bytes:
    """A job and what it loads, in one body."""
    heads = [f"--{edge}\r\nContent-Type: {kind}\r\n\r\n".encode() for kind in (_JSON, "application/octet-stream")]
    return b"".join([heads[0], told, b"\r\n", heads[1], content, f"\r\n--{edge}--\r\n".encode()])
