"""The judge: what the sink holds against what is true, and whether every event is accounted for."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.crash.rig import Sandbox, Site, Span


class Verdict(NamedTuple):
    """All zeros, or the promise is broken."""

    true: int
    missing: int
    doubled: int
    stale: int
    unaccounted: int
    published: int
    letters: int
    broken: int

    @property
    def good(self) -> bool:
        return not (self.missing or self.doubled or self.stale or self.unaccounted)

    def __str__(self) -> str:
        return (
            f"{self.true:,} actions in truth: missing {self.missing}, doubled {self.doubled}, stale {self.stale}, "
            f"unaccounted {self.unaccounted}; published {self.published:,}, {self.broken} broken records, {self.letters} letters"
        )


def judge(site: Site, sandbox: Sandbox, span: Span, *, counted: bool = True) -> Verdict:
    """Compare, once everything has come to rest and was read and consumed.

    Not `counted`: the queue keeps no counts with its positions; accounted for is then what is held, is a letter, or still waits.
    """
    truth = sandbox.truth(span.start, span.end)
    actions: Mapping[str, Any] = truth["actions"]
    rows = site.target.read(site.folder)
    held = dict(rows)
    audit = site.call("audit", "--json")
    published = sum(a for e in audit["equations"] if e["what"] == "queue" for _, a in e["right"])
    letters = sum(audit["letters"].values())
    if counted:
        unequal = sum(not e["equal"] for e in audit["equations"])
        assert audit["equations"], "nothing was counted"
    else:
        unequal = abs(len(actions) - len(held))
    return Verdict(
        true=len(actions),
        missing=len(actions.keys() - held.keys()),
        doubled=len(rows) - len(held) + len(held.keys() - actions.keys()),
        stale=sum(key in held and held[key] != action["outpoint"] for key, action in actions.items()),
        unaccounted=unequal + abs(len(truth["broken"]) - letters) + sum(audit["waiting"].values()),
        published=published,
        letters=letters,
        broken=len(truth["broken"]),
    )


def largest_window(sandbox: Sandbox, span: Span) -> int:
    """Actions in the fullest hour."""
    hours: dict[str, int] = {}
    for action in sandbox.truth(span.start, span.end)["actions"].values():
        hour = action["created"][:13]
        hours[hour] = hours.get(hour, 0) + 1
    return max(hours.values(), default=0)
