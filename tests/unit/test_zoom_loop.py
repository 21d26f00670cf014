"""Zoom's meetings through the harvest loop, poll after poll: what is final was read, and what is new is not kept waiting."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from harvester.coverage import Coverage
from harvester.errors import TransientError
from harvester.event import Event, decode_event
from harvester.harvest import Harvest
from harvester.openbook import OpenBook
from tests.fakes import Clock
from tests.taps import Stores, open_stores
from tests.zoom_account import DAY, NOW, QUICK, Account, Row, hours, meeting, served, stay


class Polling(NamedTuple):
    """A harvester of an account, whose every poll is a process of its own."""

    account: Account
    stores: Stores
    switches: dict[str, Any]

    async def poll(self) -> bool:
        """Whether it came to its end before the calls of the day did."""
        book = OpenBook(self.stores.coverages, "zoom", self.stores.queue)
        await book.load()
        async with served(self.account, **self.switches) as source:
            [stream] = await source.streams()
            try:
                await Harvest(source, stream, self.stores.queue, book, self.stores.letters, retry=QUICK).poll(DAY.start)
            except TransientError as error:
                if "it goes on at" not in str(error):
                    raise
                return False
            finally:
                await book.store()
        return True

    async def coverage(self) -> Coverage:
        return (await self.stores.coverages.load("zoom")).streams.get("meetings", Coverage())

    async def events(self) -> list[Event]:
        return [decode_event(d.message.body) for d in await self.stores.queue.peek(0, 100_000)]


@asynccontextmanager
async def polling(account: Account, folder: Path, **switches: Any) -> AsyncIterator[Polling]:
    async with open_stores(folder, Clock(NOW + timedelta(days=90))) as stores:
        yield Polling(account, stores, switches)


@pytest.mark.parametrize("settle", [0, 6, 24, 72], ids="{} h".format)
async def test_a_meeting_whose_begin_is_never_told_is_read_before_its_day_is_final(tmp_path: Path, settle: int) -> None:
    account = Account(stays={"b==": [stay(join="2026-11-02T21:00:00Z")]}, now=DAY.start + hours(1))
    async with polling(account, tmp_path, settle=settle * 3600) as daemon:
        while DAY.end > ((await daemon.coverage()).watermark or DAY.start):
            assert await daemon.poll()
            assert not await daemon.events() or account.now >= min(DAY.start + hours(48), DAY.end + hours(settle))
            account.now += hours(5)
            if account.now > DAY.start + hours(22):
                account.meetings = [meeting("b==", "", day="2026-11-02", end_time="2026-11-02T22:00:00Z")]
        found = await daemon.events()
    assert {event.type for event in found} == {"zoom.meeting", "zoom.session"}
    assert len({event.id for event in found}) == 2
    assert found[0].time == DAY.start


def busy(days: int, a_day: int) -> Account:
    """An account with so many meetings on each day, each of which is told when it is over."""
    account, usual = Account(), list[Row]()
    for n in range(days * a_day):
        began, uuid = DAY.start + n * timedelta(days=1) / a_day, f"m{n}"
        times = {"start": _text(began), "end_time": _text(began + timedelta(minutes=5))}
        usual.append(meeting(uuid, **times))
        account.stays[uuid] = [stay(join=times["start"])]

    def over(_: web.BaseRequest) -> None:
        account.meetings = [row for row in usual if row["end_time"] <= _text(account.now)]

    account.reply = over
    return account


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(("daily", "enough"), [(46, True), (28, False)])
async def test_what_is_new_never_waits_for_long_however_many_meetings_are_not_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, daily: int, enough: bool
) -> None:
    """Ten meetings a day take 20 calls: each is asked for again when it is final. The lists of two polls take 20 more."""
    for module in ("zoom", "zoom_notes"):
        monkeypatch.setattr(f"harvester.sources.{module}.MOST", 5)
    account, told = busy(8, 10), list[tuple[str, str]]()
    async with polling(account, tmp_path, daily_calls=daily, on_mode=lambda *mode: told.append(mode)) as daemon:
        account.now = DAY.start + hours(12)
        while account.now < DAY.start + timedelta(days=8):
            done, coverage = await daemon.poll(), await daemon.coverage()
            assert account.now - (coverage.live_edge or DAY.start) <= hours(0 if enough else 24)
            if enough:
                assert done
                assert account.now - (coverage.watermark or DAY.start) <= hours(72)
            account.now += hours(12)
        arrived = {event.subject for event in await daemon.events() if event.time < account.now - hours(48)}
    assert len([subject for subject in arrived if "/" not in subject]) >= 55
    mode, why = told[-1]
    assert mode == "sparing"
    assert why.startswith("of the last 3 days the newest 5 meetings are noted, and there are more")


async def test_a_meeting_that_was_not_noted_is_asked_for_again_when_it_is_final(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harvester.sources.zoom_notes.MOST", 5)
    account, asked = busy(1, 10), list[int]()
    async with polling(account, tmp_path) as daemon:
        for day in (1, 2, 3, 4):
            account.now = DAY.start + timedelta(days=day, minutes=10)
            if day == 2:
                account.stays["m3"].append(stay(user=9, join="2026-11-02T07:12:00Z"))
            before = len(account.paths("participants"))
            assert await daemon.poll()
            asked.append(len(account.paths("participants")) - before)
        assert asked == [10, 0, 1, 4]  # the first is final by the minutes, before the others of its day
        late = [event for event in await daemon.events() if event.subject.startswith("m3/9/")]
    assert len(late) == 1
