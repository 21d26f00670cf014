"""Which sinks collections of GitHub feed: in turns, so that in between nobody reads what is needed all the same."""

from collections.abc import Mapping

from harvester.commands.parts import group_of
from harvester.protocols import CoverageStore
from harvester.report import Told
from harvester.settings import CoreSettings

SOURCE, ARCHIVE = "github", "archive"
RUN_ONE = "collection"
"""The lease of whoever collects: two collections never run at once."""


async def collects(core: CoreSettings, coverages: CoverageStore, told: Told) -> Mapping[str, str]:
    """Sink that collections feed → who collects now, "" between two of them. Nothing where nothing was ever read of GitHub, and
    where no sink waits for anybody: then nothing is asked.
    """
    left = {group.name: 0 if group.owner else group.lag for group in told.groups}
    if not any({**told.lags, **left}.values()):
        return {}
    owners = told.owners[SOURCE] if SOURCE in told.owners else await coverages.owners(SOURCE)
    owner = owners.get(RUN_ONE, "")
    if not owner and not (told.coverages.get(SOURCE) or (await coverages.load(SOURCE)).streams):
        return {}
    return dict.fromkeys([ARCHIVE, *map(group_of, core.sinks)], owner)
