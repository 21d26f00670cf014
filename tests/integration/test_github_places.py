"""Where a collection of GitHub keeps things: the predecessor's settings, the bucket, and the dataset beside it."""

from pathlib import Path
from secrets import token_hex
from typing import Any, cast

import pytest

from consumers.sinks.archive_settings import ArchiveSettings
from consumers.sinks.bigquery_settings import BigQuerySettings
from harvester.commands.github_init import one_location
from harvester.commands.github_stores import Store
from harvester.errors import ConfigError
from harvester.objects import gs
from harvester.settings import CoreSettings, inspect, load
from harvester.sources.github import GithubSettings
from tests.github_site import checkpoints, held, organisation, site_of, true
from tests.services import Server
from tests.site import Site


def test_b32_to_b40_the_predecessors_settings_mean_what_they_meant(tmp_path: Path) -> None:
    given = {
        "GITHUB_TOKEN": "x",
        "GITHUB_ORG": "acme",
        "BIGQUERY_PROJECT_ID": "p-1",
        "BIGQUERY_LOCATION": "EU",
        "GCS_BUCKET_NAME": "github-stats-data",
        "GCS_CHUNK_SIZE": "7",
        "PERSIST_TO_GCS": "false",
        "BATCH_SIZE": "11",
        "DEFAULT_LOOKBACK_DAYS": "30",
    }
    loaded = inspect(CoreSettings, GithubSettings, ArchiveSettings, BigQuerySettings, environ=given, cwd=tmp_path)
    assert loaded.faults == ()
    archive = loaded.get(ArchiveSettings)
    assert (archive.url, archive.chunk, archive.persist) == ("gs://github-stats-data?project=p-1&location=EU", 7, False)
    warehouse = loaded.get(BigQuerySettings)
    assert (warehouse.project_id, warehouse.dataset_id, warehouse.location) == ("p-1", "github_stats", "EU")
    assert (loaded.get(CoreSettings).batch_events, loaded.get(GithubSettings).lookback_days) == (11, 30)


def test_b35_b37_an_address_goes_before_the_bucket_and_archiving_is_on_unless_it_is_switched_off(tmp_path: Path) -> None:
    named = load(ArchiveSettings, environ={"GCS_BUCKET_NAME": "b", "HARVESTER_ARCHIVE_URL": "file://x"}, cwd=tmp_path)
    assert named.get(ArchiveSettings).url == "file://x"
    usual = load(ArchiveSettings, BigQuerySettings, environ={"GCS_BUCKET_NAME": "b"}, cwd=tmp_path)
    assert (usual.get(ArchiveSettings).url, usual.get(ArchiveSettings).persist) == ("gs://b", True)
    assert (usual.get(BigQuerySettings).location, usual.get(BigQuerySettings).dataset_id) == ("US", "github_stats")


@pytest.mark.parametrize("command", ["init", "collect", "backfill"])
def test_b32_a_warehouse_without_its_project_is_told_before_github_is_asked(tmp_path: Path, command: str) -> None:
    given = {"ORG": "acme", "TOKEN": "x", "URL": "http://127.0.0.1:9"}
    site = Site(tmp_path, HARVESTER_SINKS="bigquery", **{f"HARVESTER_GITHUB_{name}": value for name, value in given.items()})
    done = site.harvest("github", command)
    assert done.code == 3
    assert "BIGQUERY_PROJECT_ID" in done.err


def bucket_of(gcs: Server) -> str:
    return f"gs://b{token_hex(6)}?endpoint={gcs.url}&project=tests"


async def test_b34_bucket_and_dataset_have_to_be_in_one_location(gcs: Server, tmp_path: Path) -> None:
    url = bucket_of(gcs)
    await gs.prepare(url)
    loaded = load(CoreSettings, ArchiveSettings, environ={"HARVESTER_ARCHIVE_URL": url}, cwd=tmp_path)
    async with gs.open_objects(url) as objects:
        bucket = await cast("gs.GsObjects", objects).location()
    for there in (bucket, bucket.lower(), ""):
        await one_location(loaded, dataset(there))
    with pytest.raises(ConfigError, match=rf"in {bucket}, bigquery p is in ASIA: both have to be in one location"):
        await one_location(loaded, dataset("ASIA"))


def dataset(place: str) -> Store:
    """One that is there, or "" for one that is not."""

    class There:
        where = "bigquery p"

        async def location(self) -> str:
            return place

    return cast("Store", There())


def test_b49_b43_a_bucket_that_is_missing_is_made_and_collected_into(gcs: Server, tmp_path: Path) -> None:
    with organisation() as github:
        site = site_of(tmp_path, github, HARVESTER_ARCHIVE_URL=bucket_of(gcs))
        assert ": created" in site.harvest("github", "init").out
        done = site.harvest("github", "backfill", "--days", "11", "--json")
        assert (done.code, done.json["state"]) == (0, "complete"), done.err
        assert held(site) == true(github)
        assert checkpoints(site) == []
        resumed: Any = site.harvest("github", "resume", "--collection-id", done.json["collection_id"], "--json").json
        assert resumed["state"] == "complete"


@pytest.mark.parametrize("command", ["archive verify", "github gcs-summary"])
def test_a_bucket_that_does_not_exist_is_told_with_its_setting_and_is_no_empty_archive(
    gcs: Server, s3: Server, tmp_path: Path, command: str
) -> None:
    for url in (bucket_of(gcs), f"s3://never-made/x?endpoint={s3.url}&region=eu-west-1"):
        keys = {"HARVESTER_AWS_ACCESS_KEY_ID": "any", "HARVESTER_AWS_SECRET_ACCESS_KEY": "any"}
        done = Site(tmp_path, HARVESTER_ARCHIVE_URL=url, **keys).harvest(*command.split())
        assert (done.code, done.out) == (3, ""), done.err
        assert f"HARVESTER_ARCHIVE_URL={url}" in done.err
        assert "there is no bucket" in done.err
        assert "harvest setup" in done.err
