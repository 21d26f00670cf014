"""S06: a secret that was changed in its file is used without a restart: it is read again after a 401, once for all."""

import asyncio
import base64
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from consumers.sinks.elasticsearch_cluster import open_cluster
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from harvester import redact, rotation
from harvester.errors import PermanentError
from harvester.http import HttpClient, StatusError, open_http
from harvester.layers import read_value
from harvester.redact import Redactor
from harvester.settings import load
from harvester.sources.opencast_settings import OpencastSettings, http_settings
from tests.unit.test_http_digest import Opencast
from tests.unit.webserver import Server, serving


class Door:
    """Lets in who brings the password that holds now."""

    def __init__(self, password: str) -> None:
        self.password = password

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        right = base64.b64encode(f"harvest:{self.password}".encode()).decode()
        good = request.headers.get("Authorization") == f"Basic {right}"
        headers = {"X-Elastic-Product": "Elasticsearch", "Content-Type": "application/json"}
        return web.Response(status=200 if good else 401, body=b"[1]" if good else b"{}", headers=headers)


class Reads:
    """Counts how often a file of a secret was read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(rotation, "read_value", self._read)

    def _read(self, path: Path, *, secret: bool) -> str:
        self.count += 1
        return read_value(path, secret=secret)


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text("before\n")
    return path


def write(path: Path, text: str) -> None:
    path.write_text(text)


def settings(url: object, password: Path, login: str = "basic") -> OpencastSettings:
    given = {"URL": str(url), "USER": "harvest", "PASSWORD_FILE": str(password), "LOGIN": login}
    environ = {f"HARVESTER_OPENCAST_{name}": value for name, value in given.items()}
    return load(OpencastSettings, environ=environ, cwd=password.parent).get(OpencastSettings)


def opened(server: Server, password: Path, login: str = "basic") -> AbstractAsyncContextManager[HttpClient]:
    return open_http(http_settings(settings(server.url, password, login)))


async def all_at_once(http: HttpClient, amount: int = 20) -> list[bytes]:
    return [answer.body for answer in await asyncio.gather(*[http.get("/x", n=n) for n in range(amount)])]


async def test_s06_f41_a_changed_file_is_read_once_for_twenty_that_are_refused(
    password: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door("before")
    async with serving(door) as server, opened(server, password) as http:
        reads = Reads(monkeypatch)
        assert await all_at_once(http) == [b"[1]"] * 20
        write(password, "after\n")
        assert await all_at_once(http) == [b"[1]"] * 20, "what still holds is used on"
        assert reads.count == 0
        door.password = "after"
        assert await all_at_once(http) == [b"[1]"] * 20
        assert reads.count == 1
        sent = len(server.seen)
        assert await all_at_once(http) == [b"[1]"] * 20
        assert len(server.seen) == sent + 20, "the new one is kept"


async def test_s06_a_refused_password_is_not_sent_again_while_its_file_says_the_same(password: Path) -> None:
    async with serving(Door("other")) as server, opened(server, password) as http:
        for asked in (1, 2):
            with pytest.raises(StatusError, match="401"):
                await http.get("/x")
            assert len(server.seen) == asked


async def test_s06_a_new_password_that_is_refused_too_is_tried_once(password: Path) -> None:
    async with serving(Door("other")) as server, opened(server, password) as http:
        write(password, "also wrong\n")
        with pytest.raises(StatusError, match="401"):
            await http.get("/x")
        assert len(server.seen) == 2


async def test_s06_a_digest_login_is_renewed_too(password: Path) -> None:
    write(password, "old")
    async with serving(Opencast()) as server, opened(server, password, "digest") as http:
        with pytest.raises(StatusError, match="401"):
            await http.get("/x")
        write(password, "secret")
        await http.get("/x")
        assert await all_at_once(http) == [b"[1]"] * 20


def spoil(fault: str, path: Path) -> None:
    path.write_text("" if fault == "empty" else "after")
    if fault == "gone":
        path.unlink()
    elif fault == "readable by everyone":
        path.chmod(0o644)


@pytest.mark.parametrize("fault", ["gone", "empty", "readable by everyone"])
async def test_s06_a_file_that_cannot_serve_leaves_the_401_and_is_told(fault: str, password: Path) -> None:
    async with serving(Door("after")) as server, opened(server, password) as http:
        spoil(fault, password)
        with capture_logs() as logged, pytest.raises(StatusError, match="401"):
            await http.get("/x")
        assert len(server.seen) == 1
    assert ["cannot be read again" in line["event"] for line in logged] == [True]


async def test_s06_what_was_mounted_under_run_secrets_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: Path
) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    monkeypatch.setattr("harvester.layers.RUN_SECRETS", mounted)
    write(mounted / "harvester_opencast_password", "before")
    door = Door("before")
    async with serving(door) as server:
        environ = {
            "HARVESTER_OPENCAST_URL": str(server.url),
            "HARVESTER_OPENCAST_USER": "harvest",
            "HARVESTER_OPENCAST_LOGIN": "basic",
        }
        found = load(OpencastSettings, environ=environ, cwd=tmp_path).get(OpencastSettings)
        async with open_http(http_settings(found)) as http:
            await http.get("/x")
            write(mounted / "harvester_opencast_password", "after")
            door.password = "after"
            assert (await http.get("/x")).body == b"[1]"


async def test_s06_elasticsearch_is_written_on_with_the_new_password(password: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door("before")
    async with serving(door) as server:
        given = {"URL": str(server.url), "USER": "harvest", "PASSWORD_FILE": str(password)}
        environ = {f"HARVESTER_ELASTICSEARCH_{name}": value for name, value in given.items()}
        found = load(ElasticsearchSettings, environ=environ, cwd=password.parent).get(ElasticsearchSettings)
        reads = Reads(monkeypatch)
        async with open_cluster(found) as cluster:
            assert await cluster.request("GET", "/x") == b"[1]"
            write(password, "after")
            door.password = "after"
            assert await asyncio.gather(*[cluster.request("POST", "/_bulk", b"{}") for _ in range(8)]) == [b"[1]"] * 8
            assert reads.count == 1
            door.password = "nobody knows"
            with pytest.raises(PermanentError, match="401"):
                await cluster.request("GET", "/x")


def test_s06_what_was_read_again_is_hidden_by_redactors_that_were_there_before(password: Path) -> None:
    before = Redactor(["before"])
    secret = settings("https://opencast.example.org", password).password
    write(password, "c4nary-after")
    assert rotation.reread(secret) == "c4nary-after"
    try:
        assert before.text("it was before, now c4nary-after") == "it was ***, now ***"
        assert redact.hidden("now c4nary-after") == "now ***"
    finally:
        redact.know([])


def test_s06_a_secret_that_stands_in_no_file_is_not_read_again(tmp_path: Path) -> None:
    environ = {"URL": "https://o.example.org", "USER": "u", "PASSWORD": "from the environment"}
    found = load(OpencastSettings, environ={f"HARVESTER_OPENCAST_{n}": v for n, v in environ.items()}, cwd=tmp_path)
    assert rotation.reread(found.get(OpencastSettings).password) is None
