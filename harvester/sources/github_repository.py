"""A repository: what it is called now, and the ids that stay."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from harvester.errors import InvalidEventError

From = Literal["graphql", "rest"]


@dataclass
class Repository:
    """A repository as it is called now; its ids stay when that changes."""

    id: int
    node: str
    owner: str
    name: str
    created_at: str = ""
    has_pulls: bool = True

    @property
    def path(self) -> str:
        """Where the API has it."""
        return f"/repos/{self.owner}/{self.name}"

    def head(self, host: str, listed: From) -> bytes:
        """How the data of each of its events begins."""
        told = {"id": self.id, "name": self.name, "owner": self.owner}
        return b'{"from":"%b","host":%b,"repository":%b' % (listed.encode(), _json.encode(host), _json.encode(told))


class _Owner(msgspec.Struct):
    login: str


class _Listed(msgspec.Struct):
    id: int
    node_id: str
    name: str
    owner: _Owner
    created_at: str | None = None
    has_pull_requests: bool | None = None


_listed = msgspec.json.Decoder(_Listed)
_json = msgspec.json.Encoder()


def repository_of(row: bytes) -> Repository:
    """A repository of the organisation's list. Raises InvalidEventError."""
    try:
        found = _listed.decode(row)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no repository: {error}") from error
    pulls = found.has_pull_requests is not False
    return Repository(found.id, found.node_id, found.owner.login, found.name, found.created_at or "", pulls)
