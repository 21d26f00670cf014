"""Paging over rows that have no order and shift meanwhile: which page comes next, and when a window is whole. See ADR 0006."""

from collections.abc import Sequence

_SMALL_PASSES = 2
_LARGEST_PAGE = 10_000
"""Rows; what the predecessor asked for every two minutes."""
_STALE_PAGES = 3
"""How many pages in a row may bring nothing new while the server says that there is more."""

Row = tuple[str, str]
"""A row as paging sees it: its subject ("" when the row is broken) and its state."""


class Reading:
    """The reading of one window, pass by pass.

    A pass goes from offset 0 to a page that brings nothing new. Each page after its first begins with the row that the last
    one ended with, the anchor. If another row stands there, or another state of it, the rows shifted (one was inserted,
    deleted or, as PostgreSQL does when a row grows, moved), something may have been jumped over, and the window needs another
    pass: at first as before, then in larger pages, for within one page nothing shifts.
    """

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._largest = max(batch, _LARGEST_PAGE)
        self._passes = 0
        self._states: dict[str, str] = {}
        self._broken: set[str] = set()
        self._standing: set[str] = set()
        """Subjects seen since the server's count last fell: none of them is known to be deleted."""
        self._total: int | None = None

    def begin(self) -> None:
        """Start a pass; from the third on pages are four times as large as in the last."""
        self._passes += 1
        self._size = min(self._batch << 2 * max(0, self._passes - _SMALL_PASSES), self._largest)
        self._received = self._rows_broken = self._stale = 0
        self._anchor: Row | None = None
        self._steady = True
        self._subjects: set[str] = set()
        self._letters: set[str] = set()
        self._alone: int | None = None

    def keep_small(self) -> bool:
        """Never again ask for larger pages than at first; False when this pass did not either."""
        self._largest = self._batch
        return self._size > self._batch

    @property
    def offset(self) -> int:
        return self._received - int(self._anchor is not None)

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
        if first and total is not None and total <= count < asked:
            self._alone = self._distinct
        more = total is not None and self._received < total
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
        self._subjects |= subjects
        self._standing |= subjects
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
    def empty(self) -> bool:
        """Whether this pass found no row."""
        return self._distinct == 0
