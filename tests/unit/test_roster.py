"""The roster: new streams of a source begin, vanished ones end, and a source that cannot be asked changes nothing."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import pytest

from harvester import measures, metrics
from harvester.commands.roster import Roster
from harvester.errors import PermanentError, TransientError
from harvester.protocols import Source, Stream
from harvester.states import States
from tests.taps import until


class Named(NamedTuple):
    name: str


class Changing:
    """Tells of other streams each time, or fails; then it is over."""

    name = "github"

    def __init__(self, halt: asyncio.Event, *told: Sequence[str] | Exception) -> None:
        self._halt = halt
        self._told = list(told)

    async def streams(self) -> Sequence[Any]:
        told = self._told.pop(0)
        if not self._told:
            self._halt.set()
        if isinstance(told, Exception):
            raise told
        return [Named(name) for name in told]


class Followed:
    """What is followed now, and what ever was."""

    def __init__(self, states: States) -> None:
        self.now: set[str] = set()
        self.ever: list[str] = []
        self._states = states

    def begin(self, stream: Stream, *, may_end: bool = False) -> asyncio.Task[None]:
        self.ever.append(f"{stream.name}{'!' if may_end else ''}")
        self._states.component(f"github/{stream.name}", "stream")
        return asyncio.get_running_loop().create_task(self._follow(stream.name))

    async def _follow(self, name: str) -> None:
        self.now.add(name)
        metrics.StreamMetrics("github", name).expects(60, 60)
        try:
            await asyncio.Event().wait()
        finally:
            metrics.lease("github", name, held=False)  # as the daemon tells while it ends
            self.now.remove(name)


async def asked(*told: Sequence[str] | Exception) -> tuple[Followed, States]:
    halt, states = asyncio.Event(), States()
    followed = Followed(states)
    roster = Roster(cast("Source", Changing(halt, *told)), followed.begin, states)
    roster.take(cast("Sequence[Stream]", [Named("pulls/1"), Named("pulls/2")]), may_end=True)
    async with asyncio.timeout(5):
        await roster.ask_again(0, halt)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    found = set(followed.now), list(followed.ever)
    roster.take([])
    await asyncio.sleep(0)
    followed.now, followed.ever = found
    return followed, states


async def test_a_new_stream_begins_and_the_known_ones_go_on() -> None:
    followed, _ = await asked(["pulls/1", "pulls/2", "pulls/3"])
    assert followed.now == {"pulls/1", "pulls/2", "pulls/3"}
    assert followed.ever == ["pulls/1!", "pulls/2!", "pulls/3"]


async def test_a_stream_that_vanished_ends_and_is_no_part_of_the_state_any_more() -> None:
    followed, states = await asked(["pulls/2"])
    assert followed.now == {"pulls/2"}
    assert [standing.name for standing in states.standings()] == []  # the last were retired with the test


def told_of(stream: str) -> set[str]:
    """The gauges that tell of a stream."""
    labels = {"source": "github", "stream": stream}
    names = {metric.name for gauge in measures.STREAM_GAUGES for metric in gauge.describe()}
    return {name for name in names if measures.REGISTRY.get_sample_value(name, labels) is not None}


async def test_a_stream_that_vanished_is_measured_no_more_and_one_that_came_back_is() -> None:
    halt, states = asyncio.Event(), States()
    followed = Followed(states)
    roster = Roster(cast("Source", Changing(halt)), followed.begin, states)

    async def follow(*now: int, back: Sequence[int] = ()) -> set[str]:
        """These alone, of which some vanish and are back before their tasks have ended."""
        streams = [cast("Stream", Named(f"gauged/{n}")) for n in now]
        roster.take([stream for stream, n in zip(streams, now, strict=True) if n not in back])
        roster.take(streams)
        await until(lambda: followed.now == {stream.name for stream in streams})
        for _ in range(5):
            await asyncio.sleep(0)
        return {name for name in ("gauged/1", "gauged/2") if told_of(name)}

    assert await follow(1, 2) == {"gauged/1", "gauged/2"}
    assert await follow(1, 2, back=[1]) == {"gauged/1", "gauged/2"}
    assert len(followed.ever) == 3
    assert await follow(2) == {"gauged/2"}
    assert await follow() == set()


async def test_a_stream_that_comes_back_begins_again() -> None:
    followed, _ = await asked(["pulls/2"], ["pulls/1", "pulls/2"])
    assert followed.now == {"pulls/1", "pulls/2"}
    assert followed.ever == ["pulls/1!", "pulls/2!", "pulls/1"]


@pytest.mark.parametrize("error", [TransientError("away"), PermanentError("refused")])
async def test_while_the_source_cannot_be_asked_everything_stays(error: Exception) -> None:
    followed, _ = await asked(error, ["pulls/1", "pulls/2"])
    assert followed.now == {"pulls/1", "pulls/2"}
    assert followed.ever == ["pulls/1!", "pulls/2!"]
