"""Where the predecessor stopped: its last time, YYYYMMDDHHmmss, alone in an object of S3. It is read and never written."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from harvester.access import Access
from harvester.errors import ConfigError
from harvester.objects import open_objects

_STAMP = re.compile(rb"\s{0,9}(\d{14})\s{0,9}")


async def last_time(bucket: str, key: str, zone: str, access: Access) -> datetime | None:
    """The time in that object; None when there is no such object, and only then.

    It bears no zone: what came of a row is in the row's own, what came of no row is in that of the predecessor's host. Of the two
    readings, UTC and `zone`, the earlier counts: what is read twice is the same event.

    ConfigError: no time stands in it. PermanentError, TransientError: it cannot be read, so nobody knows where to begin.
    """
    async with open_objects(f"s3://{bucket}", access) as objects:
        stored = await objects.get(key)
    if stored is None:
        return None
    try:
        found = _STAMP.fullmatch(stored.body)
        plain = datetime.strptime(found[1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC) if found else None
    except ValueError:
        plain = None
    if plain is None:
        raise ConfigError(
            f"s3://{bucket}/{key} holds no YYYYMMDDHHmmss, but {stored.body[:40]!r}: "
            f"check HARVESTER_OPENCAST_LAST_TS_KEY, or set HARVESTER_OPENCAST_START"
        )
    return min(plain, plain.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC))
