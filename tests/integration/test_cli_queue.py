"""`harvest queue` and `harvest audit`: groups are moved, files are refilled, what does not add up is told."""

import sqlite3
from pathlib import Path

import pytest

from tests.site import HOUR, NOON, Site, World, stamp


def filled(tmp_path: Path, vendor: World, hours: int = 2) -> Site:
    """A site that harvested the last hours and wrote them."""
    site = Site(tmp_path, vendor.url)
    assert site.harvest("useractions", "-s", stamp(NOON - hours * HOUR)).code == 0
    assert site.consume().code == 0
    return site


def execute(site: Site, statement: str, *values: object) -> None:
    """Tamper with the queue's file."""
    connection = sqlite3.connect(site.folder / "var/queue.db")
    with connection:
        connection.execute(statement, values)
    connection.close()


def test_lag_and_groups_tell_what_is_waiting_and_who_reads(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - 2 * HOUR))
    assert "no group has read" in site.harvest("queue", "lag").err
    assert "no group has read yet" in site.harvest("queue", "seek", "duckdb", "--to", "end").err
    assert site.consume().code == 0
    total = len(site.held())
    site.harvest("once", "opencast", "--since", stamp(NOON - 5 * HOUR), "--until", stamp(NOON - 4 * HOUR))
    more = len(vendor.truth(NOON - 5 * HOUR, NOON - 4 * HOUR))
    assert site.harvest("queue", "lag", "--json").json == {"duckdb": more}
    (group,) = site.harvest("queue", "groups", "--json").json
    assert (group["name"], group["position"], group["lag"], group["owner"]) == ("duckdb", total + 1, more, "")
    assert "nobody" in site.harvest("queue", "groups").out
    assert site.harvest("queue", "lag").out == f"duckdb  {more:,}\n"


def test_peek_prints_messages_and_moves_nothing(tmp_path: Path, vendor: World) -> None:
    site = filled(tmp_path, vendor)
    execute(site, "INSERT INTO messages (key, headers, body) VALUES ('x', NULL, ?)", b"\xff no event")
    found = site.harvest("queue", "peek", "--position", "1", "--limit", "3").lines
    assert [line["position"] for line in found] == [1, 2, 3]
    assert found[0]["event"]["type"] == "opencast.useraction"
    (last,) = site.harvest("queue", "peek", "--position", "-1").lines
    assert last["event"]["body"] == "\\xff no event"
    assert site.harvest("queue", "lag", "--json").json == {"duckdb": 1}


def test_seek_to_the_beginning_refills_a_deleted_duckdb_file_beside_its_stale_log(tmp_path: Path, vendor: World) -> None:
    site = filled(tmp_path, vendor)
    before = sorted(site.rows("action_id, action_outpoint, episode_title, huid"))
    path = tmp_path / "var/harvest.duckdb"
    path.unlink()
    path.with_name(path.name + ".wal").write_bytes(b"what a kill left behind")
    assert site.consume().code == 0
    assert not path.exists()
    done = site.harvest("queue", "seek", "duckdb", "--to", "beginning")
    assert (done.code, done.err.splitlines()[-1]) == (0, f"duckdb: {len(before)} messages to read")
    assert site.consume().code == 0
    assert sorted(site.rows("action_id, action_outpoint, episode_title, huid")) == before
    site.audit()


def test_seek_over_a_file_that_is_there_changes_nothing(tmp_path: Path, vendor: World) -> None:
    site = filled(tmp_path, vendor)
    before = sorted(site.rows())
    assert site.harvest("queue", "seek", "duckdb", "--to", "10").code == 0
    assert site.consume().code == 0
    assert sorted(site.rows()) == before
    site.audit()


def test_seek_past_messages_wants_consent_and_a_place_that_is_in_the_queue(tmp_path: Path, vendor: World) -> None:
    site = filled(tmp_path, vendor)
    site.harvest("queue", "seek", "duckdb", "--to", "beginning")
    assert site.harvest("queue", "seek", "duckdb", "--to", "end").code == 4
    for consent in ([], ["--yes"]):
        done = site.harvest("queue", "seek", "duckdb", "--to", "99999", *consent)
        assert (done.code, "position 99999 is not in the queue" in done.err) == (4, True), "nobody is asked for what cannot be"
    assert site.harvest("queue", "seek", "duckdb", "--to", "middle", "--yes").code == 2
    assert site.harvest("queue", "seek", "nobody", "--to", "end", "--yes").code == 2
    assert site.harvest("queue", "lag", "--json").json == {"duckdb": len(site.held())}
    assert site.harvest("queue", "seek", "duckdb", "--to", "end", "--yes").code == 0
    assert site.harvest("queue", "lag", "--json").json == {"duckdb": 0}
    site.audit()


def test_forget_wants_consent_and_drops_the_group(tmp_path: Path, vendor: World) -> None:
    site = filled(tmp_path, vendor)
    assert site.harvest("queue", "seek", "duckdb", "--to", "beginning", "--yes").code == 0
    asked = site.harvest("queue", "forget", "duckdb")
    assert (asked.code, f"{len(site.held())} messages wait for it: it would never get them" in asked.err) == (4, True)
    assert site.harvest("queue", "forget", "duckdb", "--yes").code == 0
    assert site.harvest("queue", "groups", "--json").json == []
    assert site.harvest("queue", "forget", "duckdb", "--yes").code == 2


