"""The demo's screen: what arrived, who was in both, and the proof that nothing is missing. At most 100 columns."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from harvester.commands import demo_found
from harvester.commands.audit import Equation
from harvester.commands.demo_folder import MARK, QUERY
from harvester.commands.demo_found import PEOPLE, Compared, Found, Row
from harvester.commands.times import shown
from harvester.commands.words import amount_of
from harvester.coverage import Coverage
from harvester.protocols import Letter
from harvester.sandbox.stats import Snapshot
from harvester.sandbox.truth import Truth
from harvester.sandbox.zoom_truth import ZoomTruth

_BARS = " ▁▂▃▄▅▆▇█"
_KINDS_A_LINE = 7
_WIDTH = 96


class Pass(NamedTuple):
    """What one poll of each source came to, in events."""

    published: int
    filtered: int


def opening(opencast: str, zoom: str, start: datetime, end: datetime) -> str:
    """What is about to happen."""
    return (
        f"A university, simulated: its Opencast on {opencast}, its Zoom on {zoom}.\n"
        f"Both refuse, delay, cut and garble one answer in eight; rows come late, change, or are no JSON.\n"
        f"Harvesting its lectures and meetings from {shown(start)} to {shown(end)} …\n"
    )


class Shown(NamedTuple):
    """Everything the screen tells, from the durable parts alone."""

    lectures: Truth
    meetings: ZoomTruth
    people: Collection[Row]
    """By the truth: what those did who were in lectures and in meetings."""
    equations: Sequence[Equation]
    coverages: Mapping[str, Coverage]
    letters: Sequence[Letter]
    stats: Mapping[str, Snapshot]
    """By source."""
    passes: tuple[Pass, Pass]
    found: Found

    @property
    def compared(self) -> Sequence[Compared]:
        return demo_found.compared(self.lectures, self.meetings, self.found)

    @property
    def unfit(self) -> int:
        """Records that the sandboxes served and that can only end as letters."""
        return len(self.lectures.broken) + self.stats["zoom"].unfit + demo_found.unread(self.meetings)

    @property
    def joined(self) -> bool:
        """Whether the table knows of each person who was in both what is true of him."""
        return Counter(self.people) == Counter(self.found.everybody)

    @property
    def proven(self) -> bool:
        accounted = all(e.equal for e in self.equations) and len(self.letters) == self.unfit
        gaps = any(coverage.gaps() for coverage in self.coverages.values())
        return accounted and self.joined and all(kind.equal for kind in self.compared) and not gaps

    def text(self, *, seconds: float, folder: Path, command: Path) -> str:
        """`command`: how this program was called."""
        parts = [
            [f"Arrived in {seconds:.0f} s", *self._arrived()],
            ["Actions per hour in lectures, and the meetings of each day (UTC)", *self._chart()],
            ["Most watched", *self._top()],
            ["In lectures and in meetings: the same people in two tables, joined by this query", *self._people()],
            ["Faults met and survived", *self._faults()],
            ["Dead letters: what no one could read, kept with its reason and bytes", *self._letters()],
            ["The proof", *self._proof()],
            ["Where it is", *_files(folder)],
            ["Try next", *_next(folder, command)],
        ]
        return "\n\n".join("\n".join([title, *(f"  {line}".rstrip() for line in lines)]) for title, *lines in parts)

    def _arrived(self) -> list[str]:
        first, second = self.passes
        found, share = self.found, self.found.titled / max(len(self.found.actions), 1)
        return [
            f"{len(found.actions):>7,} actions in lectures, {share:.0%} with title and course of their recording",
            f"{len(found.meetings):>7,} meetings, {len(found.sessions):,} sessions of participants in them",
            f"{first.published:>7,} events published at the first reading",
            f"{second.published:>7,} more at the second, when all had come to rest: late, grown or changed",
            f"{first.filtered + second.filtered:>7,} filtered: they came again, unchanged",
        ]

    def _chart(self) -> list[str]:
        most = max(self.found.hours.values(), default=1)
        days: dict[str, list[int]] = {}
        for hour, amount in sorted(self.found.hours.items()):
            days.setdefault(f"{hour:%a %d %b}", [0] * 24)[hour.hour] = amount
        met = {f"{day:%a %d %b}": told for day, told in self.found.days.items()}
        lines = [f"{'':<12}{'0     6     12    18':<24} {'actions':>8} {'meetings':>9} {'person-hours':>14}"]
        for day, hours in days.items():
            cells = "".join(_BARS[-(-amount * (len(_BARS) - 1) // most)] for amount in hours)
            meetings, minutes = met.get(day, (0, 0))
            lines.append(f"{day:<12}{cells} {sum(hours):>8,} {meetings:>9,} {minutes // 60:>14,}")
        return [*lines, f"█ is {most:,} actions in an hour"]

    def _top(self) -> list[str]:
        return [
            _cut(f"{amount:>6,} actions {people:>5,} sessions  {title} ({course or '-'})", 98)
            for title, course, amount, people in self.found.top
        ]

    def _people(self) -> list[str]:
        heads = ("person", "actions", "lectures", "meetings", "minutes")
        width = max(len(str(row[0])) for row in [heads, *self.found.people])
        table = [f"{row[0]:<{width}}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in [heads, *self.found.people]]
        return [*PEOPLE.splitlines(), "", *table, f"{len(self.found.everybody):,} people were in both"]

    def _faults(self) -> list[str]:
        lines = []
        for name, stats in self.stats.items():
            kinds = [f"{kind} {amount}" for kind, amount in sorted(stats.faults.items())]
            requests = sum(stats.requests_of(endpoint) for endpoint in stats.requests)
            lines.append(f"{name}: {sum(stats.faults.values())} in {requests:,} requests")
            lines += [f"  {', '.join(kinds[at : at + _KINDS_A_LINE])}" for at in range(0, len(kinds), _KINDS_A_LINE)]
        beyond = sum(sum(stats.violations.values()) for stats in self.stats.values())
        return [*lines, f"calls beyond the limits of Zoom: {beyond}"]

    def _letters(self) -> list[str]:
        reasons = Counter((x.group, x.reason) for x in self.letters)
        examples = {(x.group, x.reason): x.error for x in self.letters}
        lines = [
            f"{n:>3}  {group:<9} {reason:<13}{_cut(examples[group, reason], 70)}"
            for (group, reason), n in sorted(reasons.items())
        ]
        return [*lines, f"{len(self.letters):>3}  in all; the simulation says it served {self.unfit} such records"]

    def _proof(self) -> list[str]:
        lines = [_equation(equation) for equation in self.equations]
        for kind in self.compared:
            zeros = f"missing {kind.missing}, doubled {kind.doubled}, stale {kind.stale}"
            lines.append(_line(kind.equal, f"{kind.what} in the table", f"{len(kind.true):,} in truth: {zeros}"))
        both = f"{len(self.found.everybody):,}, each with what is true of them: {len(self.people):,} in truth"
        lines.append(_line(self.joined, "people in both", both))
        for name, coverage in self.coverages.items():
            span = f"{shown(coverage.start)} … {shown(coverage.live_edge)}"
            lines.append(_line(not coverage.gaps(), name, f"{span}, {amount_of(len(coverage.gaps()), 'gap')}", "covered"))
        return [*lines, "Nothing lost, nothing doubled." if self.proven else "THE PROMISE IS BROKEN: please report this screen."]


def _line(good: bool, what: str, told: str, word: str = "equal") -> str:
    return f"{word if good else 'UNEQUAL':<8} {what:<22} {told}"


def _equation(equation: Equation) -> str:
    """As `harvest audit` has it, without what is nothing."""
    left, right = equation.left, [part for part in equation.right if part[1]] or equation.right[:1]
    sides = f"{left[0]} {left[1]:,} = " + " + ".join(f"{name} {amount:,}" for name, amount in right)
    line = _line(equation.equal, equation.what, sides)
    return line if len(line) <= _WIDTH else line.replace(" = ", f"\n{'':<34}= ")


def _files(folder: Path) -> list[str]:
    files = {
        "harvest.duckdb": "the tables useractions, meetings and sessions, for any DuckDB client",
        "queue.db": "every event, for a new sink or a refill",
        "coverage/": "what is read, what is final",
        "letters.db": "the dead letters",
    }
    return _aligned({f"{folder}/{name}": what for name, what in files.items()})


def _next(folder: Path, command: Path) -> list[str]:
    harvest = "harvest" if command.name == "__main__.py" else str(command)
    python = command.with_name("python")
    return _aligned(
        {
            f"{python if python.exists() else 'python'} {folder}/{QUERY}": "the people again: change the query in it",
            f"export HARVESTER_CONFIG={folder}/{MARK}": "from then on the commands mean this",
            f"{harvest} audit": "the equations, at any time",
            f"{harvest} dead-letters list": "each with its reason",
            f"{harvest} coverage show": "the times that are read",
        }
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _aligned(told: Mapping[str, str]) -> list[str]:
    width = max(map(len, told))
    return [f"{what:<{width}}  {why}" for what, why in told.items()]
