"""Where a driver keeps its things, as one URL with options: `sqlite:///var/queue.db?max_bytes=10GiB`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from harvester.errors import ConfigError
from harvester.redact import Redactor

_SIZE = re.compile(r"(\d+)\s*(?:([KMGT])i?)?B?", re.IGNORECASE)
_SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}

Options = TypeVar("Options", bound=msgspec.Struct)


class Url(NamedTuple):
    """A URL in its parts; `text` is the whole of it, for messages: without a password that somebody put there."""

    text: str
    scheme: str
    host: str
    path: str
    query: Mapping[str, str]

    def options(self, kind: type[Options]) -> Options:
        """The query as a struct: unknown names and wrong values are all told at once in one ConfigError."""
        known = {field.name: field for field in msgspec.structs.fields(kind)}
        faults = [
            f"{self.text}: unknown option {name!r}; known are {', '.join(known)}" for name in self.query if name not in known
        ]
        values: dict[str, object] = {}
        for name in known.keys() & self.query.keys():
            value = self.query[name]
            try:
                values[name] = _converted(value, known[name].type)
            except msgspec.ValidationError as error:
                faults.append(f"{self.text}: option {name}={value}: {error} (write 30, 0.5 or 16MiB)")
        if faults:
            raise ConfigError(*sorted(faults))
        return kind(**values)


def parse(text: str) -> Url:
    """Raises ConfigError when there is no scheme."""
    parts = urlsplit(text)
    if not parts.scheme:
        raise ConfigError(f"{Redactor().text(text)!r} is no URL: it should look like sqlite:///var/queue.db")
    if parts.fragment:
        raise ConfigError(f"{Redactor().text(text)}: write %23 for # in a path")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Url(Redactor().text(text), parts.scheme, parts.netloc, unquote(parts.path), query)


def database_path(url: Url) -> Path:
    """`sqlite:///relative.db` and `sqlite:////absolute.db`, as SQLAlchemy and its followers write it."""
    if url.host or not url.path.removeprefix("/"):
        raise ConfigError(f"{url.text}: write sqlite:///relative.db (three slashes) or sqlite:////absolute.db (four)")
    return Path(url.path.removeprefix("/"))


def directory_path(url: Url) -> Path:
    """`file:///absolute` and `file://relative/directory`: after two slashes stands the path as a shell takes it."""
    path = url.host + url.path
    if not path.strip("/"):
        raise ConfigError(f"{url.text}: write file:///absolute/directory or file://relative/directory")
    return Path(path)


def _converted(text: str, kind: Any) -> object:
    """As it stands where that is a value of this kind, so that a text of digits stays one; else as a size."""
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        return msgspec.convert(_number(text), kind, strict=False)


def _number(text: str) -> str | int:
    """A size with its unit as bytes; everything else as it is."""
    size = _SIZE.fullmatch(text.strip())
    if size is None:
        return text
    return int(size[1]) << _SHIFTS[(size[2] or "").upper()]
