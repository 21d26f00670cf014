"""How far a window is read, and what of the overlap the next poll need not read again."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from harvester.coverage import Interval
from harvester.sources.github_lists import Row

_STILL = timedelta(seconds=2)
"""Times are exact to a second: what was read so long after its change is not hidden by another change of the same second."""
_json = msgspec.json.Encoder()
_notes = msgspec.json.Decoder(dict[str, str])


class Covers:
    """How far a window is complete."""

    def __init__(self, window: Interval) -> None:
        self._window = window
        self._edge = window.start

    def until(self, upto: datetime) -> Interval | None:
        """What is complete by now; None when that is nothing new."""
        upto = min(upto, self._window.end)
        if upto <= self._edge:
            return None
        self._edge, start = upto, self._edge
        return Interval(start, upto)


class Seen:
    """What was read, by its key and the time of its change, as notes tell it to the next poll."""

    def __init__(self, notes: bytes) -> None:
        self._known = _decoded(notes)
        self._kept: dict[str, str] = {}

    def new(self, rows: Sequence[Row]) -> list[Row]:
        """Those that were not read, or have changed since."""
        old = {str(row.key): _text(row.updated) for row in rows if self._known.get(str(row.key)) == _text(row.updated)}
        self._kept |= old
        return [row for row in rows if str(row.key) not in old]

    def read(self, rows: Sequence[Row], read_at: datetime) -> None:
        """These were read whole."""
        self._kept |= {str(row.key): _text(row.updated) for row in rows if read_at - row.updated >= _STILL}

    def notes(self, since: datetime) -> bytes:
        """Of what changed since then: the next poll has no older."""
        edge = _text(since)
        return _json.encode({key: updated for key, updated in self._kept.items() if updated >= edge})


def _decoded(notes: bytes) -> Mapping[str, str]:
    try:
        return _notes.decode(notes) if notes else {}
    except (ValueError, RecursionError):
        return {}


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