def test_a_group_that_is_read_is_not_moved_and_its_reader_is_named(tmp_path: Path, vendor: World) -> None:
    site = filled(tmp_path, vendor)
    with site.process("consume") as consumer:
        consumer.until(lambda: site.harvest("queue", "groups", "--json").json[0]["owner"])
        for act in (["seek", "duckdb", "--to", "beginning"], ["forget", "duckdb", "--yes"]):
            done = site.harvest("queue", *act)
            assert (done.code, f"pid {consumer.pid}" in done.err) == (4, True)
        second = site.harvest("consume", "duckdb", "--until-empty")
        assert (second.code, f"pid {consumer.pid}" in second.err) == (4, True)
        assert consumer.stop() == 0


def test_audit_shows_equations_with_equal_sides(tmp_path: Path, vendor: World) -> None:
    site = filled(tmp_path, vendor)
    done = site.harvest("audit")
    lines = [line for line in done.out.splitlines() if "equal" in line.lower()]
    assert done.code == 0
    assert len(lines) == 4
    assert all(line.startswith("equal ") for line in lines)


@pytest.mark.parametrize(
    ("tamper", "side"),
    [
        ("UPDATE counts SET amount = amount - 1 WHERE name = 'read'", "opencast/useractions"),
        ("UPDATE counts SET amount = amount + 1 WHERE name = 'filtered'", "opencast/useractions"),
        ("UPDATE counts SET amount = amount + 5 WHERE name IN ('read', 'published')", "queue"),
        ("UPDATE sqlite_sequence SET seq = seq + 1", "queue"),
        ("""UPDATE groups SET counts = replace(counts, '"delivered":', '"delivered":1')""", "sink duckdb"),
        ("UPDATE groups SET position = position - 1", "sink duckdb, position"),
    ],
)
def test_audit_ends_with_1_and_names_the_side_when_somebody_tampers(
    tmp_path: Path, vendor: World, tamper: str, side: str
) -> None:
    site = filled(tmp_path, vendor)
    execute(site, tamper)
    done = site.harvest("audit", "--json")
    assert done.code == 1
    assert side in {e["what"] for e in done.json["equations"] if not e["equal"]}
    shown = site.harvest("audit")
    assert (shown.code, f"UNEQUAL  {side}" in shown.out) == (1, True)


def test_check_says_that_the_queue_is_whole_and_what_is_missing_when_it_is_not(tmp_path: Path, vendor: World) -> None:
    site = filled(tmp_path, vendor)
    assert site.harvest("queue", "check", "--json").json == {"faults": []}
    execute(site, "DELETE FROM messages WHERE position = 7")
    done = site.harvest("queue", "check", "--json")
    assert (done.code, len(done.json["faults"])) == (1, 1)
    site.harvest("queue", "seek", "duckdb", "--to", "beginning")
    consumed = site.consume()
    assert consumed.code == 4
    assert "harvest queue check" in consumed.err


def test_an_undecodable_message_becomes_a_letter_and_the_stream_goes_on(tmp_path: Path, vendor: World) -> None:
    site = filled(tmp_path, vendor)
    for body in (b"\x00\xff", b"{}", b'{"format":1}'):
        execute(site, "INSERT INTO messages (key, headers, body) VALUES ('by/hand', NULL, ?)", body)
    execute(site, "UPDATE counts SET amount = amount + 3 WHERE name IN ('read', 'published')")
    site.harvest("once", "opencast", "--since", stamp(NOON - 5 * HOUR), "--until", stamp(NOON - 4 * HOUR))
    done = site.consume()
    assert (done.code, "dead-lettered 3\n" in done.err) == (5, True)
    assert site.consume().code == 0, "a letter is told once"
    found = site.harvest("dead-letters", "list", "--group", "duckdb", "--json").lines
    assert [(one["stage"], one["key"]) for one in found] == [("decode", "by/hand")] * 3
    assert site.held().keys() >= vendor.truth(NOON - 5 * HOUR, NOON - 4 * HOUR).keys()
    site.audit()


@pytest.mark.parametrize("command", ["useractions", "run", "consume --until-empty", "queue lag", "queue check", "audit"])
def test_a_damaged_queue_file_stops_every_command_with_3_and_is_left_as_it_is(
    tmp_path: Path, vendor: World, command: str
) -> None:
    site = filled(tmp_path, vendor)
    path = tmp_path / "var/queue.db"
    path.write_bytes(b"no database at all, but large enough to be looked at" * 1000)
    path.with_name("queue.db-wal").unlink(missing_ok=True)
    before = path.read_bytes()
    done = site.harvest(*command.split())
    assert done.code == 3
    assert "damaged" in done.err
    assert "var/queue.db" in done.err
    assert path.read_bytes() == before


@pytest.mark.parametrize(("file", "command"), [("queue.db", "useractions"), ("queue.db", "consume"), ("letters.db", "run")])
def test_a_file_of_a_newer_format_is_refused_with_3(tmp_path: Path, vendor: World, file: str, command: str) -> None:
    site = filled(tmp_path, vendor)
    connection = sqlite3.connect(tmp_path / "var" / file)
    with connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'format'")
    connection.close()
    done = site.harvest(command)
    assert done.code == 3
    assert "is of format 99" in done.err
    assert "upgrade" in done.err
