"""When a backfill ends: by its pace so far, and by what its credentials may spend in the hours to come."""

from collections.abc import Mapping

from harvester.budget import Room

_HOUR = 3600.0
_ENOUGH = 0.001
"""The share that has to be done before anything can be said."""


def seconds_left(done: float, elapsed: float, rooms: Mapping[str, Room]) -> float | None:
    """Seconds until all is done; None: too little is done to tell.

    `done`: the share that was read in `elapsed` seconds, by requests and points that count as `spent` of each room.
    """
    if done >= 1:
        return 0.0
    if done < _ENOUGH:
        return None
    rest = (1 - done) / done
    found = elapsed * rest
    for room in rooms.values():
        missing = room.spent * rest - room.left
        if missing > 0:  # it has to wait for hours to come, and ends within the last of them
            found = max(found, room.wait, missing / room.hourly * _HOUR)
    return found
