"""Server-to-server OAuth: tokens for an hour of the sandbox's clock, and sealed texts that only the sandbox can have made."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256

import msgspec
from aiohttp import web

from harvester.sandbox.clock import SandboxClock, milliseconds
from harvester.sandbox.zoom_refusals import invalid_token, json_response
from harvester.sandbox.zoom_settings import TOKEN_SECONDS, ZoomSandboxSettings


class Seal:
    """Texts that carry numbers and words, and cannot be forged."""

    def __init__(self, seed: str) -> None:
        self._key = sha256(seed.encode()).digest()

    def close(self, *parts: int | str) -> str:
        body = msgspec.json.encode(parts)
        return base64.urlsafe_b64encode(self._signature(body) + body).decode().rstrip("=")

    def open(self, text: str) -> Sequence[int | str] | None:
        """What was sealed; None: we did not seal it."""
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (ValueError, binascii.Error):
            return None
        if not hmac.compare_digest(raw[:12], self._signature(raw[12:])):
            return None
        return msgspec.json.decode(raw[12:], type=list[int | str])

    def _signature(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:12]


class Tokens:
    """Gives access tokens out and looks at them. Several may be good at once."""

    def __init__(self, settings: ZoomSandboxSettings, clock: SandboxClock, seal: Seal) -> None:
        self._settings = settings
        self._clock = clock
        self._seal = seal
        self._given = 0
        self._revoked: set[str] = set()

    async def grant(self, request: web.Request) -> web.Response:
        """POST /oauth/token: Basic client_id:client_secret, grant_type and account_id as form or query."""
        given = {**request.query, **{name: str(value) for name, value in (await request.post()).items()}}
        right = f"{self._settings.client_id}:{self._settings.client_secret}"
        if not hmac.compare_digest(_basic(request).encode(), right.encode()):
            return _unlike("invalid_client", "Invalid client_id or client_secret")
        if given.get("grant_type") != "account_credentials":
            return _unlike("unsupported_grant_type", "unsupported grant type")
        if given.get("account_id") != self._settings.account_id:
            return _unlike("invalid_request", "Bad request")
        self._given += 1
        expiry = milliseconds(self._clock.now() + timedelta(seconds=TOKEN_SECONDS))
        answer = {
            "access_token": self._seal.close("access", expiry, self._given),
            "token_type": "bearer",
            "expires_in": TOKEN_SECONDS - self._given % 2,  # 3600 is documented, 3599 was seen
            "scope": "dashboard:read:list_meetings:admin report:read:list_users:admin",
            "api_url": f"{request.scheme}://{request.host}",
        }
        return json_response(msgspec.json.encode(answer))

    def check(self, request: web.Request) -> str:
        """The token of the request. Raises RefusedError unless it is good; one in the query is not looked at."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        sealed = self._seal.open(token) if scheme.lower() == "bearer" else None
        if sealed is None or sealed[0] != "access" or token in self._revoked:
            raise invalid_token()
        if int(sealed[1]) <= milliseconds(self._clock.now()):
            raise invalid_token("Access token is expired.")
        return token

    def revoke(self, token: str) -> None:
        self._revoked.add(token)


def _basic(request: web.Request) -> str:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    try:
        return base64.b64decode(text, validate=True).decode() if scheme.lower() == "basic" else ""
    except (ValueError, binascii.Error):
        return ""


def _unlike(error: str, reason: str) -> web.Response:
    return json_response(msgspec.json.encode({"reason": reason, "error": error}), status=400)
