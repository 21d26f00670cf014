"""S44: what a vendor sends is shown on a terminal and never obeyed by it."""

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import AbstractContextManager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.answering import answering
from tests.opencast_table import ACTIONS, HOUR, NOW, Row, Table, record
from tests.site import ROOT, Site, stamp

EVIL = "\x1b]0;c4nary\x07 \x1b[2Jc4nary \x9b31mc4nary \x9d0;c4nary\x9c \x7f\b\rc4nary \u202ec4nary\nc4nary"
OBEYED = {
    "a title": rb"\x1b\]|\xc2\x9d",
    "a bell": rb"\x07",
    "a screen that is cleared": rb"\x1b\[2J|\xc2\x9b",
    "characters that are deleted": rb"\x7f|\x08",
    "a line that is begun anew": rb"\r(?!\n)",
}
"""What a terminal would do, and the bytes that make it. Our own colours are `ESC [ … m`."""
EVIL_ROW = {
    "type": EVIL,
    "mediapackageId": EVIL,
    "sessionId": {"sessionId": EVIL, "userIp": EVIL, "userAgent": EVIL, "userId": EVIL},
}
COMMANDS = (
    ("useractions", "-s", stamp(HOUR.start), "-e", stamp(HOUR.end), "-o", "-"),
    ("useractions", "-s", stamp(HOUR.start), "-e", stamp(HOUR.end)),
    ("once", "opencast", "--dry-run", "--since", stamp(HOUR.start), "--until", stamp(HOUR.end)),
    ("queue", "peek"),
    ("consume", "duckdb", "--until-empty"),
    ("consume", "-", "--until-empty"),
    ("dead-letters", "list"),
    ("dead-letters", "list", "--json"),
    ("trace", "1"),
    ("trace", "1", "--json"),
    ("status",),
    ("status", "--json"),
    ("doctor", "--timeout", "2"),
    ("audit",),
)


def table() -> Table:
    at = HOUR.start + timedelta(minutes=5)
    broken = json.dumps({"id": 2, "mediapackageId": EVIL, "created": EVIL, "type": EVIL, "other": EVIL}, ensure_ascii=False)
    rows = [
        Row(1, at, body=record(1, at.isoformat(), **EVIL_ROW)),
        Row(2, at, body=broken.encode()),
        Row(3, at, body=json.dumps(json.loads(record(3, at.isoformat(), **EVIL_ROW)), ensure_ascii=False).encode()),
    ]
    return Table(rows)


class Vendor(BaseHTTPRequestHandler):
    """An Opencast whose every text would like to be obeyed: in rows, and in what it says of refusals."""

    refuses = False
    held = table()

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        if place.path == ACTIONS and not self.refuses:
            self._send("200 OK", self.held.answer(query))
        else:
            self._send(f"403 {EVIL}".replace("\r", "").replace("\n", ""), json.dumps({"error": EVIL}).encode())

    def _send(self, line: str, body: bytes) -> None:
        head = f"HTTP/1.1 {line}\r\nDate: {NOW:%a, %d %b %Y %H:%M:%S GMT}\r\nContent-Type: application/json\r\n"
        self.wfile.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Silent."""


def vendor(*, refuses: bool = False) -> AbstractContextManager[str]:
    """Its address, while the block runs."""
    return answering(type("Evil", (Vendor,), {"refuses": refuses, "held": table()}))


def on_a_terminal(site: Site, *args: str) -> bytes:
    """All that the command writes, to a terminal."""
    ours, theirs = pty.openpty()
    environment = {**site.environment(), "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "200"}
    with subprocess.Popen(
        [sys.executable, "-m", "harvester", *args], cwd=site.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        written = b"".join(iter(lambda: _read(ours), b""))
        assert process.wait(60) in (0, 1, 3, 5), written
    os.close(ours)
    assert b"Traceback" not in written, written
    return written


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # EIO: who wrote has ended
        return b""


def obeyed(written: bytes) -> set[str]:
    return {what for what, sign in OBEYED.items() if re.search(sign, written)}


@pytest.mark.slow
@pytest.mark.parametrize("refuses", [False, True])
def test_s44_no_command_passes_a_control_character_of_a_vendor_to_a_terminal(refuses: bool, tmp_path: Path) -> None:
    shown, wrong = b"", {}
    with vendor(refuses=refuses) as url:
        more = {"HARVESTER_OPENCAST_LOGIN": "basic", "HARVESTER_OPENCAST_MODE": "window", "HARVESTER_SINKS": "duckdb"}
        site = Site(tmp_path, url, **more)
        for args in COMMANDS:
            written = on_a_terminal(site, *args)
            if found := obeyed(written):
                wrong[" ".join(args)] = (found, written)
            shown += written
        if not refuses:
            letter = re.search(rb"^([0-9a-f]{32})  ", on_a_terminal(site, "dead-letters", "list"), re.MULTILINE)
            assert letter is not None
            for form in ((), ("--json",)):
                written = on_a_terminal(site, "dead-letters", "show", letter[1].decode(), *form)
                shown += written
                if found := obeyed(written):
                    wrong[f"dead-letters show {form}"] = (found, written)
    assert wrong == {}
    assert refuses or shown.count(b"c4nary") > 50, "the vendor's texts were shown, or nothing is proven"


def test_s44_a_character_that_is_obeyed_would_be_found() -> None:
    assert obeyed(EVIL.encode()) == set(OBEYED)
    assert obeyed(b"\x1b[1mours\x1b[0m\r\n") == set()
