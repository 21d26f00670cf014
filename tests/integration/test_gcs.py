"""Cloud Storage: who we are there, what its answers mean, and what is refused before anything is asked."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex

import pytest
import urllib3
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from yarl import URL

from harvester.access import Access
from harvester.errors import ConfigError, HarvesterError, PermanentError, TransientError
from harvester.google import _pool
from harvester.objects import gs, open_objects
from harvester.retry import reason_of
from harvester.settings import CoreSettings, load
from tests.services import Server

TOKEN = "ya29.canary"
Say = Callable[[web.Request], tuple[int, str]]


@asynccontextmanager
async def google(
    status: int = 200, text: str = "{}", *, say: Say | None = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """A service that gives tokens and answers everything else alike, or as `say` has it; what it was asked."""
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        if request.path == "/token":
            return web.json_response({"access_token": TOKEN, "expires_in": 3600})
        code, said = say(request) if say else (status, text)
        return web.Response(status=code, text=said, headers=headers, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


def key_file(folder: Path, token_uri: str) -> Access:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    about = {"type": "service_account", "client_email": "harvester@tests.example", "token_uri": token_uri}
    path = folder / "key.json"
    path.write_text(json.dumps({**about, "private_key": pem.decode(), "private_key_id": "1", "project_id": "tests"}))
    return Access(google_credentials=path)


async def test_b41_the_key_file_of_a_service_account_is_our_login_and_one_token_serves_all_requests(tmp_path: Path) -> None:
    async with google(text='{"kind": "storage#objects"}') as (url, asked):
        access = key_file(tmp_path, f"{url}/token")
        async with open_objects(f"gs://bucket/x?endpoint={url}", access) as objects:
            assert [name async for name in objects.names("")] == []
            assert [name async for name in objects.names("")] == []
    assert [request.path for request in asked] == ["/token", "/storage/v1/b/bucket/o", "/storage/v1/b/bucket/o"]
    assert {request.headers.get("Authorization") for request in asked[1:]} == {f"Bearer {TOKEN}"}


_LOGIN = """
from urllib3 import PoolManager
from google.auth.transport.urllib3 import Request
from harvester.access import NOBODY
from harvester.google import _credentials
found = _credentials(NOBODY, "gs", "https://www.googleapis.com/auth/devstorage.read_write")
found.refresh(Request(PoolManager()))
print(found.token)
"""


async def test_b41_without_a_key_file_the_account_that_the_platform_gives_is_our_login(tmp_path: Path) -> None:
    def platform(request: web.Request) -> tuple[int, str]:
        if request.path.endswith("/token"):
            return 200, json.dumps({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
        return 200, json.dumps({"email": "harvester@tests.example", "scopes": [], "aliases": ["default"]})

    async with google(say=platform, headers={"Metadata-Flavor": "Google"}) as (url, asked):
        host = url.removeprefix("http://")
        # The names by which the client of Google finds the metadata server; read once, at import.
        here = {"GCE_METADATA_HOST": host, "GCE_METADATA_ROOT": host, "GCE_METADATA_IP": host, "CLOUDSDK_CONFIG": str(tmp_path)}
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        run = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _LOGIN, env={**kept, **here}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await run.communicate()
    assert out.decode().strip() == TOKEN, err.decode()
    assert any(request.path.endswith("/service-accounts/default/token") for request in asked)


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (401, PermanentError, "HARVESTER_GOOGLE_CREDENTIALS"),
        (403, PermanentError, "storage.objects.create"),
        (404, ConfigError, "harvest setup"),
        (429, TransientError, "429"),
        (503, TransientError, "503"),
        (400, PermanentError, "because"),
    ],
)
async def test_b50_an_answer_says_what_to_do_next(status: int, error: type[HarvesterError], told: str) -> None:
    async with (
        google(status, '{"error": {"message": "because"}}', headers={"Retry-After": "7"}) as (url, _),
        open_objects(f"gs://bucket/x?endpoint={url}") as objects,
    ):
        with pytest.raises(error, match=told) as raised:
            await objects.put("a", b"1", replaces="")
    assert getattr(raised.value, "retry_after", 7) == 7
    assert (reason_of(raised.value) if isinstance(raised.value, TransientError) else None) == {
        429: "rate_limited",
        503: "outage",
    }.get(status)


@pytest.mark.parametrize("told", ["Sat, 28 Nov 2026 12:00:30 GMT", "30.0", "2026-11-28T12:00:30Z"])
async def test_whenever_to_come_again_is_understood_in_every_form(told: str) -> None:
    headers = {"Retry-After": told, "Date": "Sat, 28 Nov 2026 12:00:00 GMT"}
    async with google(503, headers=headers) as (url, _), open_objects(f"gs://bucket/x?endpoint={url}") as objects:
        with pytest.raises(TransientError) as raised:
            await anext(aiter(objects.names("")))
    assert raised.value.retry_after == 30


async def test_tokens_are_asked_for_through_the_proxy_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with google(text='{"kind": "storage#objects"}') as (url, asked):
        monkeypatch.setenv("http_proxy", url.replace("://", "://me:secret@"))
        monkeypatch.setenv("no_proxy", "direct.example")
        access = key_file(tmp_path, "http://tokens.example/token")
        async with open_objects(f"gs://bucket/x?endpoint={url}", access) as objects:
            assert [name async for name in objects.names("")] == []
    assert asked[0].raw_path == "http://tokens.example/token"
    assert asked[0].headers["Proxy-Authorization"] == "Basic bWU6c2VjcmV0"  # me:secret
    assert asked[0].headers["Host"] == "tokens.example"


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://tokens.example/x", True),
        ("http://direct.example/x", False),
        ("http://127.0.0.1:1/x", False),
        ("http://metadata.google.internal/x", False),
        ("https://oauth2.googleapis.com/token", False),
    ],
)
def test_only_what_is_behind_the_proxy_is_asked_through_it(url: str, proxy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "127.0.0.1:3128")
    monkeypatch.setenv("no_proxy", "direct.example")
    assert isinstance(_pool(URL(url)), urllib3.ProxyManager) is proxy


async def test_b50_setup_needs_no_more_than_the_right_to_list_where_the_bucket_is_there() -> None:
    """Storage Object Admin may not look at a bucket, only into it."""

    def objects_alone(request: web.Request) -> tuple[int, str]:
        return (200, '{"kind": "storage#objects"}') if request.path.endswith("/b/bucket/o") else (403, "{}")

    async with google(say=objects_alone) as (url, _):
        assert await gs.prepare(f"gs://bucket/x?endpoint={url}&project=tests") == []
        async with gs.opened(gs.place_of(f"gs://bucket/x?endpoint={url}"), Access()) as objects:
            assert await objects.location() == ""  # not known, and no fault
    async with google(403) as (url, _):
        with pytest.raises(PermanentError, match=r"storage\.objects\.list"):
            await gs.prepare(f"gs://bucket/x?endpoint={url}&project=tests")


async def test_b50_each_act_that_is_refused_names_the_permission_it_takes() -> None:
    async with google(403) as (url, _), open_objects(f"gs://bucket/x?endpoint={url}") as objects:
        with pytest.raises(PermanentError, match=r"storage\.objects\.get"):
            await objects.get("a")
        with pytest.raises(PermanentError, match=r"storage\.objects\.delete"):
            await objects.delete(["a", "b"])
        with pytest.raises(PermanentError, match=r"storage\.objects\.list"):
            await anext(aiter(objects.names("")))


async def test_nobody_there_is_transient_and_another_kind_of_server_is_not() -> None:
    async with open_objects("gs://bucket/x?endpoint=http://127.0.0.1:1") as objects:
        with pytest.raises(TransientError):
            await objects.get("a")
    async with google(text="<html>") as (url, _), open_objects(f"gs://bucket/x?endpoint={url}") as objects:
        for asked in (objects.get("a"), objects.put("a", b"")):
            with pytest.raises(PermanentError, match="no Cloud Storage"):
                await asked


async def test_b49_the_bucket_is_made_when_it_is_absent_and_only_then(gcs: Server) -> None:
    name = f"made-{token_hex(6)}"
    place = f"gs://{name}/x?endpoint={gcs.url}"
    async with open_objects(place) as objects:
        with pytest.raises(ConfigError, match="harvest setup"):
            await objects.get("a")
        with pytest.raises(ConfigError, match="harvest setup"):
            await objects.put("a", b"")
    with pytest.raises(ConfigError, match="project="):
        await gs.prepare(place)
    assert await gs.prepare(f"{place}&project=tests&location=EU") == [f"bucket {name}: created"]
    assert await gs.prepare(place) == []
    async with open_objects(place) as objects:
        assert await objects.get("a") is None


async def test_s12_a_token_never_goes_to_another_host_without_tls(tmp_path: Path) -> None:
    access = key_file(tmp_path, "http://127.0.0.1:1/token")
    with pytest.raises(ConfigError, match="without TLS"):
        async with open_objects("gs://bucket/x?endpoint=http://192.0.2.1", access):
            pass


@pytest.mark.parametrize("text", [None, "", "{}", '{"type": "service_account"}'])
async def test_a_file_that_is_no_key_is_told_before_anything_is_asked(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "key.json").write_text(text)
    with pytest.raises(ConfigError, match="HARVESTER_GOOGLE_CREDENTIALS"):
        async with open_objects("gs://bucket/x", Access(google_credentials=tmp_path / "key.json")):
            pass


def test_b50_the_page_of_the_archive_names_every_permission() -> None:
    page = (Path(__file__).parents[2] / "docs/GCS_PERSISTENCE.md").read_text()
    driver = (Path(__file__).parents[2] / "harvester/objects/gs.py").read_text()
    asked = {*re.findall(r"storage\.(?:objects|buckets)\.[a-z]+", driver)}
    assert len(asked) >= 5
    assert asked <= {*re.findall(r"storage\.(?:objects|buckets)\.[a-z]+", page)}


def test_b41_googles_own_name_of_the_key_file_is_understood_and_ours_goes_before_it(tmp_path: Path) -> None:
    theirs, ours = {"GOOGLE_APPLICATION_CREDENTIALS": "/a.json"}, {"HARVESTER_GOOGLE_CREDENTIALS": "/b.json"}
    for given, path in ((theirs, "/a.json"), (ours, "/b.json"), (theirs | ours, "/b.json")):
        loaded = load(CoreSettings, environ=given, cwd=tmp_path)
        assert (str(loaded.get(CoreSettings).google_credentials), loaded.warnings) == (path, ())
