"""What the workflow service says of a lecture: its newest publication, an older one, and one that failed (opencast.md §3.3)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from harvester.sandbox.clock import milliseconds
from harvester.sandbox.dice import dice
from harvester.sandbox.episodes import Lecture

Instance = Mapping[str, object]
PUBLICATION = "DCE-archive-publish-external"
"""The definition that publishes a recording."""


def instances(seed: str, lecture: Lecture) -> Sequence[Instance]:
    """In no order. A live stream that is not recorded yet has none, and one lecture in twenty never had any."""
    rng = dice(seed, "workflows", lecture.mpid)
    if lecture.live or rng.random() < 0.05:
        return []
    first = rng.randrange(10_000, 90_000)
    ended = lecture.start + lecture.duration
    made = [
        _instance(first + 7, "SUCCEEDED", PUBLICATION, lecture, ended + timedelta(hours=4)),
        _instance(first, "SUCCEEDED", PUBLICATION, lecture, ended + timedelta(hours=2)),
        _instance(first + 9, "FAILED", PUBLICATION, lecture, ended + timedelta(hours=5)),
        _instance(first + 11, "SUCCEEDED", "retract", lecture, ended + timedelta(hours=6)),
    ]
    rng.shuffle(made)
    return made


def _instance(number: int, state: str, template: str, lecture: Lecture, ended: datetime) -> Instance:
    operations = [
        _operation("schedule", lecture.start - timedelta(days=7), lecture.start),
        _operation("capture", lecture.start, lecture.start + lecture.duration),
        _operation("retract-element", ended - timedelta(minutes=5), ended),
    ]
    return {
        "id": number,
        "state": state,
        "template": template,
        "title": "Publish",
        "mediapackage": {"id": lecture.mpid},
        "operations": {"operation": operations},
    }


def _operation(name: str, started: datetime, completed: datetime) -> Mapping[str, object]:
    return {"id": name, "state": "SUCCEEDED", "started": milliseconds(started), "completed": milliseconds(completed)}


def answer(found: Sequence[Instance]) -> Mapping[str, object]:
    """As XML made JSON gives it: nothing for none, an object for one, a list for many."""
    count = {"totalCount": str(len(found))}
    if not found:
        return {"workflows": count}
    return {"workflows": {**count, "workflow": found[0] if len(found) == 1 else list(found)}}
