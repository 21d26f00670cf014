"""Kills at random moments: how long who is killed is let live."""

from collections.abc import Sequence
from typing import cast

from tests.crash.killing import kill_beside
from tests.crash.rig import HARVESTER, Site

LONGEST = 2.4


class Killed:
    """A site whose processes never come to work; `left`: there is some."""

    consumer = ("consume", "duckdb")
    moved = 0

    def __init__(self, *, left: bool) -> None:
        self._left = left
        self.lives: list[float] = []

    def kill_after(self, command: Sequence[str], seconds: float) -> bool:
        if command == HARVESTER:
            self.lives.append(seconds)
        return False

    def idle(self, _: Sequence[str]) -> bool:
        return not self._left


def lives(*, left: bool) -> list[float]:
    site = Killed(left=left)
    kill_beside(cast("Site", site), 40, "lives", lambda: 0, LONGEST)
    return site.lives


def test_who_is_killed_before_it_came_to_work_lives_longer_the_next_time() -> None:
    assert max(lives(left=True)) > 3 * LONGEST


def test_who_has_nothing_left_to_do_lives_no_longer_for_it() -> None:
    assert max(lives(left=False)) <= LONGEST
