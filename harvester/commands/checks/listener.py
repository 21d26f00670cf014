"""The address where the daemon answers: free, or taken by the daemon itself."""

import asyncio
import errno
import socket

from harvester.commands.asking import NobodyError, NotForUsError, ask
from harvester.commands.checks import Check, Finding, Tell
from harvester.endpoints import address
from harvester.settings import CoreSettings

_OURS = b"harvester_build_info"


def listener_check(core: CoreSettings, seconds: float) -> Check:
    """The check of HARVESTER_LISTEN."""

    async def look(tell: Tell) -> None:
        if not core.listen:
            tell(Finding("listener", "ok", "off: HARVESTER_LISTEN is not set, so there are no metrics"))
            return
        tell(await _looked(core, seconds))

    return Check("listener", look)


async def _looked(core: CoreSettings, seconds: float) -> Finding:
    host, port = address(core.listen)
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return await asyncio.to_thread(_taken, core, f"{host}:{port}", seconds)
        why = (error.strerror or str(error)).lower()
        return Finding(
            "listener", "fail", f"{host}:{port} cannot be had: {why}", "set HARVESTER_LISTEN to an address of this host"
        )
    return Finding("listener", "ok", f"{host}:{port} is free; no daemon listens there now")


def _taken(core: CoreSettings, place: str, seconds: float) -> Finding:
    """Ours when it shows our metrics; its own judgement of itself counts too."""
    who = f"`ss -ltnp sport = :{place.rpartition(':')[2]}` names it"
    other = f"{who}; stop it, or set HARVESTER_LISTEN to another port"
    try:
        if _OURS not in ask(core, "/metrics", timeout=seconds).body:
            return Finding("listener", "fail", f"another program listens on {place}", other)
        alive = ask(core, "/livez", timeout=seconds).status == 200
    except NotForUsError as error:
        return Finding("listener", "fail", str(error), f"or another program listens there: {who}")
    except NobodyError:
        return Finding(
            "listener", "fail", f"what listens on {place} does not answer: a daemon that is stopped, or no daemon", other
        )
    if not alive:
        return Finding(
            "listener", "fail", f"the event loop of the daemon on {place} stands still", "its log says where; restart it"
        )
    return Finding("listener", "ok", f"the daemon answers on {place}; harvest status tells how it is")
