"""Asking a daemon of this installation where it listens."""

import http.client
from typing import NamedTuple

from harvester.endpoints import reachable
from harvester.errors import HarvesterError

_LARGEST = 64 * 2**20


class NobodyError(HarvesterError):
    """No daemon answered (exit 1); the text says why."""


class Said(NamedTuple):
    """What it answered."""

    status: int
    body: bytes


def ask(listen: str, path: str, *, timeout: float) -> Said:
    """The answer of whoever listens at HARVESTER_LISTEN. NobodyError: there is none within `timeout` seconds."""
    host, port = reachable(listen)
    if not port:
        raise NobodyError(f"HARVESTER_LISTEN={listen}: with port 0 only the daemon's log tells where it listens; set a port")
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return Said(answer.status, answer.read(_LARGEST))
    except (OSError, http.client.HTTPException) as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or error
        raise NobodyError(f"nobody answers at {host}:{port} ({why})") from error
    finally:
        connection.close()
