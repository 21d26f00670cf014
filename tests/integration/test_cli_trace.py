"""`harvest trace`: whatever became of a thing, one command tells where it is and what to do next."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.sinks import open_sink
from harvester.commands.trace_scan import MOST
from harvester.event import Event, encode_event
from harvester.letters import open_letters
from harvester.protocols import Letter, Message, letter_id
from harvester.queues import open_queue
from tests.integration.test_cli_bars import on_a_terminal
from tests.services import ElasticsearchServer
from tests.site import HOUR, NOON, Done, Site, World, stamp, world
from tests.useractions import FOUND, useraction_event

SPAN = (NOON - 20 * HOUR, NOON - 14 * HOUR)


@pytest.fixture(scope="module")
def sloppy() -> Iterator[World]:
    """An Opencast with records of every kind that is broken or odd."""
    with world(faults={"records": 0.08}) as found:
        yield found


@pytest.fixture(scope="module")
def consumed(tmp_path_factory: pytest.TempPathFactory, sloppy: World) -> Site:
    """A site that harvested and wrote it; it is only looked at."""
    site = Site(tmp_path_factory.mktemp("trace"), sloppy.url)
    assert site.harvest("useractions", "-s", stamp(SPAN[0]), "-e", stamp(SPAN[1])).code == 5
    site.consume()
    return site


def publish(site: Site, *events: Event | Message) -> None:
    async def act() -> None:
        async with open_queue(f"sqlite:///{site.queue}") as queue:
            messages = [e if isinstance(e, Message) else Message(e.key, encode_event(e)) for e in events]
            await queue.publish(messages)

    asyncio.run(act())


def add(site: Site, *letters: Letter) -> None:
    async def act() -> None:
        async with open_letters(f"sqlite:///{site.folder}/var/letters.db") as store:
            await store.add(letters)

    asyncio.run(act())


def write(site: Site, events: Sequence[Event]) -> None:
    async def act() -> None:
        async with open_sink(f"duckdb:///{site.folder}/var/harvest.duckdb") as sink:
            assert list(await sink.write(events)) == []

    asyncio.run(act())


def letter(event: Event, **more: Any) -> Letter:
    now, group = datetime.now(UTC), more.pop("group", "duckdb")
    given = {"stage": "write", "reason": "mapping", "error": "InvalidEventError: no", "first": now, "last": now, **more}
    return Letter(
        id=letter_id(group, event.id, b""), group=group, body=encode_event(event), key=event.key, event_id=event.id, **given
    )


def words(done: Done) -> list[str]:
    """What became of the one thing on each way."""
    (thing,) = done.json["things"]
    return [fate["word"] for fate in thing["fates"]]


@pytest.mark.parametrize("form", ["{number}", "opencast/{number}", "{id}"])
def test_a_delivered_action_is_told_by_any_of_its_names(consumed: Site, sloppy: World, form: str) -> None:
    number = min(sloppy.truth(*SPAN))
    (id_,) = [id_ for id_, held in consumed.rows("event_id, action_id") if held == number]
    asked = form.format(number=number, id=id_)
    done = consumed.harvest("trace", asked, "--json")
    assert (done.code, words(done)) == (0, ["newest"])
    (thing,) = done.json["things"]
    (state,) = thing["queue"]
    (held,) = thing["sinks"]["duckdb"]["held"]
    assert thing["key"] == f"opencast/{number}"
    assert (state["event_id"], state["groups"]) == (id_, {"duckdb": "delivered"})
    assert (held["event_id"], held["version"], held["enrichment"]) == (id_, state["version"], "complete")
    assert thing["coverage"]["opencast/useractions"].endswith("is read and final")
    shown = consumed.harvest("trace", asked)
    assert (shown.code, shown.err) == (0, "")
    assert f"opencast/{number}: written to duckdb in its newest state (version {state['version']})" in shown.out
    for part in ("coverage", "queue", "letters   none", "var/harvest.duckdb, table useractions, enrichment complete"):
        assert part in shown.out


def test_every_record_that_could_not_be_read_is_found_by_its_number_with_its_letter(consumed: Site, sloppy: World) -> None:
    for number, kind in sloppy.broken(*SPAN).items():
        done = consumed.harvest("trace", str(number), "--json")
        if kind == "huge-id":
            continue  # its number is another one
        assert (done.code, words(done)) == (5, ["unread"]), kind
        (found,) = done.json["things"][0]["letters"]
        assert (found["group"], found["stage"]) == ("opencast", "read")
        assert f"next: harvest dead-letters show {found['id'][:12]}" in done.json["verdict"]
        assert "body" not in found


def test_a_letter_of_a_sink_is_told_with_its_reason_and_the_next_command(consumed: Site) -> None:
    refused = consumed.harvest("dead-letters", "list", "--group", "duckdb", "--json").lines[0]
    for asked in (refused["event_id"], refused["id"], refused["key"]):
        done = consumed.harvest("trace", asked, "--json")
        assert (done.code, words(done)) == (5, ["letter"])
        assert f"dead letter of duckdb (write/{refused['reason']})" in done.json["verdict"]
        assert done.json["things"][0]["queue"][0]["groups"] == {"duckdb": "letter"}


def test_what_waits_in_the_queue_is_told_with_the_command_that_writes_it(tmp_path: Path) -> None:
    site = Site(tmp_path, "http://127.0.0.1:9")
    publish(site, *[useraction_event(number) for number in range(1, 8)])
    done = site.harvest("trace", "5", "--json")
    assert (done.code, words(done)) == (5, ["waiting"])
    assert "waiting in the queue for duckdb; next: harvest consume duckdb --until-empty" in done.json["verdict"]


def test_a_newer_state_that_waits_is_not_taken_for_delivered(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    old, new = useraction_event(1, version=3), useraction_event(1, version=9)
    publish(site, old, useraction_event(2))
    site.consume()
    publish(site, useraction_event(3), new)
    for asked in ("1", old.id, new.id):
        done = site.harvest("trace", asked, "--json")
        assert (done.code, words(done)) == (5, ["waiting"]), asked
        assert "1 message before it" in done.json["verdict"]
        assert [s["groups"] for s in done.json["things"][0]["queue"]] == [{"duckdb": "delivered"}, {"duckdb": "waiting"}]


def test_what_was_written_without_its_enrichment_is_pending_until_it_is_repaired(tmp_path: Path) -> None:
    site = Site(tmp_path)
    event = useraction_event(1)
    publish(site, event)
    write(site, [event])
    due = datetime.now(UTC) + timedelta(hours=1)
    add(site, letter(event, stage="enrich", reason="pending", due=due))
    done = site.harvest("trace", "1", "--json")
    assert (done.code, words(done)) == (5, ["pending"])
    assert f"tried again by itself from {due:%Y-%m-%dT%H:%M:%SZ} on" in done.json["verdict"]


def test_a_row_that_the_sink_lost_is_missed_and_the_way_back_named(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    publish(site, *[useraction_event(number) for number in range(1, 8)])
    site.consume()
    (tmp_path / "var/harvest.duckdb").unlink()
    done = site.harvest("trace", "5", "--json")
    assert (done.code, words(done)) == (5, ["missing"])
    assert "Next: harvest queue seek duckdb --to 5, then harvest consume duckdb --until-empty" in done.json["verdict"]
    assert not (tmp_path / "var/harvest.duckdb").exists(), "a look makes nothing"
    site.harvest("queue", "seek", "duckdb", "--to", "5")
    site.consume()
    assert site.harvest("trace", "5").code == 0


def test_what_a_seek_passed_over_is_told_so(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    publish(site, useraction_event(1))
    site.consume()
    publish(site, useraction_event(2), useraction_event(3))
    site.harvest("queue", "seek", "duckdb", "--to", "end", "--yes")
    done = site.harvest("trace", "2", "--json")
    assert (done.code, words(done)) == (5, ["passed_over"])
    assert "next: harvest queue seek duckdb --to 2" in done.json["verdict"]


def test_an_undecodable_message_is_found_by_its_key(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    publish(site, Message("opencast/9", b"never an event"))
    assert words(site.harvest("trace", "opencast/9", "--json")) == ["waiting"]
    site.consume()
    done = site.harvest("trace", "opencast/9", "--json")
    assert (done.code, words(done)) == (5, ["letter"])


def test_a_number_that_two_sources_have_is_told_for_both(tmp_path: Path) -> None:
    site = Site(tmp_path)
    publish(site, useraction_event(1), useraction_event(1, source="opencast/law"))
    assert {t["key"] for t in site.harvest("trace", "1", "--json").json["things"]} == {"opencast/1", "opencast/law/1"}
    assert [t["key"] for t in site.harvest("trace", "opencast/law/1", "--json").json["things"]] == ["opencast/law/1"]


def test_what_is_gone_from_the_queue_is_still_found_in_the_sink(tmp_path: Path) -> None:
    site = Site(tmp_path)
    write(site, [useraction_event(1, context=FOUND)])
    done = site.harvest("trace", "1")
    assert done.code == 0
    assert "queue     not in it, or no longer" in done.out
    assert "written to duckdb in its newest state" in done.out


def test_a_sink_that_cannot_be_asked_is_told_and_the_rest_is_shown(tmp_path: Path) -> None:
    site = Site(tmp_path, HARVESTER_SINKS="duckdb,stdout")
    publish(site, useraction_event(1))
    (tmp_path / "var/harvest.duckdb").write_bytes(b"no duckdb file" * 100)
    done = site.harvest("trace", "1", "--json")
    assert (done.code, words(done)) == (5, ["unanswered", "waiting"])
    assert "duckdb cannot be asked: " in done.json["verdict"]
    assert "stdout         a stream: nothing can be looked up" in site.harvest("trace", "1").out


def test_nothing_is_said_to_be_missing_while_the_queue_cannot_be_read(tmp_path: Path) -> None:
    site = Site(tmp_path)
    publish(site, useraction_event(1))
    site.queue.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    done = site.harvest("trace", "1")
    assert done.code == 1
    assert "not found, but not everything could be looked at: queue: " in done.out


@pytest.mark.parametrize(
    ("when", "part"),
    [
        ("", "is read from 2024-11-04T16:00:00Z … 2024-11-04T22:00:00Z: with harvest trace 77 --time TIME"),
        ("20241104170000", "is read and final; next: harvest once opencast --since 2024-11-04T17:00:00Z --dry-run"),
        ("20241103", "begins at 2024-11-04T16:00:00Z; next: harvest backfill opencast --start 2024-11-03T00:00:00Z"),
        ("20241105", "is read up to 2024-11-04T22:00:00Z; next: harvest useractions, or harvest run"),
    ],
)
def test_what_was_never_seen_is_told_with_what_is_read_of_its_time(consumed: Site, when: str, part: str) -> None:
    done = consumed.harvest("trace", "77", *(["--time", when] if when else []))
    assert (done.code, done.err) == (1, "")
    assert done.out.startswith("77: never seen; ")
    assert part in done.out


def test_what_was_never_seen_because_of_a_gap_is_told_how_to_fill_it(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - 9 * HOUR), "-e", stamp(NOON - 8 * HOUR))
    site.harvest("useractions", "-s", stamp(NOON - 5 * HOUR), "-e", stamp(NOON - 4 * HOUR))
    done = site.harvest("trace", "77", "--time", stamp(NOON - 6 * HOUR))
    assert (done.code, "its time is in a gap of opencast/useractions; next: harvest coverage fill" in done.out) == (1, True)


def test_in_an_empty_folder_it_says_so_and_makes_nothing(tmp_path: Path) -> None:
    done = Site(tmp_path).harvest("trace", "77")
    assert done.code == 1
    assert done.out.startswith("77: never seen: nothing was read here yet; next: harvest useractions\n")
    assert [path.name for path in tmp_path.iterdir() if path.name not in (".stdout", ".stderr")] == []


def test_of_very_many_states_the_newest_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    site = Site(tmp_path)
    publish(site, *[useraction_event(1, version=version) for version in range(MOST + 25)])
    (thing,) = site.harvest("trace", "1", "--json").json["things"]
    assert [state["version"] for state in thing["queue"]] == list(range(25, MOST + 25))
    assert "25 older states more" in site.harvest("trace", "1").out


def test_hostile_names_and_texts_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    site = Site(tmp_path)
    event = useraction_event(1, source="open\x1bcast")
    publish(site, event)
    add(site, letter(event, error="\x1b]0;title\x07"))
    for asked in ("1", "\x1b[2J", "a\0b", "*", "%", "'"):
        done = site.harvest("trace", asked)
        assert not {"\x1b", "\x07", "\0"} & set(done.out), asked
    for wrong in (" ", "\udcff"):
        assert site.harvest("trace", wrong).code == 2


def test_a_long_search_shows_a_bar_on_a_terminal(tmp_path: Path) -> None:
    site = Site(tmp_path)
    publish(site, *[useraction_event(number) for number in range(3000)])
    code, seen = on_a_terminal(site, "trace", "5")
    assert (code, "trace: queue" in seen, "messages/s" in seen) == (5, True, True)


def test_it_works_beside_the_daemon(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url, HARVESTER_POLL_INTERVAL="0.1", HARVESTER_OPENCAST_START=stamp(NOON - HOUR))
    number = min(vendor.truth(NOON - HOUR))
    with site.process("run") as daemon:
        daemon.until(lambda: site.harvest("trace", str(number)).code == 0)
        assert daemon.stop() == 0


def test_each_sink_is_asked_for_itself(tmp_path: Path, vendor: World, elasticsearch: ElasticsearchServer) -> None:
    site = Site(tmp_path, vendor.url, HARVESTER_SINKS="duckdb,elasticsearch", HARVESTER_ELASTICSEARCH_URL=elasticsearch.url)
    site.harvest("setup", "load_index_templates")
    publish(site, useraction_event(1))
    site.consume()
    assert words(site.harvest("trace", "1", "--json")) == ["newest", "waiting"]
    assert site.harvest("consume", "elasticsearch", "--until-empty").code == 0
    done = site.harvest("trace", "1", "--json")
    assert (done.code, words(done)) == (0, ["newest", "newest"])
    (held,) = done.json["things"][0]["sinks"]["elasticsearch"]["held"]
    assert (held["subject"], held["place"]) == ("1", "index useractions-2017.10.06")
    elasticsearch.call("DELETE", "/useractions-2017.10.06")
    done = site.harvest("trace", "1", "--json")
    assert (done.code, words(done)) == (5, ["newest", "missing"])
    assert "harvest queue seek elasticsearch --to 1" in done.json["verdict"]
