"""The address where the daemon answers: free, or taken by the daemon itself."""

import errno
import socket

import aiohttp

from harvester.commands.checks import Check, Finding, Tell
from harvester.settings import CoreSettings

_OURS = b"harvester_build_info"
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - only compared with


def listener_check(core: CoreSettings, seconds: float) -> Check:
    """The check of HARVESTER_LISTEN."""

    async def look(tell: Tell) -> None:
        if not core.listen:
            tell(Finding("listener", "ok", "off: HARVESTER_LISTEN is not set, so there are no metrics"))
            return
        host, _, port = core.listen.rpartition(":")
        tell(await _looked(host.strip("[]") or "127.0.0.1", int(port), seconds))

    return Check("listener", look)


async def _looked(host: str, port: int, seconds: float) -> Finding:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            return await _taken(host, port, seconds)
        why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "no such port"
        return Finding(
            "listener", "fail", f"{host}:{port} cannot be had: {why}", "set HARVESTER_LISTEN to an address of this host"
        )
    return Finding("listener", "ok", f"{host}:{port} is free; no daemon listens there now")


async def _taken(host: str, port: int, seconds: float) -> Finding:
    try:
        url = f"http://{_url_host(_ANYWHERE.get(host, host))}:{port}/metrics"
        patience = aiohttp.ClientTimeout(total=seconds)
        async with aiohttp.ClientSession(timeout=patience) as session, session.get(url) as answer:
            ours = _OURS in await answer.content.read(4 << 20)
    except (aiohttp.ClientError, OSError, TimeoutError):
        ours = False
    if ours:
        return Finding("listener", "ok", f"the daemon answers on {host}:{port}")
    fix = f"`ss -ltnp sport = :{port}` names it; stop it, or set HARVESTER_LISTEN to another port"
    return Finding("listener", "fail", f"another program listens on {host}:{port}", fix)


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
