"""Zoom's webhook: its signature, the validation of its address, and which of its events mean that there is something to read.

https://developers.zoom.us/docs/api/webhooks/. 200 and 204 within three seconds mean received; after anything else it comes three
times more. So what no repetition can make better is answered with 204: forged requests too, which learn nothing from it.
"""

import hmac
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec

from harvester.endpoints import Reply
from harvester.logs import get_logger
from harvester.rotation import reread
from harvester.seen import Seen
from harvester.sources.zoom_settings import ZoomSettings
from harvester.webhooks import Verdict

WAKING = frozenset({"meeting.ended", "meeting.participant_left"})
"""Zoom lists a meeting, and who was in it, when it is over."""
WINDOW = timedelta(minutes=5)
"""A request that was signed longer ago, or so much later than now, is refused."""
_VALIDATION = "endpoint.url_validation"
_LOOK_EVERY = 60.0
_DIGITS = 12
_RECEIVED = Reply(200, b"")
_USELESS = Reply(204, b"")


class _Payload(msgspec.Struct, frozen=True):
    plainToken: str = ""  # noqa: N815 - the vendor's name


class _Notice(msgspec.Struct):
    event: str
    payload: _Payload = _Payload()


_notice = msgspec.json.Decoder(_Notice)


def zoom_webhook(settings: ZoomSettings, clock: Callable[[], datetime]) -> "ZoomWebhook | None":
    """The webhook of these settings, by Zoom's clock; None where no secret is set."""
    return ZoomWebhook(settings, clock) if settings.webhook_secret.get_secret_value() else None


class ZoomWebhook:
    """What is signed with the secret, now and for the first time, is Zoom's."""

    stream = "meetings"

    def __init__(self, settings: ZoomSettings, clock: Callable[[], datetime], seen: Seen | None = None) -> None:
        self.pause = timedelta(seconds=settings.webhook_pause)
        self._secret = settings.webhook_secret
        self._key = self._secret.get_secret_value().encode()
        self._clock = clock
        self._seen = seen or Seen(WINDOW)
        self._log = get_logger("webhooks").bind(source="zoom")
        self._looked_at = float("-inf")
        """When the secret was last looked at, since a request did not fit it."""

    def judge(self, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Of `x-zm-request-timestamp`, `x-zm-signature` and the raw body. Nothing is kept but the signature, for the window."""
        now, stamp = self._clock(), headers.get("x-zm-request-timestamp", "")
        signature = headers.get("x-zm-signature", "").encode(errors="surrogateescape")
        if not self._genuine(signature, b"v0:%b:%b" % (stamp.encode(errors="surrogateescape"), body)):
            return Verdict("forged", _USELESS)
        signed = int(stamp) if stamp.isdecimal() and len(stamp) <= _DIGITS else 0
        if not self._seen.timely(signed, now):
            return Verdict("stale", _USELESS)
        if not self._seen.first(signature, signed, now):
            return Verdict("replayed", _USELESS)
        try:
            notice = _notice.decode(body)
        except (ValueError, RecursionError):
            return Verdict("unreadable", _USELESS)
        if notice.event == _VALIDATION:
            return Verdict("validated", self._proof(notice.payload.plainToken))
        return Verdict("accepted" if notice.event in WAKING else "unwanted", _RECEIVED)

    def _genuine(self, signature: bytes, signed: bytes) -> bool:
        if hmac.compare_digest(signature, self._signature(signed)):
            return True
        # Anybody may send anything here: so the file is seldom looked at, and little is said.
        if (now := time.monotonic()) - self._looked_at < _LOOK_EVERY:
            return False
        self._looked_at = now
        if (found := reread(self._secret)) is not None and found.encode() != self._key:
            self._key = found.encode()
            self._log.info("the secret of the webhook is another in its file, which is used from now on")
            return hmac.compare_digest(signature, self._signature(signed))
        self._log.warning("what is not signed with HARVESTER_ZOOM_WEBHOOK_SECRET was passed over; told once a minute at most")
        return False

    def _signature(self, signed: bytes) -> bytes:
        return b"v0=" + hmac.digest(self._key, signed, "sha256").hex().encode()

    def _proof(self, plain: str) -> Reply:
        """That the secret is here. For what is signed alone: else anybody could have us sign what he likes."""
        encrypted = hmac.digest(self._key, plain.encode(), "sha256").hex()
        return Reply(200, msgspec.json.encode({"plainToken": plain, "encryptedToken": encrypted}))
