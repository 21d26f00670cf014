"""What a collection of GitHub says of itself: at its begin, at its end, and what to do next."""

from collections.abc import Sequence

import click

from harvester.commands.github_checkpoints import Checkpoint, Hole
from harvester.commands.times import shown
from harvester.commands.words import amount_of
from harvester.logs import COLLECTED, get_logger
from harvester.screens import plain

COLUMNS = ("pull_requests", "commits", "reviews", "review_comments", "issue_comments")
EXIT_CODES = {"complete": 0, "partial": 5, "failed": 1, "running": 1}
_LISTED = 20
_LONGEST = 40


def _say(text: str) -> None:
    click.echo(plain(text), err=True)


def begins(checkpoint: Checkpoint, *, daemon: bool) -> None:
    """The id, and what is read; of a `daemon` in the log alone."""
    get_logger("github" if daemon else COLLECTED).info(
        "collection begins", collection_id=checkpoint.collection_id, organisation=checkpoint.organisation, kind=checkpoint.kind
    )
    if daemon:
        return
    repositories = amount_of(len(checkpoint.repositories), "repository", "repositories")
    _say(
        f"collection {checkpoint.collection_id}: {repositories} of {checkpoint.organisation}, "
        f"changes of {shown(checkpoint.since)} … {shown(checkpoint.until)}"
    )


def cut(checkpoint: Checkpoint) -> str:
    """What is said of one that a signal cut."""
    return (
        f"interrupted: collection {checkpoint.collection_id} is not finished; what was read stays. Next: the same command, or "
        f"any other collection, completes it first"
    )


def ended(checkpoint: Checkpoint, seconds: float, *, daemon: bool) -> None:
    """The table of what was read, what is missing and why, and the state; of a `daemon` in the log alone."""
    totals = {name: sum(counts.get(name, 0) for counts in checkpoint.counts.values()) for name in COLUMNS}
    log = get_logger("github" if daemon else COLLECTED)
    (log.info if checkpoint.state == "complete" else log.warning)(
        "collection ended",
        collection_id=checkpoint.collection_id,
        state=checkpoint.state,
        seconds=round(seconds, 3),
        holes=[f"{_place(hole)}: {hole.why}" for hole in checkpoint.holes[:_LISTED]],
        missing=len(checkpoint.holes),
        dead_letters=checkpoint.dead_letters,
        **totals,
        repositories=dict(list(checkpoint.counts.items())[:_LISTED]),
    )
    if daemon:
        return
    for line in _table(checkpoint, totals):
        _say(line)
    if swept := sum(counts.get("swept", 0) for counts in checkpoint.counts.values()):
        _say(f"{amount_of(swept, 'event')} of pull requests that are open, or were closed lately, read again by the daily sweep")
    for sink, counts in checkpoint.sinks.items():
        _say(f"{sink}: {amount_of(counts.get('delivered', 0), 'event')} written")
    _missing(checkpoint)
    done = f"{len(checkpoint.completed):,} of {amount_of(len(checkpoint.repositories), 'repository', 'repositories')}"
    _say(f"collection {checkpoint.collection_id} {checkpoint.state}: {done}, in {seconds:.1f} s")


def _table(checkpoint: Checkpoint, totals: dict[str, int]) -> Sequence[str]:
    rows = [(name, [counts.get(c, 0) for c in COLUMNS]) for name, counts in checkpoint.counts.items() if name]
    rows = [row for row in rows if any(row[1])]
    if not rows:
        return ["nothing changed"]
    rows.sort(key=lambda row: -sum(row[1]))
    told = sorted(rows[:_LISTED])
    if len(rows) > _LISTED:
        others = rows[_LISTED:]
        told.append((f"… and {len(others):,} more", [sum(row[1][i] for row in others) for i in range(len(COLUMNS))]))
    told.append(("total", [*totals.values()]))
    width = min(_LONGEST, max(len(name) for name, _ in (*told, ("repository", ()))))
    head = "  ".join(["repository".ljust(width), *COLUMNS])
    return [
        head,
        *("  ".join([n[:width].ljust(width), *(f"{v:>{len(c)},}" for v, c in zip(vs, COLUMNS, strict=True))]) for n, vs in told),
    ]


def _missing(checkpoint: Checkpoint) -> None:
    reading = [hole for hole in checkpoint.holes if hole.repository or hole.part not in checkpoint.sinks]
    for hole in reading[:_LISTED]:
        _say(f"not read: {_place(hole)}: {hole.why}")
    if len(reading) > _LISTED:
        _say(f"… and {len(reading) - _LISTED:,} more, in the checkpoint")
    if reading:
        _say(f"next: harvest github resume --collection-id {checkpoint.collection_id}")
    for hole in checkpoint.holes:
        if hole not in reading:
            _say(f"not written: {hole.part}: {hole.why}; it waits in the queue, the next collection with this queue writes it")
    if checkpoint.dead_letters:
        _say(f"{amount_of(checkpoint.dead_letters, 'dead letter')}: harvest dead-letters list --group github")
    for sink, counts in checkpoint.sinks.items():
        if refused := counts.get("dead_lettered", 0):
            _say(f"{sink} refused {amount_of(refused, 'event')}: harvest dead-letters list --group {sink}")


def _place(hole: Hole) -> str:
    return " ".join(filter(None, [hole.repository, hole.part])) or "the list of repositories"
