"""`harvest github resume`: one collection again, from its checkpoint."""

from collections.abc import Sequence

import click

from consumers.sinks.archive_settings import ArchiveSettings
from harvester.commands.github_checkpoints import named, short
from harvester.commands.github_collection import resumed
from harvester.commands.github_run import derive, nothing_left, repos_option, tell, worst
from harvester.commands.github_site import need_archive, open_site, settings
from harvester.commands.options import although_paused_option, json_option
from harvester.loading import Loaded
from harvester.objects import open_objects
from harvester.service import run_once
from harvester.settings import CoreSettings
from harvester.sources.github_settings import GithubSettings


@click.command("resume", short_help="Go on with one collection.")
@click.option("--collection-id", required=True, metavar="ID", help="As it was printed, e.g. 2025-01-01T12:00:00+00:00.")
@repos_option
@although_paused_option
@json_option
def command(collection_id: str, repos: Sequence[str], *, as_json: bool) -> int:
    """Go on with a collection, with its own range and repositories. What was read is not asked for again.

    One that was cut off is completed by any other collection; this is for one that ended with holes. One that is complete is
    left as it is.

    \b
    harvest github resume --collection-id 2025-01-01T12:00:00+00:00
    """
    short(collection_id)
    loaded = settings()
    need_archive(loaded, "resume")
    return run_once(_resume(loaded, collection_id, repos, as_json=as_json))


async def _resume(loaded: Loaded, collection_id: str, repos: Sequence[str], *, as_json: bool) -> int:
    organisation = loaded.get(GithubSettings).org[0]
    async with open_objects(loaded.get(ArchiveSettings).url, loaded.get(CoreSettings)) as objects:
        there = (await named(objects, organisation, collection_id)).checkpoint  # a wrong id is told before anything is asked
    if there.state == "complete":
        return nothing_left(there, as_json=as_json)
    async with open_site(loaded) as site:
        assert site.objects is not None
        kept = await named(site.objects, organisation, collection_id)
        ended = await resumed(site, kept, repos)
    return worst(tell([ended], as_json=as_json), await derive(loaded))
