"""Paging over rows that have no order and shift meanwhile: which page comes next, and when a window is whole. See ADR 0006."""

from collections.abc import Callable, Iterable, Sequence

_SMALL_PASSES = 2
_BLOCK = 10
"""Two to this many bits lie together."""
_LARGEST_PAGE = 10_000
"""Rows; what the predecessor asked for every two minutes."""
_STALE_PAGES = 3
"""How many pages in a row may bring nothing new while the server says that there is more."""

Row = tuple[str, str]
"""A row as paging sees it: its subject ("" when the row is broken) and its state."""


class Bits:
    """A set of whole numbers, given as text, a bit each: of a table's millions of ids, one after the other, that is little."""

    def __init__(self) -> None:
        self._blocks: dict[int, int] = {}
        self._amount = 0

    def update(self, numbers: Iterable[str]) -> None:
        blocks = self._blocks
        for number in map(int, numbers):
            block, bit = number >> _BLOCK, 1 << (number & (1 << _BLOCK) - 1)
            before = blocks.get(block, 0)
            if not before & bit:
                blocks[block] = before | bit
                self._amount += 1

    def clear(self) -> None:
        self._blocks.clear()
        self._amount = 0

    def __len__(self) -> int:
        return self._amount


class Reading:
    """The reading of one window, pass by pass.

    A pass goes from offset 0 to a page that brings nothing new. Each page after its first begins with the row that the last
    one ended with, the anchor. If another row stands there, or another state of it, the rows shifted (one was inserted,
    deleted or, as PostgreSQL does when a row grows, moved), something may have been jumped over, and the window needs another
    pass: at first as before, then in larger pages, for within one page nothing shifts.
    """

    def __init__(self, batch: int, *, whole: bool = False, base: int = 0) -> None:
        """Pages of `batch` rows, or with `whole` ten times as large, as what a window is a small part of is read in.

        `base`: a pass begins behind so many rows; then `whole` below tells nothing.
        """
        self._batch = batch
        self._first = max(batch, min(10 * batch, _LARGEST_PAGE)) if whole else batch
        self._largest = max(batch, _LARGEST_PAGE)
        self._base = base
        self._passes = 0
        self._states: dict[str, str] = {}
        self._broken: set[str] = set()
        self._set: Callable[[], Bits | set[str]] = Bits if whole else set[str]
        self._standing = self._set()
        """Subjects seen since the server's count last fell: none of them is known to be deleted."""
        self._total: int | None = None

    def begin(self) -> None:
        """Start a pass; from the third on pages are four times as large as in the last."""
        self._passes += 1
        self._size = min(self._first << 2 * max(0, self._passes - _SMALL_PASSES), self._largest)
        self._received = self._rows_broken = self._stale = 0
        self._anchor: Row | None = None
        self._steady = True
        self._subjects = self._set()
        self._letters: set[str] = set()
        self._alone: int | None = None

    def keep_small(self) -> bool:
        """Never again ask for larger pages than `batch`; False when this pass did not either."""
        self._largest = self._batch
        return self._size > self._batch

    @property
    def offset(self) -> int:
        return self._base + self._received - int(self._anchor is not None)

    @property
    def limit(self) -> int:
        return self._size + int(self._anchor is not None)

    def is_new(self, row: Row) -> bool:
        """Whether this state was not seen before in this window."""
        subject, state = row
        if subject:
            new = self._states.get(subject) != state
            self._states[subject] = state
        else:
            new = state not in self._broken
            self._broken.add(state)
        return new

    def add(self, rows: Sequence[Row], refused: Sequence[Row], total: int | None) -> bool:
        """Take a page into account: its rows in their order, and those whose place is not known. False: it ends the pass."""
        first, asked = self._received == 0, self.limit
        rows = self._behind_the_anchor(rows)
        count = len(rows) + len(refused)
        fresh = self._count([*rows, *refused])
        self._judge(total, first=first)
        if first and not self._base and total is not None and total <= count < asked:
            self._alone = self._distinct
        more = total is not None and self._base + self._received < total
        self._stale = 0 if fresh else self._stale + 1
        if not count:
            more = more and self._anchor is not None  # a server whose pages have room for the anchor alone
        self._anchor = rows[-1] if rows and not refused else None
        return (count > 0 and fresh) or (more and self._stale < _STALE_PAGES)

    def _behind_the_anchor(self, rows: Sequence[Row]) -> Sequence[Row]:
        if self._anchor is None:
            return rows
        if rows[:1] == [self._anchor]:
            return rows[1:]
        self._steady = False
        self._received -= 1
        return rows

    def _count(self, rows: Sequence[Row]) -> bool:
        """Whether one of them is new in this pass."""
        known = self._distinct
        subjects = {subject for subject, _ in rows}
        if "" in subjects:
            subjects.discard("")
            letters = [state for subject, state in rows if not subject]
            self._letters.update(letters)
            self._rows_broken += len(letters)
        self._subjects.update(subjects)
        self._standing.update(subjects)
        self._received += len(rows)
        return self._distinct > known

    @property
    def _distinct(self) -> int:
        return len(self._subjects) + len(self._letters)

    def _judge(self, total: int | None, *, first: bool) -> None:
        if total is not None and self._total is not None and total < self._total:
            self._standing.clear()
            self._steady = self._steady and first
        self._total = total

    @property
    def whole(self) -> bool:
        """Whether no row can have been jumped over that was there all the time."""
        if self._total is None:
            return self._steady
        if self._distinct == self._alone:
            return True
        if self._steady and len(self._subjects) + self._rows_broken >= self._total:
            return True
        return self._passes > 1 and len(self._standing) + self._rows_broken == self._total

    @property
    def counted(self) -> bool:
        """Whether the rows that were seen and stand are as many as the server counted with the last page, none more or less."""
        return len(self._standing) + self._rows_broken == self._total

    @property
    def to_the_end(self) -> bool:
        """Whether this pass came, with every row in its place, from `base` to the last row that the server counts."""
        return self._steady and self._total is not None and self._base + self._received == self._total

    @property
    def total(self) -> int | None:
        """How many rows the server counted with the last page."""
        return self._total

    @property
    def empty(self) -> bool:
        """Whether this pass found no row."""
        return self._distinct == 0
