"""Privacy: what of people is hashed, cut or left out before a record leaves the process that read it.

A source says which fields of its records are about people (`Fields`); the policy of the installation says what becomes of
each kind. Between the two is a pure function over a record: `Veil.record`.
"""

import hmac
import ipaddress
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from functools import lru_cache, partial
from typing import Annotated, Literal, TypeAlias

import msgspec
from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from harvester.setting import setting

Policy = Literal["keep", "hash", "truncate", "drop"]
SHORTEST_KEY = 16
_UNKNOWN = frozenset({"", "None", "-omitted-", "unknown", "anonymous"})
"""What stands for nobody, and stays: a hash of it would look like a person."""
_HIDDEN = re.compile(r"p-[0-9a-f]{32}")
_MARK = "[hidden]"
_SMALL, _MOST = 640, 4096
_SHORTEST = 3
"""Shorter words of a name are not looked for in texts: half of each text would go."""


class Kind(Enum):
    """What a field of a vendor's record is about."""

    KEEP = "nobody"
    NAME = "names"
    MAIL = "mails"
    USER = "users"
    SESSION = "sessions"
    """A visit of somebody: hashed when user ids are not kept, so that visits can still be counted."""
    ADDRESS = "addresses"
    TEXT = "texts"
    """Written by people: what is hidden elsewhere in the record is hidden in it, too."""


Fields: TypeAlias = Mapping[str, "Kind | Fields"]
"""Name → kind, or the fields of what is nested; under "" what it is when it is a scalar. A field that is not named is not
passed on: nobody knows what it says."""
Table: TypeAlias = Callable[[Collection[str]], Fields]
"""The fields of a record that has these names at its top."""

_setting = partial(setting, "HARVESTER_PRIVACY")


