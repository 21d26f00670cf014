"""The letter of an event that a sink could not finish."""

from datetime import UTC, datetime, timedelta

from harvester import __version__
from harvester.errors import HarvesterError, InvalidEventError, TransientError
from harvester.protocols import Letter, letter_id

NOT_ENRICHED = TransientError("written without enrichment: the look-up could not be made")
_AGAIN = timedelta(seconds=5)
_LATEST = timedelta(minutes=15)
_LONGEST_ERROR = 1024


def letter_of(
    group: str,
    body: bytes,
    stage: str,
    error: HarvesterError,
    *,
    position: int | str = "",
    event_id: str = "",
    key: str = "",
    due: datetime | None = None,
) -> Letter:
    """The letter about an event of `group`, which came as `body`. An error that is not the event's fault makes it pending."""
    now = datetime.now(UTC)
    return Letter(
        id=letter_id(group, event_id, body),
        group=group,
        stage=stage,
        reason=error.reason if isinstance(error, InvalidEventError) else "pending",
        error=f"{type(error).__name__}: {error}"[:_LONGEST_ERROR],
        body=body,
        key=key,
        position=str(position),
        event_id=event_id,
        first=now,
        last=now,
        due=due,
        version=__version__,
    )


def again_at(attempts: int) -> datetime:
    """When to look up once more what is pending, when it was tried so often before.

    Soon at first: while the service is away nobody asks it anyway. Then twice as long each time, for what cannot be looked
    up while all else can must not be tried at this pace for ever.
    """
    return datetime.now(UTC) + min(_AGAIN * (1 << min(attempts, 16)), _LATEST)
