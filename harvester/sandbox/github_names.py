"""Times, ids and addresses as GitHub writes them. The hosts are made up: no address in an answer leads out of the sandbox."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime

from harvester.sandbox.github_threads import NEVER

API, WEB = "https://api.github.example", "https://github.example"

REPOSITORY, PULL, ISSUE, REVIEW, REMARK, COMMENT, COMMIT = "R", "PR", "I", "PRR", "PRRC", "IC", "C"
USER, BOT, MANNEQUIN, ORGANIZATION, LABEL = "U", "BOT", "MNQ", "O", "LA"


def iso(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_or_none(moment: int, now: int) -> str | None:
    return iso(moment) if moment <= now and moment < NEVER else None


def node_id(kind: str, *parts: int | str) -> str:
    """The global id; it goes on through renames, since no name is in it."""
    return f"{kind}_{urlsafe_b64encode('/'.join(map(str, parts)).encode()).decode().rstrip('=')}"


def fork_id(repository: int, owner: int) -> int:
    """The number of somebody's fork of a repository."""
    return repository * 100_000 + owner % 100_000


def parts_of(node: str) -> tuple[str, list[str]] | None:
    """What kind of node an id is of, and its parts; None: it is none of ours."""
    kind, _, text = node.partition("_")
    try:
        return kind, urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split("/")
    except ValueError:
        return None
