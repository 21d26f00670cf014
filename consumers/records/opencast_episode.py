"""The record of a lecture recording, and how what the search service says of one is read (opencast.md §3.2, §6)."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from consumers.records.jettison import Scalar, instant, text
from consumers.records.opencast import Episode, series_parts
from consumers.records.record import FullText, Record
from harvester.errors import InvalidEventError
from harvester.event import Event

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_TIME = re.compile(r"time=T(\d+):(\d+):(\d+)")


class Slide(msgspec.Struct, frozen=True, gc=False):
    """A picture of what was shown, and when."""

    img: Annotated[str, "address of the picture"]
    time: Annotated[int, "second of the recording where it was shown first"]


class Recording(Record, index="episodes", table="episodes", key="mpid"):
    """One lecture recording, as the search service and the newest finished workflow know it."""

    title: Annotated[str | None, "title of the recording"]
    mpid: Annotated[str, "id of the recording (media package)"]
    duration: Annotated[int | None, "length of the recording in ms"]
    start: Annotated[datetime | None, "when the recording began"]
    course: Annotated[str | None, "title of the series", FullText()]
    series: Annotated[str | None, "id of the series"]
    year: Annotated[str | None, "characters 1–4 of a series id of at least 11 digits"]
    term: Annotated[str | None, "characters 5–6 of it"]
    cdn: Annotated[str | None, "characters 7–11 of it"]
    crn: Annotated[str | None, "the same as cdn, under its other name"]
    type: Annotated[str | None, "type of the recording, like L10 for the tenth lecture"]
    description: Annotated[str | None, "description of the recording"]
    presenter_still: Annotated[str | None, "address of a picture of the presenter"]
    presentation_still: Annotated[str | None, "address of a picture of the presentation"]
    slides: Annotated[list[Slide], "what was shown, in the order of time"]
    live_stream: Annotated[bool, "whether it is a live stream"]
    live_start: Annotated[datetime | None, "when the capture began"]
    live_end: Annotated[datetime | None, "when the capture ended"]
    live_duration: Annotated[int | None, "length of the capture in ms"]
    available: Annotated[datetime | None, "when the live stream was taken back, so that the recording is what is seen"]
    updated: Annotated[datetime | None, "when the recording was changed last at its Opencast, or deleted"]
    deleted: Annotated[bool, "whether it was deleted; then nothing else is known of it"]


class _Data(msgspec.Struct, frozen=True):
    search: dict[str, Any] = {}
    workflow: Any = None
    deleted: dict[str, Any] | None = None


def recording(event: Event) -> Recording:
    """The record of one recording; what is not known of it is null. Raises InvalidEventError for what is none.

    Of a deleted one only that is left: so no older state that comes late brings it back.
    """
    try:
        data = msgspec.json.decode(event.data, type=_Data)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no episode: {error}") from error
    if data.deleted is not None:
        return _deleted(event.subject, data.deleted)
    package = data.search.get("mediapackage")
    if not isinstance(package, dict):
        raise InvalidEventError("no episode: the search hit has no media package")
    episode = series_parts(described(data.search))
    pictures = _many(package.get("attachments"), "attachment")
    started, ended = _operation(data.workflow, "capture")
    return Recording(
        title=episode.title,
        mpid=event.subject,
        duration=episode.duration,
        start=episode.start,
        course=episode.course,
        series=episode.series,
        year=episode.year,
        term=episode.term,
        cdn=episode.cdn,
        crn=episode.crn,
        type=episode.type,
        description=episode.description,
        presenter_still=_still(pictures, "presenter/player+preview"),
        presentation_still=_still(pictures, "presentation/player+preview"),
        slides=_slides(pictures),
        live_stream=any(track.get("live") in (True, "true") for track in _many(package.get("media"), "track")),
        live_start=started,
        live_end=ended,
        live_duration=None if started is None or ended is None else (ended - started) // _MILLISECOND,
        available=_operation(data.workflow, "retract-element")[1],
        updated=instant(_scalar(data.search.get("modified"))),
        deleted=False,
    )


def _deleted(mpid: str, told: dict[str, Any]) -> Recording:
    found: dict[str, Any] = dict.fromkeys(Recording.__struct_fields__)
    found |= {"mpid": mpid, "slides": [], "live_stream": False, "updated": _moment(told.get("updated")), "deleted": True}
    return Recording(**found)


def described(hit: dict[str, Any]) -> Episode:
    """What a search hit of any release says of its recording."""
    package, dc = hit["mediapackage"], _dublin_core(hit)
    return Episode(
        title=_text(package.get("title")) or _text(dc.get("title")),
        duration=_milliseconds(package.get("duration")),
        start=instant(_scalar(package.get("start"))) or instant(_scalar(dc.get("created"))),
        course=_text(package.get("seriestitle")),
        series=_text(package.get("series")) or _text(dc.get("isPartOf")),
        type=_text(dc.get("type")),
        description=_text(dc.get("description")),
    )


def _dublin_core(hit: dict[str, Any]) -> dict[str, Any]:
    """title, created, isPartOf, type, description: from flat `dcTitle` … (up to 15) or lists in `dc` (from 16)."""
    dc = hit.get("dc")
    if isinstance(dc, dict):
        return {name: values[0] if isinstance(values, list) and values else values for name, values in dc.items()}
    return {name[2:3].lower() + name[3:]: value for name, value in hit.items() if name.startswith("dc")}


def _scalar(value: Any) -> Scalar:
    return value if isinstance(value, Scalar) else None


def _text(value: Any) -> str | None:
    """The text; None for an empty one and for what is no scalar (an empty list in `dc`)."""
    return text(_scalar(value)) or None


def _milliseconds(value: Any) -> int | None:
    """Milliseconds, which come as "95000", 29996 or 4160.0; None for less than nothing and for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = int(float(value))
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < 2**63 else None


def _many(holder: Any, name: str) -> list[dict[str, Any]]:
    """The objects under `name`: a text for none, one object, a list."""
    found = holder.get(name) if isinstance(holder, dict) else None
    return [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, dict)]


def _still(pictures: list[dict[str, Any]], kind: str) -> str | None:
    return next((_text(picture.get("url")) for picture in pictures if picture.get("type") == kind), None)


def _slides(pictures: list[dict[str, Any]]) -> list[Slide]:
    found = []
    for picture in pictures:
        when, url = _TIME.search(str(picture.get("ref"))), _text(picture.get("url"))
        if picture.get("type") == "presentation/segment+preview" and when and url:
            hours, minutes, seconds = map(int, when.groups())
            found.append(Slide(url, hours * 3600 + minutes * 60 + seconds))
    return sorted(found, key=lambda slide: (slide.time, slide.img))


def _operation(workflow: Any, name: str) -> tuple[datetime | None, datetime | None]:
    """When an operation of a workflow began and ended."""
    holder = workflow.get("operations") if isinstance(workflow, dict) else None
    holder = {"operation": holder} if isinstance(holder, list) else holder
    for operation in _many(holder, "operation"):
        if operation.get("id", operation.get("operation")) == name:
            return _moment(operation.get("started")), _moment(operation.get("completed"))
    return None, None


def _moment(value: Any) -> datetime | None:
    """A time in ms since 1970, as a number or a text."""
    milliseconds = _milliseconds(value)
    try:
        return None if not milliseconds else _EPOCH + milliseconds * _MILLISECOND
    except OverflowError:
        return None
