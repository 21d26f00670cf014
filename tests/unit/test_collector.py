import gc

from harvester.collector import relaxed


def test_the_collector_rests_inside_and_is_as_before_afterwards() -> None:
    before = gc.get_threshold()
    with relaxed():
        assert gc.get_threshold() > before
        assert gc.get_freeze_count() > 0
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
