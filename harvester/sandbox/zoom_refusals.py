"""Zoom's error answers."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web


class RefusedError(Exception):
    """A request that is answered with an error: `{code, message}`, and field errors where the vendor has them."""

    def __init__(
        self, status: int, code: int, message: str, *, headers: Mapping[str, str] | None = None, field: str = ""
    ) -> None:
        super().__init__(message)
        self._status, self._code, self._message = status, code, message
        self._headers, self._field = headers, field

    def response(self) -> web.Response:
        body: dict[str, Any] = {"code": self._code, "message": self._message}
        if self._field:
            body["errors"] = [{"field": self._field, "message": "Invalid field."}]
        return json_response(msgspec.json.encode(body), status=self._status, headers=self._headers)


def json_response(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8", headers=headers)


def invalid_token(message: str = "Invalid access token.") -> RefusedError:
    return RefusedError(401, 124, message)


def no_meeting(name: str) -> RefusedError:
    return RefusedError(404, 3001, f"Meeting does not exist: {name}.")


def invalid_field(field: str) -> RefusedError:
    return RefusedError(400, 300, "Validation Failed.", field=field)


def dead_page() -> RefusedError:
    return RefusedError(400, 300, "The next page token is invalid or expired.")


def plan_too_small() -> RefusedError:
    return RefusedError(
        400, 200, "This API is only available for Business or higher accounts that have enabled the Dashboard feature."
    )


def paid_only() -> RefusedError:
    return RefusedError(400, 200, "Only available for paid users, the account is on a free plan.")


def missing_scope(scope: str) -> RefusedError:
    return RefusedError(400, 4711, f"Invalid access token, does not contain scopes:[{scope}].")
