"""`harvest useractions` against a vendor: what is read, printed, recorded and asked for."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.site import HOUR, NOON, Done, Site, World, stamp, world

MINUTE = timedelta(minutes=1)


def ids(done: Done) -> list[int]:
    return [line["action_id"] for line in done.lines]


def states(done: Done) -> dict[int, int]:
    """Action → its newest outpoint among the lines."""
    found: dict[int, int] = {}
    for line in done.lines:
        found[line["action_id"]] = max(found.get(line["action_id"], 0), line["action"]["outpoint"])
    return found


def second(moment: str) -> str:
    """The vendor's clock stands still, what we know of it runs on a little."""
    return moment[:19]


def test_e13_a_first_run_reads_the_default_interval_until_now(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    done = site.harvest("useractions")
    assert done.code == 0
    found = site.coverage()
    assert (second(found["start"]), second(found["live_edge"])) == ("2024-11-05T11:58:00", "2024-11-05T12:00:00")


@pytest.mark.parametrize("how", [("--interval", "30"), ("-i", "30"), ()], ids=str)
def test_e10_e13_the_interval_is_an_option_or_a_setting(tmp_path: Path, vendor: World, how: tuple[str, ...]) -> None:
    site = Site(tmp_path, vendor.url, **({} if how else {"HARVESTER_DEFAULT_INTERVAL": "30"}))
    site.harvest("useractions", *how)
    site.consume()
    assert site.held().keys() == vendor.truth(NOON - 30 * MINUTE, NOON).keys()


def test_e13_a_start_that_is_set_holds_for_the_first_run_and_an_interval_on_the_command_line_goes_before_it(
    tmp_path: Path, vendor: World
) -> None:
    site = Site(tmp_path, vendor.url, HARVESTER_OPENCAST_START="20241105T110000Z")
    assert site.harvest("useractions", "-o", "-", "-i", "10").code == 0
    assert len(site.harvest("useractions", "-o", "-").lines) == len(vendor.truth(NOON - HOUR, NOON))
    assert len(site.harvest("useractions", "-o", "-", "-i", "10").lines) == len(vendor.truth(NOON - 10 * MINUTE, NOON))


def test_e13_a_later_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    with world() as vendor:
        site = Site(tmp_path, vendor.url)
        site.harvest("useractions", "-i", "60")
        vendor.advance(2 * HOUR)
        site.harvest("useractions", "-i", "1")
        site.consume()
        assert site.held().keys() >= vendor.truth(NOON + 10 * MINUTE, NOON + 2 * HOUR).keys()
        assert second(site.coverage()["live_edge"]) == "2024-11-05T14:00:00"
        assert site.coverage()["gaps"] == []
        site.audit()


def test_e1_e2_a_range_is_read_closed_at_its_start_and_open_at_its_end(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    day = NOON - 48 * HOUR
    done = site.harvest("useractions", "-s", stamp(day), "-e", stamp(day + 3 * HOUR), "--json")
    truth = vendor.truth(day, day + 3 * HOUR)
    assert (done.code, done.json["published"], done.json["gaps"]) == (0, len(truth), [])
    assert (done.json["watermark"], done.json["live_edge"]) == ("2024-11-03T15:00:00Z", "2024-11-03T15:00:00Z")
    site.consume()
    assert site.held() == {n: a.outpoint for n, a in truth.items()}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("-s", "20241305000000"), "is no time: write YYYYMMDDHHmmss"),
        (("-s", "noon"), "is no time"),
        (("-e", "2024110512"), "is no time"),
        (("-s", "20241105120000", "-e", "20241105110000"), "is not after the start"),
        (("-s", "20241105110000", "-e", "20241105110000"), "is not after the start"),
        (("-s", "20241106000000"), "is not after the start"),
        (("-s", "20441106000000", "-e", "20451106000000"), "is in the future"),
    ],
    ids=str,
)
def test_q6_wrong_times_end_with_2_and_record_nothing(tmp_path: Path, vendor: World, args: tuple[str, ...], said: str) -> None:
    site = Site(tmp_path, vendor.url)
    done = site.harvest("useractions", *args)
    assert done.code == 2
    assert said in " ".join(done.err.split())
    assert site.coverage() is None


def test_q9_a_range_fills_its_interval_and_never_moves_the_live_edge_back(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-i", "60")
    before = site.coverage()
    done = site.harvest("useractions", "-s", stamp(NOON - 5 * HOUR), "-e", stamp(NOON - 4 * HOUR))
    found = site.coverage()
    assert done.code == 0
    assert (found["live_edge"], found["start"], found["gaps"]) == (before["live_edge"], before["start"], [])
    assert found["islands"] == [["2024-11-05T07:00:00Z", "2024-11-05T08:00:00Z"]]


def test_q9_a_range_beyond_the_live_edge_leaves_a_gap_that_is_told(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - 9 * HOUR), "-e", stamp(NOON - 8 * HOUR))
    done = site.harvest("useractions", "-s", stamp(NOON - 4 * HOUR), "-e", stamp(NOON - 3 * HOUR))
    assert done.code == 5
    assert "not read: 2024-11-05T04:00:00Z … 2024-11-05T08:00:00Z; harvest coverage fill opencast" in done.err
    assert site.harvest("coverage", "fill", "opencast").code == 0
    assert site.coverage()["gaps"] == []


