import asyncio
import base64
import errno
import socket
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from pydantic import SecretStr
from structlog.testing import capture_logs
from yarl import URL

from harvester.errors import ConfigError, PermanentError
from harvester.http import Basic, Digest, HttpSettings, base_url, open_http
from harvester.origin import origin_of, unreachable
from harvester.retry import OutageError, Retry
from harvester.sources.opencast import OpencastSettings, open_opencast
from tests.unit.webserver import asking, serving


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("engage.example.edu", "https://engage.example.edu"),
        ("engage.example.edu:8443", "https://engage.example.edu:8443"),
        ("engage.example.edu/oc/", "https://engage.example.edu/oc/"),
        ("  engage.example.edu  ", "https://engage.example.edu"),
        ("http://engage.example.edu", "http://engage.example.edu"),
        ("HTTPS://Engage.Example.EDU", "https://engage.example.edu"),
        ("localhost", "http://localhost"),
        ("localhost:8080/x", "http://localhost:8080/x"),
        ("sandbox.localhost:8080", "http://sandbox.localhost:8080"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("127.8.8.8", "http://127.8.8.8"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("https://localhost", "https://localhost"),
        ("10.0.0.1", "https://10.0.0.1"),
        ("[2001:db8::1]:8080", "https://[2001:db8::1]:8080"),
        ("localhost.example.edu", "https://localhost.example.edu"),
        ("127.0.0.1.example.edu", "https://127.0.0.1.example.edu"),
    ],
)
def test_an_address_without_scheme_is_https_and_on_loopback_http(written: str, meant: str) -> None:
    assert base_url(written) == URL(meant)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "   ",
        "https://",
        "ftp://host",
        "file:///etc/passwd",
        "host:99999",
        "host:port",
        "a b",
        "::1",
        "https:///x",
        "host:0",
        "//host",
        "h\nh",
    ],
)
def test_what_is_no_address_is_a_fault_of_the_settings(written: str) -> None:
    with pytest.raises(ConfigError, match="no address of a server"):
        base_url(written)


@pytest.mark.parametrize("written", ["https://user:canary@host", "https://canary@host", "user:canary@host"])
def test_a_login_in_an_address_is_refused_and_not_shown(written: str) -> None:
    with pytest.raises(ConfigError, match="has a login in it") as caught:
        base_url(written)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("written", ["https://host/?a=1", "https://host/#a"])
def test_an_address_with_a_query_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match="query"):
        base_url(written)


def test_s20_an_origin_is_scheme_host_and_port_in_one_spelling() -> None:
    assert origin_of(URL("https://Host")) == origin_of(URL("https://host:443/x"))
    assert len({origin_of(URL(u)) for u in ("https://h", "http://h", "https://h:8443", "https://g")}) == 4


@pytest.mark.parametrize(
    ("url", "login", "allowed", "outcome"),
    [
        ("http://engage.example.edu", Basic("u", "p"), False, "refused"),
        ("http://engage.example.edu", Digest("u", "p"), False, "refused"),
        ("http://10.1.2.3:8080", Basic("u", "p"), False, "refused"),
        ("http://engage.example.edu", Basic("u", "p"), True, "warned"),
        ("http://engage.example.edu", None, False, "quiet"),
        ("http://localhost:8080", Basic("u", "p"), False, "quiet"),
        ("http://[::1]:8080", Basic("u", "p"), False, "quiet"),
        ("https://engage.example.edu", Basic("u", "p"), False, "quiet"),
    ],
)
async def test_s12_a_login_goes_over_plain_http_only_to_loopback_or_where_allowed(
    url: str, login: Basic | Digest | None, allowed: bool, outcome: str
) -> None:
    settings = HttpSettings(name="opencast", url=base_url(url), login=login, allow_plain_http=allowed)
    with capture_logs() as logs:
        if outcome == "refused":
            with pytest.raises(ConfigError, match="in the clear") as caught:
                async with open_http(settings):
                    pass
            assert caught.value.exit_code == 3
        else:
            async with open_http(settings):
                pass
    assert [line["log_level"] for line in logs] == (["warning"] if outcome == "warned" else [])


def test_a_login_shows_no_password_when_printed() -> None:
    for login in (Basic("u", "canary"), Digest("u", "canary")):
        assert "canary" not in repr(login)
        assert "canary" not in f"{login}"


async def test_a_basic_login_is_sent_to_its_origin() -> None:
    async with serving(web.json_response([])) as server, asking(server.url, login=Basic("ü", "p:w")) as http:
        await http.get("/x")
        sent = server.seen[0].headers["Authorization"].removeprefix("Basic ")
        assert base64.b64decode(sent).decode() == "ü:p:w"


