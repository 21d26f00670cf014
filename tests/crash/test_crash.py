"""The crash proof in short, and the proof that it can fail."""

from pathlib import Path

import pytest

from tests.crash.judge import Verdict, judge
from tests.crash.rig import CONSUMER, CONSUMER_POINTS, HARVESTER, HARVESTER_POINTS, Sandbox, Site, Span, sandbox


def _killed(folder: Path, world: Sandbox, span: Span, *, order: str = "") -> tuple[Verdict, int]:
    switched = {"HARVESTER_CRASH_ORDER": order} if order else {}
    site = Site(folder, world.url, span, **switched)
    for point in HARVESTER_POINTS:
        site.kill_at(HARVESTER, point, 2, patience=10)
    for point in CONSUMER_POINTS:
        site.kill_at(CONSUMER, point, 2, patience=10)
    site.finish(span)
    return judge(site, world, span), sum(site.kills.values())


def test_f01_f51_a_kill_at_every_named_point_loses_and_doubles_nothing(tmp_path: Path) -> None:
    span = Span(hours=48)
    with sandbox(span, actions_per_day=2500, seed="short", faults=["records=0.01"]) as world:
        verdict, kills = _killed(tmp_path, world, span)
    assert verdict.good, verdict
    assert verdict.broken > 0
    assert kills == len(HARVESTER_POINTS) + len(CONSUMER_POINTS)


@pytest.mark.parametrize("order", ["cover-first", "commit-first"])
def test_with_the_order_switched_the_same_proof_fails(tmp_path: Path, order: str) -> None:
    span = Span(hours=48)
    with sandbox(span, actions_per_day=2500, seed="short", faults=["records=0.01"]) as world:
        verdict, _ = _killed(tmp_path, world, span, order=order)
    assert verdict.missing > 0, verdict
