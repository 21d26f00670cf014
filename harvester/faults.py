"""What is wrong in the settings, said so that the reader can put it right: what, where, why, and what to do."""

import difflib
import json
import re
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from pydantic_core import ErrorDetails

_QUOTED = re.compile(r"'([^']*)'")
_LONGEST = 80


class Fault(NamedTuple):
    """One thing that is wrong. None of its parts holds the value of a secret."""

    what: str
    """The setting, as it was spelled; or the file."""
    where: str
    """environment · command line · .env:3 · harvester.toml:7 · not set"""
    why: str
    fix: str

    def __str__(self) -> str:
        """The fault in one line."""
        return f"{self.what} ({self.where}): {self.why}; {self.fix}"


def quoted(value: object) -> str:
    """A value as one may print it: one line, no control characters, not endless."""
    text = json.dumps(str(value)[:_LONGEST], ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def closest(name: str, names: Iterable[str], *, ignore: str = "") -> str:
    """The one of `names` that was probably meant, "" when none is near. `ignore` is a beginning that all share."""
    known = {n.removeprefix(ignore).lower(): n for n in names}
    near = difflib.get_close_matches(name.upper().removeprefix(ignore).lower(), known, n=1, cutoff=0.7)
    return known[near[0]] if near else ""


def unknown(kind: str, name: str, names: Iterable[str]) -> str:
    """What to say of a `kind` of part that there is not: which there are, and which was probably meant."""
    known = sorted(names)
    near = closest(name, known) or closest(name.partition("/")[0], known)
    return f"no such {kind} {name[:_LONGEST]!r}; there are {', '.join(known)}{f' (did you mean {near}?)' if near else ''}"


class Complaint(NamedTuple):
    """Why a value is not accepted, and what would be."""

    why: str
    fix: str = ""


def complaint(error: ErrorDetails, value: object, *, secret: bool) -> Complaint:
    """What pydantic refused, in words. The value of a secret is not in them."""
    if secret and error["type"] == "token":  # a word of ours that bears nothing of it
        return Complaint(error["msg"], "make one with: openssl rand -hex 32")
    if secret:
        return Complaint("its value is not accepted (not shown: it is a secret)", "write it as plain text")
    context = error.get("ctx", {})
    said = _SAID.get(error["type"])
    if said is not None:
        return said(quoted(value), context)
    if error["type"] == "unknown":
        return Complaint(error["msg"])
    if error["type"] == "value_error":
        return Complaint(str(context.get("error", error["msg"])))
    return Complaint(f"{quoted(value)}: {error['msg'][:1].lower()}{error['msg'][1:]}")


Context = Mapping[str, object]


def _choice(value: str, context: Context) -> Complaint:
    choices = _QUOTED.findall(str(context["expected"]))
    near = closest(json.loads(value), choices) if value.startswith('"') else ""
    return Complaint(
        f"{value} is none of {', '.join(choices)}", f"did you mean {near}?" if near else f"write one of {', '.join(choices)}"
    )


def _zone(value: str, context: Context) -> Complaint:
    near = closest(str(context["value"]), zoneinfo.available_timezones())
    return Complaint(f"{value} is no time zone", f"did you mean {near}?" if near else "write a name like UTC or Europe/Zurich")


def _letters_not_named(_: str, context: Context) -> Complaint:
    return Complaint(
        f"it is needed beside a queue on {context['queue']}: the default is a file of each host, where no other host can look",
        "set it for every process to s3://BUCKET/PREFIX or file:///SHARED/FOLDER (on one host alone sqlite:///PATH does), "
        "then `harvest config check`",
    )


def _zoom_key_alone(_: str, __: Context) -> Complaint:
    return Complaint(
        "Zoom's JWT apps are gone since 2023, so a key and a secret alone open nothing",
        "create a Server-to-Server OAuth app in Zoom's marketplace with the scopes dashboard:read:list_meetings:admin, "
        "dashboard:read:list_meeting_participants:admin (Business or higher; on Pro report:read:list_users:admin, "
        "report:read:user:admin, report:read:list_meeting_participants:admin and meeting:read:list_past_participants:admin), "
        "then set ZOOM_ACCOUNT_ID, ZOOM_CLIENT_ID and ZOOM_CLIENT_SECRET",
    )


def _bound(word: str, key: str, fix: str) -> Callable[[str, Context], Complaint]:
    def said(value: str, context: Context) -> Complaint:
        return Complaint(f"{value} is too {word}", f"{fix} {context[key]}")

    return said


def _no(thing: str, fix: str) -> Callable[[str, Context], Complaint]:
    return lambda value, _: Complaint(f"{value} is {thing}", fix)


_WHOLE = _no("no whole number", "write digits, like 1000")
_NUMBER = _no("no number", "write digits, like 2.5")
_SIZE = _no("no size", "write bytes, or a number with KiB, MiB or GiB, like 8MiB")
_BOOL = _no("neither true nor false", "write true or false")
_TEXT = _no("no text", "write it in quotation marks")
_FORM = _no("not of the form it should have", "")
TOLD_WHEN_MISSING = ("letters_not_named", "zoom_key_alone")
"""What has more to say of a setting that is missing than that it is needed."""
_SAID: Mapping[str, Callable[[str, Context], Complaint]] = {
    "literal_error": _choice,
    "zone": _zone,
    "letters_not_named": _letters_not_named,
    "zoom_key_alone": _zoom_key_alone,
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "byte_size": _SIZE,
    "byte_size_unit": _SIZE,
    "bool_parsing": _BOOL,
    "bool_type": _BOOL,
    "string_type": _TEXT,
    "string_pattern_mismatch": _FORM,
    "greater_than_equal": _bound("small", "ge", "write at least"),
    "greater_than": _bound("small", "gt", "write more than"),
    "less_than_equal": _bound("large", "le", "write at most"),
    "less_than": _bound("large", "lt", "write less than"),
}
