"""What every store of letters keeps of an error."""

from harvester.redact import hidden

MAX_ERROR = 1024
"""Bytes."""


def short(error: str) -> str:
    """Without secrets, at most MAX_ERROR bytes of whole characters."""
    return hidden(error).encode(errors="replace")[:MAX_ERROR].decode(errors="ignore")
