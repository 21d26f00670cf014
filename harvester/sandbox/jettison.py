"""JSON as Jettison makes it from XML (jettison-json/jettison: mapped/DefaultConverter.java): text is retyped by its look."""

import re

import msgspec

Scalar = str | int | float | bool

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,8})\.[0-9]{0,6}[1-9]")


def retyped(text: str) -> Scalar:
    """The scalar that Jettison takes `text` for; leading zeros and too many digits stay text."""
    if _WHOLE.fullmatch(text) and text != "-0":
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if text in {"true", "false"}:
        return text == "true"
    return text


def encoded(value: Scalar) -> bytes:
    """The value in an answer; a slash is escaped, as Jettison long did."""
    return msgspec.json.encode(value).replace(b"/", rb"\/")


def one_or_many(hits: list[object]) -> dict[str, object]:
    """{} for none, the object for one, the list for many: what XML cannot tell apart."""
    if not hits:
        return {}
    return {"result": hits[0] if len(hits) == 1 else hits}
