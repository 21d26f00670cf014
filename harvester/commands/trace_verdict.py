"""What `harvest trace` says in the end: how far a thing came on its way into each sink, and what to do next."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from harvester.commands.times import shown
from harvester.commands.trace_facts import Answer, Facts
from harvester.commands.trace_scan import State, Thing
from harvester.commands.words import amount_of
from harvester.coverage import Coverage
from harvester.protocols import Group, Letter

Word = Literal[
    "newest", "pending", "letter", "waiting", "filtered", "passed_over", "missing", "delivered", "unanswered", "unread"
]
_DONE = {"newest", "filtered", "delivered"}
FOUND, NOT_FOUND, UNFINISHED = 0, 1, 5
"""Exit codes: finished in every sink · nowhere · on its way, or stuck."""


class Fate(NamedTuple):
    """How far a thing came on one way."""

    where: str
    """The sink as configured, or the source for a record that could not be read."""
    word: Word
    text: str

    @property
    def done(self) -> bool:
        return self.word in _DONE


class Verdict(NamedTuple):
    """One sentence, and the exit code that says the same."""

    code: int
    text: str


def verdict(facts: Facts, moment: datetime | None) -> Verdict:
    """`moment`: when it happened, as whoever asked knows it."""
    if not facts.things:
        return Verdict(NOT_FOUND, f"{facts.asked}: {_never_seen(facts, moment)}")
    found = {key: fates(thing, facts) for key, thing in facts.things.items()}
    text = "\n".join(f"{key}: {'; '.join(fate.text for fate in ways)}" for key, ways in found.items())
    return Verdict(FOUND if all(fate.done for ways in found.values() for fate in ways) else UNFINISHED, text)


def fates(thing: Thing, facts: Facts) -> list[Fate]:
    """One for each configured sink, after those of records that its source could not read."""
    unread = [_unreadable(letter) for letter in thing.letters.values() if letter.stage == "read"]
    if unread and not thing.states and not thing.subject:
        return unread
    return [*unread, *(_fate(thing, name, answer, facts) for name, answer in facts.answers[thing.key].items())]


def _fate(thing: Thing, sink: str, answer: Answer, facts: Facts) -> Fate:
    if answer.error:
        return Fate(sink, "unanswered", f"{sink} cannot be asked: {answer.error}")
    version = newest(thing, facts)
    held = max((h.version for h in answer.held), default=-1)
    letter = _letter_of(thing, answer.group, version)
    if held >= version >= 0:
        if letter is not None and letter.stage == "enrich":
            return Fate(sink, "pending", f"{sink} holds its newest state, whose enrichment is pending: {_again(letter)}")
        return Fate(sink, "newest", f"written to {sink} in its newest state (version {version})")
    if letter is not None:
        return Fate(sink, "letter", f"dead letter of {answer.group} ({letter.stage}/{letter.reason}): {_again(letter)}")
    return _on_its_way(thing, sink, answer, facts.groups.get(answer.group), version)


def _on_its_way(thing: Thing, sink: str, answer: Answer, group: Group | None, version: int) -> Fate:
    """What the queue tells of a state that the sink does not hold, and that is no letter."""
    states = [state for state in thing.states if state.version == version or not state.event_id]
    older = f"holds version {max(h.version for h in answer.held)} only, not {version}" if answer.held else "does not hold it"
    if not states:
        again = f"harvest backfill {thing.source} --again --start {shown(thing.time)}" if thing.source and thing.time else ""
        next_ = f"; next: {again}" if again else ""
        return Fate(sink, "missing", f"{sink} {older}, and it is no longer in the queue{next_}")
    state = max(states, key=lambda s: int(s.position))
    way = progress(state, group)
    if way == "waiting":
        return Fate(sink, "waiting", _waits(state, sink, group))
    if not state.gives_records:
        return Fate(sink, "filtered", f"{sink} passes over events of its type: they give no record")
    if way == "passed over":
        seek = f"harvest queue seek {answer.group} --to {state.position}"
        return Fate(sink, "passed_over", f"passed over for {sink} by a seek; next: {seek}")
    if not answer.asked:
        return Fate(sink, "delivered", f"delivered to {sink}, where nothing can be looked up")
    again = f"harvest queue seek {answer.group} --to {state.position}, then harvest consume {sink} --until-empty"
    return Fate(sink, "missing", f"{sink} {older}, though its group has read it: was its file or index replaced? Next: {again}")


def progress(state: State, group: Group | None) -> Literal["waiting", "delivered", "passed over"]:
    """What a group did with a message; "delivered" is also what became a letter."""
    position = int(state.position)
    if group is None or position >= group.position:
        return "waiting"
    skipped = group.counts.get("skipped_from", group.since) <= position < group.since
    return "passed over" if skipped else "delivered"


def newest(thing: Thing, facts: Facts) -> int:
    """The highest version that is known anywhere; -1 when none is."""
    held = [h.version for answer in facts.answers[thing.key].values() for h in answer.held]
    return max([*held, *(s.version for s in thing.states if s.event_id), *thing.versions.values()], default=-1)


def _letter_of(thing: Thing, group: str, version: int) -> Letter | None:
    """The group's letter about that version, or about a message that tells none."""
    of_group = [letter for letter in thing.letters.values() if letter.group == group]
    return next((x for x in reversed(of_group) if thing.versions.get(x.id, version) == version), None)


