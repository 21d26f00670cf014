"""What a query in KQL asks of which field, as far as our own queries go: `and`, `or`, `not`, brackets, `:`, comparisons."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(r'\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<sign><=|>=|<|>|:|\(|\))|(?P<word>[^\s()":<>]+))')
_JOINS = ("and", "or")


class Asked(NamedTuple):
    """A field, how it is compared (`:` or a comparison), and with what; `*` asks for any value."""

    field: str
    sign: str
    values: tuple[str, ...]


class _Tokens:
    def __init__(self, query: str) -> None:
        self._query = query
        self._found = list(self._split())

    def _split(self) -> Iterator[str]:
        at, end = 0, len(self._query.rstrip())
        while at < end:
            match = _TOKEN.match(self._query, at)
            if match is None:
                raise ValueError(f"no KQL at {self._query[at : at + 20]!r}")
            yield match[match.lastgroup or 0]
            at = match.end()

    def next(self) -> str:
        return self._found[0].lower() if self._found else ""

    def take(self) -> str:
        if not self._found:
            raise ValueError(f"the query ends too early: {self._query!r}")
        return self._found.pop(0)

    def expect(self, sign: str) -> None:
        if self.next() != sign:
            raise ValueError(f"{sign!r} is missing in {self._query!r}")
        self._found.pop(0)


def asked(query: str) -> list[Asked]:
    """Everything that the query asks, from left to right. Raises ValueError for what is no such query."""
    tokens = _Tokens(query)
    if not tokens.next():
        return []
    found = _any(tokens)
    if tokens.next():
        raise ValueError(f"{tokens.next()!r} is too much in {query!r}")
    return found


def _any(tokens: _Tokens) -> list[Asked]:
    found = _one(tokens)
    while tokens.next() in _JOINS:
        tokens.take()
        found += _one(tokens)
    return found


def _one(tokens: _Tokens) -> list[Asked]:
    if tokens.next() == "not":
        tokens.take()
        return _one(tokens)
    if tokens.next() == "(":
        tokens.take()
        found = _any(tokens)
        tokens.expect(")")
        return found
    field, sign = tokens.take(), tokens.take()
    if sign not in (":", "<", "<=", ">", ">="):
        raise ValueError(f"{field!r} is compared with nothing")
    if tokens.next() != "(":
        return [Asked(field, sign, (_value(tokens.take()),))]
    tokens.take()
    values = [_value(tokens.take())]
    while tokens.next() in _JOINS:
        tokens.take()
        values.append(_value(tokens.take()))
    tokens.expect(")")
    return [Asked(field, sign, tuple(values))]


def _value(token: str) -> str:
    if token in ("(", ")", ":", "<", "<=", ">", ">="):
        raise ValueError(f"{token!r} is no value")
    return re.sub(r"\\(.)", r"\1", token[1:-1]) if token.startswith('"') else token
