"""The envelope: one event on its way from a source to every sink."""

from datetime import datetime
from hashlib import blake2b
from typing import Annotated

import msgspec

from harvester.errors import ConfigError, InvalidEventError

FORMAT = 1


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag=FORMAT, gc=False):
    """One thing that happened, or one new state of a thing. Encoded as one line of JSON that begins with its format.

    `version` orders the states of one `subject`; `time` is the same in all of them. `data` is the vendor's record as it
    came. `context` is filled by enrichers: one key each, null when there is nothing to find, absent while it is pending.
    """

    id: str
    source: str
    type: str
    subject: str
    version: Annotated[int, msgspec.Meta(ge=0)]
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    read_at: Annotated[datetime, msgspec.Meta(tz=True)]
    data: msgspec.Raw
    context: dict[str, msgspec.Raw] = {}

    @property
    def key(self) -> str:
        """The partition key: states of one subject stay in order."""
        return f"{self.source}/{self.subject}"


def event_id(source: str, type_: str, subject: str, data: bytes | msgspec.Raw) -> str:
    """The id of one state of one thing: 32 hex digits, the same at every reading and in every release.

    BLAKE2b-128 of data, NUL, then length:source length:type subject; lengths in characters, nothing between the parts.
    """
    digest = blake2b(data, digest_size=16)
    digest.update(f"\0{len(source)}:{source}{len(type_)}:{type_}{subject}".encode())
    return digest.hexdigest()


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


class _Format(msgspec.Struct):
    format: int | None = None


def encode_event(event: Event) -> bytes:
    """The event as a queue carries it."""
    return _encoder.encode(event)


def decode_event(body: bytes) -> Event:
    """Raises InvalidEventError when the body is no envelope, ConfigError when a newer version of ours wrote it."""
    try:
        if not body.isascii():
            body.decode()  # the decoder takes `data` as it is
        return _decoder.decode(body)
    except (ValueError, RecursionError) as error:
        _refuse_newer(body)
        raise InvalidEventError(f"not an envelope: {error}", reason="undecodable") from error


def _refuse_newer(body: bytes) -> None:
    try:
        found = msgspec.json.decode(body, type=_Format).format
    except (ValueError, RecursionError):
        return
    if found is not None and found > FORMAT:
        raise ConfigError(
            f"the queue of HARVESTER_QUEUE_URL holds envelopes of format {found}, this version reads up to {FORMAT}: "
            f"upgrade this process"
        )
