import base64
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from yarl import URL

from harvester.errors import ConfigError, PermanentError
from harvester.http import Basic, HttpSettings, base_url, open_http
from harvester.retry import OutageError
from tests.unit.webserver import TLS, Server, Waits, asking, serving


def over_tls(server: Server, *, ca_file: Path | None = None, insecure: bool = False) -> HttpSettings:
    return HttpSettings(name="vendor", url=server.url, login=Basic("u", "p"), ca_file=ca_file, insecure=insecure)


@pytest.mark.parametrize("ca_file", [None, TLS / "elsewhere.crt"], ids=["the system's", "another"])
async def test_s10_a_certificate_that_is_not_trusted_gets_nothing(ca_file: Path | None) -> None:
    waits = Waits()
    async with serving(web.json_response([]), tls="loopback") as server:
        async with open_http(over_tls(server, ca_file=ca_file), sleep=waits.sleep) as http:
            with pytest.raises(PermanentError, match="name the CA file"):
                await http.get("/x")
        assert server.seen == []
    assert waits.slept == []


async def test_s10_with_its_ca_the_certificate_passes() -> None:
    async with serving(web.json_response([1]), tls="loopback") as server:
        with capture_logs() as logs:
            async with open_http(over_tls(server, ca_file=TLS / "loopback.crt")) as http:
                assert (await http.get("/x")).body == b"[1]"
        assert logs == []


async def test_s10_a_certificate_for_another_host_gets_nothing() -> None:
    async with serving(web.json_response([1]), tls="elsewhere") as server:
        async with open_http(over_tls(server, ca_file=TLS / "elsewhere.crt")) as http:
            with pytest.raises(PermanentError, match="is not trusted"):
                await http.get("/x")
        assert server.seen == []


async def test_s10_switched_off_it_works_and_warns_at_each_start() -> None:
    async with serving(web.json_response([1]), tls="loopback") as server:
        for _ in range(2):
            with capture_logs() as logs:
                async with open_http(over_tls(server, insecure=True)) as http:
                    assert (await http.get("/x")).body == b"[1]"
            assert [line["log_level"] for line in logs] == ["warning"]


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_ca_file_that_is_none_is_a_fault_of_the_settings(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content)
    with pytest.raises(ConfigError, match="no file of CA certificates"):
        async with open_http(HttpSettings(name="v", url=URL("https://localhost"), ca_file=path)):
            pass


async def test_tls_where_plain_http_is_spoken_is_an_outage() -> None:
    async with serving(web.json_response([])) as server:
        settings = HttpSettings(name="v", url=server.url.with_scheme("https"))
        async with open_http(settings, sleep=Waits().sleep) as http:
            with pytest.raises(OutageError):
                await http.get("/x")


async def test_a_proxy_carries_the_request_and_its_own_login_goes_no_further() -> None:
    async with serving(web.json_response([1])) as proxy:
        settings = HttpSettings(
            name="v",
            url=base_url("http://vendor.invalid"),
            login=Basic("u", "p"),
            allow_plain_http=True,
            proxy=proxy.url.with_user("me").with_password("canary"),
        )
        assert "canary" not in repr(settings)
        with capture_logs():
            async with open_http(settings) as http:
                assert (await http.get("/x")).body == b"[1]"
        seen = proxy.seen[0]
        assert seen.headers["Host"] == "vendor.invalid"
        assert seen.headers["Proxy-Authorization"] == "Basic " + base64.b64encode(b"me:canary").decode()
        assert seen.headers["Authorization"] == "Basic dTpw"


async def test_a_proxy_that_refuses_the_way_is_an_outage_that_names_no_secret() -> None:
    async with serving(web.Response(status=407)) as proxy:
        url = proxy.url.with_user("me").with_password("canary")
        settings = HttpSettings(name="v", url=base_url("https://vendor.invalid"), proxy=url)
        async with open_http(settings, sleep=Waits().sleep) as http:
            with pytest.raises(OutageError, match="the proxy refused the way with 407") as caught:
                await http.get("/x")
        assert "canary" not in str(caught.value)


async def test_the_environment_does_not_choose_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving(web.json_response([])) as server, asking(server.url) as http:
        assert (await http.get("/x")).status == 200
