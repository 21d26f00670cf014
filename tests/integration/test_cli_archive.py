"""`harvest archive` and `harvest replay`: raw events are kept, and every other sink can be made of them again."""

from pathlib import Path

from tests.site import HOUR, NOON, Site, stamp, world


def archived(folder: Path, url: str, *, hours: int = 3) -> Site:
    """A few hours of user actions, in the archive and in DuckDB."""
    site = Site(folder, url, HARVESTER_SINKS="duckdb,archive")
    assert site.harvest("useractions", "-s", stamp(NOON - hours * HOUR), "-e", stamp(NOON)).code == 0
    for sink in ("duckdb", "archive"):
        assert site.harvest("consume", sink, "--until-empty").code in (0, 5)
    return site


def segments(site: Site) -> list[Path]:
    return sorted((site.folder / "var/archive").rglob("*.ndjson.zst"))


def test_f8_the_archive_holds_every_event_and_says_when_one_is_gone(tmp_path: Path) -> None:
    with world(history=3 * HOUR) as vendor:
        site = archived(tmp_path, vendor.url)
        true = vendor.truth(NOON - 3 * HOUR, NOON)
    whole = site.harvest("archive", "verify", "--json")
    assert (whole.code, whole.json["faults"], whole.json["unnamed"]) == (0, [], [])
    assert whole.json["events"] - whole.json["repeated"] >= len(true) > 100
    assert f"{whole.json['events']:,} events" in whole.err
    site.audit()
    # The doctor looks at it, too.
    assert "it can be listed; since" in site.harvest("doctor").out
    lost = segments(site)[0]
    lost.unlink()
    holed = site.harvest("archive", "verify")
    assert holed.code == 5
    assert f"{lost.name}: missing" in holed.out
