"""Remote logs: what is logged also goes to a collector that takes JSON lines over HTTP, Loggly unless told otherwise.

A thread of its own sends what a bounded buffer holds. Nobody waits for it and nothing it meets disturbs the harvest: while the
collector is away the oldest lines make room for the newest, are counted, and the count is logged.
"""

import http.client
import logging
import ssl
import threading
from collections import deque
from collections.abc import Callable
from typing import Annotated, NamedTuple
from urllib.parse import quote, urlsplit

import structlog
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from harvester.origin import is_loopback
from harvester.settings import Url, Words

LOGGLY = "https://logs-01.loggly.com/bulk/{token}/tag/{tags}/"
_TAG = "event-harvester"
_ROOM = 10_000
_ROOM_BYTES = 8 << 20
_BATCH = 500
_BATCH_BYTES = 1 << 20
"""Loggly takes 5 MB a request and 1 MB a line; a longer line is left out and counted."""
_GATHER = 1.0
"""Seconds that a line waits for others, so that a busy moment is one request."""
_LEAVE = 2.0
"""Seconds that the end of a process waits for what is not sent yet."""
_TIMEOUT = 10.0
_LONGEST_PAUSE = 60.0

_log = structlog.get_logger(__name__)


class LogsSettings(BaseModel):
    """Where log lines go besides stderr."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    token: Annotated[
        SecretStr,
        Field(
            validation_alias=AliasChoices("HARVESTER_LOGS_TOKEN", "LOGGLY_TOKEN"),
            description="Loggly's customer token: when it is set, log lines also go there",
        ),
    ] = SecretStr("")
    tags: Annotated[
        Words,
        Field(
            validation_alias=AliasChoices("HARVESTER_LOGS_TAGS", "LOGGLY_TAGS"),
            description="tags of those lines beside event-harvester, a comma list",
        ),
    ] = ()
    url: Annotated[
        Url,
        Field(
            validation_alias="HARVESTER_LOGS_URL",
            description="collector of JSON lines over HTTP; {token}, {tags}: put in; a token not put in is sent as bearer",
        ),
    ] = LOGGLY
    folder: Annotated[
        str,
        Field(
            validation_alias="HARVESTER_LOGS_FOLDER",
            description="folder of a file that log lines are added to as well: github_collector.log of `harvest github`, "
            "harvester.log of all other commands; unset: no file",
        ),
    ] = ""

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            known = parts.scheme in ("http", "https") and parts.hostname and parts.username is None and parts.port != 0
        except ValueError:
            known = False
        if not known:
            raise ValueError("it is no address of a collector, or has a login in it")  # without the value: it may hold a secret
        return url

    @model_validator(mode="after")
    def _token_not_in_the_clear(self) -> "LogsSettings":
        parts = urlsplit(self.url)
        if parts.scheme == "http" and self.token.get_secret_value() and not is_loopback(parts.hostname or ""):
            raise ValueError("HARVESTER_LOGS_URL is http:// and would send the token in the clear: write https://")
        return self

    @property
    def target(self) -> "Target | None":
        """Where lines are sent; None: nowhere."""
        token = self.token.get_secret_value()
        if not token and "{token}" in self.url:
            return None
        tags = ",".join(quote(tag, safe="") for tag in (_TAG, *self.tags))
        parts = urlsplit(self.url.replace("{token}", quote(token, safe="")).replace("{tags}", tags))
        bearer = token if "{token}" not in self.url else ""
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Target(parts.scheme == "https", parts.hostname or "", parts.port, path, bearer)


def collector(settings: LogsSettings) -> "RemoteHandler | None":
    """What sends to the collector that is set; None when none is."""
    target = settings.target
    return RemoteHandler(target.send, host=target.host) if target else None


class Target(NamedTuple):
    """A collector. Its path may hold the token: it is never told to anybody."""

    tls: bool
    host: str
    port: int | None
    path: str
    bearer: str = ""

    def send(self, body: bytes, timeout: float) -> str:
        """Post `body`; why it was not taken, "" when it was. Follows no redirect: the token stays with this origin."""
        try:
            connection = (
                http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=ssl.create_default_context())
                if self.tls
                else http.client.HTTPConnection(self.host, self.port, timeout=timeout)
            )
            try:
                login = {"Authorization": f"Bearer {self.bearer}"} if self.bearer else {}
                connection.request("POST", self.path, body, {"Content-Type": "application/json", **login})
                status = connection.getresponse().status
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            return str(error) or type(error).__name__
        return "" if 200 <= status < 300 else f"HTTP {status}"


class RemoteHandler(logging.Handler):
    """Keeps lines until its thread has sent them. Logging itself closes it at the end of the process."""

    def __init__(
        self, send: Callable[[bytes, float], str], *, host: str = "", room: int = _ROOM, room_bytes: int = _ROOM_BYTES
    ) -> None:
        super().__init__()
        self._send = send
        self._host = host
        self._room = room
        self._room_bytes = room_bytes
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._sending: list[bytes] = []
        self._dropped = 0
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False

    def handle(self, record: logging.LogRecord) -> bool:
        """As it is inherited, but without the lock, which `logging.shutdown` holds while the thread has something to tell."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode()
        except Exception:  # noqa: BLE001 - what cannot be rendered is told on stderr, and must not end what it tells of
            line = b""
        with self._change:
            if self._closing:
                return
            if not line or len(line) > _BATCH_BYTES:
                self._dropped += 1
                return
            self._lines.append(line)
            self._bytes += len(line)
            self._make_room()
            self._change.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="remote-logs", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Send what is left, for two seconds at most; what is lost then is told on stderr."""
        with self._change:
            thread, self._closing = None if self._closing else self._thread, True
            self._change.notify_all()
        if thread is not None:
            thread.join(_LEAVE)
            with self._change:
                lost = self._dropped + len(self._sending) + len(self._lines)
            if lost:
                _log.warning("log lines were not sent to the collector", collector=self._host, lines=lost)
        super().close()

    def _make_room(self) -> None:
        while len(self._lines) > self._room or self._bytes > self._room_bytes:
            self._bytes -= len(self._lines.popleft())
            self._dropped += 1

    def _work(self) -> None:
        pause, told = 1.0, False
        while self._take():
            last = self._closing
            why = self._send(b"\n".join(self._sending), _LEAVE if last else _TIMEOUT)
            if why:
                self._put_back()
                if not told:
                    _log.warning("log lines cannot be sent to the collector: kept and tried again", collector=self._host, why=why)
                told = True
                if last:
                    return
                self._wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            self._sending = []
            if told or self._dropped:
                lines, self._dropped = self._dropped, 0
                _log.warning("log lines are sent to the collector again", collector=self._host, dropped=lines)
            pause, told = 1.0, False

    def _take(self) -> bool:
        """Wait for lines and take some of them; False when there are none and will be none."""
        with self._change:
            self._change.wait_for(lambda: self._lines or self._closing)
            self._change.wait_for(lambda: len(self._lines) >= _BATCH or self._closing, _GATHER)
            size = 0
            while self._lines and len(self._sending) < _BATCH and size + len(self._lines[0]) <= _BATCH_BYTES:
                self._sending.append(self._lines.popleft())
                size += len(self._sending[-1])
            self._bytes -= size
            return bool(self._sending)

    def _put_back(self) -> None:
        with self._change:
            self._lines.extendleft(reversed(self._sending))
            self._bytes += sum(map(len, self._sending))
            self._sending = []
            self._make_room()

    def _wait(self, seconds: float) -> None:
        with self._change:
            self._change.wait_for(lambda: self._closing, seconds)
