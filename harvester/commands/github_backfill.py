"""`harvest github backfill`: history, in one go that may be interrupted."""

from collections.abc import Sequence
from datetime import timedelta

import click

from harvester.commands.github_collection import Asked
from harvester.commands.github_run import collect, repos_option
from harvester.commands.github_site import settings
from harvester.commands.options import although_paused_option, json_option
from harvester.service import run_once
from harvester.sources.github_settings import GithubSettings


@click.command("backfill", short_help="Collect the last months.")
@click.option(
    "--days",
    type=click.IntRange(min=1),
    help="So many days back from now.  [env: HARVESTER_GITHUB_LOOKBACK_DAYS, DEFAULT_LOOKBACK_DAYS; default: 180]",
)
@repos_option
@although_paused_option
@json_option
def command(days: int | None, repos: Sequence[str], *, as_json: bool) -> int:
    """Collect what changed in the last months and was not read yet. Interrupted, it goes on where it was.

    \b
    harvest github backfill --days 180 --repos widgets,gadgets
    """
    loaded = settings()
    back = timedelta(days=days or loaded.get(GithubSettings).lookback_days)
    return run_once(collect(loaded, Asked("backfill", back, repositories=repos), as_json=as_json))
