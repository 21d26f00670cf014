"""What the sandbox was asked and what it answered, for tests that count calls."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple


class Snapshot(NamedTuple):
    """Counts since the last reset."""

    requests: Mapping[str, Mapping[str, int]]
    """Endpoint → status, or `reset` where the connection was, → amount."""
    faults: Mapping[str, int]
    """Kind → amount, faults of requests alone: those of records are told by the truth."""
    rows: int
    """Records put into answers, also into those that a fault cut."""
    lookups: Mapping[str, int]
    """Media package id → look-ups by it that were answered."""
    early: int
    """Requests repeated before the Retry-After that they were given had passed (F40)."""
    violations: Mapping[str, int] = {}
    """Limit → requests that came in spite of it."""
    unfit: int = 0
    """Different records put into answers that can only end as dead letters; one that changed counts again. Zoom's alone: those of
    Opencast do not change, so the truth tells their number."""

    def requests_of(self, endpoint: str) -> int:
        """Calls of one endpoint, whatever became of them."""
        return sum(self.requests.get(endpoint, {}).values())


class Stats:
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._requests: dict[str, Counter[str]] = {}
        self._faults: Counter[str] = Counter()
        self._lookups: Counter[str] = Counter()
        self._rows = 0
        self._early = 0
        self._violations: Counter[str] = Counter()
        self._unfit: set[bytes] = set()

    def request(self, endpoint: str, outcome: str) -> None:
        self._requests.setdefault(endpoint, Counter())[outcome] += 1

    def fault(self, kind: str) -> None:
        self._faults[kind] += 1

    def served(self, rows: int) -> None:
        self._rows += rows

    def came_early(self) -> None:
        self._early += 1

    def lookup(self, mpid: str) -> None:
        self._lookups[mpid] += 1

    def violation(self, limit: str) -> None:
        self._violations[limit] += 1

    def unfit(self, record: bytes) -> None:
        self._unfit.add(record)

    def snapshot(self) -> Snapshot:
        requests = {endpoint: dict(outcomes) for endpoint, outcomes in self._requests.items()}
        counts = (dict(self._faults), self._rows, dict(self._lookups), self._early, dict(self._violations), len(self._unfit))
        return Snapshot(requests, *counts)
