"""An action as one record of `actions.json`."""

from collections.abc import Callable
from datetime import timedelta

import msgspec

from harvester.sandbox.actions import FIRST_AGENT, Action, Viewer
from harvester.sandbox.clock import moment_of
from harvester.sandbox.faults import Faults
from harvester.sandbox.jettison import encoded, retyped
from harvester.sandbox.settings import SandboxSettings

# all share one session row, which keeps the agent of the first visitor ever
_MASKED = b'"sessionId":"-omitted-","userId":"-omitted-","userIp":"-omitted-","userAgent":%b' % encoded(FIRST_AGENT)

_KEPT = 10_000
"""Visits whose text is kept."""


class Rows:
    """Writes records byte by byte: a benchmark reads a million of them."""

    def __init__(self, settings: SandboxSettings, faults: Faults) -> None:
        self._zone = settings.zone
        self._live = settings.playing == "int"
        self._masked = settings.masked
        self._nested = settings.session == "nested"
        self._faults = faults
        self._text: dict[str, bytes] = {}
        self._people: dict[Viewer, bytes] = {}

    def encode(self, action: Action, now: int) -> bytes:
        """The record at `now` (ms), with the fault that is its fate."""
        length = action.length_at(now)
        playing = str(action.playing).encode() if self._live else b"true" if action.playing == 1 else b"false"
        record = (
            b'{"id":%d,"mediapackageId":%b,%b,"inpoint":%d,"outpoint":%d,"length":%d,"type":%b,"isPlaying":%b,"created":"%b"}'
            % (
                action.id,
                self._encoded(action.lecture.mpid),
                self._people.get(action.viewer) or self._person(action.viewer),
                action.inpoint,
                action.inpoint + length,
                length,
                self._encoded(action.type),
                playing,
                self.created(action.created),
            )
        )
        # a growing row stays whole: each of its states would be another broken record
        fault = None if action.grows else self._faults.of_record(action.id)
        return _FAULTS[fault](record) if fault else record

    def created(self, ms: int) -> bytes:
        """As JAXB prints a date: the server's offset, a fraction only when there are milliseconds."""
        local = moment_of(ms).astimezone(self._zone)
        text = local.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")
        return (f"{text[:-6]}Z" if local.utcoffset() == timedelta() else text).encode()

    def _encoded(self, text: str) -> bytes:
        found = self._text.get(text)
        if found is None:
            found = self._text[text] = encoded(retyped(text))
        return found

    def _person(self, viewer: Viewer) -> bytes:
        session = _MASKED if self._masked else _seen(viewer)
        text = b'"sessionId":{%b}' % session if self._nested else session
        if len(self._people) >= _KEPT:
            self._people.clear()
        self._people[viewer] = text
        return text


def _seen(viewer: Viewer) -> bytes:
    fields = [b'"sessionId":%b' % encoded(retyped(viewer.session))]
    if viewer.user is not None:
        fields.append(b'"userId":%b' % encoded(viewer.user))
    return b",".join([*fields, b'"userIp":%b' % encoded(viewer.address), *_agent(viewer)])


def _agent(viewer: Viewer) -> list[bytes]:
    return [] if viewer.agent is None else [b'"userAgent":%b' % encoded(viewer.agent)]


def _with(field: bytes) -> Callable[[bytes], bytes]:
    return lambda record: record[:-1] + b"," + field + b"}"


def _in_agent(text: bytes) -> Callable[[bytes], bytes]:
    """The text in front of the user agent, or in a field of its own where there is none."""
    name = b'"userAgent":"'
    return lambda record: record.replace(name, name + text, 1) if name in record else _with(b'"note":"%b"' % text)(record)


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "nan": _with(b'"speed":NaN'),
    "surrogate": _in_agent(rb"\ud83d"),  # half a character: Java cuts text between surrogates
    "not-utf8": _in_agent(b"\xdcbersicht"),
    "deep": _with(b'"tree":' + b"[" * 150 + b"]" * 150),
    "pretty": lambda record: msgspec.json.format(record, indent=2).replace(b"\n", b"\r\n"),
    "nul": _in_agent(rb"\u0000"),
}
"""What spoils any vendor's record."""

_FAULTS = SPOILED | {
    "huge-id": lambda record: record.replace(b'{"id":', b'{"id":98765432109876543210', 1),
    "no-created": lambda record: record[: record.index(b',"created"')] + b"}",
}
