"""The file of what is in work: a line when it begins, one when it ends, and before them what is known of earlier processes.

Nothing is synced. Bytes that were written outlive a process that is killed; a host that dies takes the last of them along, and
then it was no event that did it.
"""

import os
from collections.abc import Mapping, Sequence

import msgspec

from harvester.logs import get_logger

Key = int | str
"""What names a thing over restarts: the position of a message in the queue, or the id of a letter."""
FORMAT = 1
_LONG = 1 << 20


class Past(msgspec.Struct, frozen=True, array_like=True):
    """What is known of the processes before."""

    queue: str = ""
    """Its id: positions mean nothing in another one."""
    deaths: Sequence[tuple[Key, int]] = ()
    """At how many ends it was in work."""
    killers: Sequence[Key] = ()
    format: int = FORMAT


class Left(msgspec.Struct, frozen=True):
    """What a process left behind. `in_work` is empty when it ended in good order, or had nothing to do."""

    past: Past
    in_work: frozenset[Key]


_encode = msgspec.json.Encoder().encode
_begun = msgspec.json.Decoder(tuple[int, list[Key]])


class Journal:
    """One file, open for as long as its process lives. A disk that is full or broken ends the journal, and nothing else."""

    def __init__(self, descriptor: int, queue: str) -> None:
        self.queue = queue
        self._descriptor = descriptor
        self._size = 0
        self._broken = False

    @property
    def long(self) -> bool:
        """Whether it is time to write it anew."""
        return self._size > _LONG

    def left(self) -> Left:
        """What the process before left. Of another queue, of another format or torn: as far as it can be told."""
        lines = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0).splitlines()
        try:
            past = msgspec.json.decode(lines[0], type=Past) if lines else Past()
            if past.queue != self.queue or past.format != FORMAT:
                return Left(Past(self.queue), frozenset())
        except msgspec.MsgspecError:
            return Left(Past(self.queue), frozenset())
        return _replayed(past, lines[1:])

    def begin(self, number: int, keys: Sequence[Key]) -> None:
        """These are in work from now on."""
        self._append(_encode((number, keys)))

    def end(self, number: int, *, done: bool) -> None:
        """They are no longer: done, or given up and to come again."""
        self._append(b"%d" % (number if done else -number))

    def rewrite(self, past: Past, in_work: Mapping[int, Sequence[Key]]) -> None:
        """Write it anew."""
        self.clear()
        self._append(b"\n".join([_encode(past), *(_encode((number, keys)) for number, keys in in_work.items())]))

    def clear(self) -> None:
        """Nothing is in work, and nothing is known."""
        try:
            os.ftruncate(self._descriptor, 0)
            self._size = 0
        except OSError as error:
            self._end(error)

    def _append(self, text: bytes) -> None:
        if self._broken:
            return
        try:
            self._size += os.pwrite(self._descriptor, text + b"\n", self._size)
        except OSError as error:
            self._end(error)

    def _end(self, error: OSError) -> None:
        if not self._broken:
            self._broken = True
            get_logger("consume").warning("what is in work cannot be noted: an event that kills goes unnoticed", error=str(error))
            self.clear()


def _replayed(past: Past, lines: Sequence[bytes]) -> Left:
    deaths, in_work = dict(past.deaths), dict[int, list[Key]]()
    for line in lines:
        try:
            if line.startswith(b"["):
                number, keys = _begun.decode(line)
                in_work[number] = keys
                continue
            number = int(line)
        except ValueError:
            break  # torn: the disk was full
        for key in in_work.pop(abs(number), []):
            if number > 0:
                deaths.pop(key, None)
    left = frozenset(key for keys in in_work.values() for key in keys)
    return Left(Past(past.queue, list(deaths.items()), past.killers), left)
