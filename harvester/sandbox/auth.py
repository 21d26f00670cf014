"""Logins as Opencast's default security file has them: basic, or digest with `X-Requested-Auth: Digest` (RFC 7616, MD5)."""

import base64
import binascii
import hmac
import re
from hashlib import md5
from http import HTTPStatus

from aiohttp import web

from harvester.sandbox.clock import SandboxClock, milliseconds
from harvester.sandbox.settings import SandboxSettings

REALM = "Opencast Realm"
_PARAMETER = re.compile(r'\b(\w{1,64})\s{0,9}=\s{0,9}(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


class Guard:
    """Lets requests in, or says what to bring."""

    def __init__(self, settings: SandboxSettings, clock: SandboxClock) -> None:
        self._settings = settings
        self._clock = clock

    def refusal(self, request: web.Request) -> web.Response | None:
        """The answer to a request without a right login; None lets it in."""
        given = request.headers.get("Authorization", "")
        match self._settings.login:
            case "none":
                return None
            case "basic":
                return None if self._basic(given) else _refused(f'Basic realm="{REALM}"')
            case "digest":
                return self._digest(request, given)

    def _basic(self, given: str) -> bool:
        scheme, _, token = given.partition(" ")
        try:
            user = base64.b64decode(token, validate=True)
        except (ValueError, binascii.Error):
            return False
        right = f"{self._settings.user}:{self._settings.password}".encode()
        return scheme.lower() == "basic" and hmac.compare_digest(user, right)

    def _digest(self, request: web.Request, given: str) -> web.Response | None:
        scheme, _, rest = given.partition(" ")
        if scheme.lower() != "digest":
            # without this header Opencast sends people to its login page and offers no digest
            asked = request.headers.get("X-Requested-Auth", "").lower() == "digest"
            return _refused(self._challenge() if asked else None)
        sent = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)}
        if not self._ours(sent.get("nonce", "")):
            return _refused(self._challenge())
        if not self._answered(request, sent):
            return _refused(self._challenge())
        return _refused(self._challenge(stale=True)) if self._stale(sent["nonce"]) else None

    def _challenge(self, *, stale: bool = False) -> str:
        expiry = str(milliseconds(self._clock.now()) + self._settings.nonce_seconds * 1000)
        nonce = base64.b64encode(f"{expiry}:{self._signature(expiry)}".encode()).decode()
        return f'Digest realm="{REALM}", qop="auth", nonce="{nonce}"' + (', stale="true"' if stale else "")

    def _signature(self, expiry: str) -> str:
        return _md5(f"{expiry}:{self._settings.seed}")

    def _ours(self, nonce: str) -> bool:
        expiry, _, signature = _decoded(nonce).partition(":")
        return expiry.isdigit() and hmac.compare_digest(signature.encode(), self._signature(expiry).encode())

    def _stale(self, nonce: str) -> bool:
        return int(_decoded(nonce).partition(":")[0]) < milliseconds(self._clock.now())

    def _answered(self, request: web.Request, sent: dict[str, str]) -> bool:
        """Whether the response is the one for this method, address, user and password."""
        if sent.get("username") != self._settings.user or sent.get("uri") != request.raw_path:
            return False
        if sent.get("realm") != REALM or sent.get("qop") not in {"auth", None}:
            return False
        secret = _md5(f"{self._settings.user}:{REALM}:{self._settings.password}")
        call = _md5(f"{request.method}:{sent['uri']}")
        middle = [sent["nonce"]]
        if "qop" in sent:
            middle += [sent.get("nc", ""), sent.get("cnonce", ""), "auth"]
        right = _md5(":".join([secret, *middle, call]))
        return hmac.compare_digest(sent.get("response", "").encode(), right.encode())


def _refused(challenge: str | None) -> web.Response:
    headers = {"WWW-Authenticate": challenge} if challenge else {}
    return web.Response(status=HTTPStatus.UNAUTHORIZED, text="<h1>HTTP Status 401 – Unauthorized</h1>", headers=headers)


def _decoded(nonce: str) -> str:
    try:
        return base64.b64decode(nonce, validate=True).decode("ascii")
    except (ValueError, binascii.Error):
        return ""


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
