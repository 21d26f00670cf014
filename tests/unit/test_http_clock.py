from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import TransientError
from harvester.http import StatusError, VendorClock
from tests.unit.webserver import asking, sending, serving

START = datetime(2026, 10, 25, 0, 59, 58, 400_000, tzinfo=UTC)


class World:
    """The vendor's true time, ours, and monotonic seconds, as they pass together."""

    def __init__(self, skew: timedelta = timedelta()) -> None:
        self.seconds = 0.0
        self.skew = skew

    def monotonic(self) -> float:
        return 5000.0 + self.seconds

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def vendor(self) -> datetime:
        return self.wall() + self.skew

    def date(self) -> str:
        return format_datetime(self.vendor().replace(microsecond=0), usegmt=True)

    def clock(self) -> VendorClock:
        return VendorClock("opencast", monotonic=self.monotonic, wall=self.wall)


def test_f05_before_the_first_answer_the_clock_is_not_guessed() -> None:
    clock = World().clock()
    with pytest.raises(TransientError, match="opencast: its clock is not known"):
        clock.now()
    assert clock.skew is None


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_f05_now_is_the_vendors_and_not_the_hosts(hours: int) -> None:
    world = World(timedelta(hours=hours))
    clock = world.clock()
    clock.learn(world.date(), world.monotonic())
    world.seconds += 600
    assert world.vendor() - timedelta(seconds=1) <= clock.now() <= world.vendor()
    assert clock.skew is not None
    assert abs(clock.skew - world.skew) <= timedelta(seconds=0.6)


@given(
    skew=st.timedeltas(timedelta(days=-2), timedelta(days=2)),
    steps=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 40), st.floats(0, 3600)), min_size=1, max_size=8),
)
def test_f05_now_is_never_ahead_of_the_vendor_however_slow_its_answers(
    skew: timedelta, steps: list[tuple[float, float, float]]
) -> None:
    world = World(skew)
    clock = world.clock()
    for to_vendor, to_us, idle in steps:
        sent, sent_there = world.monotonic(), world.vendor()
        world.seconds += to_vendor
        date = world.date()
        world.seconds += to_us
        clock.learn(date, world.monotonic())
        assert clock.at(sent) <= sent_there
        assert clock.now() <= world.vendor()
        world.seconds += idle
        assert clock.now() <= world.vendor()
        assert clock.now() >= world.vendor() - timedelta(seconds=to_us + 1.001)


def test_f05_a_vendor_that_sets_its_clock_back_is_followed() -> None:
    world = World()
    clock = world.clock()
    clock.learn(world.date(), world.monotonic())
    world.skew = timedelta(hours=-1)
    clock.learn(world.date(), world.monotonic())
    assert clock.now() <= world.vendor()


def test_f06_a_jump_of_the_host_clock_moves_nothing() -> None:
    world = World()
    clock = VendorClock("v", monotonic=world.monotonic, wall=lambda: world.wall() - timedelta(hours=2))
    clock.learn(world.date(), world.monotonic())
    assert abs(clock.now() - world.vendor()) <= timedelta(seconds=1)


@pytest.mark.parametrize("date", ["", "now", "Mon, 99 Foo 2026 99:99:99 GMT", "\x00"])
def test_what_is_no_date_teaches_nothing(date: str) -> None:
    world = World()
    clock = world.clock()
    clock.learn(date, world.monotonic())
    assert clock.skew is None


def dated(status: int, hour: int) -> web.Response:
    return web.json_response([], status=status, headers={"Date": f"Sun, 01 Mar 2026 {hour}:00:00 GMT"})


async def test_f05_a_client_learns_the_clock_from_its_answers() -> None:
    async with serving(dated(200, 12)) as server, asking(server.url) as http:
        answer = await http.get("/x")
        noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
        assert http.clock.at(answer.sent) <= noon <= http.clock.now()
        assert answer.sent <= answer.received


async def test_a_refusal_tells_the_time_and_a_gateway_does_not() -> None:
    answers = iter([dated(502, 3), dated(404, 12)])

    async def reply(_: web.BaseRequest) -> web.StreamResponse:
        return next(answers)

    async with serving(reply) as server, asking(server.url) as http:
        with pytest.raises(StatusError):
            await http.get("/x")
        assert http.clock.now().hour == 12


async def test_a_gateways_date_alone_is_not_believed() -> None:
    async with serving(dated(503, 3)) as server, asking(server.url) as http:
        with pytest.raises(TransientError):
            await http.get("/x")
        with pytest.raises(TransientError, match="clock is not known"):
            http.clock.now()


async def test_an_answer_without_date_leaves_the_clock_unknown() -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
    async with sending(wire) as url, asking(url) as http:
        await http.get("/x")
        with pytest.raises(TransientError):
            http.clock.now()
