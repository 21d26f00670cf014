"""What nobody may read: secrets, known by the name they stand under, by their value, and by their shape."""

import base64
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, quote_plus

HIDDEN = "***"
_SHORTEST = 4
"""Shorter values are no secrets, and hiding them would blot out half of every line."""
_NAME = re.compile(
    r"((^|[-_.\s])pass|passwd|password|passphrase|secret|token|credentials?|cookie|authorization|(api|private|access|secret)[-_.\s]?key)$",
    re.IGNORECASE,
)
_SHAPES = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s/@:]{0,255}:)[^\s/@]+(?=@)", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(\bauthorization['\"]?\s*[:=,]\s*['\"]?)[^'\"\r\n]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\b(Basic|Bearer)\s+(?=[^\s'\"]*[0-9=])[A-Za-z0-9+/=._~-]{8,}"), rf"\1 {HIDDEN}"),
    (
        re.compile(r"([?&][\w.-]*(?:token|secret|password|passwd|signature|sig|key)=)[^&\s#'\"]+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
)


def is_secret_name(name: str) -> bool:
    """Whether what stands under `name` (a key, a header, a variable) is hidden whatever it is."""
    return _NAME.search(name) is not None


class Redactor:
    """Hides known secrets, also URL-encoded, escaped or in base64, and what looks like a credential."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        known = frozenset(value for value in values if len(value) >= _SHORTEST)
        self._values = _one_of(known) if known else None

    def text(self, text: str) -> str:
        """`text` with everything hidden that nobody may read."""
        if self._values is not None:
            text = self._values.sub(HIDDEN, text)
        if _Process.learnt:
            text = _one_of(_Process.learnt).sub(HIDDEN, text)
        for shape, instead in _SHAPES:
            text = shape.sub(instead, text)
        return text


@lru_cache(maxsize=8)
def _one_of(values: frozenset[str]) -> re.Pattern[str]:
    """Any form of any of them; the longest first, for one may begin like another."""
    return re.compile(
        "|".join(map(re.escape, sorted({form for value in values for form in _forms(value)}, key=len, reverse=True)))
    )


def _forms(value: str) -> set[str]:
    raw = value.encode(errors="surrogateescape")
    return {
        value,
        quote(raw, safe=""),
        quote(raw),
        quote_plus(raw),
        repr(value)[1:-1],
        json.dumps(value)[1:-1],
        base64.b64encode(raw).decode(),
    }


class _Process:
    learnt: frozenset[str] = frozenset()
    redactor = Redactor()


def know(values: Iterable[str]) -> None:
    """The secrets of this process, for texts that are stored far from its settings."""
    _Process.learnt = frozenset()
    _Process.redactor = Redactor(values)


def learn(value: str) -> None:
    """One more secret, that came to light after the start: every redactor hides it, also those that are there already."""
    if len(value) >= _SHORTEST:
        _Process.learnt |= {value}


def hidden(text: str) -> str:
    """`text` without the secrets of this process and what looks like one."""
    return _Process.redactor.text(text)
