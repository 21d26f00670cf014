"""How much room there is for what is kept on this host, for the metrics."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from harvester import metrics
from harvester.queues.sqlite import SqliteOptions
from harvester.settings import CoreSettings
from harvester.url import database_path, directory_path, parse


def room(core: CoreSettings) -> None:
    """Tell the limit of the embedded queue and the disks of the stores. What is kept on servers has none here."""
    queue = parse(core.queue_url)
    if queue.scheme == "sqlite" and (most := queue.options(SqliteOptions).max_bytes):
        metrics.queue_limit(queue.scheme, most)
    for volume, folder in _folders(core):
        try:
            usage = shutil.disk_usage(existing(folder))
        except OSError:
            continue  # whoever reads or writes there says so, with its path
        metrics.disk(volume, usage.free, usage.total)


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that there is: what would be made is made there. A file in the way is found too."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _folders(core: CoreSettings) -> Iterator[tuple[str, Path]]:
    for volume, url in (("queue", core.queue_url), ("coverage", core.coverage_url), ("letters", core.letters_url)):
        parsed = parse(url)
        if parsed.scheme == "sqlite":
            yield volume, database_path(parsed).parent
        elif parsed.scheme == "file":
            yield volume, directory_path(parsed)
