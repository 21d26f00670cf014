"""Pages of a composite aggregation of the name `found`. Imports no client: exports from other stores read without the extra."""

from typing import Any

import msgspec


class Buckets(msgspec.Struct, frozen=True):
    """One page, and where the next begins; None: there is none."""

    buckets: list[dict[str, Any]] = []
    after_key: dict[str, Any] | None = None


class Aggregations(msgspec.Struct, frozen=True):
    """What was asked for; nothing where no index matches."""

    found: Buckets = Buckets()


class Answer(msgspec.Struct, frozen=True):
    """An answer of `_search`. `pit_id` where a point in time was read: the next request names this one."""

    aggregations: Aggregations = Aggregations()
    pit_id: str = ""
