import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from harvester.answers import Allowance, allowance, http_date, retry_after
from harvester.errors import PermanentError, TransientError
from harvester.http import HttpSettings, StatusError, open_http
from harvester.limits import Pace
from harvester.retry import DAEMON, OutageError, Retry, UnusableError
from tests.unit.webserver import Handler, Waits, asking, sending, serving

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def replies(*answers: web.Response) -> Handler:
    """These one after the other, the last for ever."""
    left: Iterator[web.Response] = chain(answers[:-1], repeat(answers[-1]))

    async def reply(_: web.BaseRequest) -> web.StreamResponse:
        following = next(left)
        return web.Response(status=following.status, body=following.body, headers=following.headers)

    return reply


def good() -> web.Response:
    return web.json_response({"ok": True})


async def test_a_path_is_taken_below_the_base_with_its_query() -> None:
    async with serving(good()) as server, asking(server.url / "oc") as http:
        answer = await http.get("/usertracking/actions.json", start="20260301", limit=10, offset=None)
        assert json.loads(answer.body) == {"ok": True}
        assert server.seen[0].target == "/oc/usertracking/actions.json?start=20260301&limit=10"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("/a%2Fb?x=a%2Bb+c", "/a%2Fb?x=a%2Bb+c"),
        ("search:foo", "/search:foo"),
        ("/x?next=https://elsewhere/y", "/x?next=https://elsewhere/y"),
        ("//elsewhere.example/x", None),
    ],
)
async def test_an_address_is_sent_as_it_is_written(asked: str, sent: str | None) -> None:
    async with serving(good()) as server, asking(server.url) as http:
        if sent is None:
            with pytest.raises(PermanentError):
                await http.get(asked)
        else:
            await http.get(asked)
        assert [seen.target for seen in server.seen] == ([sent] if sent else [])


async def test_a_query_keeps_what_people_put_into_it() -> None:
    async with serving(good()) as server, asking(server.url) as http:
        await http.get("/x?kept=a%2Bb", q="a+b c&d=é/?#%41", empty="", n=0)
        sent = parse_qsl(server.seen[0].target.partition("?")[2], keep_blank_values=True)
        assert sent == [("kept", "a+b"), ("q", "a+b c&d=é/?#%41"), ("empty", ""), ("n", "0")]


async def test_headers_of_the_settings_and_of_the_call_are_sent() -> None:
    async with serving(good()) as server:
        settings = HttpSettings(name="v", url=server.url, headers={"X-Mine": "1"}, user_agent="harvest/1")
        async with open_http(settings) as http:
            await http.get("/x", headers={"If-None-Match": '"e"'})
        seen = server.seen[0].headers
        assert (seen["X-Mine"], seen["If-None-Match"], seen["User-Agent"]) == ("1", '"e"', "harvest/1")
        assert seen["Accept-Encoding"] == "gzip, deflate"


async def test_cookies_are_not_kept() -> None:
    async with serving(web.json_response({}, headers={"Set-Cookie": "JSESSIONID=1"})) as server, asking(server.url) as http:
        await http.get("/x")
        await http.get("/x")
        assert "Cookie" not in server.seen[1].headers


@pytest.mark.parametrize("status", [403, 404, 410, 401])
async def test_what_is_refused_for_good_is_asked_once(status: int) -> None:
    async with serving(web.Response(status=status)) as server, asking(server.url) as http:
        with pytest.raises(StatusError, match=f"vendor: {status} for /x") as caught:
            await http.get("/x")
        assert caught.value.status == status
        assert len(server.seen) == 1


async def test_a_refused_login_names_what_to_check() -> None:
    async with serving(web.Response(status=401)) as server:
        settings = HttpSettings(name="opencast", url=server.url, login_hint="check HARVESTER_OPENCAST_USER")
        async with open_http(settings) as http:
            with pytest.raises(StatusError, match="check HARVESTER_OPENCAST_USER"):
                await http.get("/x")


@pytest.mark.parametrize("status", [400, 405, 409, 418, 422])
async def test_any_other_4xx_is_refused_after_three_retries_a_second_apart(status: int) -> None:
    waits = Waits()
    async with serving(web.Response(status=status)) as server, asking(server.url, waits=waits, retry=DAEMON) as http:
        with pytest.raises(StatusError) as caught:
            await http.get("/x")
        assert caught.value.status == status
        assert len(server.seen) == 4
        assert waits.slept == [1, 1, 1]


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 599])
async def test_an_outage_is_outlasted(status: int) -> None:
    waits = Waits()
    async with serving(replies(*[web.Response(status=status)] * 3, good())) as server, asking(server.url, waits=waits) as http:
        assert (await http.get("/x")).status == 200
        assert [wait.reason for wait in waits.told] == ["outage"] * 3


