"""The demo's screen: what arrived, and the proof that nothing is missing."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harvester.commands.audit import Equation
from harvester.commands.times import shown
from harvester.commands.words import amount_of
from harvester.coverage import Coverage
from harvester.protocols import Letter

if TYPE_CHECKING:
    from harvester.sandbox.stats import Snapshot
    from harvester.sandbox.truth import Truth

_BARS = " ▁▂▃▄▅▆▇█"
_TOP = 5


class Found(NamedTuple):
    """What the DuckDB file holds of the span."""

    states: dict[int, int]
    """action id → outpoint"""
    rows: int
    hours: dict[datetime, int]
    top: list[tuple[str, str, int, int]]
    """title, course, actions, sessions"""
    titled: int


def opening(url: str, start: datetime, end: datetime) -> str:
    """What is about to happen."""
    return (
        f"A simulated Opencast runs on {url}. It refuses, delays, cuts and garbles one answer in eight,\n"
        f"and serves rows late, growing, and some that are no JSON.\n"
        f"Harvesting lecture-player actions from {shown(start)} to {shown(end)} …"
    )


def query(path: Path, start: datetime, end: datetime) -> Found:
    """Read the DuckDB file as an analyst would."""
    import duckdb

    span = [start.replace(tzinfo=None), end.replace(tzinfo=None)]
    inside = "FROM useractions WHERE timestamp >= ? AND timestamp < ?"
    with duckdb.connect(str(path), read_only=True) as database:

        def ask(columns: str, rest: str = "") -> list[Any]:
            return database.execute(f"SELECT {columns} {inside} {rest}", span).fetchall()

        states = ask("action_id, action_outpoint")
        titled = "AND episode_title IS NOT NULL"
        top = ask(
            "any_value(episode_title), any_value(episode_course), count(*), count(DISTINCT session_id)",
            f"{titled} GROUP BY mpid ORDER BY count(*) DESC, mpid LIMIT {_TOP}",
        )
        return Found(
            states=dict(states),
            rows=len(states),
            hours=dict(ask("date_trunc('hour', timestamp), count(*)", "GROUP BY 1")),
            top=top,
            titled=ask("count(*)", titled)[0][0],
        )


class Shown(NamedTuple):
    """Everything the screen tells, from the durable parts alone."""

    truth: "Truth"
    equations: Sequence[Equation]
    coverage: Coverage
    letters: Sequence[Letter]
    stats: "Snapshot"
    polls: tuple[dict[str, int], dict[str, int]]
    found: Found

    @property
    def missing(self) -> int:
        return len(self.truth.actions.keys() - self.found.states.keys())

    @property
    def doubled(self) -> int:
        return self.found.rows - len(self.found.states) + len(self.found.states.keys() - self.truth.actions.keys())

    @property
    def stale(self) -> int:
        held = self.found.states
        return sum(key in held and held[key] != action.outpoint for key, action in self.truth.actions.items())

    @property
    def proven(self) -> bool:
        accounted = all(e.equal for e in self.equations) and len(self.letters) == len(self.truth.broken)
        return accounted and not (self.missing or self.doubled or self.stale or self.coverage.gaps())

    def text(self, *, seconds: float, folder: Path, command: str) -> str:
        parts = [
            ["", *self._arrived(seconds)],
            ["Actions per hour (UTC)", *self._chart()],
            ["Most watched", *self._top()],
            ["Faults met and survived", *self._faults()],
            ["Dead letters: what no one could read, kept with its reason and bytes", *self._letters()],
            ["The proof", *self._proof()],
            ["Where it is", *_files(folder)],
            ["Try next", *_next(folder, command)],
        ]
        return "\n\n".join("\n".join([lines[0], *(f"  {line}" for line in lines[1:])]) for lines in parts)

    def _arrived(self, seconds: float) -> list[str]:
        first, second = self.polls
        share = self.found.titled / max(self.found.rows, 1)
        late, repeats = second["published"], second["filtered"]
        return [
            f"{self.found.rows:,} actions arrived in {seconds:.0f} s, {share:.0%} with title and course of their recording.",
            f"First pass: {first['published']:,} published.",
            f"Second pass, when all had come to rest: {late:,} late or grown rows found, {repeats:,} repeats filtered.",
        ]

    def _chart(self) -> list[str]:
        most = max(self.found.hours.values(), default=1)
        days: dict[str, list[int]] = {}
        for hour, amount in sorted(self.found.hours.items()):
            days.setdefault(f"{hour:%a %d %b}", [0] * 24)[hour.hour] = amount
        lines = [f"{'':<12}{'0     6     12    18':<24} {'day':>7}"]
        for day, hours in days.items():
            cells = "".join(_BARS[-(-amount * (len(_BARS) - 1) // most)] for amount in hours)
            lines.append(f"{day:<12}{cells} {sum(hours):>7,}")
        return [*lines, f"█ is {most:,} actions in an hour"]

    def _top(self) -> list[str]:
        return [
            f"{amount:>6,} actions {people:>5,} sessions  {title} ({course or '-'})"
            for title, course, amount, people in self.found.top
        ]

    def _faults(self) -> list[str]:
        kinds = [f"{kind} {amount}" for kind, amount in sorted(self.stats.faults.items())]
        lines = [", ".join(kinds[i : i + 6]) for i in range(0, len(kinds), 6)]
        requests = sum(self.stats.requests_of(endpoint) for endpoint in self.stats.requests)
        return [*lines, f"{sum(self.stats.faults.values())} in all, of {requests:,} requests"]

    def _letters(self) -> list[str]:
        reasons = Counter((x.group, x.reason) for x in self.letters)
        examples = {(x.group, x.reason): x.error for x in self.letters}
        lines = [f"{n:>3}  {group:<9} {reason:<9} e.g. {examples[group, reason][:72]}" for (group, reason), n in reasons.items()]
        return [*lines, f"{len(self.letters):>3}  in all; the sandbox says it served {len(self.truth.broken)} such records"]

    def _proof(self) -> list[str]:
        complete = f"{self.truth.count:,} actions in truth: missing {self.missing}, doubled {self.doubled}, stale {self.stale}"
        span = f"{shown(self.coverage.start)} … {shown(self.coverage.live_edge)}, {amount_of(len(self.coverage.gaps()), 'gap')}"
        return [
            *(str(equation) for equation in self.equations),
            f"{'equal  ' if self.proven else 'UNEQUAL'}  {'against the truth':<24} {complete}",
            f"covered  {'coverage':<24} {span}",
            "Nothing lost, nothing doubled." if self.proven else "THE PROMISE IS BROKEN: please report this screen.",
        ]


def _files(folder: Path) -> list[str]:
    return [
        f"{folder}/harvest.duckdb   the table useractions, for any DuckDB client",
        f"{folder}/queue.db         every event, for a new sink or a refill",
        f"{folder}/coverage/        what is read, what is final",
        f"{folder}/letters.db       the dead letters",
    ]


def _next(folder: Path, command: str) -> list[str]:
    config = f"HARVESTER_CONFIG={folder}/harvester.toml {command}"
    return [
        f"{config} audit                   the equations, at any time",
        f"{config} dead-letters list       each with its reason",
        f"{config} coverage show           the times that are read",
    ]
