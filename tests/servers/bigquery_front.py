"""Run as a script: `bigquery_front.py PORT COMMAND…` starts an emulator of BigQuery, and stands in front of it.

The emulator is lax where BigQuery is not. The front refuses a job id that was used, rows with unknown fields, values of another
type or without a REQUIRED one, null in a list, and a MERGE that meets a row twice. It knows jobs by the ids they were given. And
it does what tests ask of it: POST /front {"lose": 1} loses the answer to the next job, {"fail": "backendError"} lets it fail;
with {"of": "merge"} the next one of this name; {"meet": 2} lets the next two merges begin at one time, {"forget": true} forgets
all jobs, GET /front tells those there were.
"""

import asyncio
import gzip
import json
import re
import sys
from datetime import datetime
from typing import Any

import aiohttp
import sqlglot
from aiohttp import web

JOBS = "/bigquery/v2/projects/{project}/jobs"
Job = dict[str, Any]


class Front:
    def __init__(self, behind: str, session: aiohttp.ClientSession) -> None:
        self.behind = behind
        self.session = session
        self.jobs: dict[str, Job] = {}
        self.lose = 0
        self.fail = ""
        self.of = ""
        self.meeting: asyncio.Barrier | None = None
        self.first_ended = asyncio.Event()

    async def told(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            asked = await request.json()
            self.lose, self.fail, self.of = asked.get("lose", 0), asked.get("fail", ""), asked.get("of", "")
            self.meeting = asyncio.Barrier(asked["meet"]) if "meet" in asked else None
            if asked.get("forget"):
                self.jobs.clear()
        return web.json_response(list(self.jobs.values()))

    async def insert(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        job, content = parts(request.content_type, request.headers["Content-Type"], body)
        name = job["jobReference"]["jobId"]
        if not re.fullmatch(r"[\w-]{1,1024}", name):
            return refused(400, "invalid", f"Invalid job ID {name}")
        if name in self.jobs:
            return refused(409, "duplicate", f"Already Exists: Job {name}")
        error = None
        if self.fail and self.of in name:
            error, self.fail = {"reason": self.fail, "message": "as a test asked"}, ""
        if error is None:
            error = await (self.load(request, job, content) if "load" in job["configuration"] else self.query(request, job))
        self.jobs[name] = job | {"status": {"state": "DONE"} | ({"errorResult": error} if error else {})}
        if self.lose and self.of in name:
            self.lose -= 1
            assert request.transport is not None
            request.transport.close()
        return web.json_response(self.jobs[name])

    async def job(self, request: web.Request) -> web.Response:
        found = self.jobs.get(request.match_info["job"])
        return web.json_response(found) if found else refused(404, "notFound", "Not found: Job")

    async def load(self, request: web.Request, job: Job, content: bytes) -> Any:
        given = job["configuration"]["load"]
        schema = {one["name"]: one for one in given["schema"]["fields"]}
        rows = [json.loads(line) for line in gzip.decompress(content).splitlines()]
        for row in rows:
            if wrong := fault(row, schema):
                return {"reason": "invalid", "message": f"Error while reading data: {wrong}"}
        plain = b"\n".join(json.dumps(row).encode() for row in rows)
        envelope = b"--x\r\nContent-Type: application/json\r\n\r\n" + json.dumps({"configuration": {"load": given}}).encode()
        body = envelope + b"\r\n--x\r\nContent-Type: application/octet-stream\r\n\r\n" + plain + b"\r\n--x--\r\n"
        headers = {"Content-Type": "multipart/related; boundary=x"}
        place = f"{self.behind}/upload{JOBS.format(project=request.match_info['project'])}?uploadType=multipart"
        async with self.session.post(place, data=body, headers=headers) as answer:
            return await ended(answer)

    async def query(self, request: web.Request, job: Job) -> Any:
        project, statement = request.match_info["project"], job["configuration"]["query"]["query"]
        parsed = [one for one in sqlglot.parse(statement, dialect="bigquery") if one is not None]
        merges = [one for one in parsed if isinstance(one, sqlglot.exp.Merge)]
        if merges and self.meeting:
            return await self.meet(self.meeting, project, parsed, statement)
        for merge in merges:
            if await self.doubles(project, merge):
                return {"reason": "invalidQuery", "message": "UPDATE/MERGE must match at most one source row for each target row"}
        return await self.run(project, one_by_one(parsed, statement))

    async def meet(self, meeting: asyncio.Barrier, project: str, parsed: list[Any], statement: str) -> Any:
        """One of two that begin at one time, and see nothing of what the other does.

        Transactions that change rows of one table conflict, and one is cancelled; what only inserts goes on as if it were alone.
        """
        if await meeting.wait() == 0:
            self.meeting = None
            error = await self.run(project, [statement])
            self.first_ended.set()
            return error
        await self.first_ended.wait()
        self.first_ended.clear()
        changed = [one.this.sql() for one in parsed if isinstance(one, sqlglot.exp.Update)]
        if isinstance(parsed[0], sqlglot.exp.Transaction) and changed:
            return {"reason": "invalidQuery", "message": f"Transaction is aborted due to concurrent update against {changed[0]}"}
        return await self.run(project, [inserted(one) for one in parsed if isinstance(one, sqlglot.exp.Merge)])

    async def doubles(self, project: str, merge: Any) -> bool:
        keys = {column.name for column in merge.args["on"].find_all(sqlglot.exp.Column) if column.table == "new"}
        rows = merge.args["using"].sql(dialect="bigquery")
        asked = f"SELECT COUNT(*) FROM (SELECT 1 FROM {rows} GROUP BY {', '.join(keys)} HAVING COUNT(*) > 1)"
        place = f"{self.behind}/bigquery/v2/projects/{project}/queries"
        async with self.session.post(place, json={"query": asked, "useLegacySql": False}) as answer:
            found = await answer.json()
        return bool(found.get("rows")) and found["rows"][0]["f"][0]["v"] != "0"

    async def run(self, project: str, statements: list[str]) -> Any:
        place = f"{self.behind}{JOBS.format(project=project)}"
        for one in statements:
            configuration = {"query": {"query": one, "useLegacySql": False}}
            async with self.session.post(place, json={"configuration": configuration}) as answer:
                if error := await ended(answer):
                    return error
        return None

    async def others(self, request: web.Request) -> web.Response:
        url = self.behind + request.path_qs
        kept = {key: value for key, value in request.headers.items() if key in ("Content-Type", "Accept")}
        async with self.session.request(request.method, url, data=await request.read(), headers=kept) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)


def one_by_one(parsed: list[Any], statement: str) -> list[str]:
    """Statements that the emulator takes for this one: it alters a table in one thing at a time."""
    if not isinstance(parsed[0], sqlglot.exp.Alter):
        return [statement]
    table = parsed[0].this.sql(dialect="bigquery")
    return [f"ALTER TABLE {table} ADD COLUMN {action.sql(dialect='bigquery')}" for action in parsed[0].args["actions"]]


def inserted(merge: Any) -> str:
    """What a MERGE does that finds no row."""
    names = ", ".join(one.sql(dialect="bigquery") for one in merge.find(sqlglot.exp.Insert).this.expressions)
    table = sqlglot.exp.to_table(merge.this.copy()).copy()
    table.set("alias", None)
    return (
        f"INSERT INTO {table.sql(dialect='bigquery')} ({names}) SELECT {names} FROM {merge.args['using'].sql(dialect='bigquery')}"
    )


def parts(kind: str, header: str, body: bytes) -> tuple[Job, bytes]:
    """A job, and what it loads."""
    if kind != "multipart/related":
        return json.loads(body), b""
    edge = b"--" + header.partition("boundary=")[2].encode()
    _, told, content, end = body.split(edge)
    assert end == b"--\r\n"
    return json.loads(told.partition(b"\r\n\r\n")[2]), content.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


def fault(row: dict[str, Any], schema: dict[str, Any]) -> str:
    """What BigQuery would say of a row; "" when it takes it."""
    for name, value in row.items():
        if name not in schema:
            return f"No such field: {name}"
        field = schema[name]
        listed = field.get("mode") == "REPEATED"
        if (listed and not isinstance(value, list)) or (value is None and field.get("mode") == "REQUIRED"):
            return f"Only optional fields can be set to NULL. Field: {name}"
        if wrong := [one for one in (value if listed else [value]) if not fits(one, field["type"], listed=listed)]:
            return f"Could not convert value {wrong[0]!r} of {name} to {field['type']}"
    lacking = [name for name, field in schema.items() if field.get("mode") == "REQUIRED" and name not in row]
    return f"Missing required fields: {lacking[0]}" if lacking else ""


def fits(value: Any, type_: str, *, listed: bool) -> bool:
    if value is None:
        return not listed
    if type_ == "INTEGER":
        exact = (type(value) is int and abs(value) <= 2**53) or (isinstance(value, str) and re.fullmatch(r"-?\d+", value))
        return bool(exact) and -(2**63) <= int(value) < 2**63
    if type_ == "TIMESTAMP":
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    if type_ == "DATE":
        return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value) is not None
    return type_ == "JSON" or type(value) in {"FLOAT": (int, float), "BOOLEAN": (bool,), "STRING": (str,)}[type_]


async def ended(answer: aiohttp.ClientResponse) -> Any:
    """What a job of the emulator failed of."""
    found = await answer.json()
    if answer.status >= 400:
        error = found["error"]
        return {"reason": error.get("errors", [{}])[0].get("reason", "invalid"), "message": error["message"]}
    return found["status"].get("errorResult")


def refused(status: int, reason: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": status, "message": message, "errors": [{"reason": reason}]}}, status=status)


async def main(port: str, *command: str) -> None:
    emulator = await asyncio.create_subprocess_exec(*command)
    async with aiohttp.ClientSession() as session:
        front = Front(f"http://127.0.0.1:{command[-1]}", session)
        app = web.Application(client_max_size=2**28)
        for prefix in ("", "/upload"):
            app.router.add_post(prefix + JOBS, front.insert)
        app.router.add_get(JOBS + "/{job}", front.job)
        app.router.add_route("*", "/front", front.told)
        app.router.add_route("*", "/{any:.*}", front.others)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(port)).start()
        sys.exit(await emulator.wait())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
