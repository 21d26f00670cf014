"""HARVESTER_PRIVACY=pseudonymous: no clear value of a person is left in queue, letters, coverage, logs, tables and indexes."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.indexed import documents, put_templates
from tests.indexing import consume, site_of
from tests.services import ElasticsearchServer
from tests.site import HOUR, NOON, Site, World, stamp, world
from tests.zoom_account import Account, beside, environment, meeting, stay

HIDES = {
    "HARVESTER_PRIVACY": "pseudonymous",
    "HARVESTER_PRIVACY_KEY": "c4nary-0123456789abcdef",
    "HARVESTER_LOG_LEVEL": "debug",
}
START = NOON - 6 * HOUR


@pytest.fixture(scope="module")
def people() -> Iterator[World]:
    with world(faults={"records": 0.03}) as vendor:
        yield vendor


def clear_values(vendor: World) -> set[str]:
    """What tells who somebody is, as the vendor has it."""
    viewers = list(vendor.truth(START, NOON).values())
    found = {viewer.user for viewer in viewers} | {viewer.session for viewer in viewers}
    found |= {address for viewer in viewers for address in viewer.ips}
    return {value for value in found if value and value not in ("unknown", "anonymous")} - networks(viewers)


def networks(viewers: list[Any]) -> set[str]:
    """Addresses that are the first of their network: cut, they are what they were."""
    return {address for viewer in viewers for address in viewer.ips if re.search(r"\.0$|::$", address)}


def left(clear: set[str], text: str) -> set[str]:
    """The clear values that stand anywhere in the text."""
    return {value for value in clear if value in text}


def dumped(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [row for name in tables for row in connection.execute(f'SELECT * FROM "{name}"')]
    return "\n".join(str(value) for row in rows for value in row)


def files(site: Site) -> str:
    """All that is stored, as text: what databases hold, and the bytes of every file."""
    paths = [path for path in (site.folder / "var").rglob("*") if path.is_file()]
    texts = [dumped(path) for path in paths if path.suffix == ".db"]
    return "\n".join([*texts, *(path.read_bytes().decode("latin-1") for path in paths)])


def harvested(site: Site) -> str:
    done = site.harvest("useractions", "-s", stamp(START), "-e", stamp(NOON))
    assert done.code in (0, 5), done.err
    return done.err


def table(site: Site) -> str:
    with closing(duckdb.connect(site.folder / "var/harvest.duckdb", read_only=True)) as connection:
        return "\n".join(map(str, connection.execute("SELECT * FROM useractions").fetchall()))


def test_without_it_the_clear_values_are_found_in_each_of_these_places(tmp_path: Path, people: World) -> None:
    site = Site(tmp_path, people.url)
    harvested(site)
    site.consume()
    clear = clear_values(people)
    assert len(clear) > 50
    assert left(clear, dumped(site.queue)) == clear
    assert left(clear, table(site))
    assert left(clear, dumped(site.folder / "var/letters.db"))


def test_no_clear_value_is_left_in_queue_letters_coverage_logs_and_table(tmp_path: Path, people: World) -> None:
    site, clear = Site(tmp_path, people.url, **HIDES), clear_values(people)
    said = harvested(site)
    assert left(clear, said) == left(clear, files(site)) == set()
    done = site.consume()
    printed = site.harvest("dead-letters", "list").out + site.harvest("dead-letters", "list", "--json").out
    assert "withheld" in printed or not people.broken(START, NOON)
    assert left(clear, done.err + printed + files(site) + table(site)) == set()
    with closing(duckdb.connect(site.folder / "var/harvest.duckdb", read_only=True)) as connection:
        people_found, actions = connection.execute("SELECT count(DISTINCT huid), count(*) FROM useractions").fetchall()[0]
    truth = people.truth(START, NOON)
    assert actions == len(truth)
    assert people_found == len({action.user for action in truth.values() if action.user})


def test_what_is_printed_and_looked_at_is_hidden_too(tmp_path: Path, people: World) -> None:
    site, clear = Site(tmp_path, people.url, **HIDES), clear_values(people)
    printed = site.harvest("useractions", "-o", "-", "-s", stamp(START), "-e", stamp(NOON))
    looked = site.harvest("once", "opencast", "--since", START.isoformat(), "--until", NOON.isoformat(), "--dry-run")
    assert len(printed.lines) == len(people.truth(START, NOON)) <= len(looked.lines)
    assert left(clear, printed.out + printed.err + looked.out + looked.err) == set()


def test_zooms_meetings_sessions_and_letters_show_nobody(tmp_path: Path) -> None:
    clear = {"Ada", "Lovelace", "ada@university.example", "Sam", "Student", "sam@university.example", "203.0.113.7", "id-of-sam"}
    rows = [meeting(uuid, host="Ada Lovelace", email="ada@university.example", topic="Ada's Room") for uuid in ("a==", "b==")]
    person = stay(user_name="Sam Student", email="sam@university.example", ip_address="203.0.113.7", id="id-of-sam")
    with beside(Account(rows, {"a==": [person]})) as account:
        site = Site(tmp_path, HARVESTER_SOURCES="zoom", **environment(account), **HIDES)
        done = site.harvest("zoom", "--destination", "stdout")
        assert done.code == 5, done.err
        letters = site.harvest("dead-letters", "list", "--json")
    assert [line["topic"] for line in done.lines if "topic" in line] == ["[hidden]'s Room"] * 2
    assert [line["ip_address"] for line in done.lines if "join_time" in line] == ["203.0.113.0"]
    assert "participants" in letters.out
    assert left(clear, done.out + done.err + letters.out + files(site)) == set()


def test_without_a_key_nothing_is_read_and_who_only_consumes_needs_none(tmp_path: Path, people: World) -> None:
    site = Site(tmp_path, people.url, HARVESTER_PRIVACY="pseudonymous")
    people.calls()
    done = site.harvest("useractions")
    assert (done.code, people.calls()) == (3, 0)
    assert "HARVESTER_PRIVACY_KEY" in done.err
    assert "openssl rand -hex 32" in done.err
    assert site.harvest("config", "check").code == 3
    assert site.harvest("consume", "duckdb", "--until-empty").code == 0


def test_no_clear_value_is_left_in_an_index(tmp_path: Path, elasticsearch: ElasticsearchServer, people: World) -> None:
    put_templates(elasticsearch)
    site, clear = site_of(tmp_path, elasticsearch, people, **HIDES), clear_values(people)
    harvested(site)
    assert consume(site).code in (0, 5)
    found = documents(elasticsearch)
    assert len(found) == len(people.truth(START, NOON))
    assert left(clear, "\n".join(str(held.source) for _, held in found)) == set()
