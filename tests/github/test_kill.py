"""Collections that are killed, in small: the same run as `python -m tests.github kill`; and what watches them."""

import asyncio
import json
from pathlib import Path

from aiohttp import ClientSession, web

from harvester.sandbox.serve import listening
from tests.github.kill import Plan, prove
from tests.github.watch import TOKENS, Again, Watch

SMALL = Plan(kills=2, most=2, repositories=3, pulls_per_day=4, days=6, batch=1000)


def test_b47_collections_killed_at_random_lose_double_and_age_nothing_and_read_a_page_again_at_most(tmp_path: Path) -> None:
    report = prove(SMALL, tmp_path)
    assert [fault for fault in report.wrong() if "cut work" not in fault] == []
    assert report.kills >= SMALL.kills
    assert report.reading > 0
    assert all(one.true for one in report.tables.values())


async def test_a_life_is_blamed_for_each_row_that_an_earlier_one_was_told() -> None:
    """Also for those that a dead one had asked for, which are told late."""
    watch, updated = Watch(), "2026-11-01T00:00:00Z"
    late = asyncio.Event()

    async def list_(request: web.Request) -> web.Response:
        if "slowly" in request.query:
            await late.wait()
        return web.json_response([{"id": int(number), "updated_at": updated} for number in request.query["ids"].split(",")])

    async def graphql(_: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application(middlewares=[watch.keep])
    app.router.add_get("/repos/acme/widgets/issues", list_)
    app.router.add_post("/graphql", graphql)

    async with listening(app, "127.0.0.1", 0) as url, ClientSession() as session:

        async def ask(token: str, ids: str, **more: str) -> None:
            query = {"ids": ids, **more}
            await session.get(f"{url}/repos/acme/widgets/issues", params=query, headers={"Authorization": f"Bearer {token}"})

        async def ask_for(token: str, *numbers: int) -> None:
            query = " ".join(f"p{number}:pullRequest(number:{number}){{id}}" for number in numbers)
            body = json.dumps({"query": query, "variables": {"id": "R_1"}})
            await session.post(f"{url}/graphql", data=body, headers={"Authorization": f"Bearer {token}"})

        first = watch.born()
        await ask(first, "1,2")
        await ask(first, "2,3")  # itself it may repeat
        await ask_for(first, 1, 2)
        dead = asyncio.create_task(ask(first, "8,9", slowly="1"))
        await asyncio.sleep(0)
        assert (watch.again.rows, watch.again.details, watch.answered) == (0, 0, 3)
        second = watch.born()
        assert second in TOKENS
        late.set()
        await dead
        assert watch.answered == 0
        await ask(second, "3,4")
        await ask(second, "3,8")
        await ask_for(second, 2)
        assert (watch.again.rows, watch.again.details, watch.answered) == (2, 1, 1)
        assert watch.again.a_page(0)
    assert not Again(101, 0).a_page(0)
    assert not Again(0, 27).a_page(1)
    assert Again(101, 26).a_page(1)
