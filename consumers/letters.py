"""The letter of an event that a sink could not finish."""

import re
from datetime import UTC, datetime, timedelta

from msgspec import structs

from harvester import __version__
from harvester.errors import HarvesterError, InvalidEventError, TransientError
from harvester.protocols import Delivery, Letter, letter_id

NOT_ENRICHED = TransientError("written without enrichment: the look-up could not be made")
_AGAIN = timedelta(seconds=5)
_LATEST = timedelta(minutes=15)
_LONGEST_ERROR = 1024
_ID = re.compile(rb'"id":"([0-9a-f]{32})"')
_KILLED = InvalidEventError("processes were killed again and again while this alone was in work", reason="killed")


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


def killer_letter(group: str, delivery: Delivery) -> Letter:
    """The letter about an event that kills the process. Its id is found without the decoder, which may be what dies of it."""
    (key, body, _), position = delivery
    found = _ID.search(body, 0, 128)
    return letter_of(group, body, "write", _KILLED, position=position, event_id=found[1].decode() if found else "", key=key)


def killer_again(letter: Letter) -> Letter:
    """A letter that killed the process when it was tried again."""
    error = f"{type(_KILLED).__name__}: {_KILLED}"
    return structs.replace(letter, stage="write", reason="killed", error=error, last=datetime.now(UTC), due=None)


def again_at(attempts: int) -> datetime:
    """When to look up once more what is pending, when it was tried so often before.

    Soon at first: while the service is away nobody asks it anyway. Then twice as long each time, for what cannot be looked
    up while all else can must not be tried at this pace for ever.
    """
    return datetime.now(UTC) + min(_AGAIN * (1 << min(attempts, 16)), _LATEST)
