"""Faults of a vendor, each with a rate; the same requests meet the same faults in every run."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from harvester.errors import ConfigError
from harvester.sandbox.dice import share

PASSING = ("429-seconds", "429-date", "429-iso", "429-bare", "500", "503", "slow", "reset", "truncated", "half-json", "html")
"""What can happen to a request of any vendor, and passes. `truncated`: fewer bytes than Content-Length says. `half-json`: a whole
answer, half a text."""
REQUESTS = (*PASSING, "empty", "shifted")
"""The same of Opencast. `empty`: a page of actions that tells their total and has no row. `shifted`: a page that begins one row
further on than it should, as if one before it had just been deleted."""
MISLEADING = ("401", "403", "404", "date-ahead", "date-behind")
"""What ends a harvest, or tells it a time that is one hour off: never a part of `all`."""

BROKEN_RECORDS = ("nan", "surrogate", "not-utf8", "deep", "huge-id", "no-created")
"""What makes a record unfit to be an action."""
ODD_RECORDS = ("pretty", "nul")
"""What a record must survive: line breaks between its tokens; an escaped NUL in its text."""
RECORDS = BROKEN_RECORDS + ODD_RECORDS

_REMEMBERED = 10_000


class Kinds(NamedTuple):
    """What can go wrong with one vendor."""

    requests: tuple[str, ...]
    """What passes; `all` spreads over them."""
    misleading: tuple[str, ...]
    """What has to be named."""
    records: tuple[str, ...]
    """What is wrong with a record at every reading; `records` spreads over them."""


OPENCAST = Kinds(REQUESTS, MISLEADING, RECORDS)


def rates_of(wanted: Mapping[str, float], family: Kinds = OPENCAST) -> dict[str, float]:
    """A rate for each kind named. `all` and `records` are spread evenly over all kinds of their family.

    Raises ConfigError with every fault at once.
    """
    rates: dict[str, float] = {}
    wrong = []
    groups = (family.requests + family.misleading, family.records)
    for name, rate in wanted.items():
        kinds = {"all": family.requests, "records": family.records}.get(name, (name,))
        if kinds[0] not in groups[0] + groups[1]:
            known = ", ".join(groups[0] + groups[1])
            wrong.append(f"sandbox: there is no fault {name!r}; there are all, records, {known}")
        if not 0 <= rate <= 1:
            wrong.append(f"sandbox: the rate of fault {name} must be from 0 to 1, not {rate}")
        for kind in kinds:
            rates[kind] = rates.get(kind, 0) + rate / len(kinds)
    sums = {group: sum(rates.get(kind, 0) for kind in group) for group in groups}
    wrong += [
        f"sandbox: the rates of {group[0]} … {group[-1]} make {total:g} together, at most 1 is possible"
        for group, total in sums.items()
        if total > 1.000001
    ]
    if wrong:
        raise ConfigError(*wrong)
    return rates


class Faults:
    """Decides by the seed and by how often the same thing was asked, so concurrency changes nothing."""

    def __init__(self, seed: str, wanted: Mapping[str, float], *, burst: int = 1, family: Kinds = OPENCAST) -> None:
        self._seed = seed
        self._family = family
        self.burst = burst
        self._targets: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self.set(wanted)

    def set(self, wanted: Mapping[str, float]) -> None:
        """Replace all rates. Raises ConfigError and changes nothing."""
        rates = rates_of(wanted, self._family)
        requests, misleading, records = self._family
        self._requests = [(kind, rates[kind]) for kind in requests + misleading if rates.get(kind)]
        self._records = [(kind, rates[kind]) for kind in records if rates.get(kind)]

    @property
    def rates(self) -> dict[str, float]:
        return dict(self._requests + self._records)

    def of_request(self, target: str) -> str | None:
        """What happens to the next request of `target` (path and query); at most `burst` times in a row anything does."""
        if not self._requests:
            return None
        asked, row = self._targets.pop(target, (0, 0))
        kind = None
        if row < self.burst:
            kind = _pick(self._requests, share(self._seed, "request", target, asked))
        self._targets[target] = (asked + 1, row + 1 if kind else 0)
        if len(self._targets) > _REMEMBERED:
            self._targets.popitem(last=False)
        return kind

    def of_record(self, key: int | str) -> str | None:
        """What is wrong with this record, at every reading."""
        return _pick(self._records, share(self._seed, "record", key)) if self._records else None


def _pick(rates: list[tuple[str, float]], luck: float) -> str | None:
    for kind, rate in rates:
        if luck < rate:
            return kind
        luck -= rate
    return None
