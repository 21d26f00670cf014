"""What the commands of GitHub's archive have in common: its settings, and what is said where there is none."""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from pydantic import BaseModel

from consumers.sinks.archive_settings import ArchiveSettings
from harvester.commands import parts
from harvester.commands.github_site import need_archive
from harvester.errors import ConfigError
from harvester.loading import Loaded
from harvester.privacy import PrivacySettings

if TYPE_CHECKING:
    from consumers.stock import Place

_SHOWN = 10


def settings(what: str, *more: type[BaseModel]) -> Loaded:
    """The settings of the archive and `more`. ConfigError when nothing is archived, or its library is not installed."""
    loaded = parts.settings(ArchiveSettings, PrivacySettings, *more, reads=False)
    need_archive(loaded, what)
    try:
        import consumers.stock
    except ModuleNotFoundError as error:
        raise ConfigError(f"the archive needs {error.name}: install event-harvester[archive]") from error
    assert consumers.stock
    return loaded


def one_of(repository: str, places: "Sequence[Place]") -> str:
    """Owner and name of the repository that is meant by its name, or by both. Exit 2 for none, or several."""
    known = sorted({place.whole for place in places})
    meant = [whole for whole in known if repository in (whole, whole.partition("/")[2])]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise click.BadParameter(f"{repository} is ambiguous: say which: {', '.join(meant)}", param_hint="--repo")
    names = known + [whole.partition("/")[2] for whole in known]
    near = difflib.get_close_matches(repository, names, n=3, cutoff=0.5)
    there = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known[:_SHOWN]) or 'none'}"
    raise click.BadParameter(f"nothing of {repository} is archived: {there}", param_hint="--repo")
