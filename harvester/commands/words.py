"""Amounts as people say them, and text of unknown origin as a terminal may have it."""

import sys


def amount_of(amount: int, one: str, many: str = "") -> str:
    """`1 gap`, `1,200 gaps`; `many` where an s is not enough."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def plain(text: str) -> str:
    """Text of unknown origin for a terminal: control characters shown, not obeyed."""
    keep = "\n" if sys.stdout.isatty() else "\n\t"
    return "".join(c if c in keep or c.isprintable() else c.encode("unicode_escape").decode() for c in text)
