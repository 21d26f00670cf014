"""Lectures, and what the search endpoints say of them: the recorded episodes, and made-up ones cut from the same cloth."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple
from uuid import UUID

from harvester.sandbox.dice import dice
from harvester.sandbox.jettison import one_or_many, retyped

Hit = Mapping[str, Any]
Template = Literal["dce-live", "dce-segments", "pre16"]


class Lecture(NamedTuple):
    """A recording that actions are in. All text as it was entered, before anything is retyped."""

    mpid: str
    title: str
    course: str
    """seriestitle"""
    series: str
    """"" for a recording in no series"""
    kind: str
    """dcType"""
    description: str
    start: datetime
    duration: timedelta
    live: bool
    exists: bool
    """False: it was deleted since, search does not know it"""
    recorded: Template | None
    """The recording this is, None for a made-up one"""
    modified: datetime | None = None
    """When it was changed last, None: never since it was published"""


_COURSES = (
    ("The Economics of Business", "20260133383"),
    ("Fundamentals of Website Development", "20260121144"),
    ("Introduction to Computer Science", "20260114420"),
    ("Linear Algebra", "20260122013"),
    ("Organic Chemistry", "20260213305"),
    ("Shakespeare: The Later Plays", "20260211212"),
    ("Data Structures & Algorithms", "20260222790"),
    ("Einführung in die Philosophie", "20260233101"),
    ("Principles of Finance", "20260323014"),
    ("2001", "20260319999"),  # a course that is named like a number
    ("Café und Kultur — 文化", "00260355555"),  # a series that stays text: it begins with zeros
    ("Open Seminar", "ENG-101"),
    ("", ""),  # recordings in no series
)
_EACH = 10
_TITLES = {4: "3.5", 7: "true", 9: "2001"}  # titles that Jettison takes for something else


def lectures(seed: str) -> Sequence[Lecture]:
    """The catalogue: about 130 lectures, the most watched first."""
    made = [_lecture(seed, number) for number in range(len(_COURSES) * _EACH)]
    dice(seed, "catalogue").shuffle(made)
    return [*(_recorded_lecture(name) for name in ("dce-segments", "dce-live", "pre16")), *made]


def _lecture(seed: str, number: int) -> Lecture:
    rng = dice(seed, "lecture", number)
    course, series = _COURSES[number // _EACH]
    nth = number % _EACH + 1
    mpid = str(UUID(int=rng.getrandbits(128), version=4))
    return Lecture(
        mpid=str(rng.randrange(10**8, 10**9)) if number == 3 else mpid,
        title=_TITLES.get(number, f"Lecture {nth}") if course else f"Talk {nth}: {rng.choice(['Energy', 'Cities', 'Music'])}",
        course=course,
        series=series,
        kind=f"{'L' if number % 3 else 'S'}{nth:02}",
        description="" if number % 4 == 0 else f"Week {nth}",
        start=datetime(2026, 1, 26, 15, tzinfo=UTC) + timedelta(weeks=nth - 1, hours=number // _EACH * 5),
        duration=timedelta(milliseconds=rng.randrange(2_700_000, 7_200_000)),
        live=number % 13 == 5,
        exists=number % 17 != 11,
        recorded=None,
    )


def _recorded_lecture(name: Template) -> Lecture:
    hit = _recorded(f"episode-{name}")["search-results"]["result"]
    package = hit["mediapackage"]
    return Lecture(
        mpid=str(hit["id"]),
        title=str(package["title"]),
        course=str(package.get("seriestitle", "")),
        series=str(package.get("series", "")),
        kind=str(hit.get("dcType", "")),
        description=str(hit.get("dcDescription", "")),
        start=datetime.fromisoformat(package["start"]),
        duration=timedelta(milliseconds=int(package["duration"])),
        live=name == "dce-live",
        exists=True,
        recorded=name,
    )


@cache
def _recorded(name: str) -> dict[str, Any]:
    text = files(__package__).joinpath(f"recorded-{name}.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def first_modified(lecture: Lecture) -> datetime:
    """When it was published."""
    if lecture.recorded:
        return datetime.fromisoformat(_recorded(f"episode-{lecture.recorded}")["search-results"]["result"]["modified"])
    return lecture.start + timedelta(hours=20)


def _changed(hit: dict[str, Any], lecture: Lecture) -> Hit:
    """A recorded hit as it is now."""
    if lecture.modified is None:
        return hit
    package = hit["mediapackage"] | {"title": lecture.title} | ({"seriestitle": lecture.course} if lecture.course else {})
    return hit | {"mediapackage": package, "modified": _written(lecture.modified)}


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


def pre16_hit(lecture: Lecture) -> Hit:
    """A hit as Opencast ≤ 15 gives it: flat Dublin Core beside the media package."""
    if lecture.recorded:
        return _changed(dict(_recorded(f"episode-{lecture.recorded}")["search-results"]["result"]), lecture)
    start = lecture.start.isoformat().replace("+00:00", "Z")
    model = _recorded("episode-dce-live" if lecture.live else "episode-dce-segments")["search-results"]["result"]
    package = {
        "start": start,
        "id": retyped(lecture.mpid),
        "duration": str(lecture.duration // timedelta(milliseconds=1)),
        "title": retyped(lecture.title),
        "creators": model["mediapackage"]["creators"],
        "contributors": model["mediapackage"]["contributors"],
        "media": model["mediapackage"]["media"],
        "metadata": model["mediapackage"]["metadata"],
        "attachments": _attachments(lecture, model["mediapackage"]["attachments"]),
        "publications": "",
    }
    hit = {
        "org": "mh_default_org",
        "id": retyped(lecture.mpid),
        "mediapackage": package,
        "dcExtent": -1 if lecture.live else lecture.duration // timedelta(milliseconds=1),
        "dcTitle": retyped(lecture.title),
        "dcCreator": model["dcCreator"],
        "dcCreated": start,
        "dcType": lecture.kind,
        "ocMediapackage": "",
        "mediaType": "AudioVisual",
        "keywords": "",
        "modified": _written(lecture.modified or first_modified(lecture)),
        "score": 7.45499,
    }
    if lecture.series:
        package |= {"series": retyped(lecture.series), "seriestitle": retyped(lecture.course)}
        hit["dcIsPartOf"] = retyped(lecture.series)
    if lecture.description:
        hit["dcDescription"] = lecture.description
    return hit


def _attachments(lecture: Lecture, model: Any) -> object:
    """`""` for none, an object for one, a list for many."""
    if lecture.live:
        return ""
    attachments = model["attachment"]
    return {"attachment": attachments[0] if lecture.kind.endswith("3") else attachments[:3]}


def v16_hit(lecture: Lecture) -> Hit:
    """A hit as Opencast ≥ 16 gives it: Dublin Core as lists of text under `dc`."""
    if lecture.recorded == "pre16":
        hit = dict(_recorded("episode-v16")["result"][0])
        return _changed(hit | {"modified": _written(first_modified(lecture))}, lecture)
    old = pre16_hit(lecture)
    dublin_core = {"identifier": [lecture.mpid], "title": [lecture.title], "created": [str(old["dcCreated"])]}
    for name, value in (("isPartOf", lecture.series), ("type", lecture.kind), ("description", lecture.description)):
        if value:
            dublin_core[name] = [value]
    return {
        "mediapackage": old["mediapackage"],
        "dc": dublin_core,
        "acl": [{"action": "read", "role": "ROLE_ANONYMOUS", "allow": True}],
        "org": "mh_default_org",
        "type": "Episode",
        "modified": old["modified"],
    }


def pre16_answer(hits: Sequence[object], *, total: int, offset: int, limit: int, query: str) -> object:
    """The envelope of Opencast ≤ 15, its numbers as text."""
    head = {"searchTime": "1", "total": str(total), "limit": str(limit), "offset": str(offset), "query": query}
    return {"search-results": head | one_or_many(list(hits))}


def v16_answer(hits: Sequence[object], *, total: int, offset: int, limit: int) -> object:
    return {"offset": offset, "limit": limit, "total": total, "result": list(hits)}


def series_hits(catalogue: Sequence[Lecture]) -> Sequence[Hit]:
    """Every series as a search hit, which has no media package; the recorded one first."""
    known = {lecture.series: lecture.course for lecture in catalogue if lecture.series}
    recorded = dict(_recorded("series-dce")["search-results"]["result"])
    same = {key: recorded[key] for key in ("org", "dcExtent", "dcCreator", "dcPublisher", "dcLanguage", "mediaType", "keywords")}
    made = [same | {"id": retyped(series), "dcTitle": retyped(course)} for series, course in known.items()]
    return [recorded, *made]
