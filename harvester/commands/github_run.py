"""Running collections as one command: what was cut off is completed first, then the one that is asked for."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec

from harvester.commands.github_checkpoints import Checkpoint
from harvester.commands.github_collection import Asked, begun, completed
from harvester.commands.github_going_on import remembered
from harvester.commands.github_metrics import compute, lines
from harvester.commands.github_site import open_site
from harvester.commands.github_telling import EXIT_CODES
from harvester.commands.times import shown
from harvester.errors import HarvesterError
from harvester.loading import Loaded
from harvester.logs import COLLECTED, get_logger

_WORST = (0, 5, 1)
F = TypeVar("F", bound=Callable[..., Any])


def _words(_: click.Context, __: click.Parameter, value: str | None) -> Sequence[str]:
    names = tuple(filter(None, (word.strip() for word in (value or "").split(","))))
    if value is not None and not names:
        raise click.BadParameter(f"{value!r} names no repository: write widgets,gadgets, or leave the option out for all of them")
    return names


def repos_option(function: F) -> F:
    """The repositories that a collection is limited to, as a sequence of names."""
    told = "Only these repositories, a comma list.  [env: HARVESTER_GITHUB_REPOS; default: all]"
    decorated: F = click.option("--repos", metavar="NAMES", callback=_words, help=told)(function)
    return decorated


async def collect(loaded: Loaded, asked: Asked, *, as_json: bool) -> int:
    """The exit code: 0 all complete, 5 with holes or dead letters, 1 failed."""
    async with open_site(loaded) as site:
        asked = asked._replace(goes_on=asked.goes_on and await remembered(site))
        ended = [*await completed(site), await begun(site, asked)]
    return worst(tell(ended, as_json=as_json), await derive(loaded))


def worst(*codes: int) -> int:
    """The exit code that says most: failed, partial, complete."""
    return max(codes, key=_WORST.index)


async def derive(loaded: Loaded) -> int:
    """Compute the metrics of what is stored now, where a warehouse can be asked: 0, or 5 when that failed, which is told."""
    try:
        for line in lines(await compute(loaded)):
            get_logger(COLLECTED).info("metrics", computed=line)
    except HarvesterError as error:
        get_logger("github").warning("the metrics were not computed", error=str(error), next="harvest github metrics")
        return 5
    return 0


def tell(ended: Sequence[Checkpoint], *, as_json: bool) -> int:
    """The exit code of all of them; the last one as JSON on stdout if that is wanted."""
    if as_json:
        click.echo(msgspec.json.encode(ended[-1]))
    return worst(*(EXIT_CODES[one.state] for one in ended))


def nothing_left(checkpoint: Checkpoint, *, as_json: bool) -> int:
    """What is said of a collection that is complete already, and the exit code."""
    click.echo(
        f"collection {checkpoint.collection_id} is complete since {shown(checkpoint.ended)}: nothing was to be done; "
        f"what changed since then is read by harvest github collect",
        err=True,
    )
    return tell([checkpoint], as_json=as_json)
