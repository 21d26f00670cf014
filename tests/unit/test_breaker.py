"""The breaker opens at more than 15 % of the last thousand, and at least a hundred; one event on either side decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.breaker import Breaker


@pytest.mark.parametrize(("refused", "opens"), [(99, False), (100, True)])
def test_f35_a_hundred_refused_open_it_and_one_less_does_not(refused: int, *, opens: bool) -> None:
    assert Breaker().opens(refused, refused) is opens


@pytest.mark.parametrize(("refused", "opens"), [(149, False), (150, False), (151, True)])
def test_f35_more_than_fifteen_in_a_hundred_of_a_thousand_open_it(refused: int, *, opens: bool) -> None:
    assert Breaker().opens(1000, refused) is opens


@pytest.mark.parametrize(("decided", "opens"), [(666, True), (667, False)])
def test_f35_a_hundred_refused_open_it_only_as_a_large_enough_share(decided: int, *, opens: bool) -> None:
    assert Breaker().opens(decided, 100) is opens


@pytest.mark.parametrize(("decided", "refused", "opens"), [(2000, 300, False), (2000, 301, True), (20_000, 3000, False)])
def test_f35_of_a_batch_longer_than_its_memory_the_share_counts(decided: int, refused: int, *, opens: bool) -> None:
    assert Breaker().opens(decided, refused) is opens


@given(st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=40))
def test_f35_one_bad_event_in_a_batch_now_and_then_never_stops_a_sink(batches: list[tuple[int, bool]]) -> None:
    breaker = Breaker()
    assert not any(breaker.opens(10 + size, int(bad)) for size, bad in batches)


def test_f35_it_adds_up_over_batches_and_forgets_what_is_older_than_a_thousand() -> None:
    breaker = Breaker()
    assert not breaker.opens(900, 99)
    assert not breaker.opens(1000, 0)
    assert not breaker.opens(100, 99)
    assert not breaker.opens(400, 51)
    assert breaker.opens(1, 1)


def test_f35_a_batch_that_opened_it_is_not_remembered_so_that_a_mended_sink_goes_on() -> None:
    breaker = Breaker()
    assert breaker.opens(200, 200)
    assert not breaker.opens(99, 99)


def test_f35_accepting_rejections_it_never_opens() -> None:
    breaker = Breaker(accept=True)
    assert not any(breaker.opens(1000, 1000) for _ in range(3))


def test_nothing_decided_opens_nothing() -> None:
    assert not Breaker().opens(0, 0)
