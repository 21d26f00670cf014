"""Who we are at GitHub: personal tokens of different users, or the installation of an App. Nothing of it is ever written down."""

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import msgspec

from harvester.budget import Room
from harvester.errors import ConfigError, TransientError
from harvester.http import Answer, HttpClient, http_date, reread
from harvester.retry import UnusableError
from harvester.sources.github_limits import RESOURCES, Limits
from harvester.sources.github_settings import GithubSettings, tokens_of

_BACKDATED, _VALID = timedelta(seconds=60), timedelta(minutes=9)
"""GitHub takes ten minutes at most; its clock may be behind ours."""
_EARLY = timedelta(minutes=10)
"""A token of an hour is renewed so long before its end: whoever has it just now still finishes."""


class Login(Protocol):
    """What gives the token of one credential."""

    limits: Limits

    async def token(self, refused: str = "") -> str | None:
        """A token that is not `refused`; None: there is no other."""
        ...


class PersonalToken:
    """One token of the settings. When its file has another, that is taken after a refusal."""

    def __init__(self, settings: GithubSettings, index: int, limits: Callable[[str], Limits]) -> None:
        self._settings = settings
        self._index = index
        self._token = tokens_of(settings.token)[index]
        self.limits = limits(credential(settings.url, self._token))

    async def token(self, refused: str = "") -> str | None:
        if refused and refused == self._token:
            text = await asyncio.to_thread(reread, self._settings.token)
            again = [word.strip() for word in (text or "").split(",") if word.strip()]
            if len(again) <= self._index or again[self._index] == refused:
                return None
            self._token = again[self._index]
            if self.limits.sharing is not None:
                self.limits.sharing.key = credential(self._settings.url, self._token)
        return self._token


class _Minted(msgspec.Struct):
    token: str
    expires_at: str = ""


_minted = msgspec.json.Decoder(_Minted)


class Installation:
    """An App's installation: a token of an hour, made anew before it ends, and once when it is refused."""

    def __init__(self, settings: GithubSettings, http: HttpClient, api: HttpClient, limits: Limits) -> None:
        self._settings = settings
        self._http = http
        self._api = api
        self._key = _private_key(settings.app_key_file)
        self._token = ""
        self._until = datetime.min.replace(tzinfo=UTC)
        self._lock = asyncio.Lock()
        self.limits = limits

    async def token(self, refused: str = "") -> str | None:
        async with self._lock:
            if not self._token or self._token == refused or self._now() >= self._until:
                await self._mint()
            return self._token

    async def _mint(self) -> None:
        found: list[_Minted] = []

        def whole(answer: Answer, _: str) -> None:
            try:
                found.append(_minted.decode(answer.body))
            except (ValueError, RecursionError):
                # Not chained: the error could hold a part of the token.
                raise UnusableError("github: the answer is no token of an installation") from None

        now = self._now()
        claims = {
            "iat": int((now - _BACKDATED).timestamp()),
            "exp": int((now + _VALID).timestamp()),
            "iss": self._settings.app_id,
        }
        path = f"/app/installations/{self._settings.installation_id}/access_tokens"
        headers = {"Authorization": f"Bearer {signed(claims, self._key)}", "Content-Type": "application/json"}
        await self._http.post(path, b"{}", headers=headers, check=whole)
        self._token = found[-1].token
        ends = http_date(found[-1].expires_at) or self._now() + timedelta(hours=1)
        self._until = ends - _EARLY

    def _now(self) -> datetime:
        """By GitHub's clock; ours is used only while nothing has answered."""
        for client in (self._api, self._http):
            try:
                return client.clock.now()
            except TransientError:
                continue
        return datetime.now(UTC)


def credential(url: str, secret: str) -> str:
    """What a credential is called where processes share its budget: a digest, from which nobody gets it back."""
    return f"github-{blake2b(f'{url} {secret}'.encode(), digest_size=8).hexdigest()}"


def logins(settings: GithubSettings, http: HttpClient, api: HttpClient, limits: Callable[[str], Limits]) -> list[Login]:
    """Every credential of the settings, each with limits of its own, made by its name; an App gets its tokens by `http`.

    ConfigError: the key of the App cannot be read.
    """
    if settings.app_id:
        name = credential(settings.url, f"app {settings.app_id} {settings.installation_id}")
        return [Installation(settings, http, api, limits(name))]
    return [PersonalToken(settings, index, limits) for index in range(len(tokens_of(settings.token)))]


def rooms(logins: Sequence[Login]) -> Mapping[str, Room]:
    """What all of them together have spent, and may spend."""
    found: dict[str, Room] = {}
    for resource in RESOURCES:
        each = [one.limits.room(resource) for one in logins]
        wait = min((r.wait for r in each), default=0.0)
        found[resource] = Room(sum(r.spent for r in each), sum(r.left for r in each), sum(r.hourly for r in each), wait)
    return found


def signed(claims: dict[str, object], key: Any) -> str:
    """A JSON Web Token, RS256."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    parts = [msgspec.json.encode(part) for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    text = b".".join(map(_base64, parts))
    return (text + b"." + _base64(key.sign(text, PKCS1v15(), SHA256()))).decode()


def _base64(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def _private_key(path: str) -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError("HARVESTER_GITHUB_APP_ID needs a library: pip install 'event-harvester[github-app]'") from error
    try:
        key = load_pem_private_key(Path(path).read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no RSA key in PEM, or one with a passphrase"
        raise ConfigError(f"HARVESTER_GITHUB_APP_KEY_FILE: {path} cannot be used: {why}") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError(f"HARVESTER_GITHUB_APP_KEY_FILE: {path} holds no RSA key")
    return key
