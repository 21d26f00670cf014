"""`harvest github init`: everything that a first collection needs, made and checked."""

from collections.abc import Callable, Sequence

import click
import msgspec

from consumers.records.mapping import record_classes
from consumers.records.record import Record
from consumers.sinks.archive_settings import ArchiveSettings
from harvester.commands import parts
from harvester.commands.collecting import SOURCE
from harvester.commands.github_site import lacking, settings
from harvester.commands.github_stores import Store, open_store, stores_of
from harvester.commands.options import json_option
from harvester.commands.setup import prepared
from harvester.commands.words import amount_of
from harvester.errors import ConfigError
from harvester.loading import Loaded
from harvester.objects import open_objects
from harvester.retry import ONE_SHOT, retrying
from harvester.service import run_once
from harvester.settings import CoreSettings
from harvester.sources.github_settings import GithubSettings

_FORMAT = 1
_MODULES = ("consumers.records.github", "consumers.records.velocity")


@click.command("init", short_help="Make what a first collection needs, and check the token.")
@json_option
def command(*, as_json: bool) -> int:
    """Make the bucket of the archive, the dataset and all tables of the warehouses in HARVESTER_SINKS, and ask GitHub what the
    token may read. Says what it made; may be repeated: what is there is left as it is.

    Bucket and dataset of Google have to be in one location (exit 3).
    """
    loaded = settings()
    made: list[str] = []
    checked: list[str] = []
    try:
        run_once(_made(loaded, made.append))
        run_once(_checked(loaded, checked.append))
    finally:  # what was made before a fault stays, and is told
        if as_json:
            click.echo(msgspec.json.encode({"format": _FORMAT, "made": made, "checked": checked}))
        for line in [] if as_json else [*(made or ["nothing was missing"]), *checked]:
            click.echo(line)
    return 0


async def _made(loaded: Loaded, tell: Callable[[str], None]) -> int:
    core, lines = loaded.get(CoreSettings), list[str]()
    try:
        await prepared(loaded, core.sinks, lines, [])
    finally:
        for line in lines:
            tell(line)
    for sink in stores_of(core.sinks):
        name = next(one for one in core.sinks if parts.group_of(one) == sink)
        async with parts.sink_named(name, loaded) as opened, open_store(sink, loaded) as store:
            if create := getattr(opened, "create", None):
                create()
            await _tables(store, tell)
            await one_location(loaded, store)
    return 0


def tables() -> Sequence[type[Record]]:
    """The records of GitHub, and the metrics made of them."""
    return [record for record in record_classes() if record.__module__.startswith(_MODULES)]


async def _tables(store: Store, tell: Callable[[str], None]) -> None:
    records = tables()
    before = await store.there(records)
    await store.prepare(records)
    for table in sorted({record.__shape__.table for record in records} - before):
        tell(f"{store.where}: table {table}: created")


async def one_location(loaded: Loaded, store: Store) -> None:
    """ConfigError: BigQuery loads from a bucket of its own location only."""
    url, asked = loaded.get(ArchiveSettings).url, getattr(store, "location", None)
    if asked is None or not url.startswith("gs://"):
        return
    async with open_objects(url, loaded.get(CoreSettings)) as objects:
        bucket = await retrying(objects.location, ONE_SHOT)  # type: ignore[attr-defined] # of Google's alone
    dataset = await asked()
    if bucket and dataset and bucket.upper() != dataset.upper():
        raise ConfigError(
            f"the bucket of HARVESTER_ARCHIVE_URL is in {bucket}, {store.where} is in {dataset}: both have to be in one "
            f"location: name another bucket, or another dataset with HARVESTER_BIGQUERY_LOCATION={bucket}"
        )


async def _checked(loaded: Loaded, tell: Callable[[str], None]) -> int:
    async with parts.open_source(SOURCE, loaded, ONE_SHOT) as source:
        streams = await source.streams()
        there = amount_of(len({s.name.partition("/")[2] for s in streams} - {""}), "repository", "repositories")
        tell(f"github: the token reads {there} of {', '.join(loaded.get(GithubSettings).org)}{lacking(source)}")
    return 0
