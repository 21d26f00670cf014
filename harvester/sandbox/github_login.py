"""Who asks: personal tokens, and tokens of an App's installation, which live an hour of the sandbox's clock."""

from hashlib import blake2b
from typing import NamedTuple

from aiohttp import web

from harvester.sandbox.clock import SandboxClock
from harvester.sandbox.github_app import claims_of, key_of
from harvester.sandbox.github_names import iso
from harvester.sandbox.github_people import Account, Team
from harvester.sandbox.github_refusals import RefusedError, json_response, not_found
from harvester.sandbox.github_settings import GitHubSandboxSettings
from harvester.sandbox.zoom_login import Seal

_LIFE = 3600
_JWT_LIFE = 600
_TOLERANCE = 60
"""Seconds that a client's clock may be ahead."""
_KIND = "ghs_"


class Caller(NamedTuple):
    token: str
    user: str
    """Whose limits count."""
    account: Account | None
    """None: an installation."""


class Logins:
    def __init__(self, settings: GitHubSandboxSettings, clock: SandboxClock, team: Team) -> None:
        self._seed = settings.seed
        self._clock = clock
        self._team = team
        self._seal = Seal(settings.seed)
        self._given = 0

    def check(self, request: web.Request, settings: GitHubSandboxSettings) -> Caller:
        """Raises RefusedError unless the request brings a good token."""
        token = _token(request)
        if not token:
            raise RefusedError(401, "Requires authentication")
        if token in settings.tokens:
            nth = list(settings.tokens).index(token)
            account = self._team.people[nth % len(self._team.people)]
            return Caller(token, str(account.id), account)
        sealed = self._seal.open(token.removeprefix(_KIND)) if token.startswith(_KIND) else None
        if sealed is None or sealed[0] != "installation" or int(sealed[1]) <= self._now():
            raise RefusedError(401, "Bad credentials")
        return Caller(token, f"installation {sealed[2]}", None)

    def grant(self, request: web.Request, settings: GitHubSandboxSettings, installation: int) -> web.Response:
        """POST /app/installations/{id}/access_tokens. Raises RefusedError."""
        claims = claims_of(_token(request), key_of(self._seed))
        if claims is None:
            raise RefusedError(401, "A JSON web token could not be decoded")
        self._check_claims(claims, settings)
        if installation != settings.installation_id:
            raise not_found()
        self._given += 1
        expiry = self._now() + _LIFE
        nonce = blake2b(f"{self._seed}{self._given}".encode(), digest_size=6).hexdigest()
        answer = {
            "token": _KIND + self._seal.close("installation", expiry, installation, nonce),
            "expires_at": iso(expiry),
            "permissions": dict.fromkeys(("metadata", "contents", "issues", "pull_requests"), "read"),
            "repository_selection": "all",
        }
        return json_response(answer, status=201)

    def _check_claims(self, claims: dict[str, object], settings: GitHubSandboxSettings) -> None:
        now, issued, expiry = self._now(), claims.get("iat"), claims.get("exp")
        if str(claims.get("iss")) != str(settings.app_id):
            raise RefusedError(404, "Integration not found")
        if not isinstance(expiry, int) or expiry <= now:
            raise RefusedError(401, "'Expiration time' claim ('exp') must be a numeric value representing the future time")
        if expiry > now + _JWT_LIFE + _TOLERANCE // 2:
            raise RefusedError(401, "'Expiration time' claim ('exp') is too far in the future")
        if not isinstance(issued, int) or issued > now + _TOLERANCE // 2:
            raise RefusedError(
                401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
            )

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() in {"bearer", "token"} else ""
