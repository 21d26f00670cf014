"""Screens: what came from outside, as a terminal may have it: a control character could forge lines, or take it over."""

import re
import sys

# JSON escapes the C0 controls; DEL and C1 (0x9B begins an escape sequence as ESC [ does) may stand in it as they are.
_CONTROLS = re.compile(b"\x7f|\xc2[\x80-\x9f]")


def plain(text: str) -> str:
    """Text of unknown origin: control characters shown, not obeyed."""
    keep = "\n" if sys.stdout.isatty() else "\n\t"
    return "".join(c if c in keep or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain_json(document: bytes) -> bytes:
    """The same JSON, with every control character escaped."""
    if b"\xc2" not in document and b"\x7f" not in document:
        return document
    return _CONTROLS.sub(lambda match: b"\\u00%02x" % match[0][-1], document)
