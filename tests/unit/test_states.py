"""States: one place knows how each part is, since when and why; a crash loop is told once and ends by itself."""

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from structlog.testing import capture_logs

from harvester import measures
from harvester.errors import ConfigError, PermanentError, RefusedError, TransientError
from harvester.states import DEATHS_WITHIN, FATAL_DEATHS, SEVERITY, Component, State, States, worst

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)


class Time:
    """Both clocks of a host; the wall's may be set, the other only goes on."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.wall = NOON

    def pass_(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall += timedelta(seconds=seconds)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def states(time: Time) -> States:
    return States(lambda: time.seconds, lambda: time.wall)


@pytest.fixture
def stream(states: States) -> Component:
    return states.component("vendor/stream", "stream")


def test_a_component_tells_its_state_since_when_why_and_its_last_success(stream: Component, time: Time) -> None:
    stream.worked()
    time.pass_(60)
    stream.waiting("vendor: 503")
    time.pass_(60)
    stream.waiting("vendor: 502")
    found = stream.standing()
    assert (found.state, found.reason) == ("waiting", "vendor: 502")
    assert (found.since, found.last_success) == (NOON + timedelta(seconds=60), NOON)
    stream.worked()
    assert (stream.standing().state, stream.standing().reason) == ("running", "")


@pytest.mark.parametrize("error", [PermanentError("401"), ConfigError("a", "b"), RefusedError("another queue")])
def test_what_only_a_person_can_mend_is_stopped(stream: Component, error: Exception) -> None:
    stream.failed(error)
    assert stream.standing().state == "stopped"
    assert stream.standing().wrong


def test_f52_five_deaths_in_ten_minutes_are_a_crash_loop_and_four_are_none(stream: Component, time: Time) -> None:
    for _ in range(FATAL_DEATHS - 1):
        stream.failed(ValueError("again"))
        time.pass_(30)
    assert stream.standing().state == "waiting"
    stream.failed(ValueError("again"))
    found = stream.standing()
    assert (found.state, found.deaths) == ("degraded", FATAL_DEATHS)
    assert "ValueError: again" in found.reason


def test_f52_a_crash_loop_is_told_once_and_is_over_by_time_alone(states: States, stream: Component, time: Time) -> None:
    with capture_logs() as logs:
        for _ in range(3 * FATAL_DEATHS):
            stream.failed(ValueError("again"))
            time.pass_(1)
        stream.worked()
        states.refresh()
        assert stream.standing().state == "degraded"
        assert stream.standing().last_success == time.wall
        time.pass_(DEATHS_WITHIN)
        states.refresh()
        states.refresh()
    assert stream.standing().state == "running"
    assert [line["event"] for line in logs] == ["degraded: it dies again and again; the others go on", "no longer degraded"]


def test_f06_a_crash_loop_is_counted_by_a_clock_that_nobody_sets(stream: Component, time: Time) -> None:
    for _ in range(FATAL_DEATHS):
        stream.failed(ValueError("again"))
        time.wall += timedelta(hours=2)
    assert stream.standing().state == "degraded"
    time.wall -= timedelta(hours=12)
    assert stream.standing().state == "degraded"


def test_q13_the_end_of_a_wait_is_told_and_gone_when_it_works(stream: Component) -> None:
    stream.waiting("vendor: 429", seconds=90)
    assert stream.standing().until == NOON + timedelta(seconds=90)
    stream.failed(PermanentError("401"), seconds=300)
    assert stream.standing().until == NOON + timedelta(seconds=300)
    stream.worked()
    assert stream.standing().until is None


def test_an_outage_is_no_crash_loop_however_long_it_lasts(stream: Component) -> None:
    for _ in range(50):
        stream.failed(TransientError("vendor: away"))
    assert (stream.standing().state, stream.standing().deaths) == ("waiting", 0)


def test_a_pause_hides_what_was_wrong(stream: Component) -> None:
    for _ in range(FATAL_DEATHS):
        stream.failed(ValueError("again"))
    stream.paused("paused by ann")
    assert stream.standing().state == "paused"
    assert not stream.standing().wrong


def test_a_source_is_as_bad_as_its_worst_stream_and_the_metrics_say_so(states: States) -> None:
    for name in ("vendor/a", "vendor/b", "other/c"):
        states.component(name, "stream").worked()
    for name in ("vendor", "other"):
        states.component(name, "source").worked()
    states.component("vendor/b", "stream").failed(PermanentError("403"))
    sink = states.component("keyed", "sink")
    sink.waiting("down")
    assert worst(states.standings()) == {"vendor": "stopped", "other": "running"}
    states.refresh()
    value = measures.REGISTRY.get_sample_value
    assert value("harvester_source_state", {"source": "vendor", "state": "stopped"}) == 1
    assert value("harvester_source_state", {"source": "vendor", "state": "running"}) == 0
    assert value("harvester_sink_state", {"sink": "keyed", "state": "waiting"}) == 1


def test_a_source_and_its_streams_are_found_by_its_name_alone(states: States) -> None:
    for name in ("git", "git/a", "github", "github/a"):
        states.component(name, "stream")
    assert [c.name for c in states.of("git")] == ["git", "git/a"]
    assert [c.name for c in states.of("git/a")] == ["git/a"]


def test_the_states_of_the_metrics_are_those_there_are() -> None:
    assert set(measures.STATES) == set(get_args(State)) == set(SEVERITY)
