"""Running collections as one command: what was cut off is completed first, then the one that is asked for."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec

from harvester.commands.github_checkpoints import Checkpoint
from harvester.commands.github_collection import Asked, begun, completed
from harvester.commands.github_site import open_site
from harvester.commands.github_telling import EXIT_CODES
from harvester.loading import Loaded

F = TypeVar("F", bound=Callable[..., Any])


def _words(_: click.Context, __: click.Parameter, value: str | None) -> Sequence[str]:
    return tuple(filter(None, (word.strip() for word in (value or "").split(","))))


def repos_option(function: F) -> F:
    """The repositories that a collection is limited to, as a sequence of names."""
    told = "Only these repositories, a comma list.  [env: HARVESTER_GITHUB_REPOS; default: all]"
    decorated: F = click.option("--repos", metavar="NAMES", callback=_words, help=told)(function)
    return decorated


async def collect(loaded: Loaded, asked: Asked, *, as_json: bool) -> int:
    """The exit code: 0 all complete, 5 with holes or dead letters, 1 failed."""
    async with open_site(loaded) as site:
        ended = [*await completed(site), await begun(site, asked)]
    return tell(ended, as_json=as_json)


def tell(ended: Sequence[Checkpoint], *, as_json: bool) -> int:
    """The exit code of all of them; the last one as JSON on stdout if that is wanted."""
    if as_json:
        click.echo(msgspec.json.encode(ended[-1]))
    codes = {EXIT_CODES[one.state] for one in ended}
    return next((code for code in (1, 5) if code in codes), 0)
