"""What stands in one SQS message: a pack of events, or one event as it is.

A pack is text. Its first line is `harvester-pack/1 {"keys": […]}`, then one line an event, in order, as it was published. The
head names what is not as plain as that: `"headers"`, by index, and `"base64"`, the indexes of bodies that no SQS message may hold
as they are (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html) or that have line breaks.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from harvester.errors import ConfigError
from harvester.protocols import NO_HEADERS, Message

FORMAT = 1
LARGEST = 1 << 20
"""Bytes of a message, with its attributes, and of all messages of a batch together."""
ENTRIES = 10
"""Messages of a batch."""
FRAME = 128
"""Bytes that a pack of one takes at most beside what `taken` counts."""
_MARK = "harvester-pack/"
_HEAD = f"{_MARK}{FORMAT} "
_KEY, _HEADERS = "key", "headers"
# All but the tab: the others are refused by SQS, or end a line.
_CONTROL = bytes(code for code in range(32) if code != 9)
_NONCHARACTERS = ("\ufffe".encode(), "\uffff".encode())


class Parcel(NamedTuple):
    """One SQS message. `size`: bytes as SQS counts them, at most."""

    body: str
    attributes: Mapping[str, str]
    size: int


def plain(body: bytes) -> bool:
    """Whether it may stand in an SQS message, and in a line, as it is."""
    if len(body.translate(None, _CONTROL)) != len(body):
        return False
    if body.isascii():
        return True
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return not any(bad in body for bad in _NONCHARACTERS)


def taken(message: Message) -> int:
    """Bytes that a message takes in a pack, its key and headers with it; rather too many than too few."""
    key, body = message.key, message.body
    # As JSON, a character takes 12 at most: \\ud83d\\ude00.
    size = len(body) + (2 * len(key) if key.isascii() and key.isprintable() else 12 * len(key)) + 4
    if message.headers:
        size += len(json.dumps(dict(message.headers))) + 16
    return size if plain(body) else size + len(body) // 3 + 16


def parcels(messages: Sequence[Message], most: int, most_bytes: int) -> Iterator[Parcel]:
    """The messages in order, up to `most` of them in one, and up to `most_bytes` unless one alone takes more."""
    if most == 1:
        yield from map(_single, messages)
        return
    pack: list[Message] = []
    size = FRAME
    for message in messages:
        more = taken(message)
        if pack and (len(pack) == most or size + more > most_bytes):
            yield Parcel(packed(pack), {}, size)
            pack, size = [], FRAME
        pack.append(message)
        size += more
    if pack:
        yield Parcel(packed(pack), {}, size)


def batches(made: Iterable[Parcel], most_bytes: int = LARGEST) -> Iterator[list[Parcel]]:
    """What goes in one call."""
    batch: list[Parcel] = []
    size = 0
    for parcel in made:
        if batch and (len(batch) == ENTRIES or size + parcel.size > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(parcel)
        size += parcel.size
    if batch:
        yield batch


def packed(messages: Sequence[Message]) -> str:
    """The text of a pack."""
    bodies = [message.body for message in messages]
    # Asked of all at once first, with something between them that no character goes across.
    encoded = [] if plain(b" ".join(bodies)) else [index for index, body in enumerate(bodies) if not plain(body)]
    for index in encoded:
        bodies[index] = base64.b64encode(bodies[index])
    head: dict[str, object] = {"keys": [message.key for message in messages]}
    headers = {index: dict(message.headers) for index, message in enumerate(messages) if message.headers}
    if headers:
        head["headers"] = headers
    if encoded:
        head["base64"] = encoded
    return _HEAD + json.dumps(head) + "\n" + b"\n".join(bodies).decode()


def unpacked(body: str, attributes: Mapping[str, str] = NO_HEADERS) -> list[Message]:
    """The messages of what SQS holds. What is no pack, from whomever it is, is one message.

    ConfigError: a newer program packed it.
    """
    if not body.startswith(_MARK):
        return [Message(attributes.get(_KEY, ""), body.encode(), _headers(attributes.get(_HEADERS, "")))]
    number, _, rest = body[len(_MARK) :].partition(" ")
    if number.isdigit() and int(number) > FORMAT:
        raise ConfigError(f"the queue holds packs of format {number}, this program reads {FORMAT}: upgrade it")
    head, _, lines = rest.partition("\n")
    try:
        return _messages(json.loads(head), lines.encode().split(b"\n"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, binascii.Error):
        return [Message("", body.encode())]


def _messages(head: Any, bodies: list[bytes]) -> list[Message]:
    keys = head["keys"]
    for index in head.get("base64", ()):
        bodies[index] = base64.b64decode(bodies[index], validate=True)
    messages = [Message(key, body) for key, body in zip(keys, bodies, strict=True)]
    for index, headers in head.get("headers", {}).items():
        messages[int(index)] = messages[int(index)]._replace(headers=headers)
    return messages


def _single(message: Message) -> Parcel:
    """One event for readers that know no packs: its bytes are the body, key and headers are attributes."""
    key, body = message.key, message.body
    if not body or not plain(body) or not plain(key.encode()) or body.startswith(_MARK.encode()):
        return Parcel(packed([message]), {}, FRAME + taken(message))
    attributes = {_KEY: key} if key else {}
    if message.headers:
        attributes[_HEADERS] = json.dumps(dict(message.headers))
    return Parcel(body.decode(), attributes, FRAME + taken(message))


def _headers(text: str) -> Mapping[str, str]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return NO_HEADERS
    return found if isinstance(found, dict) else NO_HEADERS