async def test_a_one_shot_ends_with_the_outage_after_three_retries() -> None:
    async with serving(web.Response(status=503)) as server, asking(server.url) as http:
        with pytest.raises(OutageError, match="503"):
            await http.get("/x")
        assert len(server.seen) == 4


async def test_f40_a_429_is_waited_out_as_often_as_it_comes() -> None:
    waits = Waits()
    limited = web.Response(status=429)
    async with serving(replies(*[limited] * 20, good())) as server, asking(server.url, waits=waits) as http:
        assert (await http.get("/x")).status == 200
        assert waits.slept[:3] == [5, 7.5, 11.25]


@pytest.mark.parametrize(
    ("status", "header", "waited"),
    [
        (429, "7", 7.0),
        (429, "1.5", 1.5),
        (429, "Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        (429, "2026-03-01T12:00:40Z", 40.0),
        (429, "2026-03-01T14:00:40+02:00", 40.0),
        (429, "2026-03-01T12:00:40", 40.0),
        (429, "99999", 900.0),
        (403, "9", 9.0),
        (503, "11", 11.0),
        (429, "soon", 5.0),
        (429, "Sun, 01 Mar 2026 11:00:00 GMT", 5.0),
    ],
)
async def test_f40_retry_after_is_understood_in_each_form(status: int, header: str, waited: float) -> None:
    waits = Waits()
    # the vendor's Date is months away from ours: a moment counts from the answer's own
    limited = web.Response(status=status, headers={"Retry-After": header, "Date": "Sun, 01 Mar 2026 12:00:00 GMT"})
    async with serving(replies(limited, good())) as server, asking(server.url, waits=waits) as http:
        assert (await http.get("/x")).status == 200
        assert waits.slept == [waited]


def test_without_a_date_a_moment_counts_from_what_we_take_for_now() -> None:
    assert retry_after({"Retry-After": "Sun, 01 Mar 2026 12:00:30 GMT"}, NOW) == 30
    assert retry_after({}, NOW) is None


@pytest.mark.parametrize("text", ["", "-5", "nan", "inf", "1e9", "Mon, 99 Foo 2026", "9" * 5000, "0x10", "\x00", "１２"])
def test_a_retry_after_that_makes_no_sense_never_raises(text: str) -> None:
    told = retry_after({"Retry-After": text}, NOW)
    assert told is None or told > 900


def test_dates_are_read_as_http_and_iso_write_them() -> None:
    for text in (
        "Sun, 01 Mar 2026 12:00:00 GMT",
        "2026-03-01T12:00:00Z",
        "2026-03-01T13:00:00+01:00",
        "Sun, 01 Mar 2026 12:00:00 -0000",
    ):
        assert http_date(text) == NOW
    assert http_date("yesterday") is None


async def test_a_403_that_is_a_rate_limit_is_waited_out() -> None:
    waits = Waits()
    limited = web.Response(status=403, headers={"X-RateLimit-Remaining": "0"})
    async with serving(replies(limited, good())) as server, asking(server.url, waits=waits) as http:
        await http.get("/x")
        assert waits.told[0].reason == "rate_limited"


@pytest.mark.parametrize(
    "unusable",
    [
        web.Response(text="<html>please log in</html>", content_type="text/html"),
        web.Response(text='{"a": 1}', content_type="text/html"),
        web.Response(text="<?xml version='1.0'?><a/>", content_type="application/json"),
        web.Response(body=b"", content_type="application/json"),
        web.Response(body=b" \n ", content_type="application/json"),
        web.Response(text='{"rows": [{"id": 1}, {"i', content_type="application/json"),
        web.Response(text='[{"id": 1}}', content_type="application/json"),
        web.Response(text="null", content_type="application/json"),
    ],
    ids=["html", "called html", "xml", "empty", "blank", "cut", "wrong end", "null"],
)
async def test_f42_a_200_that_is_no_json_passes_nothing_on(unusable: web.Response) -> None:
    waits = Waits()
    async with serving(unusable) as server, asking(server.url, waits=waits, retry=DAEMON) as http:
        with pytest.raises(UnusableError) as caught:
            await http.get("/x")
        assert isinstance(caught.value, TransientError)
        assert waits.slept == [1, 1, 1]


async def test_f42_html_that_passes_is_retried_away() -> None:
    html = web.Response(text="<html>", content_type="text/html")
    async with serving(replies(html, html, good())) as server, asking(server.url) as http:
        assert json.loads((await http.get("/x")).body) == {"ok": True}


async def test_without_a_check_any_body_is_taken() -> None:
    async with serving(web.Response(text="<html>", content_type="text/html")) as server, asking(server.url) as http:
        assert (await http.get("/x", check=None)).body == b"<html>"


async def test_not_modified_and_no_content_are_answers() -> None:
    async with serving(replies(web.Response(status=304), web.Response(status=204))) as server, asking(server.url) as http:
        assert (await http.get("/x")).status == 304
        assert (await http.get("/x")).status == 204


async def test_every_request_is_counted_under_its_endpoint() -> None:
    counted: list[tuple[str, str]] = []
    async with serving(replies(web.Response(status=500), good())) as server, sending(b"") as dead:
        for url, label in ((server.url, None), (dead, "rows")):
            settings = HttpSettings(name="v", url=url)
            async with open_http(settings, on_request=lambda e, s, t: counted.append((e, s)), sleep=Waits().sleep) as http:
                try:
                    await http.get("/x?page=2", endpoint=label)
                except OutageError:
                    continue
    assert counted == [("/x", "5xx"), ("/x", "2xx")] + [("rows", "error")] * 4


async def test_retries_and_redirects_keep_the_pace() -> None:
    turns: list[float] = []

    class Counting(Pace):
        async def turn(self) -> None:
            turns.append(0)

    moved = web.Response(status=302, headers={"Location": "/y"})
    async with serving(replies(web.Response(status=500), moved, good())) as server:
        settings = HttpSettings(name="v", url=server.url)
        async with open_http(settings, limits=[Counting(timedelta())], sleep=Waits().sleep) as http:
            await http.get("/x")
    assert len(turns) == len(server.seen) == 3


async def test_an_address_longer_than_servers_take_is_not_sent() -> None:
    async with serving(good()) as server, asking(server.url) as http:
        with pytest.raises(PermanentError, match="an address of"):
            await http.get("/x", q="a" * 9000)
        assert server.seen == []


async def test_settings_show_no_secret_when_printed() -> None:
    async with serving(good()) as server:
        settings = HttpSettings(name="v", url=server.url, headers={"X-Api-Key": "canary"})
        assert "canary" not in repr(settings)


def test_a_rate_limit_is_read_in_both_spellings_and_from_nothing_else() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    github = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4999", "X-RateLimit-Reset": "1795435200"}
    assert allowance(github, now) == (5000, 4999, 1795435200.0)
    assert allowance({"RateLimit-Remaining": "3", "RateLimit-Reset": "60"}, now) == (None, 3, now.timestamp() + 60)
    assert (
        allowance({"X-RateLimit-Limit": "100;w=60", "X-RateLimit-Remaining": "-1", "X-RateLimit-Reset": "9" * 400}, now) is None
    )
    assert allowance({}, now) is None


async def test_what_a_vendor_says_of_its_rate_limit_is_told_with_refusals_too() -> None:
    told: list[Allowance] = []
    limits = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0"}
    async with serving(replies(web.Response(status=429, headers=limits), good())) as server:
        settings = HttpSettings(name="v", url=server.url)
        async with open_http(settings, on_allowance=told.append, sleep=Waits().sleep) as http:
            await http.get("/x")
    assert told == [(50, 0, None)]


async def test_f40_a_request_whose_connection_broke_is_not_sent_again_past_its_limits() -> None:
    turns = Turns()

    async def reply(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/broken":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({})

    async with serving(reply) as server, asking(server.url, retry=Retry(attempts=0)) as http:
        await http.get("/fine", limits=[turns])  # its connection is kept
        with pytest.raises(OutageError):
            await http.get("/broken", limits=[turns])
        assert [seen.target for seen in server.seen] == ["/fine", "/broken"]
    assert turns.taken == 2


class Turns:
    def __init__(self) -> None:
        self.taken = 0

    async def turn(self) -> None:
        self.taken += 1
