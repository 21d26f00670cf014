"""Every durable format carries a number: what an older version wrote is read, what a newer one wrote is refused and untouched."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harvester.book import decode_book, encode_book
from tests.site import HOUR, NOON, ROOT, Site, World, stamp, world

FORMATS = ROOT / "tests/fixtures/formats"
"""Files as the first version of each format wrote them. A new format adds its own, and these stay."""
HARVESTING = (
    ("useractions", "-s", stamp(NOON - HOUR)),
    ("once", "opencast", "--since", stamp(NOON - HOUR), "--until", stamp(NOON)),
    ("backfill", "opencast", "-s", stamp(NOON - HOUR), "-e", stamp(NOON)),
    ("run",),
    ("backup", "saved"),
    ("audit",),
)
READERS = {
    "queue.db": (
        *HARVESTING,
        ("consume", "duckdb", "--until-empty"),
        ("queue", "lag"),
        ("queue", "groups"),
        ("queue", "peek"),
        ("queue", "check"),
        ("queue", "seek", "duckdb", "--to", "beginning"),
        ("queue", "forget", "duckdb", "--yes"),
    ),
    "letters.db": (
        *HARVESTING,
        ("consume", "duckdb", "--until-empty"),
        ("dead-letters", "list"),
        ("dead-letters", "show", "0123456789abcdef0123456789abcdef"),
        ("dead-letters", "requeue", "--group", "opencast"),
        ("dead-letters", "purge", "--group", "opencast", "--yes"),
    ),
    "coverage/opencast.json": (
        *HARVESTING,
        ("coverage", "show"),
        ("coverage", "gaps"),
        ("coverage", "fill"),
        ("coverage", "set", "useractions", "-s", stamp(NOON - HOUR), "--yes"),
        ("coverage", "reset", "opencast", "--yes"),
    ),
}


@pytest.fixture(scope="module")
def vendor() -> Iterator[World]:
    with world(late=False, growing=False) as found:
        yield found


@pytest.fixture
def site(tmp_path: Path, vendor: World) -> Site:
    """An installation whose files the first version of every format wrote."""
    var = tmp_path / "var"
    (var / "coverage").mkdir(parents=True)
    for name in ("queue", "letters"):
        with closing(sqlite3.connect(var / f"{name}.db")) as database:
            database.executescript((FORMATS / f"{name}-1.sql").read_text())
    (var / "coverage/opencast.json").write_bytes((FORMATS / "opencast-1.json").read_bytes())
    return Site(tmp_path, vendor.url)


def make_newer(path: Path) -> None:
    if path.suffix == ".json":
        body = encode_book(decode_book(path.read_bytes())).replace(b'"format":1', b'"format":9')
        path.write_bytes(resealed(body))
        return
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE meta SET value = 9 WHERE name = 'format'")
        database.commit()


def resealed(body: bytes) -> bytes:
    """A book with the checksum that its bytes should have."""
    from hashlib import blake2b

    rest = body[45:]
    return b'{"checksum":"' + blake2b(rest, digest_size=16).hexdigest().encode() + rest


def test_files_of_the_first_formats_are_read_and_gone_on_with(site: Site, vendor: World) -> None:
    assert [line["event"]["format"] for line in site.harvest("queue", "peek").lines] == [1, 1, 1]
    assert site.harvest("queue", "check").code == 0
    assert site.harvest("dead-letters", "list", "--json").lines[0]["reason"] == "schema"
    assert site.coverage()["live_edge"] == "2024-11-05T12:00:00Z"
    assert site.harvest("useractions", "-s", stamp(NOON - HOUR / 6), "-e", stamp(NOON)).code == 0
    assert site.consume().code == 0
    assert site.held() == {one: action.outpoint for one, action in vendor.truth(NOON - HOUR / 6, NOON).items()}


@pytest.mark.parametrize("name", READERS)
def test_a_newer_file_is_refused_by_every_command_that_opens_it_and_stays_as_it_is(site: Site, name: str) -> None:
    path = site.folder / "var" / name
    make_newer(path)
    before = path.read_bytes()
    for command in READERS[name]:
        done = site.harvest(*command)
        assert done.code == 3, (command, done)
        assert f"var/{name}" in done.err, command
        assert "format 9" in done.err, command
        assert "upgrade this process" in done.err, command
    assert path.read_bytes() == before
    assert not (site.folder / "saved").exists()


def test_a_newer_envelope_is_refused_naming_the_queue_and_is_no_letter(site: Site) -> None:
    with closing(sqlite3.connect(site.folder / "var/queue.db")) as database:
        database.execute(
            """UPDATE messages SET body = CAST(replace(body, '"format":1', '"format":9') AS BLOB) WHERE position = 2"""
        )
        database.commit()
    for command in (("consume", "duckdb", "--until-empty"), ("consume", "-", "--until-empty"), ("queue", "peek"), ("run",)):
        done = site.harvest(*command)
        assert done.code == 3, (command, done)
        assert "format 9" in done.err, command
        assert "upgrade this process" in done.err, command
        assert "HARVESTER_QUEUE_URL" in done.err, command
    assert len(site.harvest("dead-letters", "list", "--json").lines) == 1
    assert site.harvest("queue", "groups", "--json").json[0]["position"] == 1
