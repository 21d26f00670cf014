"""What GitHub's answers say, in either of their shapes: GraphQL (`createdAt`) and REST (`created_at`), see github.md §5.

What was not told is None, and never 0: half an answer does not look like a small pull request.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from consumers.records.jettison import MOST, instant
from consumers.records.jettison import text as clean
from harvester.errors import InvalidEventError
from harvester.event import Event

Node = dict[str, Any]

GHOST = "ghost"
"""Who GitHub shows in the place of a deleted account; its REST API gives it an id, that tells nobody."""
_TYPES = {"User": "User", "EnterpriseUserAccount": "User", "Bot": "Bot", "Mannequin": "Mannequin"}
_BOT = "[bot]"
_BOTS_ADDRESS = re.compile(r"(?P<id>[0-9]{1,20})\+(?P<login>[^@]{1,100}\[bot\])@users\.noreply\.[^@]{1,100}")
"""Which GitHub gives to every account, here to a bot's."""
_WEB = "web-flow"
"""The account that REST shows for commits made on GitHub's pages; GraphQL shows none, and both the name GitHub."""


class Account(NamedTuple):
    """Who did something. `type`: User, Bot, Mannequin (of an import) or Unknown (its account is gone); all None: not told."""

    login: str | None = None
    type: str | None = None
    id: int | None = None


class _Repository(msgspec.Struct, frozen=True):
    id: int
    name: str
    owner: str


class Data(msgspec.Struct, frozen=True):
    """What an event's data hold: where it is from, and one of the things."""

    host: str
    repository: _Repository
    number: Any = None
    sha: Any = None
    position: Any = None
    review_count: Any = None
    repository_detail: Node | None = None
    pull_request: Node | None = None
    commit: Node | None = None
    review: Node | None = None
    comment: Node | None = None

    def place(self, event: Event) -> dict[str, Any]:
        """The fields that every record of GitHub has."""
        return {
            "subject": clean(event.subject),
            "host": clean(self.host),
            "repository_id": self.repository.id,
            "repository": clean(self.repository.name),
            "organization": clean(self.repository.owner),
            "ingestion_timestamp": event.read_at,
        }


_decoder = msgspec.json.Decoder(Data)


def data_of(event: Event) -> Data:
    """The event's data. Raises InvalidEventError when they are none of GitHub's."""
    try:
        return _decoder.decode(event.data)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no event of GitHub: {error}") from error


def needed(node: Node | None, what: str) -> Node:
    """The node. Raises InvalidEventError when the event has none."""
    if node is None:
        raise InvalidEventError(f"the event holds no {what}")
    return node


def first(node: Node, *names: str) -> Any:
    """The value of the first of these fields that holds one."""
    return next((node[name] for name in names if node.get(name) is not None), None)


def inner(node: Node, name: str) -> Node:
    """A nested object; an empty one where there is none."""
    value = node.get(name)
    return value if isinstance(value, dict) else {}


def text(node: Node, *names: str) -> str | None:
    """A text without NUL; None for an empty one, which GraphQL has where REST has null."""
    value = first(node, *names)
    return (clean(value) or None) if isinstance(value, str) else None


def time(node: Node, *names: str) -> datetime | None:
    value = first(node, *names)
    return instant(value) if isinstance(value, str) else None


def flag(node: Node, *names: str) -> bool | None:
    value = first(node, *names)
    return value if isinstance(value, bool) else None


def count(node: Node, *names: str) -> int | None:
    """A number that is not negative, or the total of a GraphQL connection."""
    value = first(node, *names)
    if isinstance(value, dict):
        value = value.get("totalCount")
    return value if type(value) is int and 0 <= value <= MOST else None


def number(node: Node, *names: str) -> int | None:
    """An id: a number, also as text; a GraphQL node id is none."""
    for name in names:
        value = node.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            value = int(value)
        if type(value) is int and 0 <= value <= MOST:
            return value
    return None


def key(value: int | None, what: str) -> int:
    """Raises InvalidEventError for None: a record without it could not be told apart from others."""
    if value is None:
        raise InvalidEventError(f"the event holds no {what}")
    return value


def account(node: Node, *names: str) -> Account:
    """Who stands under the first of these names that the node has. None there is a deleted account, no such name is not told."""
    name = next((name for name in names if name in node), None)
    if name is None:
        return Account()
    who = node[name]
    login = text(who, "login") if isinstance(who, dict) else None
    if not isinstance(who, dict) or login in (None, GHOST):
        return Account(GHOST, "Unknown")
    type_ = _TYPES.get(str(who.get("__typename") or who.get("type")), "Unknown")
    if type_ == "Bot" and not str(login).endswith(_BOT):
        login = f"{login}{_BOT}"
    return Account(login, type_, number(who, "databaseId", "id"))


def linked(user: Any, name: str | None, email: str | None) -> Account:
    """Whose account an author of commits has: a login, else that of a bot's address, else only the name that git has.

    GraphQL links no bots. REST does so by this address.
    """
    if not isinstance(user, dict) or text(user, "login") is None:
        if bot := _BOTS_ADDRESS.fullmatch(email or ""):
            return Account(bot["login"], "Bot", number({"id": bot["id"]}, "id"))
        return Account(name, "Bot" if name and name.endswith(_BOT) else None)
    found = account({"user": {"type": "User", **user}}, "user")
    if found.login == _WEB or found.type == "Mannequin":  # GraphQL links neither
        return Account(name)
    return found._replace(type="Bot") if str(found.login).endswith(_BOT) else found


def labels(node: Node) -> list[str] | None:
    """The names of its labels, in their order."""
    value = node.get("labels")
    listed: Any = value.get("nodes") if isinstance(value, dict) else value
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        return None
    found = (text(one, "name") if isinstance(one, dict) else clean(one) for one in listed if isinstance(one, dict | str))
    return [name for name in found if name]
