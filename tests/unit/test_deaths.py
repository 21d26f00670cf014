"""What is known of events that were in work when processes died."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from consumers.deaths import Deaths, open_deaths
from consumers.worklog import Key
from harvester.errors import TransientError
from harvester.letters import open_letters
from harvester.protocols import DeadLetters
from tests.consuming import events, processing
from tests.fakes import KeyedSink, failing
from tests.taps import all_letters

GROUP, QUEUE = "sink", "queue-1"


class Place:
    """Where processes of one group live and die: a process that dies leaves the file as it is at that moment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def opened(self, queue: str = QUEUE) -> AbstractAsyncContextManager[Deaths]:
        return open_deaths(self.folder, GROUP, queue)

    async def dies_with(self, *batches: Sequence[Key], queue: str = QUEUE) -> None:
        """A process that has these batches in work when it is killed."""
        async with self.opened(queue) as deaths:
            self._note(deaths, batches)
            left = self.path.read_bytes()
        self.path.write_bytes(left)

    async def dies_waiting(self, keys: Sequence[Key]) -> None:
        async with self.opened() as deaths:
            left = b""

            async def work(_: slice) -> None:
                nonlocal left
                async with deaths.waiting():
                    left = self.path.read_bytes()

            await deaths.each(keys, work, self.no_killer)
        self.path.write_bytes(left)

    @staticmethod
    async def no_killer(index: int) -> None:
        raise AssertionError(index)

    @staticmethod
    def _note(deaths: Deaths, batches: Sequence[Sequence[Key]]) -> None:
        for keys in batches:
            deaths._note(keys)

    @property
    def path(self) -> Path:
        return self.folder / f"{GROUP}.0"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "work")


@pytest.fixture
async def letters(tmp_path: Path) -> AsyncIterator[DeadLetters]:
    async with open_letters(f"sqlite:///{tmp_path}/letters.db") as letters:
        yield letters


@pytest.fixture
def sink() -> KeyedSink:
    return KeyedSink()


async def worked(deaths: Deaths, keys: Sequence[Key]) -> tuple[list[list[Key]], list[Key]]:
    """How the keys were worked together, and which were held to kill."""
    together: list[list[Key]] = []
    killers: list[Key] = []

    async def work(cut: slice) -> None:
        together.append(list(keys[cut]))

    async def killer(index: int) -> None:
        killers.append(keys[index])

    await deaths.each(keys, work, killer)
    return together, killers


async def test_what_was_in_work_at_three_ends_is_worked_one_at_a_time_and_alone_at_the_next_end_it_kills(place: Place) -> None:
    for ends in range(3):
        async with place.opened() as deaths:
            assert deaths.times == ends
            assert not deaths.suspects
        await place.dies_with([1, 2, 3], [f"4:{ends}"])
    async with place.opened() as deaths:
        assert (deaths.times, set(deaths.suspects)) == (3, {1, 2, 3})
        left = place.path.read_bytes()
        assert await worked(deaths, [8, 9]) == ([[8, 9]], [])
    place.path.write_bytes(left)
    await place.dies_with([2])
    async with place.opened() as deaths:
        assert deaths.times == 4
        assert await worked(deaths, [1, 2, 3]) == ([[1], [3]], [2])
    async with place.opened() as deaths:
        assert await worked(deaths, [1, 2, 3]) == ([[1, 2, 3]], []), "it is settled: who sends it again wants it tried"


async def test_an_event_that_is_always_alone_kills_at_the_third_end(place: Place) -> None:
    for _ in range(3):
        await place.dies_with([7])
    async with place.opened() as deaths:
        assert await worked(deaths, [6, 7]) == ([[6]], [7])


async def test_what_was_done_between_two_ends_is_not_in_a_row(place: Place) -> None:
    for _ in range(4):
        await place.dies_with([1, 2])
        async with place.opened() as deaths:
            assert deaths.times == 1
            assert await worked(deaths, [1, 2]) == ([[1, 2]], [])


async def test_what_was_done_before_the_process_died_is_not_to_blame(place: Place) -> None:
    for _ in range(3):
        async with place.opened() as deaths:
            await worked(deaths, [1, 2])
            deaths._note([3, 4])
            left = place.path.read_bytes()
        place.path.write_bytes(left)
    async with place.opened() as deaths:
        assert set(deaths.suspects) == {3, 4}


async def test_who_dies_while_he_waits_for_a_server_blames_no_event(place: Place) -> None:
    for _ in range(5):
        await place.dies_waiting([1])
    async with place.opened() as deaths:
        assert (deaths.times, deaths.suspects) == (0, set())


async def test_after_the_stop_no_end_blames_an_event(place: Place) -> None:
    for _ in range(5):
        async with place.opened() as deaths:
            deaths._note([1])
            deaths.release()
            deaths._note([2])
            left = place.path.read_bytes()
        place.path.write_bytes(left)
    async with place.opened() as deaths:
        assert (deaths.times, deaths.suspects) == (0, set())


async def test_an_idle_process_that_ends_well_does_not_hide_the_deaths_of_others(place: Place) -> None:
    for _ in range(3):
        await place.dies_with([1, 2])
        async with place.opened():
            pass
    async with place.opened() as deaths:
        assert (deaths.times, set(deaths.suspects)) == (0, {1, 2})


async def test_positions_of_another_queue_mean_nothing(place: Place) -> None:
    for _ in range(3):
        await place.dies_with([1], queue="old")
    async with place.opened() as deaths:
        assert not deaths.suspects


