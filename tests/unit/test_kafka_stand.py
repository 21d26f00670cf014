"""What a commit carries beside the offset of each partition."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from harvester.queues.kafka_stand import Stand, read_stand, shares, total

_AMOUNTS = st.dictionaries(st.integers(0, 9), st.integers(1, 500), min_size=1, max_size=6)


@given(_AMOUNTS, st.data())
def test_each_partition_of_a_commit_is_in_balance_and_together_they_are_what_was_counted(
    amounts: Mapping[int, int], data: st.DataObject
) -> None:
    all_ = sum(amounts.values())
    gone = data.draw(st.integers(0, all_))
    filtered = data.draw(st.integers(0, all_ - gone))
    counts = {"consumed": all_, "delivered": all_ - gone - filtered, "filtered": filtered, "dead_lettered": gone, "pending": 3}
    found = shares(counts, amounts)
    assert total(Stand(0, 0, each) for each in found.values()) == counts
    for partition, each in found.items():
        assert each["consumed"] == amounts[partition]
        assert each["delivered"] + each["filtered"] + each["dead_lettered"] == each["consumed"]


def test_counts_that_are_no_messages_go_to_the_first_partition() -> None:
    assert shares({"repaired": 2}, {1: 0, 2: 0}) == {1: {"repaired": 2}, 2: {}}
    assert shares({}, {1: 5}) == {1: {}}


def test_a_stand_moves_with_what_is_counted_more_and_is_read_as_it_was_written() -> None:
    stand = Stand(10, 4, {"consumed": 6}).moved(12, {"consumed": 2, "repaired": 1})
    assert stand == Stand(12, 4, {"consumed": 8, "repaired": 1})
    assert read_stand(12, stand.text()) == stand
