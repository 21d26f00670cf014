"""Zoom at size, in small: the same run as `python -m tests.zoom`, of some days."""

from datetime import timedelta
from pathlib import Path

from tests.zoom.proof import Plan, prove

SMALL = Plan(days=10, history=7, meetings=300, every=timedelta(hours=12), daily=110, page=30)


async def test_what_arrives_is_true_for_the_least_calls_within_every_limit_and_after_every_cut(tmp_path: Path) -> None:
    report = await prove(SMALL, tmp_path)
    assert report.faults() == []
    assert report.judgement.meetings > 250
    assert report.judgement.rejoins > 500
    assert report.history.spoiled + report.live.spoiled > 0
    assert report.live.stays > 0
