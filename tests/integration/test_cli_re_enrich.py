"""`harvest re-enrich`: user actions say what their recordings are called now."""

from datetime import timedelta
from pathlib import Path

from tests.site import HOUR, NOON, Site, World, stamp, world

CHANGING = {"episode_changes": 150, "history": timedelta(days=3), "late": False, "growing": False, "actions_per_day": 1500}


def site_of(folder: Path, vendor: World) -> Site:
    return Site(folder, vendor.url, HARVESTER_OPENCAST_STREAMS="useractions,episodes")


def watched(site: Site) -> None:
    assert site.harvest("useractions", "-s", stamp(NOON - 6 * HOUR), "-e", stamp(NOON)).code == 0
    assert site.consume().code == 0


def stale(site: Site, vendor: World) -> set[int]:
    """Actions whose recording is called otherwise now; what was deleted keeps its name."""
    held = {number: (title, course) for number, title, course in site.rows("action_id, episode_title, episode_course")}
    true = vendor.truth(NOON - 6 * HOUR, NOON)
    assert held.keys() == true.keys()
    return {n for n, action in true.items() if action.episode and held[n] != (action.title, action.course)}


def test_actions_follow_their_recordings_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    with world(**CHANGING) as vendor:
        site = site_of(tmp_path, vendor)
        watched(site)
        vendor.advance(5 * HOUR)
        vendor.stop_changing()
        before = stale(site, vendor)
        assert len(before) > 5
        since = stamp(NOON - HOUR)
        assert site.harvest("once", "opencast", "--stream", "episodes", "--since", since).code == 0
        assert site.consume().code == 0
        done = site.harvest("re-enrich", "--since", since, "--json")
        assert done.code == 0, done.err
        assert done.json["actions"]["duckdb"] >= len(before)
        assert done.json["absent"] > 0, "deleted ones"
        assert stale(site, vendor) == set()
        again = site.harvest("re-enrich", "--since", since, "--json")
        assert (again.code, again.json["actions"]) == (0, {"duckdb": 0})
        assert "0 actions rewritten in duckdb" in again.err
        site.audit()


def test_one_recording_is_enough_and_no_index_of_recordings_is_needed(tmp_path: Path) -> None:
    with world(**CHANGING) as vendor:
        site = site_of(tmp_path, vendor)
        watched(site)
        vendor.advance(5 * HOUR)
        vendor.stop_changing()
        true = vendor.truth(NOON - 6 * HOUR, NOON)
        before = stale(site, vendor)
        mpid = true[min(before)].mpid
        done = site.harvest("re-enrich", "--mpid", mpid)
        assert done.code == 0, done.err
        assert "1 recording," in done.err
        assert stale(site, vendor) == {number for number in before if true[number].mpid != mpid}


def test_what_cannot_be_done_is_told_with_what_to_do(tmp_path: Path) -> None:
    with world() as vendor:
        site = site_of(tmp_path, vendor)
        assert site.harvest("re-enrich", "--mpid", "x", "--since", "20241101000000").code == 2
        stream = site.harvest("re-enrich", "--sink", "-")
        assert (stream.code, "--sink" in stream.err) == (2, True)
        nothing = site.harvest("re-enrich")
        assert (nothing.code, "--mpid" in nothing.err) == (0, True)
        assert not (tmp_path / "var/harvest.duckdb").exists(), "it makes nothing"


def test_a_recording_that_cannot_be_looked_up_is_named(tmp_path: Path) -> None:
    with world(**CHANGING) as vendor:
        site = site_of(tmp_path, vendor)
        vendor.running.sandbox.faults.burst = 1000
        vendor.running.sandbox.set_faults({"half-json": 1.0})
        done = site.harvest("re-enrich", "--mpid", "a")
        assert done.code == 5
        assert "could not be looked up: a" in done.err
