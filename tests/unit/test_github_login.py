"""GitHub's login, scopes and settings: what is missing is named, and no secret goes where it should not."""

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError
from yarl import URL

from harvester.errors import ConfigError, HarvesterError, PermanentError
from harvester.sources.github_settings import graphql_url, host_of, http_settings
from tests.github_organisation import (
    NOW,
    TOKEN,
    Organisation,
    Pull,
    Repo,
    at,
    numbers,
    read,
    refusal,
    served,
    settings,
    stream_of,
)

KEY = rsa.generate_private_key(65537, 2048)


def one_pull() -> Organisation:
    return Organisation([Repo(pulls=[Pull(1, at(5))])])


async def refused(organisation: Organisation, **switches: Any) -> str:
    async with served(organisation, **switches) as source:
        with pytest.raises(PermanentError) as raised:
            await source.streams()
    assert TOKEN not in f"{raised.value!r}{raised.value.__cause__!r}"
    return str(raised.value)


# --- settings


def test_b30_b31_token_and_organisation_are_needed_and_have_their_old_names() -> None:
    given = {"GITHUB_TOKEN": "t", "GITHUB_ORG": "acme, other", "MAX_WORKERS": "3", "DEFAULT_LOOKBACK_DAYS": "30"}
    found = type(settings()).model_validate(given)
    assert (found.org, found.max_workers, found.timing.reach) == (("acme", "other"), 3, timedelta(days=30))
    for name in ("GITHUB_TOKEN", "GITHUB_ORG"):
        with pytest.raises(ValidationError):
            type(settings()).model_validate({key: value for key, value in given.items() if key != name})


def test_b38_b40_workers_and_the_first_collection_have_their_defaults() -> None:
    assert (settings().max_workers, settings().timing.reach) == (10, timedelta(days=180))


@pytest.mark.parametrize("token", ["a\nb", "ä"])
def test_what_is_no_token_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ValidationError) as raised:
        settings(token=token)
    assert token not in str(raised.value)


@pytest.mark.parametrize(("url", "graphql", "host"), [
    ("https://api.github.com", "https://api.github.com/graphql", "github.com"),
    ("https://github.example.edu/api/v3", "https://github.example.edu/api/graphql", "github.example.edu"),
    ("http://127.0.0.1:8080", "http://127.0.0.1:8080/graphql", "127.0.0.1"),
])  # fmt: skip
def test_graphql_is_beside_the_api(url: str, graphql: str, host: str) -> None:
    assert (graphql_url(URL(url)), host_of(URL(url))) == (graphql, host)


def test_a_token_goes_over_plain_http_to_loopback_alone() -> None:
    with pytest.raises(ConfigError, match="HARVESTER_GITHUB_ALLOW_PLAIN_HTTP"):
        http_settings(settings("http://github.example.edu"))


# --- what is refused


async def test_a_token_that_is_refused_names_the_setting() -> None:
    organisation = one_pull()
    organisation.reply = lambda *_: refusal(401, f"Bad credentials {TOKEN}")
    assert "HARVESTER_GITHUB_TOKEN" in await refused(organisation)
    assert len(organisation.calls) == 1


async def test_of_several_tokens_one_that_is_refused_is_left_and_the_others_go_on() -> None:
    organisation = one_pull()
    organisation.reply = lambda r, _: refusal(401, "Bad credentials") if "old" in r.headers["Authorization"] else None
    async with served(organisation, token="old,new") as source:
        assert numbers(await read(await stream_of(source))) == [1]
    assert organisation.tokens.count("old") == 1


@pytest.mark.parametrize(("status", "headers", "named"), [
    (404, {"X_OAuth_Scopes": "gist"}, "lacks the scope repo, read:org"),
    (404, {"X_OAuth_Scopes": "repo"}, "lacks the scope read:org"),
    (404, {"X_OAuth_Scopes": "repo, admin:org"}, "needs the scopes repo and read:org"),
    (403, {"X_Accepted_GitHub_Permissions": "pull_requests=read"}, "needs the permission pull_requests=read"),
    (403, {"X_GitHub_SSO": "required; url=https://github.com/orgs/acme/sso?x=1"}, "https://github.com/orgs/acme/sso"),
    (403, {}, "a fine-grained one, or an App, needs read access to metadata, pull requests, issues and contents"),
])  # fmt: skip
async def test_b42_a_scope_or_permission_that_is_missing_is_named(status: int, headers: dict[str, str], named: str) -> None:
    organisation = one_pull()
    async with served(organisation) as source:
        stream = await stream_of(source)
        organisation.reply = lambda *_: refusal(status, "Resource not accessible", **headers)
        with pytest.raises(PermanentError, match=named):
            await read(stream)


