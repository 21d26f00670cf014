"""What of a vendor's calls of a day is spent: how the notes in the books are read, and how people are told."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib import import_module

from harvester.coverage import Coverage
from harvester.limits import Spent
from harvester.report import StreamReport
from harvester.sources import SPENT


def spent_of(coverages: Mapping[str, Mapping[str, Coverage]]) -> Mapping[str, Spent]:
    """Source → stream → what is known, as stream with its source → what its notes tell of the calls of a day."""
    found: dict[str, Spent] = {}
    for source, streams in coverages.items():
        if source not in SPENT:
            continue
        module, _, name = SPENT[source].partition(":")
        read = getattr(import_module(module), name)
        found |= {f"{source}/{stream}": told for stream, known in streams.items() if (told := read(known.notes))}
    return found


def lines(sources: Iterable[StreamReport], now: datetime) -> list[str]:
    """A line for each that counts the calls of a day."""
    return [f"· {one.name}: {_told(one.spent, now)}" for one in sources if one.spent]


def _told(spent: Spent, now: datetime) -> str:
    today = spent.day == now.date()
    calls, account = (spent.calls, spent.account) if today else (0, 0)
    others = f", {account:,} by all apps of the account" if account > calls else ""
    stopped = f"; it goes on at {spent.until:%Y-%m-%dT%H:%M:%SZ}" if spent.until and spent.until > now else ""
    return f"{calls:,} of {spent.most:,} calls of {now:%Y-%m-%d} (UTC) spent{others}{stopped}"
