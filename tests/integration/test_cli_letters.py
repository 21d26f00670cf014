"""`harvest dead-letters`: what could not be finished is shown, tried again, or removed by order only."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harvester.letters import open_letters
from harvester.protocols import Letter, letter_id
from tests.site import HOUR, NOON, Site, World, stamp, world
from tests.useractions import action, useraction_event

SPAN = (NOON - 20 * HOUR, NOON - 14 * HOUR)


@pytest.fixture(scope="module")
def sloppy() -> Iterator[World]:
    """An Opencast with records of every kind that is broken or odd."""
    with world(faults={"records": 0.08}) as found:
        yield found


@pytest.fixture(scope="module")
def harvested(tmp_path_factory: pytest.TempPathFactory, sloppy: World) -> Site:
    """A site that met them all; it is only looked at."""
    site = Site(tmp_path_factory.mktemp("letters"), sloppy.url)
    done = site.harvest("useractions", "-s", stamp(SPAN[0]), "-e", stamp(SPAN[1]))
    assert done.code == 5
    assert "dead letters: harvest dead-letters list --group opencast" in done.err
    site.consume()
    return site


def letters(site: Site, *args: str) -> list[Any]:
    return site.harvest("dead-letters", "list", "--json", "--limit", "10000", *args).lines


def add(site: Site, *new: Letter) -> None:
    async def act() -> None:
        async with open_letters(f"sqlite:///{site.folder}/var/letters.db") as store:
            await store.add(new)

    asyncio.run(act())


def letter(group: str, body: bytes, **more: Any) -> Letter:
    now = datetime.now(UTC)
    given = {"stage": "write", "reason": "schema", "error": "InvalidEventError: no", "first": now, "last": now, **more}
    return Letter(id=letter_id(group, given.get("event_id", ""), body), group=group, body=body, **given)


def test_q7_every_broken_record_is_a_letter_and_every_other_one_is_in_the_sink(harvested: Site, sloppy: World) -> None:
    broken = sloppy.broken(*SPAN)
    assert len(set(broken.values())) == 6, "every kind is among them"
    found = letters(harvested)
    assert len(found) == len(broken)
    assert {one["group"] for one in found} <= {"opencast", "duckdb"}
    assert harvested.held() == {n: a.outpoint for n, a in sloppy.truth(*SPAN).items()}
    harvested.audit()


def test_a_list_tells_where_why_how_often_and_when_again(harvested: Site) -> None:
    done = harvested.harvest("dead-letters", "list", "--group", "opencast", "--limit", "2")
    assert done.code == 0
    assert len(done.out.splitlines()) == 4
    assert "read/" in done.out
    assert "waits for you" in done.out
    assert ", 2 shown" in done.err
    assert "body" not in letters(harvested)[0]


def test_a_list_is_narrowed_by_group_reason_and_time(harvested: Site) -> None:
    every = letters(harvested)
    reason = every[0]["reason"]
    assert letters(harvested, "--reason", reason) == [one for one in every if one["reason"] == reason]
    assert letters(harvested, "--group", "nobody") == []
    assert letters(harvested, "--since", "20440101") == []
    assert letters(harvested, "--since", "20240101") == every


def test_a_group_that_is_none_names_the_one_that_was_meant(harvested: Site) -> None:
    for typo, meant in (("opencast/typo", "opencast"), ("zoom/typo", "zoom"), ("duckdbb", "duckdb")):
        for words in (("list",), ("requeue",), ("purge", "--yes")):
            done = harvested.harvest("dead-letters", *words, "--group", typo)
            assert done.code == 2
            assert f"did you mean {meant}?" in done.err
    add(harvested, letter("opencast/second", b"{}"))
    assert len(letters(harvested, "--group", "opencast/second")) == 1
    assert harvested.harvest("dead-letters", "purge", "--group", "opencast/second", "--yes").code == 0


def test_show_gives_the_original_bytes_by_the_first_digits_of_the_id(harvested: Site) -> None:
    one = letters(harvested, "--group", "opencast")[0]
    done = harvested.harvest("dead-letters", "show", one["id"][:12], "--json")
    assert (done.code, done.json["id"]) == (0, one["id"])
    assert '"mediapackageId"' in done.json["body"] or '"mediapackage' in done.json["body"]
    shown = harvested.harvest("dead-letters", "show", one["id"])
    assert f"reason:    {one['reason']}" in shown.out
    assert harvested.harvest("dead-letters", "show", "xyz").code == 1


def test_a_letter_shows_control_characters_and_does_not_obey_them(tmp_path: Path) -> None:
    site = Site(tmp_path)
    add(site, letter("duckdb", b"\x1b[2J\x9b31m evil \xff", error="\x1b]0;title\x07"))
    shown = site.harvest("dead-letters", "show", letters(site)[0]["id"][:8]).out + site.harvest("dead-letters", "list").out
    assert "evil" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


@pytest.mark.parametrize("act", ["purge", "requeue"])
def test_an_id_has_to_mean_one_letter_so_an_empty_variable_touches_nothing(tmp_path: Path, act: str) -> None:
    site = Site(tmp_path)
    add(site, letter("duckdb", b"one"), letter("duckdb", b"two"))
    before = letters(site)
    yes = ["--yes"] if act == "purge" else []
    for wrong in ("", "zzzz"):
        assert site.harvest("dead-letters", act, wrong, *yes).code == 2
    assert site.harvest("dead-letters", act, before[0]["id"], "zzzz", *yes).code == 2
    assert letters(site) == before


def test_purge_wants_consent_and_removes_what_was_chosen(tmp_path: Path) -> None:
    site = Site(tmp_path)
    add(site, letter("duckdb", b"one"), letter("duckdb", b"two"), letter("opencast", b"three", reason="nan"))
    first = letters(site)[0]["id"]
    assert site.harvest("dead-letters", "purge", first).code == 4
    assert "1 letter would be removed" in site.harvest("dead-letters", "purge", first, "--dry-run").err
    assert len(letters(site)) == 3
    assert site.harvest("dead-letters", "purge", first[:10], "--yes").code == 0
    assert site.harvest("dead-letters", "purge", "--reason", "nan", "--yes").code == 0
    assert [one["group"] for one in letters(site)] == ["duckdb"]
    assert "1 letter is removed" in site.harvest("dead-letters", "purge", "--all", "--yes").err


def test_a_requeued_letter_of_a_sink_is_written_by_consume_and_gone(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    event = useraction_event(77, version=30)
    add(site, letter("duckdb", msgspec.json.encode(event), event_id=event.id, key=event.key))
    assert site.consume().code == 0
    assert len(letters(site)) == 1, "it waits for a person"
    assert site.harvest("dead-letters", "requeue", "--group", "duckdb").code == 0
    assert site.consume().code == 0
    assert (site.held(), letters(site)) == ({77: 30}, [])
    site.audit()


def test_a_requeued_letter_that_fails_again_counts_its_attempts_and_waits_again(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    add(site, letter("duckdb", b"never an event", stage="decode"))
    site.harvest("dead-letters", "requeue", "--all")
    assert letters(site)[0]["due"] is not None
    assert site.consume().code == 0
    (found,) = letters(site)
    assert (found["attempts"], found["due"]) == (2, None)


def test_a_requeued_letter_of_a_source_is_read_again_by_the_daemon(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url, HARVESTER_POLL_INTERVAL="0.1")
    good = msgspec.json.encode(action(4711, outpoint=5))
    add(site, *(letter("opencast", body, stage="read", stream="useractions") for body in (good, b'{"id":"broken"}')))
    site.harvest("dead-letters", "requeue", "--all")
    with site.process("run") as daemon:
        daemon.until(lambda: site.lag() > -1 and [one["attempts"] for one in letters(site)] == [2])
        daemon.until(lambda: site.lag() == 0)
        assert daemon.stop() == 0
    assert letters(site)[0]["due"] is None
    assert site.held()[4711] == 5
    site.audit()
