"""What a URL of SQS names: `sqs://eu-west-1/events?groups=duckdb,elasticsearch`."""

import re
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import msgspec

from harvester.errors import ConfigError
from harvester.queues.sqs_pack import LARGEST
from harvester.url import Url, parse

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What a group may be called here: it is a part of the name of its SQS queue."""


class SqsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL can say; sizes in bytes or with their unit."""

    endpoint: str = ""
    """Where the service is; empty: as set for AWS."""
    groups: str = ""
    """A comma list: every group there is."""
    pack: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """Most events in one SQS message; 1: each is a message by itself, its body the envelope."""
    pack_bytes: Annotated[int, msgspec.Meta(ge=1 << 10, le=LARGEST)] = 240 << 10
    """Most bytes of a pack, unless one event takes more."""
    max_message: Annotated[int, msgspec.Meta(ge=1)] = LARGEST
    """Larger bodies are compressed, then claimed, then refused."""
    visibility: Annotated[int, msgspec.Meta(ge=1, le=43200)] = 60
    """Seconds until others see a pack whose member died."""


class Place(NamedTuple):
    """What a URL names. `queues`: group → name of its SQS queue; the group "" is whichever comes first."""

    url: Url
    options: SqsOptions
    region: str
    queues: Mapping[str, str]


def place_of(url: str) -> Place:
    """ConfigError: no name in it, a login in it, a FIFO queue, or an unknown option."""
    parsed = parse(url)
    options = parsed.options(SqsOptions)
    name = parsed.path.strip("/")
    if "@" in parsed.host:
        raise ConfigError(f"{parsed.text}: no login may stand here: set HARVESTER_AWS_ACCESS_KEY_ID and …_SECRET_ACCESS_KEY")
    if name.endswith(".fifo"):
        raise ConfigError(
            f"{parsed.text}: a FIFO queue orders messages of one key, but a pack has many keys, and no sink needs their order: "
            f"name a standard queue"
        )
    groups = [group.strip() for group in options.groups.split(",") if group.strip()]
    queues = {group: f"{name}-{group}" for group in groups} or {"": name}
    faults = [f"{parsed.text}: {group!r} is no group: letters, digits, - and _" for group in groups if not GROUP.fullmatch(group)]
    faults += [f"{parsed.text}: {one!r} is no name of an SQS queue: letters, digits, - and _, 80 at most"
               for one in queues.values() if not _NAME.fullmatch(one)]  # fmt: skip
    if faults:
        raise ConfigError(*faults, "write sqs://eu-west-1/events?groups=duckdb,elasticsearch")
    return Place(parsed, options, parsed.host, queues)
