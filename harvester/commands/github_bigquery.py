"""Questions to BigQuery: https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/query."""

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec
from yarl import URL

from consumers.records.record import Record
from consumers.sinks import bigquery_sql as sql
from consumers.sinks.bigquery_errors import refused
from consumers.sinks.bigquery_jobs import ADDRESS, Warehouse
from consumers.sinks.bigquery_settings import BigQuerySettings
from consumers.velocity import BIGQUERY
from harvester.errors import TransientError
from harvester.google import Google
from harvester.retry import ONE_SHOT, retrying

_PRICE = 6.25
"""Dollars for 2**40 bytes, in the US; the first 2**40 of a month are free: https://cloud.google.com/bigquery/pricing."""
_PAGE = 10_000


class BigQuery:
    """A store as `github_stores.Store` says."""

    sink, dialect = "bigquery", BIGQUERY

    def __init__(self, google: Google, settings: BigQuerySettings) -> None:
        self._google = google
        self._settings = settings
        self._warehouse = Warehouse(google, settings)
        self.where = self._warehouse.where
        self._bytes = 0
        self._asked = 0

    def name(self, table: str) -> str:
        return self._warehouse.name_of(table)

    async def prepare(self, records: Sequence[type[Record]]) -> None:
        await retrying(lambda: self._prepare(records), ONE_SHOT)

    async def there(self, records: Sequence[type[Record]]) -> set[str]:
        names = [record.__shape__.table for record in records]
        return {name for name in names if await retrying(partial(self._warehouse.table, name), ONE_SHOT) is not None}

    async def location(self) -> str:
        """Where the dataset is, "" when there is none."""
        found = await retrying(self._warehouse.dataset, ONE_SHOT)
        return "" if found is None else str(found.get("location", ""))

    async def ask(self, statement: str) -> list[dict[str, Any]]:
        """Numbers and booleans come as texts. All pages of the answer."""
        rows: list[dict[str, Any]] = []
        body = {
            "query": statement,
            "useLegacySql": False,
            "location": self._settings.location,
            "maxResults": _PAGE,
            "timeoutMs": 60_000,
            "requestId": secrets.token_hex(16),
        }
        found = await retrying(lambda: self._sent("POST", "queries", body), ONE_SHOT)
        self._asked += 1
        self._bytes += int(found.get("totalBytesBilled") or found.get("totalBytesProcessed") or 0)
        while True:
            if found.get("jobComplete", True):
                names = [field["name"] for field in found["schema"]["fields"]]
                rows += [dict(zip(names, [cell["v"] for cell in row["f"]], strict=True)) for row in found.get("rows", ())]
                if not found.get("pageToken"):
                    return rows
            job = found["jobReference"]["jobId"]
            after = f"&pageToken={quote(found['pageToken'])}" if found.get("pageToken") else ""
            place = f"queries/{job}?location={self._settings.location}&maxResults={_PAGE}&timeoutMs=60000{after}"
            found = await retrying(lambda place=place: self._sent("GET", place), ONE_SHOT)  # type: ignore[misc] # its default

    def cost(self) -> str:
        if not self._asked:
            return ""
        return f"{self._bytes:,} bytes read, {self._bytes / 2**40 * _PRICE:.4f} $ unless free (each table counts 10 MiB at least)"

    async def _prepare(self, records: Sequence[type[Record]]) -> None:
        if await self._warehouse.dataset() is None:
            await self._warehouse.make_dataset()
        for record in records:
            name = record.__shape__.table
            found = await self._warehouse.table(name)
            if found is None:
                made = {"schema": {"fields": sql.fields(record)}} | sql.layout(record, self._settings.partitioning)
                await self._warehouse.make_table(name, made)
            elif more := sql.missing(found.get("schema", {}).get("fields", []), record):
                change = {"query": sql.add(self._warehouse.name_of(name), more), "useLegacySql": False}
                run = secrets.token_hex(16)
                if error := await self._warehouse.run(f"harvester_alter_{run}", run, {"query": change}):
                    raise error

    async def _sent(self, method: str, place: str, body: object = None) -> dict[str, Any]:
        address = URL(self._settings.url) if self._settings.url else ADDRESS
        url = address.join(URL(f"/bigquery/v2/projects/{self._settings.project_id}/{place}"))
        encoded = None if body is None else msgspec.json.encode(body)
        answer = await self._google.request(method, url, body=encoded, kind="application/json" if encoded else "")
        if not 200 <= answer.status < 300:
            raise refused(answer, self.where)
        try:
            found: dict[str, Any] = msgspec.json.decode(answer.body, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise TransientError(f"{self.where}: the answer is no JSON: {error}") from error
        return found
