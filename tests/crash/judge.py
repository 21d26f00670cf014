"""The judge: what the sink holds against what is true, and whether every event is accounted for."""

from typing import NamedTuple

from tests.crash.rig import Site
from tests.crash.vendors import Span
from tests.crash.worlds import Sandbox


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
            f"{self.true:,} in truth: missing {self.missing}, doubled {self.doubled}, stale {self.stale}, "
            f"unaccounted {self.unaccounted}; published {self.published:,}, {self.broken} broken records, {self.letters} letters"
        )


def judge(site: Site, sandbox: Sandbox, span: Span, *, counted: bool = True) -> Verdict:
    """Compare, once everything has come to rest and was read and consumed.

    Not `counted`: the queue keeps no counts with its positions; accounted for is then what is held, is a letter, or still waits.
    """
    truth = sandbox.truth(span)
    things = truth.things
    rows = site.target.read(site.folder, site.vendor.tables)
    held = dict(rows)
    audit = site.call("audit", "--json")
    read = {owner: amount for e in audit["equations"] if e["what"] == "queue" for owner, amount in e["right"]}
    published = sum(amount for owner, amount in read.items() if owner.startswith(f"{site.vendor.name}/"))
    letters = sum(audit["letters"].values())
    told = letters + site.target.unfit(site.folder)
    if counted:
        unequal = sum(not e["equal"] for e in audit["equations"])
        assert audit["equations"], "nothing was counted"
    else:
        unequal = abs(len(things) - len(held))
    return Verdict(
        true=len(things),
        missing=len(things.keys() - held.keys()),
        doubled=len(rows) - len(held) + len(held.keys() - things.keys()),
        stale=sum(key in held and held[key] != state for key, state in things.items()),
        unaccounted=unequal + abs(truth.unfit - told) + sum(audit["waiting"].values()),
        published=published,
        letters=letters,
        broken=truth.unfit,
    )


def largest_window(sandbox: Sandbox, span: Span) -> int:
    """Events of the fullest one."""
    return max(sandbox.truth(span).windows.values(), default=0)
