"""The Opencast source against answers that a well-behaved simulation cannot be made to give, over real HTTP."""

from random import Random

import pytest
from aiohttp import web

from harvester.errors import PermanentError, TransientError
from harvester.http import TooLargeError
from harvester.sources.opencast import UserActions
from tests.opencast_table import ACTIONS, HOUR, Row, Table, read, record, served, spread

EMPTY = b'{"actions":{"total":"0","offset":"0","limit":"1"}}'


def answer(body: bytes, status: int = 200, kind: str = "application/json") -> web.Response:
    return web.Response(body=body, status=status, content_type=kind)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "the login was refused: check HARVESTER_OPENCAST_USER"),
        (403, "no permission"),
        (404, "opencast-plugin-usertracking"),
        (410, "gone for good"),
    ],
)
async def test_q55_each_refusal_is_told_apart_and_not_repeated(status: int, words: str) -> None:
    asked: list[str] = []

    def reply(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return answer(b"<h1>no</h1>", status, "text/html")

    async with served(reply) as source:
        with pytest.raises(PermanentError, match=words) as caught:
            await source.streams()
    assert str(caught.value).count("opencast: ") == 1
    assert len(asked) == 1


async def test_q55_a_plugin_that_is_switched_off_while_we_read_is_named_too() -> None:
    table = Table(spread(5))

    def reply(request: web.Request) -> web.Response:
        if len(table.calls) > 2:
            return answer(b"", 404)
        return answer(table.answer(request.query))

    async with served(reply) as source:
        [stream] = await source.streams()
        assert (await read(stream)).newest == table.within(HOUR)
        with pytest.raises(PermanentError, match="opencast-plugin-usertracking"):
            await read(stream)


@pytest.mark.parametrize("first", [record(1), b'{"id":NaN}', b"{}"], ids=["good", "no JSON", "no action"])
async def test_q55_the_probe_knows_a_stock_server_by_any_row(first: bytes) -> None:
    table = Table([Row(1, HOUR.start, body=first)], ignores_window=True)
    async with served(table) as source:
        [stream] = await source.streams()
        assert isinstance(stream, UserActions)
        assert stream.mode == "day"
    async with served(table, mode="window") as source:
        with pytest.raises(PermanentError, match=r"ignores start and end.*HARVESTER_OPENCAST_MODE=window"):
            await source.streams()


async def test_a_server_that_forgets_its_patch_while_we_read_stops_a_source_that_may_read_no_other_way() -> None:
    table = Table(spread(5))
    async with served(table, mode="window") as source:
        [stream] = await source.streams()
        table.ignores_window = True
        table.rows.append(Row(6, HOUR.start.replace(year=2020)))
        with pytest.raises(PermanentError, match="or it ignores start and end"):
            await read(stream)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "text/html"),
        (b"", "application/json"),
        (b'{"actions":{"total":"2","action":[' + record(1) + b',{"id":', "application/json"),
        (b'{"actions":{"total":"2","action":[' + record(1) + b"]}", "application/json"),
        (b'{"error":"try later"}', "application/json"),
        (b"[]", "application/json"),
    ],
    ids=["HTML", "empty", "cut", "cut behind a brace", "an error", "a list"],
)
async def test_f42_what_is_no_page_is_transient_and_passes_nothing_on(body: bytes, kind: str) -> None:
    def reply(request: web.Request) -> web.Response:
        return answer(EMPTY) if request.query["limit"] == "1" else answer(body, kind=kind)

    async with served(reply) as source:
        [stream] = await source.streams()
        pages = aiter(stream.fetch(HOUR, b""))
        with pytest.raises(TransientError):
            await anext(pages)


async def test_f42_a_page_that_is_whole_when_asked_for_again_is_no_failure() -> None:
    table = Table(spread(6))
    cut = b'{"actions":{"total":"6","action":[' + record(1) + b"]}"
    asked: list[str] = []

    def reply(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return answer(cut if asked.count(request.path_qs) == 1 else table.answer(request.query))

    async with served(reply, batch_size=2) as source:
        [stream] = await source.streams()
        assert (await read(stream)).newest == table.within(HOUR)


async def test_f42_a_page_in_the_middle_that_is_cut_fails_the_window() -> None:
    table = Table(spread(6))

    def reply(request: web.Request) -> web.Response:
        body = table.answer(request.query)
        return answer(body[:-30] if request.query["offset"] == "1" else body)

    async with served(reply, batch_size=2) as source:
        [stream] = await source.streams()
        with pytest.raises(TransientError):
            await read(stream)


async def test_f43_pages_that_never_end_are_given_up() -> None:
    table = Table(spread(2), ignores_offset=True, total=lambda rows: {"total": rows and 1_000_000})
    async with served(table, batch_size=2) as source:
        [stream] = await source.streams()
        with pytest.raises(TransientError, match="kept shifting"):
            await read(stream)
    assert len(table.calls) < 60


@pytest.mark.parametrize("batch", [1, 7, 1000])
async def test_q61_another_order_on_every_request_loses_nothing(batch: int) -> None:
    table = Table(spread(40), shuffled=Random(7))
    async with served(table, batch_size=batch) as source:
        [stream] = await source.streams()
        assert (await read(stream)).newest == table.within(HOUR)


async def test_q61_rows_deleted_inserted_and_moved_between_pages_hide_no_other() -> None:
    def between(table: Table) -> None:
        match len(table.calls):
            case 2:
                del table.rows[:2]
            case 3:
                table.rows.insert(0, Row(100, HOUR.start))
            case 4:
                table.rows.append(table.rows.pop(0))

    table = Table(spread(20), between=between)
    kept = {str(n) for n in range(3, 21)}
    async with served(table, batch_size=3) as source:
        [stream] = await source.streams()
        assert kept <= (await read(stream)).newest.keys()


async def test_a_body_over_the_limit_stops_the_source_and_says_what_to_do() -> None:
    table = Table(spread(100))
    async with served(table, max_body=4096) as source:
        [stream] = await source.streams()
        with pytest.raises(TooLargeError, match="ask for smaller pages"):
            await read(stream)


async def test_larger_pages_that_do_not_fit_the_body_limit_do_not_stop_the_source() -> None:
    table = Table(spread(60), shuffled=Random(1))
    async with served(table, max_body=8192, batch_size=25) as source:
        [stream] = await source.streams()
        assert (await read(stream)).newest == table.within(HOUR)


async def test_the_address_may_have_a_path() -> None:
    asked: list[str] = []

    def reply(request: web.Request) -> web.Response:
        asked.append(request.path)
        return answer(EMPTY)

    async with served(reply) as source:
        await source.streams()
    assert asked == [ACTIONS]