def _again(letter: Letter) -> str:
    if letter.due is not None:
        return f"tried again by itself from {shown(letter.due)} on"
    known = letter.id[:12]
    return f"next: harvest dead-letters show {known}, and when its cause is mended harvest dead-letters requeue {known}"


def _unreadable(letter: Letter) -> Fate:
    return Fate(letter.group, "unread", f"a record of {letter.group} that could not be read ({letter.reason}): {_again(letter)}")


def _waits(state: State, sink: str, group: Group | None) -> str:
    before = f", {amount_of(int(state.position) - group.position, 'message')} before it" if group else ""
    reads = f"{group.owner} reads now" if group and group.owner else f"next: harvest consume {sink} --until-empty"
    return f"waiting in the queue for {sink}{before}; {reads}"


def _never_seen(facts: Facts, moment: datetime | None) -> str:
    if facts.unread:
        return f"not found, but not everything could be looked at: {'; '.join(facts.unread)}"
    streams = [(source, n, c) for source, book in facts.books.items() for n, c in sorted(book.streams.items()) if c.start]
    if not streams:
        return "never seen: nothing was read here yet; next: harvest useractions"
    return "never seen; " + "; ".join(_unseen(facts.asked, *stream, moment) for stream in streams)


def _unseen(asked: str, source: str, stream: str, coverage: Coverage, moment: datetime | None) -> str:
    """Why it may not be there."""
    name = f"{source}/{stream}"
    if moment is None:
        gaps = f" with {amount_of(len(coverage.gaps()), 'gap')}" if coverage.gaps() else ""
        span = f"{shown(coverage.start)} … {shown(coverage.live_edge)}{gaps}"
        return f"{name} is read from {span}: with harvest trace {asked} --time TIME, when it happened, this tells more"
    start, edge = coverage.start, coverage.live_edge
    if coverage.settled.holding(moment):
        return f"{shown(moment)} of {name} is read and final; next: harvest once {source} --since {shown(moment)} --dry-run"
    if coverage.read.holding(moment):
        return f"{shown(moment)} of {name} is read, but not final: what comes late is found when it is read once more"
    if start and moment < start:
        return f"its time is not read: {name} begins at {shown(start)}; next: harvest backfill {source} --start {shown(moment)}"
    if edge and moment >= edge:
        return f"its time is not read yet: {name} is read up to {shown(edge)}; next: harvest useractions, or harvest run"
    return f"its time is in a gap of {name}; next: harvest coverage fill {name}"


def read_states(thing: Thing, facts: Facts, moment: datetime | None) -> Iterator[tuple[str, str]]:
    """Stream → what is known of the time of the thing there."""
    books = {thing.source: facts.books[thing.source]} if thing.source in facts.books else facts.books
    for source, book in books.items():
        for name, coverage in sorted(book.streams.items()):
            yield f"{source}/{name}", _read_state(coverage, thing.time or moment)


def _read_state(coverage: Coverage, moment: datetime | None) -> str:
    if moment is None:
        return f"read {shown(coverage.start)} … {shown(coverage.live_edge)}, {amount_of(len(coverage.gaps()), 'gap')}"
    if coverage.settled.holding(moment):
        return f"{shown(moment)} is read and final"
    if coverage.read.holding(moment):
        return f"{shown(moment)} is read, not yet final: it is read once more"
    return f"{shown(moment)} is not read"


def shown_states(thing: Thing) -> Sequence[State]:
    """Its states in the order of the queue."""
    return sorted(thing.states, key=lambda s: int(s.position))