@pytest.mark.parametrize("text", [b"", b"\0\0", b"[1", b'["queue-1",[],[],99]\n[1,[1]]\n', b'["queue-1",[],[],1]\n[1,[1\n'])
async def test_a_file_that_is_torn_or_of_another_format_is_begun_anew(place: Place, text: bytes) -> None:
    place.folder.mkdir()
    place.path.write_bytes(text)
    async with place.opened() as deaths:
        assert (deaths.times, deaths.suspects) == (0, set())


async def test_each_living_process_of_a_group_has_a_file_of_its_own(place: Place) -> None:
    for _ in range(3):
        await place.dies_with([1, 2])
    async with place.opened() as first, place.opened() as second:
        assert (set(first.suspects), set(second.suspects)) == ({1, 2}, set())


async def test_where_no_file_can_be_had_the_work_goes_on(place: Place) -> None:
    place.folder.write_text("in the way")
    async with place.opened() as deaths:
        assert await worked(deaths, [1, 2]) == ([[1, 2]], [])


async def test_the_file_does_not_grow_without_end_and_still_knows_what_is_in_work(place: Place) -> None:
    async with place.opened() as deaths:
        deaths._note([-1])
        for first in range(0, 400_000, 1000):
            await worked(deaths, [*range(first, first + 1000)])
            assert place.path.stat().st_size < 2 * 2**20
        left = place.path.read_bytes()
    place.path.write_bytes(left)
    async with place.opened() as deaths:
        assert deaths.times == 1
        assert await worked(deaths, [-1]) == ([[-1]], [])


class Crowd:
    """Work that says who was there with whom."""

    def __init__(self) -> None:
        self._inside: list[str] = []
        self.seen: list[tuple[str, ...]] = []

    async def work(self, deaths: Deaths, keys: Sequence[Key], name: str) -> None:
        async def one(cut: slice) -> None:
            mine = f"{name}{keys[cut][0]}"
            self._inside.append(mine)
            self.seen.append(tuple(self._inside))
            await asyncio.sleep(0.001)
            self._inside.remove(mine)

        await deaths.each(keys, one, Place.no_killer)


async def test_nothing_is_worked_beside_a_suspect_not_by_another_sink_either(place: Place) -> None:
    for _ in range(3):
        await place.dies_with([1, 2])
    crowd, other = Crowd(), Deaths()
    async with place.opened() as deaths:
        works = [(other, [8], "o"), (deaths, [5], "d"), (deaths, [1, 2], "d"), (other, [9], "o"), (deaths, [6], "d")]
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for one, keys, name in works:
                group.create_task(crowd.work(one, keys, name))
        assert not deaths.suspects
    assert ("d1",) in crowd.seen
    assert ("d2",) in crowd.seen
    assert not [seen for seen in crowd.seen if len(seen) > 1 and {"d1", "d2"} & {*seen}], crowd.seen
    assert ("o8", "d5") in crowd.seen, "those that are no suspects are worked together"


async def test_a_suspect_that_waits_for_its_server_holds_up_nobody(place: Place) -> None:
    for _ in range(3):
        await place.dies_with([1, 3])
    waits, free = asyncio.Event(), asyncio.Event()
    async with place.opened() as deaths:

        async def work(_: slice) -> None:
            async with deaths.waiting():
                waits.set()
                await free.wait()

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(deaths.each([1, 2], work, place.no_killer))
            await waits.wait()
            assert await worked(Deaths(), [5, 6]) == ([[5, 6]], [])
            free.set()
        assert await worked(deaths, [1]) == ([[1]], [])


async def test_f34_what_kills_is_a_letter_with_its_reason_counted_and_its_neighbours_pass(
    place: Place, letters: DeadLetters, sink: KeyedSink
) -> None:
    batch = events(4)
    for _ in range(3):
        await place.dies_with([d.position for d in batch])
    await place.dies_with([batch[2].position])
    async with place.opened() as deaths:
        counts = await processing(sink, letters, deaths=deaths).process(batch)
    assert counts == {"consumed": 4, "delivered": 3, "filtered": 0, "dead_lettered": 1}
    assert sink.table.keys() == {"e0", "e1", "e3"}
    (letter,) = await all_letters(letters)
    assert (letter.reason, letter.stage, letter.body, letter.due) == ("killed", "write", batch[2].message.body, None)
    assert letter.event_id
    assert letter.key == batch[2].message.key


async def test_f34_a_letter_that_kills_when_it_is_tried_again_waits_for_a_person_again(
    place: Place, letters: DeadLetters, sink: KeyedSink
) -> None:
    sink.always = sink.refusing(["e1"])
    await processing(sink, letters).process(events(3))
    (letter,) = await all_letters(letters)
    sink.always = None
    for _ in range(3):
        await place.dies_with([letter.id])
    async with place.opened() as deaths:
        work = processing(sink, letters, deaths=deaths)
        assert await work.repair([letter]) == (0, 0)
        (again,) = await all_letters(letters)
        assert (again.id, again.reason, again.due, again.attempts) == (letter.id, "killed", None, 2)
        assert await work.repair([again]) == (1, 0), "somebody made it due: it is tried"
    assert await all_letters(letters) == []
    assert sink.table.keys() == {"e0", "e1", "e2"}


async def test_while_a_sink_is_waited_for_its_events_are_not_in_work(place: Place, letters: DeadLetters, sink: KeyedSink) -> None:
    seen: list[bytes] = []
    sink.script = [failing(TransientError("away"))]
    async with place.opened() as deaths:
        work = processing(sink, letters, deaths=deaths, on_wait=lambda *_: None)
        pause = work.patience.pause

        async def watched(seconds: float) -> None:
            seen.append(place.path.read_bytes())
            await pause(seconds)

        work.patience.pause = watched  # type: ignore[method-assign]
        await work.process(events(2))
    place.path.write_bytes(seen[0])
    async with place.opened() as deaths:
        assert deaths.times == 0
