"""What a replay would bring: counted by source and type, asked of the sinks that can be asked."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from heapq import heappop, heappush

import click

from consumers.protocols import Finder, Sink
from consumers.records import gives_records, records_of
from consumers.records.record import key
from harvester.commands.progress import bar
from harvester.commands.replay_read import Reading
from harvester.errors import InvalidEventError
from harvester.event import Event
from harvester.retry import ONE_SHOT, retrying

_ROOM = 2**256


async def look(read: Reading, sinks: Mapping[str, Sink], ask: int, *, as_json: bool) -> None:
    """Print what is there, and of each sink how much of it would be new there, newer than what it has, or known.

    Each is asked for `ask` states, or for all when there are fewer: one question each.
    """
    found: dict[tuple[str, str], Counter[str]] = {}
    held: dict[str, Counter[str]] = {name: Counter() for name, sink in sinks.items() if isinstance(sink, Finder)}
    sample, digest, total = _Sample(ask if held else 0), 0, 0
    with bar("replay --dry-run", read.total) as shown:
        async for some in read.events:
            for event in (one.event for one in some):
                rank = int.from_bytes(event.id.encode(), "big")
                digest = (digest + rank) % _ROOM
                counts = found.setdefault((event.source, event.type), Counter())
                subject = _key(event)
                counts["refused" if subject is None else "events" if subject else "without record"] += 1
                if subject:
                    sample.add(rank, event, subject)
                total += 1
            shown.update(read.done, count=total)
    for name, counts in held.items():
        for event, subject in sample.taken():
            counts[await _held(sinks[name], event, subject)] += 1
    _print(found, held, sinks, total, f"{digest:064x}", as_json=as_json)


class _Sample:
    """So many of all states: those with the lowest ids, which are digests, so it is as good as drawn, and the same each time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._added = 0
        self._taken: list[tuple[int, int, Event, str]] = []

    def add(self, rank: int, event: Event, subject: str) -> None:
        self._added += 1
        heappush(self._taken, (-rank, self._added, event, subject))
        if len(self._taken) > self._most:
            heappop(self._taken)

    def taken(self) -> Iterator[tuple[Event, str]]:
        for _, _, event, subject in self._taken:
            yield event, subject


def _key(event: Event) -> str | None:
    """What its first record is found by; "" when there is none, None when none can be made."""
    if not gives_records(event):
        return ""
    try:
        made = records_of(event)
    except InvalidEventError:
        return None
    return str(key(made[0])) if made else ""


async def _held(sink: Sink, event: Event, name: str) -> str:
    assert isinstance(sink, Finder)
    states = [state.version for state in await retrying(partial(sink.find, name, event.source), ONE_SHOT)]
    return "new" if not states else "newer" if max(states) < event.version else "known"


def _print(
    found: Mapping[tuple[str, str], Counter[str]],
    held: Mapping[str, Counter[str]],
    sinks: Mapping[str, Sink],
    total: int,
    digest: str,
    *,
    as_json: bool,
) -> None:
    if as_json:
        types = [{"source": source, "type": type_, **counts} for (source, type_), counts in sorted(found.items())]
        click.echo(
            json.dumps({"events": total, "digest": digest, "types": types, "sinks": {n: dict(c) for n, c in held.items()}})
        )
        return
    for (source, type_), counts in sorted(found.items()):
        click.echo(f"{source}  {type_}  " + ", ".join(f"{amount:,} {what}" for what, amount in sorted(counts.items())))
    for name in sinks:
        if name not in held:
            click.echo(f"{name}: cannot be asked what it has")
            continue
        asked = held[name].total()
        told = ", ".join(f"{held[name][what]:,} {what}" for what in ("new", "newer", "known"))
        click.echo(f"{name}: of {asked:,} asked for {told}")
    click.echo(f"{total:,} events, digest {digest}; nothing was written")
