"""Canned servers, each in a process of its own, so that what they cost is not counted: `python -m benchmarks.servers pages`.

- `pages`: the user actions of any hour, as an Opencast with the start/end patch serves them.
- `bulk`: Elasticsearch's `_bulk`, which takes everything; with `filter_path` its answer has only what was asked for. With
  `--conflicts 100` every hundredth document is one that it has in a newer state.
- `search`: the search service of an Opencast, which knows every recording; or one that is `busy` (503), `slow` or `silent`. With
  `--delay 0.02` it answers after 20 ms.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import msgspec
from aiohttp import web

from benchmarks.actions import found_episode, rows_of_hour
from consumers.records.opencast import UserAction
from consumers.sinks.elasticsearch_templates import pieces

_ROOT = Path(__file__).parents[1]
_DONE = b'{"index":{"status":201}}'
_WHOLE = (
    b'{"index":{"_index":"useractions-2026.03.02","_id":"1234567","_version":1,"result":"created",'
    b'"_shards":{"total":2,"successful":1,"failed":0},"_seq_no":1,"_primary_term":1,"status":201}}'
)
_CONFLICT = (
    b'{"index":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"[1234567]: version conflict, current '
    b'version [25] is higher than the one provided [24]","index_uuid":"mJsW2cDgTVGpFJfWlYAsQQ","shard":"0",'
    b'"index":"useractions-2026.03.02"}}}'
)
_HEADERS = {
    "X-Elastic-Product": "Elasticsearch",
    "Content-Type": "application/vnd.elasticsearch+json;compatible-with=8",
}
SLOW = 3.0
"""Seconds that the slow search service takes for an answer."""


@asynccontextmanager
async def serving(kind: str, **options: object) -> AsyncIterator[str]:
    """The server's URL. `rows`: actions in an hour; `delay`: seconds that an answer takes; and what `main` knows besides."""
    told = [f"--{name}={value}" for name, value in options.items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.servers", kind, *told),
        cwd=_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        assert url, f"the {kind} server did not start"
        yield url
    finally:
        process.stdin.close()  # the server ends with its standard input, even when we are killed
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


def pages(rows: int) -> web.Application:
    """`GET /usertracking/actions.json?start=&end=&limit=&offset=` for windows of one hour."""

    @lru_cache(maxsize=4)
    def hour(start: str) -> list[bytes]:
        return rows_of_hour(_moment(start), rows)

    @lru_cache(maxsize=4096)
    def page(start: str, end: str, limit: int, offset: int) -> bytes:
        found = hour(start) if _moment(end) - _moment(start) == timedelta(hours=1) else []
        shown = found[offset : offset + limit]
        action = b"" if not shown else b',"action":' + (shown[0] if len(shown) == 1 else b"[%b]" % b",".join(shown))
        return b'{"actions":{"total":"%d","offset":"%d","limit":"%d"%b}}' % (len(found), offset, limit, action)

    async def actions(request: web.Request) -> web.Response:
        query = request.query
        body = page(query["start"], query["end"], int(query["limit"]), int(query["offset"]))
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/usertracking/actions.json", actions)
    return app


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def bulk(delay: float, conflicts: int) -> web.Application:
    """`POST /_bulk` for bodies that only index, and `GET /count`: how many documents came."""
    came = 0

    async def write(request: web.Request) -> web.Response:
        nonlocal came
        documents = (await request.read()).count(b"\n") // 2
        came += documents
        await asyncio.sleep(delay)
        body = _answer(documents, conflicts, filtered="filter_path" in request.query)
        return web.Response(body=body, headers=_HEADERS)

    async def template(_: web.Request) -> web.Response:
        piece = pieces(UserAction)[-1]
        found = {"index_templates": [{"name": piece.name, "index_template": piece.body}]}
        return web.Response(body=msgspec.json.encode(found), headers=_HEADERS)

    async def count(_: web.Request) -> web.Response:
        return web.json_response(came)

    async def about(_: web.Request) -> web.Response:
        told = {"version": {"number": "8.19.0", "build_flavor": "default"}, "tagline": "You Know, for Search"}
        return web.Response(body=msgspec.json.encode(told), headers=_HEADERS)

    app = web.Application(client_max_size=256 * 2**20)
    app.router.add_get("/", about)
    app.router.add_head("/{index}", about)
    app.router.add_post("/{index}/_bulk", write)
    app.router.add_put("/{index}/_bulk", write)
    app.router.add_post("/_bulk", write)
    app.router.add_put("/_bulk", write)
    app.router.add_get("/count", count)
    app.router.add_get("/_index_template/{name}", template)
    return app


@lru_cache
def _answer(documents: int, conflicts: int, *, filtered: bool) -> bytes:
    done, refused = (_DONE, _CONFLICT) if filtered else (_WHOLE, _CONFLICT)
    items = [refused if conflicts and n % conflicts == 0 else done for n in range(1, documents + 1)]
    return b'{"errors":%b,"took":3,"items":[%b]}' % (b"true" if refused in items else b"false", b",".join(items))


def search(mood: str, delay: float) -> web.Application:
    """`GET /search/episode.json?id=`."""

    async def episodes(request: web.Request) -> web.Response:
        if mood == "busy":
            return web.Response(status=503)
        await asyncio.sleep({"silent": 3600.0, "slow": SLOW}.get(mood, delay))
        return web.Response(body=found_episode(request.query["id"]), content_type="application/json")

    app = web.Application()
    app.router.add_get("/search/episode.json", episodes)
    return app


async def _serve(app: web.Application, port: int) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        host, port = runner.addresses[0][:2]
        print(f"http://{host}:{port}", flush=True)
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.servers")
    parser.add_argument("kind", choices=["pages", "bulk", "search"])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--conflicts", type=int, default=0)
    parser.add_argument("--mood", choices=["well", "busy", "slow", "silent"], default="well")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    match options.kind:
        case "pages":
            app = pages(options.rows)
        case "bulk":
            app = bulk(options.delay, options.conflicts)
        case _:
            app = search(options.mood, options.delay)
    asyncio.run(_serve(app, options.port))


if __name__ == "__main__":
    main()
