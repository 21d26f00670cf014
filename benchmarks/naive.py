"""The same work as people write it first: what the product is compared with. Nothing in it is slow on purpose."""

import json
import sqlite3
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from elasticsearch import AsyncElasticsearch
from elasticsearch.helpers import async_bulk
from pydantic import BaseModel, Field

from benchmarks.peers.agents import agent
from consumers.protocols import Cache

PAGE = 100
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "opencast")
_UNKNOWN = (None, "", "-omitted-")


def open_queue(path: str) -> sqlite3.Connection:
    """A queue in one SQLite file."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE messages (position INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, body TEXT NOT NULL)"
    )
    return connection


async def harvest(client: httpx.AsyncClient, connection: sqlite3.Connection, start: datetime, end: datetime) -> int:
    """All actions from start to end, hour by hour and page by page; how many there were."""
    found = 0
    while start < end:
        upto = start + timedelta(hours=1)
        offset, total = 0, 1
        while offset < total:
            query: dict[str, str | int] = {"start": f"{start:%Y%m%d%H%M%S}", "end": f"{upto:%Y%m%d%H%M%S}"}
            response = await client.get("/usertracking/actions.json", params=query | {"limit": PAGE, "offset": offset})
            response.raise_for_status()
            page = response.json()["actions"]
            rows = page.get("action", [])
            connection.execute("BEGIN")
            for row in rows:
                event = event_of(row)
                key = f"{event['source']}/{event['subject']}"
                connection.execute("INSERT INTO messages (key, body) VALUES (?, ?)", (key, json.dumps(event)))
            connection.execute("COMMIT")
            offset, total = offset + len(rows), int(page["total"])
            found += len(rows)
        start = upto
    return found


def event_of(row: dict[str, Any]) -> dict[str, Any]:
    """The envelope of one action."""
    created = datetime.fromisoformat(row["created"]).astimezone(UTC)
    return {
        "id": str(uuid.uuid5(_NAMESPACE, json.dumps(row, sort_keys=True))),  # of the whole record, as the product's
        "source": "opencast",
        "type": "opencast.useraction",
        "subject": str(row["id"]),
        "version": row["outpoint"],
        "time": created.isoformat(),
        "read_at": datetime.now(UTC).isoformat(),
        "data": row,
    }


class Session(BaseModel):
    """Who acted."""

    session_id: str | None = Field(None, alias="sessionId", coerce_numbers_to_str=True)
    huid: str | None = Field(None, alias="userId", coerce_numbers_to_str=True)
    ip: str | None = Field(None, alias="userIp", coerce_numbers_to_str=True)
    useragent: str | None = Field(None, alias="userAgent", coerce_numbers_to_str=True)


class Action(BaseModel):
    """One row."""

    action_id: int = Field(alias="id")
    mpid: str = Field(alias="mediapackageId")
    session: Session = Field(alias="sessionId")
    inpoint: int
    outpoint: int
    length: int
    type: str
    is_playing: bool = Field(alias="isPlaying")


class Envelope(BaseModel):
    """What the queue holds."""

    id: str
    source: str
    type: str
    time: datetime
    data: Action


def document(envelope: Envelope, episode: Mapping[str, Any]) -> dict[str, Any]:
    """What is indexed: the same document as the product's."""
    action = envelope.data.model_dump()
    document = {name: None if value in _UNKNOWN else value for name, value in action.pop("session").items()}
    document["ip"], *proxies = [part.strip() for part in (document["ip"] or "").split(",")]
    document |= {f"proxy{number}": address for number, address in enumerate(proxies, 1)}
    document |= {name: action.pop(name) for name in ("action_id", "mpid")}
    time = envelope.time.isoformat()
    event = {"id": envelope.id, "dataset": envelope.type, "module": envelope.source, "ingested": datetime.now(UTC).isoformat()}
    event["enrichment"] = "complete" if episode else "not_found"
    return {
        **document,
        "ua": agent(document["useragent"]),
        "timestamp": time,
        "action": action,
        "is_live": False,
        "episode": _with_term(episode),
        "@timestamp": time,
        "event": event,
    }


def _with_term(episode: Mapping[str, Any]) -> dict[str, Any]:
    """The episode with what its series' number tells."""
    series = episode.get("series", "")
    if len(series) < 11:
        return dict(episode)
    return {**episode, "year": series[:4], "term": series[4:6], "cdn": series[6:11], "crn": series[6:11]}


async def consume(connection: sqlite3.Connection, client: AsyncElasticsearch, cache: Cache) -> int:
    """Everything in the queue, enriched from `cache` and indexed in batches of 500, then deleted; how many documents."""
    indexed = 0
    while held := connection.execute("SELECT position, body FROM messages ORDER BY position LIMIT 500").fetchall():
        actions = [await action_of(Envelope.model_validate(json.loads(body)), cache) for _, body in held]
        succeeded, _ = await async_bulk(client, actions)
        connection.execute("DELETE FROM messages WHERE position <= ?", (held[-1][0],))
        indexed += succeeded
    return indexed


async def action_of(envelope: Envelope, cache: Cache) -> dict[str, Any]:
    """An event as `async_bulk` wants it."""
    (found,) = await cache.get_many([envelope.data.mpid])
    return {
        "_op_type": "index",
        "_index": f"useractions-{envelope.time:%Y.%m.%d}",
        "_id": str(envelope.data.action_id),
        "_source": document(envelope, json.loads(found or b"{}")),
    }
