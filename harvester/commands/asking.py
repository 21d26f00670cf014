"""Asking a daemon of this installation where it listens."""

import http.client
from typing import NamedTuple

from harvester.endpoints import reachable
from harvester.errors import HarvesterError
from harvester.settings import CoreSettings

_LARGEST = 64 * 2**20


class NobodyError(HarvesterError):
    """No daemon answered (exit 1); the text says why."""


class NotForUsError(HarvesterError):
    """Somebody is there and does not tell us (exit 1); the text says why, and what to do."""


class Said(NamedTuple):
    """What it answered."""

    status: int
    body: bytes


def ask(core: CoreSettings, path: str, *, timeout: float) -> Said:
    """The answer of whoever listens at HARVESTER_LISTEN. NobodyError: there is none within `timeout` seconds. NotForUsError."""
    listen, token = core.listen, core.listen_token.get_secret_value()
    host, port = reachable(listen)
    if not port:
        raise NobodyError(f"HARVESTER_LISTEN={listen}: with port 0 only the daemon's log tells where it listens; set a port")
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}".encode()} if token else {})
        answer = connection.getresponse()
        said = Said(answer.status, answer.read(_LARGEST))
    except (OSError, http.client.HTTPException) as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or error
        raise NobodyError(f"nobody answers at {host}:{port} ({why})") from error
    finally:
        connection.close()
    if said.status == 401:
        raise NotForUsError(f"who listens at {host}:{port} wants another token: set HARVESTER_LISTEN_TOKEN as the daemon has it")
    if said.status == 429:
        raise NotForUsError(f"{host}:{port} was asked too often from here: again in {answer.getheader('Retry-After')} s")
    return said
