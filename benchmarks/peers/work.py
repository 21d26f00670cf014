"""What every peer does with an event, and how it tells what that cost. A test holds the documents equal to the product's."""

import json
import resource
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from benchmarks.actions import RECORDINGS, episode, mpid
from benchmarks.peers.agents import agent

_UNKNOWN = (None, "", "-omitted-")


class Given(NamedTuple):
    """The command line of a peer: brokers, topic, consumer group, Elasticsearch, and after how many events to stop.

    `search`: where episodes are looked up behind a cold cache; without it all are known.
    """

    brokers: str
    topic: str
    group: str
    url: str
    amount: int
    search: str = ""


def given() -> Given:
    """As `benchmarks.kafka` gives it."""
    brokers, topic, group, url, amount, *search = sys.argv[1:]
    return Given(brokers, topic, group, url, int(amount), *search)


class Meter:
    """CPU of this process on all its threads, from here to `tell`: user and system."""

    def __init__(self) -> None:
        self.events = 0
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def tell(self) -> None:
        """One line of JSON on stdout."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        print(json.dumps({"events": self.events, "cpu": cpu, "wall": wall, "peak": peak}), flush=True)


def warm() -> dict[str, dict[str, Any]]:
    """Every recording's episode, with what its series' number tells."""
    return {mpid(number): _with_term(episode(number)) for number in range(RECORDINGS)}


def index_of(time_: str) -> str:
    """The index of the event's own day."""
    return f"useractions-{time_[:4]}.{time_[5:7]}.{time_[8:10]}"


def document(envelope: Mapping[str, Any], episodes: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """What is indexed, from an envelope that was parsed whole: as a careful person writes it with plain dictionaries."""
    data, time_ = envelope["data"], envelope["time"].replace("Z", "+00:00")
    session = data["sessionId"]
    first, *rest = [part.strip() for part in (session["userIp"] or "").split(",")]
    found = episodes.get(data["mediapackageId"])
    made = {
        "action_id": int(data["id"]),
        "timestamp": time_,
        "mpid": data["mediapackageId"],
        "session_id": _known(session["sessionId"]),
        "huid": _known(session["userId"]),
        "useragent": _known(session["userAgent"]),
        "ua": agent(_known(session["userAgent"])),
        "action": {
            "type": data["type"],
            "inpoint": data["inpoint"],
            "outpoint": data["outpoint"],
            "length": data["length"],
            "is_playing": data["isPlaying"] in (True, 1, 2),
        },
        "ip": _known(first),
        "is_live": data["isPlaying"] == 2 and data["isPlaying"] is not True,
        "episode": found or {},
        "@timestamp": envelope["time"],
        "event": {
            "id": envelope["id"],
            "dataset": envelope["type"],
            "module": envelope["source"],
            "ingested": datetime.now(UTC).isoformat(),
            "enrichment": "complete" if found else "not_found",
        },
    }
    for number, address in enumerate(rest, 1):
        made[f"proxy{number}"] = address
    return made


def _known(value: Any) -> str | None:
    return None if value in _UNKNOWN else str(value)


def _with_term(found: dict[str, Any]) -> dict[str, Any]:
    series = found["series"]
    return {**found, "year": series[:4], "term": series[4:6], "cdn": series[6:11], "crn": series[6:11]}
