"""Screens: what came from outside, as a terminal may have it. A control character could forge lines, retitle or rewrite it."""

import re
import sys

_UNSEEN = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xaa-\xae]|\xe2\x81[\xa6-\xa9]")
"""In UTF-8: DEL, the controls that terminals also take for escape sequences, and what turns the direction of writing."""


def plain(text: str) -> str:
    """Text of unknown origin: control characters shown, not obeyed."""
    keep = "\n" if sys.stdout.isatty() else "\n\t"
    return "".join(c if c in keep or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain_json(document: bytes) -> bytes:
    """The same JSON, with everything escaped that a terminal might obey. JSON itself escapes only what is below the blank."""
    return _UNSEEN.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), document)