def test_q9_e70_no_update_last_ts_publishes_and_records_nothing(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    done = site.harvest("useractions", "--no_update_last_ts", "-s", stamp(NOON - HOUR))
    assert done.code == 0
    assert "nothing is recorded as read" in done.err
    assert site.coverage() is None
    site.consume()
    assert site.held().keys() == vendor.truth(NOON - HOUR, NOON).keys()
    site.audit()


@pytest.mark.parametrize("how", [("-o", "-"), ("--output", "-"), ("-q", "-"), ("--queue_name", "-")], ids=str)
def test_q4_e7_printing_puts_json_lines_on_stdout_needs_no_queue_and_records_nothing(
    tmp_path: Path, vendor: World, how: tuple[str, ...]
) -> None:
    site = Site(tmp_path, vendor.url, HARVESTER_QUEUE_URL="sqlite:////proc/nowhere/queue.db")
    done = site.harvest("useractions", *how, "-s", stamp(NOON - HOUR), "-b", "50")
    truth = vendor.truth(NOON - HOUR, NOON)
    assert done.code == 0
    assert states(done) == {n: a.outpoint for n, a in truth.items()}
    assert len(done.lines) == len(truth)
    assert not list((tmp_path / "var/coverage").glob("*.json"))


def test_e15_what_is_printed_is_the_enriched_document(tmp_path: Path, vendor: World) -> None:
    done = Site(tmp_path, vendor.url).harvest("useractions", "-o", "-", "-s", stamp(NOON - HOUR))
    truth = vendor.truth(NOON - HOUR, NOON)
    for line in done.lines:
        true = truth[line["action_id"]]
        assert line["timestamp"].endswith("+00:00")
        assert (line["mpid"], line["is_live"], line.get("ip")) == (true.mpid, true.is_live, line.get("ip"))
        assert line["episode"].get("title") == true.title
        assert (line["episode"] == {}) == (not true.episode)


def test_q4_printing_with_update_last_ts_has_a_book_of_its_own(tmp_path: Path) -> None:
    with world(late=False, growing=False) as vendor:
        site = Site(tmp_path, vendor.url)
        first = site.harvest("useractions", "-o", "-", "--update-last-ts", "-i", "60")
        vendor.advance(HOUR)
        later = site.harvest("useractions", "-o", "-", "--update-last-ts")
        assert set(ids(first)) | set(ids(later)) == vendor.truth(NOON - HOUR, NOON + HOUR).keys()
        assert site.coverage() is None
        assert second(site.coverage("opencast.stdout")["live_edge"]) == "2024-11-05T13:00:00"
        site.harvest("useractions")
        assert second(site.coverage()["start"]) == "2024-11-05T12:58:00"


def test_shows_5_a_window_costs_no_more_calls_than_its_pages_and_two(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    hours = [NOON - n * HOUR for n in range(30, 26, -1)]
    vendor.calls()
    site.harvest("useractions", "-s", stamp(hours[0]), "-e", stamp(hours[-1] + HOUR), "-b", "20")
    rows = [len(vendor.truth(hour, hour + HOUR)) for hour in hours]
    probe = 1
    assert probe + sum(n // 20 for n in rows) <= vendor.calls() <= probe + sum(-(-n // 20) + 2 for n in rows)


def test_shows_2_fifty_thousand_printed_actions_are_the_truth(tmp_path: Path) -> None:
    with world(actions_per_day=50_000, login="none") as vendor:
        start = NOON - 36 * HOUR
        end = NOON - 10 * HOUR
        site = Site(tmp_path, vendor.url)
        done = site.harvest("useractions", "-o", "-", "--batch-size", "100", "-s", stamp(start), "-e", stamp(end))
        truth = vendor.truth(start, end)
        assert done.code == 0
        assert len(truth) >= 50_000
        assert len(ids(done)) == len(set(ids(done)))
        assert states(done) == {n: a.outpoint for n, a in truth.items()}


def test_shows_2_a_run_before_rows_came_to_rest_and_one_after_settle_are_the_truth_together(tmp_path: Path) -> None:
    with world() as vendor:
        site = Site(tmp_path, vendor.url)
        printing = ("useractions", "-o", "-", "--update-last-ts", "--batch-size", "100")
        first = site.harvest(*printing, "-i", "300")
        vendor.stop_changing()
        vendor.advance(7 * HOUR)
        truth = {n: a.outpoint for n, a in vendor.truth(NOON - 5 * HOUR, NOON + 7 * HOUR).items()}
        assert states(first) != truth, "nothing was late and nothing grew: this proves nothing"
        later = site.harvest(*printing)
        assert (first.code, later.code) == (0, 0)
        assert states(Done(0, first.out + later.out, "")) == truth
        assert site.coverage("opencast.stdout")["gaps"] == []
