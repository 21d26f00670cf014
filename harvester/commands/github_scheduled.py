"""`harvest github scheduled`: a collection every few hours, until a signal."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial

import click

from harvester.commands.daemon import run_daemon
from harvester.commands.github_collection import Asked, begun, completed
from harvester.commands.github_run import derive, repos_option
from harvester.commands.github_site import open_site, settings
from harvester.errors import ConfigError, HarvesterError
from harvester.loading import Loaded
from harvester.logs import get_logger
from harvester.service import CutError, sleep_until, unless
from harvester.settings import CoreSettings

_HOUR = 3600.0


@click.command("scheduled", short_help="Collect every few hours, until a signal.")
@click.option("--interval", type=click.FloatRange(min=0, min_open=True), default=6.0, show_default=True, metavar="HOURS")
@repos_option
def command(interval: float, repos: Sequence[str]) -> int:
    """Collect every so many hours, from begin to begin, until SIGTERM or Ctrl+C. Each collection goes on where streams stand; the
    first reads back as far as HARVESTER_GITHUB_LOOKBACK_DAYS says.

    A collection that fails is told and does not end it; none begins before the last one is over.

    \b
    harvest github scheduled --interval 6
    """
    loaded = settings()

    async def work(stop: asyncio.Event) -> None:
        first = True
        while not stop.is_set():
            began = time.monotonic()
            await unless(stop, partial(_cycle, loaded, repos, first=first))
            first = False
            await sleep_until(stop, interval * _HOUR - (time.monotonic() - began))

    return run_daemon(work, loaded.get(CoreSettings))


async def _cycle(loaded: Loaded, repos: Sequence[str], *, first: bool) -> None:
    """One collection. What it meets is told, and does not end the process, unless it is a fault of usage that shows at once."""
    log = get_logger("github")
    try:
        async with open_site(loaded, daemon=True) as site:
            await completed(site)
            await begun(site, Asked("scheduled", repositories=repos))
        await derive(loaded)
    except CutError as error:
        log.info("stopped", reason=str(error))
    except (ConfigError, click.UsageError) as error:
        if first:
            raise
        log.error("a collection failed; the next one comes at its time", error=str(error))
    except HarvesterError as error:
        log.error("a collection failed; the next one comes at its time", error=str(error))
    except Exception as error:  # whatever one cycle meets, the next one comes
        log.error("a collection died; the next one comes at its time", error=str(error), exc_info=error)
