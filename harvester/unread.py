"""Letters of what a source could not read."""

from datetime import UTC, datetime

from harvester import __version__
from harvester.protocols import Broken, Letter, letter_id


def unread(source: str, stream: str, broken: Broken) -> Letter:
    """The letter of a broken record: it holds the record's bytes and waits for a person."""
    now = datetime.now(UTC)
    return Letter(
        id=letter_id(source, "", broken.body),
        group=source,
        stage="read",
        reason=broken.reason,
        error=broken.error[:1024],
        body=broken.body,
        stream=stream,
        first=now,
        last=now,
        version=__version__,
    )
