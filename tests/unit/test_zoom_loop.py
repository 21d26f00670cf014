"""Zoom's meetings through the harvest loop, poll after poll: what is final was read, and what is new is not kept waiting."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harvester.coverage import Coverage
from harvester.event import Event, decode_event
from harvester.harvest import Harvest
from harvester.openbook import OpenBook
from tests.fakes import Clock
from tests.taps import Stores, open_stores
from tests.zoom_account import DAY, NOW, QUICK, Account, hours, meeting, served, stay


class Polling(NamedTuple):
    """A daemon at an account."""

    account: Account
    harvest: Harvest
    book: OpenBook
    stores: Stores

    async def poll(self) -> None:
        await self.harvest.poll(DAY.start)

    def coverage(self) -> Coverage:
        return self.book.coverage("meetings")

    async def events(self) -> list[Event]:
        return [decode_event(d.message.body) for d in await self.stores.queue.peek(0, 100_000)]


@asynccontextmanager
async def polling(account: Account, folder: Path, **switches: Any) -> AsyncIterator[Polling]:
    async with open_stores(folder, Clock(NOW + timedelta(days=90))) as stores, served(account, **switches) as source:
        book = OpenBook(stores.coverages, "zoom", stores.queue, pace=timedelta(0))
        await book.load()
        [stream] = await source.streams()
        yield Polling(account, Harvest(source, stream, stores.queue, book, stores.letters, retry=QUICK), book, stores)


@pytest.mark.parametrize("settle", [0, 6, 24, 72], ids="{} h".format)
async def test_a_meeting_whose_begin_is_never_told_is_read_before_its_day_is_final(tmp_path: Path, settle: int) -> None:
    account = Account(stays={"b==": [stay(join="2026-11-02T21:00:00Z")]}, now=DAY.start + hours(1))
    async with polling(account, tmp_path, settle=settle * 3600) as daemon:
        while DAY.end > (daemon.coverage().watermark or DAY.start):
            await daemon.poll()
            assert not await daemon.events() or account.now >= min(DAY.start + hours(48), DAY.end + hours(settle))
            account.now += hours(5)
            if account.now > DAY.start + hours(22):
                account.meetings = [meeting("b==", "", day="2026-11-02", end_time="2026-11-02T22:00:00Z")]
        found = await daemon.events()
    assert {event.type for event in found} == {"zoom.meeting", "zoom.session"}
    assert len({event.id for event in found}) == 2
    assert found[0].time == DAY.start