class PrivacySettings(BaseModel):
    """What is passed on of the people in the records; decided where sources are read."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    privacy: Annotated[
        Literal["keep", "pseudonymous"],
        _setting("", "what the four below are where they are empty: keep, or pseudonymous (hash, addresses truncate)"),
    ] = "keep"
    key: Annotated[
        SecretStr,
        _setting("_KEY", f"key of the hashes, at least {SHORTEST_KEY} characters; with another nobody is recognised"),
    ] = SecretStr("")
    names: Annotated[Policy | Literal[""], _setting("_NAMES", "names of people: keep, hash, truncate (to initials) or drop")] = ""
    mails: Annotated[
        Policy | Literal[""], _setting("_MAILS", "mail addresses: keep, hash, truncate (to the part behind the @) or drop")
    ] = ""
    users: Annotated[Literal["", "keep", "hash", "drop"], _setting("_USERS", "ids of users: keep, hash or drop")] = ""
    addresses: Annotated[
        Policy | Literal[""], _setting("_ADDRESSES", "IP addresses: keep, hash, truncate (to a /24, IPv6 to a /48) or drop")
    ] = ""
    mail_domains: Annotated[
        str,
        _setting("_MAIL_DOMAINS", "comma list: mail addresses there and user ids that are their first part are one person"),
    ] = ""

    @model_validator(mode="after")
    def _key_is_there(self) -> "PrivacySettings":
        if not self.keeps and len(self.key.get_secret_value()) < SHORTEST_KEY:
            raise ValueError(
                f"HARVESTER_PRIVACY_KEY needs at least {SHORTEST_KEY} characters where anything is hidden: openssl rand -hex 32"
            )
        return self

    def policy(self, kind: Kind) -> Policy:
        """What becomes of a kind."""
        if kind in (Kind.KEEP, Kind.TEXT):
            return "keep"
        if kind is Kind.SESSION:
            return "keep" if self.policy(Kind.USER) == "keep" else "hash"
        chosen: Policy | Literal[""] = getattr(self, kind.value)
        if chosen:
            return chosen
        if self.privacy == "keep":
            return "keep"
        return "truncate" if kind is Kind.ADDRESS else "hash"

    @property
    def keeps(self) -> bool:
        """Whether records are passed on as they came."""
        return all(self.policy(kind) == "keep" for kind in Kind)


class Veil:
    """The policy of an installation, put on records. A record that has it on already comes out as it is."""

    def __init__(self, settings: PrivacySettings, table: Table) -> None:
        self._table = table
        self._policies = {kind: settings.policy(kind) for kind in Kind}
        self._key = settings.key.get_secret_value().encode()
        self._domains = {word.strip().casefold() for word in settings.mail_domains.split(",") if word.strip()}
        self._hash = lru_cache(maxsize=65536)(self._hashed)
        self._scrub = lru_cache(maxsize=4096)(_scrubbed)
        self._nested: dict[tuple[int, bytes], tuple[msgspec.Raw, dict[str, str]]] = {}
        """What small objects became: a viewer's session stands in hundreds of actions."""

    def record(self, record: bytes | msgspec.Raw) -> tuple[bytes, Mapping[str, str]]:
        """The record as it may be passed on, and what was hidden in it: clear value → what stands there now.

        Values that are nobody's keep their bytes. ValueError when it is no object of JSON.
        """
        hidden: dict[str, str] = {}
        found = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
        return msgspec.json.encode(self._fields(found, self._table(found.keys()), hidden)), hidden

    def digest(self, body: bytes) -> str:
        """What stands for bytes that nobody can look into."""
        return "p-" + hmac.digest(self._key, b"bytes\0" + body, "sha256").hex()[:32]

    def value(self, kind: Kind, text: str) -> str | None:
        """What is passed on in the place of `text`; None for nothing."""
        policy = self._policies[kind]
        if policy == "keep" or text.strip() in _UNKNOWN or _HIDDEN.fullmatch(text):
            return text
        if policy == "drop":
            return None
        return self._hash(kind, text) if policy == "hash" else _cut(kind, text)

    def _fields(self, record: Mapping[str, msgspec.Raw], fields: Fields, hidden: dict[str, str]) -> dict[str, object]:
        shown: dict[str, object] = {}
        texts = []
        for name, raw in record.items():
            kind = fields.get(name) if name else None
            if kind is Kind.TEXT:
                texts.append(name)
            if kind is not None:
                shown[name] = self._one(raw, kind, hidden)
        for name in texts:  # at last, when all that is hidden is known
            shown[name] = self._scrubbed(record[name], hidden)
        return shown

    def _one(self, raw: msgspec.Raw, kind: "Kind | Fields", hidden: dict[str, str]) -> object:
        first = bytes(raw)[:1]
        if first == b"[":
            return [self._one(one, kind, hidden) for one in msgspec.json.decode(raw, type=list[msgspec.Raw])]
        if not isinstance(kind, Kind):
            if first == b"{":
                return self._object(bytes(raw), kind, hidden)
            kind = kind.get("", Kind.TEXT)
            if not isinstance(kind, Kind):
                return None
        if kind is Kind.KEEP or first == b"n":
            return None if first == b"{" else raw
        return None if first == b"{" else self._scalar(raw, kind, hidden)

    def _object(self, raw: bytes, fields: Fields, hidden: dict[str, str]) -> msgspec.Raw:
        place = id(fields), raw  # the same bytes may mean something else in another record; tables live as long as we do
        known = self._nested.get(place)
        if known is None:
            own: dict[str, str] = {}
            found = self._fields(msgspec.json.decode(raw, type=dict[str, msgspec.Raw]), fields, own)
            known = msgspec.Raw(msgspec.json.encode(found)), own
            if len(raw) <= _SMALL:
                if len(self._nested) >= _MOST:
                    self._nested.clear()
                self._nested[place] = known
        hidden |= known[1]
        return known[0]

    def _scalar(self, raw: msgspec.Raw, kind: Kind, hidden: dict[str, str]) -> object:
        if kind is Kind.TEXT or self._policies[kind] == "keep":
            return raw
        text = msgspec.json.decode(raw, type=str) if bytes(raw)[:1] == b'"' else bytes(raw).decode()
        parts = text.split(",") if kind is Kind.ADDRESS else [text]  # an address may be a list, of those it was forwarded for
        found = [self.value(kind, part) for part in parts]
        hidden |= {part.strip(): new or "" for part, new in zip(parts, found, strict=True) if new != part}
        kept = [part for part in found if part is not None]
        return ",".join(kept) if kept else None

    def _scrubbed(self, raw: msgspec.Raw, hidden: Mapping[str, str]) -> object:
        if bytes(raw)[:1] != b'"' or not hidden:
            return raw if bytes(raw)[:1] not in b"{[" else None
        return self._scrub(msgspec.json.decode(raw, type=str), frozenset(hidden))

    def _hashed(self, kind: Kind, text: str) -> str:
        normal = unicodedata.normalize("NFKC", text).strip().casefold()
        # One person has one hash, whether a vendor knows him by an id or by a mail address.
        about = "person" if kind in (Kind.USER, Kind.MAIL) else kind.value
        local, at, domain = normal.rpartition("@")
        if about == "person" and at and domain in self._domains:
            normal = local
        return "p-" + hmac.digest(self._key, f"{about}\0{normal}".encode(), "sha256").hex()[:32]


def _scrubbed(text: str, hidden: frozenset[str]) -> str:
    words = {word for clear in hidden for word in (clear, *re.split(r"[\s@,]+", clear)) if len(word) >= _SHORTEST}
    folded = text.casefold()
    there = [word for word in words if word.casefold() in folded]
    if not there:
        return text
    longest_first = "|".join(map(re.escape, sorted(there, key=len, reverse=True)))
    return re.sub(rf"(?<!\w)(?:{longest_first})(?!\w)", _MARK, text, flags=re.IGNORECASE)


def _cut(kind: Kind, text: str) -> str | None:
    if kind is Kind.MAIL:
        _, at, domain = text.rpartition("@")
        return f"@{domain.strip()}" if at else None
    if kind is Kind.NAME:
        return " ".join(f"{word[0]}." for word in re.findall(r"[^\W_]+", text)) or None
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:  # forged, or with a port: nobody knows what it says
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False).network_address)
