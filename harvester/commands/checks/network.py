"""The way to a server: its name, its port, its certificate."""

import asyncio
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta

from harvester.commands.checks import Finding, Tell
from harvester.commands.words import amount_of
from harvester.origin import HttpSettings, is_loopback, obstacle, tls_context

_EXPIRES_SOON = timedelta(days=14)


async def reach(place: HttpSettings, title: str, tell: Tell, seconds: float) -> bool:
    """Tell how far one gets on the way to a server, each step within `seconds`; whether requests can be sent there."""
    target = place.proxy or place.url
    host, port = target.host or "", target.port or 0
    through = f"the proxy {host}" if place.proxy else host
    addresses = await _resolved(host, port, title, place.url_hint, tell, seconds)
    if not addresses:
        return False
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
        writer.transport.abort()
    except (OSError, TimeoutError) as error:
        tell(Finding(f"{title}: port", "fail", f"{through} port {port}: {obstacle(error, seconds)}", _open_the_way(place, port)))
        return False
    tell(Finding(f"{title}: port", "ok", f"{through} takes connections on port {port}"))
    if place.proxy:
        tell(Finding(f"{title}: TLS", "skip", "seen by the requests alone, which go through the proxy"))
        return True
    return await _certified(place, title, tell, seconds)


async def _resolved(host: str, port: int, title: str, hint: str, tell: Tell, seconds: float) -> list[str]:
    try:
        async with asyncio.timeout(seconds):
            found = await _looked_up(host, port)
    except TimeoutError:
        tell(Finding(f"{title}: name", "fail", f"{host}: no name server answers within {seconds:g} s", "check /etc/resolv.conf"))
        return []
    except (OSError, UnicodeError):
        tell(Finding(f"{title}: name", "fail", f"{host}: the name is not known here", hint))
        return []
    tell(Finding(f"{title}: name", "ok", f"{host} is {'an address' if found == [host] else ', '.join(found)}"))
    return found


async def _looked_up(host: str, port: int) -> list[str]:
    """On a thread of its own that nobody waits for in the end: a look-up cannot be cut short."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def look() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            _later(loop, answer, list(dict.fromkeys(str(address[0]) for *_, address in found)))
        except (OSError, UnicodeError) as error:
            _later(loop, answer, error)

    threading.Thread(target=look, daemon=True).start()
    return await answer


def _later(loop: asyncio.AbstractEventLoop, answer: "asyncio.Future[list[str]]", found: list[str] | Exception) -> None:
    def give() -> None:
        if not answer.done():
            answer.set_exception(found) if isinstance(found, Exception) else answer.set_result(found)

    if not loop.is_closed():
        loop.call_soon_threadsafe(give)


async def _certified(place: HttpSettings, title: str, tell: Tell, seconds: float) -> bool:
    """Whether TLS is as it should be, or not needed."""
    name, host = f"{title}: TLS", place.url.host or ""
    if place.url.scheme != "https":
        tell(_plain(place, name, host))
        return True
    context = await asyncio.to_thread(tls_context, place)
    assert isinstance(context, ssl.SSLContext)
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, place.url.port, ssl=context, server_hostname=host)
        certificate = writer.get_extra_info("peercert") or {}
        writer.transport.abort()
    except ssl.SSLCertVerificationError as error:
        ca = place.ca_file or "the system's"
        text = f"the certificate of {host} is not trusted: {error.verify_message} (certificate authorities: {ca})"
        tell(Finding(name, "fail", text, "name the file of the authority that signed it in the setting …_CA_FILE, or renew it"))
        return False
    except (OSError, TimeoutError) as error:
        tell(Finding(name, "fail", f"port {place.url.port} of {host}: {obstacle(error, seconds)}", place.url_hint))
        return False
    if place.insecure:
        tell(Finding(name, "warn", f"the certificate of {host} is not checked", "name its authority instead"))
        return True
    tell(expiry(name, host, str(certificate.get("notAfter", "")), datetime.now(UTC)))
    return True


def _plain(place: HttpSettings, name: str, host: str) -> Finding:
    if place.login is None or is_loopback(host):
        return Finding(name, "ok", f"none: {'this machine' if is_loopback(host) else 'no login is sent'}")
    return Finding(name, "warn", f"none: the login goes to {host} in the clear, as it is allowed to", "use https")


def expiry(name: str, host: str, not_after: str, now: datetime) -> Finding:
    """How long a certificate still holds. `not_after` is in the form that Python gives it."""
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(not_after), UTC)
    until = f"the certificate of {host} is trusted and holds until {end:%Y-%m-%d}"
    if end - now > _EXPIRES_SOON:
        return Finding(name, "ok", until)
    left = amount_of((end - now).days, "more day", "more days")
    return Finding(name, "warn", f"{until}: {left}", "have it renewed: after that nothing can be read or written there")


def _open_the_way(place: HttpSettings, port: int) -> str:
    return f"start the server, or open the way to port {port}; {place.url_hint}"