async def test_b42_an_organisation_that_the_token_may_not_see_is_told_with_the_scope() -> None:
    organisation = one_pull()
    organisation.reply = lambda *_: refusal(404, "Not Found", X_OAuth_Scopes="repo")
    assert "lacks the scope read:org" in await refused(organisation)
    organisation.reply = lambda *_: refusal(404, "Not Found")
    assert "check HARVESTER_GITHUB_ORG" in await refused(organisation)


async def test_b66_a_403_without_any_mark_of_a_limit_is_a_permission_and_asked_once() -> None:
    organisation = one_pull()
    organisation.reply = lambda *_: refusal(403, "Must have push access to repository", X_RateLimit_Remaining="4000")
    assert "403" in await refused(organisation)
    assert len(organisation.calls) == 1


async def test_single_sign_on_that_blocks_one_repository_is_told_by_graphql_too() -> None:
    organisation = one_pull()
    error = {"type": "FORBIDDEN", "path": ["node"], "extensions": {"saml_failure": True}}
    told = {"data": {"node": None}, "errors": [{**error, "message": "Resource protected by organization SAML enforcement."}]}
    async with served(organisation, mode="graphql") as source:
        stream = await stream_of(source)
        organisation.reply = lambda _, body: web.json_response(told) if "pullRequest" in body else None
        with pytest.raises(PermanentError, match="single sign-on"):
            await read(stream)


async def test_no_token_stands_in_any_error_or_path() -> None:
    organisation = one_pull()
    organisation.reply = lambda r, _: refusal(500, f"{TOKEN}") if r.path.endswith("/issues") else None
    async with served(organisation) as source:
        with pytest.raises(HarvesterError) as raised:
            await read(await stream_of(source))
    assert TOKEN not in f"{raised.value!r}"
    assert not [call for call in organisation.calls if TOKEN in call]


# --- an App


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    path = tmp_path / "app.pem"
    path.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return str(path)


def app(organisation: Organisation, minted: list[dict[str, object]], ends: timedelta = timedelta(hours=1)) -> None:
    """Mint installation tokens for who signs with the key."""

    def reply(request: web.BaseRequest, _: str) -> web.Response | None:
        if request.path != "/app/installations/7/access_tokens":
            return None
        head, claims, signature = request.headers["Authorization"].removeprefix("Bearer ").split(".")
        KEY.public_key().verify(_decoded(signature), f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
        minted.append(json.loads(_decoded(claims)))
        return web.json_response({"token": f"ghs_{len(minted)}", "expires_at": f"{organisation.now + ends:%Y-%m-%dT%H:%M:%SZ}"})

    organisation.reply = reply


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def test_an_app_signs_for_a_token_of_an_hour_and_renews_it_before_its_end(key_file: str) -> None:
    organisation, minted = one_pull(), list[dict[str, object]]()
    app(organisation, minted)
    login: dict[str, Any] = {"token": "", "app_id": "99", "app_key_file": key_file, "installation_id": "7"}
    async with served(organisation, **login) as source:
        await source.streams()
        organisation.now = NOW + timedelta(minutes=51)
        await source.streams()
        assert numbers(await read(await stream_of(source))) == [1]
    assert len(minted) == 2
    claims = minted[1]
    assert claims["iss"] == "99"
    assert int(str(claims["exp"])) - int(str(claims["iat"])) <= 600
    assert int(str(claims["iat"])) <= organisation.now.timestamp() - 50
    assert "ghs_2" in organisation.tokens


async def test_an_app_whose_token_is_refused_gets_another_once(key_file: str) -> None:
    organisation, minted = one_pull(), list[dict[str, object]]()
    app(organisation, minted)
    mint = organisation.reply
    organisation.reply = lambda r, body: (
        refusal(401, "Bad credentials") if r.headers["Authorization"] == "Bearer ghs_1" else mint(r, body)
    )
    login: dict[str, Any] = {"token": "", "app_id": "99", "app_key_file": key_file, "installation_id": "7"}
    async with served(organisation, **login) as source:
        assert len(await source.streams()) == 5
    organisation.reply = lambda r, body: refusal(401, "no") if "ghs" in r.headers["Authorization"] else mint(r, body)
    assert "401" in await refused(organisation, **login)
    assert len(minted) == 4


@pytest.mark.parametrize("content", [b"", b"-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----\n"])
async def test_a_key_that_cannot_be_used_is_named_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "app.pem"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="HARVESTER_GITHUB_APP_KEY_FILE"):
        async with served(one_pull(), token="", app_id="1", app_key_file=str(path), installation_id="7"):
            pass


def test_a_login_of_an_app_that_is_not_whole_is_told() -> None:
    with pytest.raises(ValidationError, match="HARVESTER_GITHUB_INSTALLATION_ID"):
        settings(token="", app_id="1", app_key_file="x")
