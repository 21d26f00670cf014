"""Kibana's saved objects: what we bring, and importing it.

https://www.elastic.co/docs/api/doc/kibana/operation/operation-post-saved-objects-import
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec

from consumers.kibana_settings import KibanaSettings, http_settings
from consumers.sinks.elasticsearch_names import Names
from harvester.answers import Answer, StatusError
from harvester.errors import HarvesterError, PermanentError
from harvester.http import open_http
from harvester.retry import OutageError, Retry

_PATH = "/api/saved_objects/_import"
_BOUNDARY = "event-harvester-7d1f0c2b9a"
_LONGEST = 300


class _Meta(msgspec.Struct, frozen=True):
    title: str = ""


class _Done(msgspec.Struct, frozen=True):
    type: str
    id: str
    meta: _Meta = _Meta()
    overwrite: bool = False


class _Reference(msgspec.Struct, frozen=True):
    type: str = ""
    id: str = ""


class _Cause(msgspec.Struct, frozen=True, rename="camel"):
    type: str = ""
    message: str = ""
    status_code: int = 0
    references: list[_Reference] = []


class _Refused(msgspec.Struct, frozen=True):
    type: str
    id: str
    error: _Cause
    title: str = ""
    meta: _Meta = _Meta()


class _Outcome(msgspec.Struct, frozen=True, rename="camel"):
    success: bool
    success_results: list[_Done] = []
    errors: list[_Refused] = []


class Imported(NamedTuple):
    """One object that Kibana took. `renewed`: it was there before."""

    type: str
    id: str
    title: str
    renewed: bool


class Import(NamedTuple):
    """What came of it: `faults` says of each object that was not taken why."""

    where: str
    objects: list[Imported]
    faults: list[str]


def objects(prefix: str = "") -> bytes:
    """All of our dashboards as one file, each object once. Data views are of the indexes whose names begin with `prefix`."""
    lines: dict[bytes, None] = {}
    for path in sorted(files("dashboards").iterdir(), key=lambda path: path.name):
        if path.name.endswith(".ndjson"):
            lines |= dict.fromkeys(path.read_bytes().splitlines(keepends=True))
    return b"".join([_renamed(line, Names(prefix)) for line in lines] if prefix else lines)


def _renamed(line: bytes, names: Names) -> bytes:
    one = msgspec.json.decode(line)
    if one["type"] != "index-pattern":
        return line
    one["attributes"]["title"] = names.of(one["attributes"]["title"])
    return msgspec.json.encode(one) + b"\n"


async def import_objects(settings: KibanaSettings, prefix: str, *, retry: Retry) -> Import:
    """Put them there, over older ones. TransientError: no Kibana answers; PermanentError: it refuses, or is none; ConfigError."""
    http = http_settings(settings)
    async with open_http(http, retry=retry, explain=_explained) as client:
        headers = {"kbn-xsrf": "event-harvester", "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        answer = await client.post(f"{_PATH}?overwrite=true", _multipart(objects(prefix)), headers=headers)
    try:
        outcome = msgspec.json.decode(answer.body, type=_Outcome)
    except ValueError as error:
        raise PermanentError(f"kibana: {http.url} does not answer as Kibana does: check HARVESTER_KIBANA_URL") from error
    taken = [Imported(one.type, one.id, one.meta.title, one.overwrite) for one in outcome.success_results]
    faults = list(_faults(outcome))
    if not outcome.success and not faults:
        faults.append("Kibana says that it failed, and not why")
    return Import(str(http.url).rstrip("/"), taken, faults)


def _multipart(body: bytes) -> bytes:
    head = 'Content-Disposition: form-data; name="file"; filename="harvester.ndjson"\r\nContent-Type: application/ndjson\r\n\r\n'
    return f"--{_BOUNDARY}\r\n{head}".encode() + body + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _faults(outcome: _Outcome) -> Iterator[str]:
    for one in outcome.errors:
        name = one.title or one.meta.title or one.id
        yield f"{one.type} {name!r} was not imported: {_why(one.error)}"


def _why(cause: _Cause) -> str:
    match cause.type:
        case "missing_references":
            missing = ", ".join(f"{one.type} {one.id}" for one in cause.references)
            return f"it needs {missing or 'something'}, which is not there"
        case "unsupported_type":
            return "this Kibana does not know such objects: it is too old, or the plugin is off"
        case "conflict" | "ambiguous_conflict":
            return "another object of this id is in another space, or is being written now; try again"
        case _:
            status = f" ({cause.status_code})" if cause.status_code else ""
            return (cause.message or cause.type or "no reason was given")[:_LONGEST] + status


def _explained(answer: Answer, error: HarvesterError) -> HarvesterError:
    """What a status means here; Kibana says more in its answer."""
    if answer.status == 503:
        return OutageError(f"kibana: not ready yet (503 from {answer.url.origin()}): try again in a minute")
    if answer.status in (401, 429) or answer.status >= 500:
        return error
    said = _message(answer.body)
    if answer.status == 404 or 300 <= answer.status < 400:
        where = f"kibana: no Kibana at {answer.url.origin()}{answer.url.path.removesuffix(_PATH)} ({answer.status} for {_PATH})"
        return PermanentError(f"{where}: check HARVESTER_KIBANA_URL, also its base path and space")
    if answer.status == 403:
        need = 'the login needs the right "Saved Objects Management: All" in this space'
        return StatusError(f"kibana: 403 for {_PATH}: {need}{said}", status=403)
    return StatusError(f"kibana: {answer.status} for {_PATH}{said or ': the import was refused'}", status=answer.status)


def _message(body: bytes) -> str:
    try:
        found: Any = msgspec.json.decode(body)
    except ValueError:
        return ""
    said = found.get("message") if isinstance(found, dict) else None
    return f": {said[:_LONGEST]}" if isinstance(said, str) and said else ""
