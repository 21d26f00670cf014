"""Scalars as Jettison leaves them: a text that looks like a number or a truth value arrives as one (opencast.md §3.1).

Each reader takes what may stand in the place of one schema type and gives that type back.
"""

import re
from datetime import UTC, datetime

from harvester.errors import InvalidEventError

Scalar = int | float | str | bool | None

UNKNOWN = frozenset({None, "", "None", "-omitted-"})
LEAST, MOST, _EXACT = -(2**63), 2**63 - 1, 2**53
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")


def text(value: Scalar) -> str | None:
    """The text it was before it was retyped. NUL, which no database takes, is dropped; None stays None."""
    if type(value) is not str:
        if value is None:
            return None
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value.replace("\0", "") if "\0" in value else value


def known(value: Scalar) -> str | None:
    """The text, or None for what stands for nobody: empty, `-omitted-` (hidden by the server), "None" (a missing user)."""
    found = value if type(value) is str and "\0" not in value else text(value)
    return None if found in UNKNOWN else found


def whole(value: Scalar, name: str) -> int:
    """A whole number of 64 bits. Raises InvalidEventError for everything else: nothing is rounded."""
    if type(value) is int and LEAST <= value <= MOST:
        return value
    number: int | None = value if type(value) is int else None
    if isinstance(value, str):
        number = int(value) if _WHOLE.fullmatch(value) else None
    elif isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        number = int(value)
    if number is None:
        raise InvalidEventError(f"{name} is no whole number: {value!r:.80}")
    if not LEAST <= number <= MOST:
        raise InvalidEventError(f"{name} does not fit 64 bits: {number!s:.80}")
    return number


def instant(value: Scalar) -> datetime | None:
    """An ISO time with its offset as aware UTC; None when it is none, or has no zone to be sure of."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    try:
        return moment.astimezone(UTC) if moment.tzinfo else None
    except OverflowError:  # year 1 or 9999 at the edge of the calendar
        return None