async def test_redirects_within_the_origin_are_followed_with_the_login() -> None:
    async def reply(request: web.BaseRequest) -> web.StreamResponse:
        hop = int(request.path[1:])
        here = str(request.url.origin())
        targets = {0: "1?a=b", 1: f"{here}/2", 2: "/3", 3: f"http://else:where@{request.host}/4", 4: "/5#part"}
        return web.Response(status=302, headers={"Location": targets[hop]}) if hop in targets else web.json_response([1])

    async with serving(reply) as server, asking(server.url, login=Basic("u", "p")) as http:
        answer = await http.get("/0")
        assert answer.body == b"[1]"
        assert [seen.target for seen in server.seen] == ["/0", "/1?a=b", "/2", "/3", "/4", "/5"]
        assert {seen.headers["Authorization"] for seen in server.seen} == {"Basic dTpw"}


async def test_a_redirect_that_goes_in_circles_ends_after_five() -> None:
    async with serving(web.Response(status=302, headers={"Location": "/x"})) as server, asking(server.url) as http:
        with pytest.raises(PermanentError, match="more than 5 redirects"):
            await http.get("/x")
        assert len(server.seen) == 6


@pytest.mark.parametrize("login", [Basic("u", "p"), Digest("u", "p"), None])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_s22_a_redirect_to_another_origin_is_refused_and_nothing_is_sent_there(
    login: Basic | Digest | None, status: int
) -> None:
    async with serving(web.json_response([])) as thief, AsyncExitStack() as stack:
        moved = web.Response(status=status, headers={"Location": f"{thief.url}/x?token=1"})
        server = await stack.enter_async_context(serving(moved))
        settings = HttpSettings(name="vendor", url=server.url, login=login, headers={"X-Api-Key": "k"})
        async with open_http(settings) as http:
            with pytest.raises(PermanentError) as caught:
                await http.get("/x")
        assert origin_of(server.url) in str(caught.value)
        assert origin_of(thief.url) in str(caught.value)
        assert "token" not in str(caught.value)
        assert thief.seen == []


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://127.0.0.1:{port}/x",
        "http://localhost:{port}/x",
        "http://127.0.0.1:1/x",
        "//evil.example/x",
        "http://127.0.0.1@evil.example/",
    ],
)
async def test_s20_s21_a_link_with_another_scheme_host_or_port_is_refused_before_it_is_asked(elsewhere: str) -> None:
    async with serving(web.json_response([])) as server, asking(server.url, login=Basic("u", "p")) as http:
        with pytest.raises(PermanentError, match="refused to go from"):
            await http.get(elsewhere.format(port=server.url.port))
        assert server.seen == []


@pytest.mark.parametrize(
    "elsewhere", ["http://[::1/x", "http://127.0.0.1:99999999/x", "http:///x", "file:///etc/passwd", "data://x"]
)
async def test_a_link_that_is_no_address_is_refused(elsewhere: str) -> None:
    async with serving(web.json_response([])) as server, asking(server.url) as http:
        with pytest.raises(PermanentError):
            await http.get(elsewhere)
        assert server.seen == []


async def test_a_link_of_the_same_origin_is_followed_as_it_is_written() -> None:
    async with serving(web.json_response([])) as server, asking(server.url / "base") as http:
        await http.get(f"{server.url.origin()}/other?page=2&after=a%2Bb%3D")
        assert server.seen[0].target == "/other?page=2&after=a%2Bb%3D"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "the name is not known"),
        (socket.gaierror(socket.EAI_AGAIN, "Try again"), "the name is not known, or no name server answers"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "refused"),
        (TimeoutError(), "timed out, no answer within 30 s"),
        (TimeoutError(errno.ETIMEDOUT, "x"), "connection timed out"),
        (OSError(errno.ENETUNREACH, "x"), "network is unreachable"),
        (OSError("Multiple exceptions"), "multiple exceptions"),
    ],
)
def test_what_stands_in_the_way_is_told_with_the_setting_to_check(error: OSError, told: str) -> None:
    settings = HttpSettings(name="opencast", url=URL("https://nosuch.invalid/oc"), url_hint="check HARVESTER_OPENCAST_URL")
    assert (
        unreachable(error, settings, 30.0)
        == f"opencast: cannot reach https://nosuch.invalid: {told}; check HARVESTER_OPENCAST_URL"
    )


async def test_https_to_a_server_without_tls_is_told_so() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        url = URL(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with open_http(HttpSettings(name="opencast", url=url), retry=Retry(attempts=0)) as http:
            with pytest.raises(OutageError, match=rf"^opencast: cannot reach {url}: no TLS there.*; check the address$"):
                await http.get("/x")


async def test_s12_a_login_over_plain_http_is_refused_with_the_name_of_the_setting_that_allows_it() -> None:
    settings = OpencastSettings(url="http://example.edu", user="u", password=SecretStr("p"))
    with pytest.raises(ConfigError, match="HARVESTER_OPENCAST_ALLOW_PLAIN_HTTP"):
        async with open_opencast(settings):
            pass
