"""GitHub's error answers."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

_DOCS = "https://docs.github.example/rest"
SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. "
    "If you reach out to GitHub Support for help, please include the request ID."
)

SSO = (
    "Resource protected by organization SAML enforcement. You must grant your Personal Access token access to this organization."
)


class RefusedError(Exception):
    """A request that is answered with an error: `{message, documentation_url, status}`."""

    def __init__(self, status: int, message: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})
        self._body = {"message": message, **more, "documentation_url": _DOCS, "status": str(status)}

    def response(self) -> web.Response:
        return json_response(self._body, status=self.status, headers=self.headers)


def json_response(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8", headers=headers)


def not_found() -> RefusedError:
    return RefusedError(404, "Not Found")


def moved(location: str) -> RefusedError:
    return RefusedError(301, "Moved Permanently", headers={"Location": location}, url=location)


def invalid(field: str, resource: str = "Search") -> RefusedError:
    return RefusedError(422, "Validation Failed", errors=[{"resource": resource, "field": field, "code": "invalid"}])


def sso_required(org: str) -> RefusedError:
    return RefusedError(403, SSO, headers={"x-github-sso": f"required; url=https://github.example/orgs/{org}/sso"})
