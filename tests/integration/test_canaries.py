"""S05: every command, in a good way and in failing ones, with a canary for every secret: none is found in what is left behind."""

import base64
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import click
import pytest

from harvester.cli import cli
from harvester.options import Option, options_of
from harvester.settings import families
from tests.answering import answering
from tests.site import HOUR, NOON, ROOT, Site, World, stamp, world
from tests.unit.collector import Collector, collecting
from tests.unit.test_documents import leaves

CANARY = "c4nary-"
SPECIAL = "/+=&%41 '\"ü"
"""What a URL, a header, JSON and Python write in other ways: the canary itself stays to be found."""
USERINFO = f"{CANARY}userinfo"
LAST = ("set", "reset", "seek", "forget", "purge")
"""Commands that take away what the others look at."""
ENDLESS = {("run",), ("sandbox",), ("sandbox", "opencast"), ("sandbox", "github"), ("sandbox", "zoom"), ("demo",)} | {
    ("github", "scheduled")
}
"""They end by a signal."""
ARGUMENTS = {
    "source": "opencast",
    "name": "opencast/useractions",
    "group": "duckdb",
    "sinks": "duckdb",
    "id": "1",
    "letter_id": "1",
    "wanted": "1",
    "folder": "saved",
    "--collection-id": "20250101T120000Z",
    "--repo": "widgets",
    "--start": stamp(NOON - HOUR),
    "--to": "beginning",
}
"""What a command is given for what it needs. A new name here, and a new command is covered."""
LINES: Mapping[tuple[str, ...], tuple[tuple[str, ...], ...]] = {
    ("useractions",): (
        ("-s", stamp(NOON - HOUR), "-e", stamp(NOON)),
        ("-s", stamp(NOON - HOUR), "-e", stamp(NOON), "-o", "-"),
        ("-s", stamp(NOON - HOUR), "-e", stamp(NOON), "-p", f"{CANARY}line{SPECIAL}"),
    ),
    ("consume",): (("duckdb", "--until-empty"), ("-", "--until-empty")),
    ("once",): (("opencast", "--dry-run", "--limit", "3"), ("opencast",)),
    ("init",): (("--url", "https://x.example.org", "--user", "u", "--yes", "--folder", "new"),),
    ("dead-letters", "purge"): (("--group", "opencast", "--yes"),),
    ("dead-letters", "requeue"): (("--group", "opencast"),),
    ("setup",): ((), ("--json",)),
    ("setup", "load-index-templates"): ((), ("--print",)),
    ("setup", "dashboards"): ((), ("--print",)),
    **{("dev", word): (("--file", "none.yaml"),) for word in ("up", "down", "init")},  # nobody's containers are touched here
}


def secret_options() -> list[Option]:
    return [option for model in families() for option in options_of(model) if option.secret]


def canaries() -> dict[str, str]:
    """Variable → value, for every secret that there is."""
    found = {option.name: f"{CANARY}{number}{SPECIAL}" for number, option in enumerate(secret_options())}
    found["HARVESTER_GITHUB_TOKEN"] = found["HARVESTER_GITHUB_TOKEN"].encode("ascii", "ignore").decode()  # or it is never sent
    assert len(found) >= 4
    return found


def needles(values: Mapping[str, str]) -> list[bytes]:
    """Forms in which a canary could be written: as text, and in base64 wherever it begins there."""
    found = [CANARY.encode()]
    for value in {*values.values(), USERINFO}:
        core = value.encode()[: len(CANARY) + 2]
        for before in range(3):
            whole = base64.b64encode(b"x" * before + core)
            found.append(whole[4 if before else 0 : len(whole) // 4 * 4 - 4])
    return found


class Seen:
    """Everything that was written anywhere, searched for the needles."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._needles = needles(values)
        self.leaks: list[str] = []

    def look(self, where: str, body: bytes) -> None:
        for needle in self._needles:
            at = body.find(needle)
            if at >= 0:
                self.leaks.append(f"{where}: …{body[max(0, at - 60) : at + 60]!r}…")

    def look_at_files(self, folder: Path) -> None:
        for path in folder.rglob("*"):
            if path.is_file():
                self.look(str(path.relative_to(folder)), path.read_bytes())


def lines_of(path: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The arguments with which a command is run: as said above, else whatever it cannot do without."""
    if path in LINES:
        return LINES[path]
    command: Any = cli
    for word in path:
        command = command.get_command(click.Context(command), word)
    line: list[str] = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument) and (parameter.required or parameter.name in ("name", "group")):
            line.append(ARGUMENTS[parameter.name])
        elif parameter.required:
            line += [parameter.opts[-1], ARGUMENTS[parameter.opts[-1]]]
        elif "--yes" in parameter.opts:
            line.append("--yes")
    return (tuple(line),)


COMMANDS = sorted(leaves(cli, ()), key=lambda path: path[-1] in LAST)


def run_all(site: Site, seen: Seen, **more: str) -> dict[str, int]:
    """Every command but the endless ones, their outputs looked at; what each ended with."""
    ended = {}
    for path in COMMANDS:
        if path in ENDLESS:
            continue
        for number, line in enumerate(lines_of(path)):
            done = site.harvest(*path, *line, **more)
            said = f"{' '.join(path)} ({number})"
            seen.look(f"stdout of {said}", done.out.encode())
            seen.look(f"stderr of {said}", done.err.encode())
            assert "Traceback" not in done.err, (said, done.err)
            ended[said] = done.code
    return ended


def run_endless(site: Site, seen: Seen, port: int, **more: str) -> None:
    listen = {"HARVESTER_LISTEN": f"127.0.0.1:{port}"} if port else {}
    lines: tuple[tuple[str, ...], ...] = (
        ("run",),
        ("consume", "elasticsearch"),
        ("sandbox", "--port", "0"),
        ("sandbox", "opencast", "--port", "0"),
        ("sandbox", "github", "--port", "0"),
        ("sandbox", "zoom", "--port", "0"),
        ("github", "scheduled"),
        ("demo", "--folder", "shown"),
    )
    assert {line[:length] for line in lines for length in (1, 2)} >= ENDLESS
    for line in lines:
        with site.process(*line, **more, **(listen if line[0] == "run" else {})) as process:
            process.until(lambda: process.err.count("\n") > 0 or process.out.count("\n") > 0)
            if line[0] == "run" and port:
                address = process.logged("started")["metrics"]
                bearer = f"Bearer {site.settings['HARVESTER_LISTEN_TOKEN']}".encode().decode("latin-1")  # its bytes as they are
                with urlopen(Request(f"http://{address}/metrics", headers={"Authorization": bearer}), timeout=30) as answer:
                    seen.look("metrics", answer.read())
            process.stop()
            seen.look(f"stdout of {line[0]}", process.out.encode())
            seen.look(f"stderr of {line[0]}", process.err.encode())
            assert "Traceback" not in process.err


class Mirror(BaseHTTPRequestHandler):
    """A server that fails, and repeats in its answer all that it was sent, headers too; or leads to an address with a login."""

    status = 500

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = {"path": self.path, "headers": dict(self.headers), "error": f"cannot do {self.headers.get('Authorization')}"}
        body = json.dumps(told).encode()
        try:
            self.send_response(self.status, f"no {self.headers.get('Authorization')}"[:200])
            self.send_header("Location", f"http://user:{USERINFO}@127.0.0.1:9/elsewhere")
            self.send_header("WWW-Authenticate", f'Basic realm="{self.headers.get("Authorization")}"')
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            return  # whoever asked has gone

    do_GET = do_POST = do_PUT = do_HEAD = _answer  # noqa: N815 - names that the server looks for

    def log_message(self, *_: Any) -> None:
        """Silent."""


def mirror(status: int) -> AbstractContextManager[str]:
    """Its address, while the block runs."""
    return answering(type("Status", (Mirror,), {"status": status}))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def installation(folder: Path, vendor: str, collector: str, values: Mapping[str, str]) -> Site:
    return Site(
        folder,
        vendor,
        **{
            **values,
            "HARVESTER_OPENCAST_LOGIN": "basic",
            "HARVESTER_OPENCAST_URL": vendor,
            "HARVESTER_OPENCAST_USER": "harvester",
            "HARVESTER_LOGS_URL": f"{collector}/{{token}}/{{tags}}",
            "HARVESTER_ELASTICSEARCH_URL": "http://127.0.0.1:9",
        },
    )


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def test_s05_no_secret_is_left_behind_where_everything_works(tmp_path: Path, collector: Collector) -> None:
    values = canaries()
    del values["HARVESTER_ELASTICSEARCH_PASSWORD"], values["HARVESTER_KIBANA_PASSWORD"]  # of two logins one is a fault
    seen = Seen(values)
    with world(login="basic", password=values["HARVESTER_OPENCAST_PASSWORD"], late=False, growing=False) as vendor:
        site = installation(tmp_path, vendor.url, collector.url, values)
        ended = run_all(site, seen)
        for path in (
            "useractions (0)",
            "useractions (1)",
            "once (1)",
            "config show (0)",
            "coverage show (0)",
            "backup (0)",
            "audit (0)",
        ):
            assert ended[path] == 0, path
        assert ended["useractions (2)"] == 1, "another password was given"
        run_endless(site, seen, free_port())
    seen.look("collector", json.dumps(collector.lines).encode())
    assert collector.lines
    seen.look_at_files(tmp_path)
    assert seen.leaks == []


@pytest.mark.parametrize("status", [302, 401, 404, 500])
def test_s05_no_secret_is_left_behind_by_servers_that_repeat_what_they_were_sent(tmp_path: Path, status: int) -> None:
    values = canaries()
    del values["HARVESTER_ELASTICSEARCH_API_KEY"], values["HARVESTER_KIBANA_API_KEY"]
    seen = Seen(values)
    with mirror(status) as url:
        site = installation(
            tmp_path,
            url,
            url,
            {
                **values,
                "HARVESTER_ELASTICSEARCH_USER": "u",
                "HARVESTER_KIBANA_USER": "u",
                "HARVESTER_OPENCAST_TIMEOUT": "5",
            },
        )
        if status in (401, 404):  # each other answer is asked for three times again by each command: half a minute
            site.settings |= {"HARVESTER_GITHUB_ORG": "acme", "HARVESTER_GITHUB_URL": url}
        ended = run_all(site, seen, HARVESTER_ELASTICSEARCH_URL=url, HARVESTER_KIBANA_URL=url)
        assert ended["useractions (0)"] in (1, 3)
        assert ended["setup load-index-templates (0)"] in (1, 3, 4)
        assert ended["setup dashboards (0)"] == 1
    seen.look_at_files(tmp_path)
    assert seen.leaks == []


WRONG = {
    "HARVESTER_QUEUE_URL": f"sqlite://user:{USERINFO}@host/queue.db",
    "HARVESTER_LETTERS_URL": f"sqlite://user:{USERINFO}@host/letters.db?{CANARY}=1",
    "HARVESTER_COVERAGE_URL": f"s3://user:{USERINFO}@host/bucket",
    "HARVESTER_CACHE_URL": f"redis://:{USERINFO}@host/0",
    "HARVESTER_OPENCAST_URL": f"https://user:{USERINFO}@opencast.example.org",
    "HARVESTER_ELASTICSEARCH_URL": f"https://user:{USERINFO}@search.example.org:9200",
    "HARVESTER_LOGS_URL": f"https://user:{USERINFO}@logs.example.org/x",
    "HARVESTER_OPENCAST_PROXY": f"http://user:{USERINFO}@proxy.example.org:3128",
}


@pytest.mark.parametrize("name", WRONG)
def test_s05_a_login_in_an_address_is_not_repeated_by_the_fault_that_refuses_it(tmp_path: Path, vendor: World, name: str) -> None:
    values = canaries()
    seen = Seen(values)
    site = installation(tmp_path, vendor.url, vendor.url, values)
    run_all(site, seen, **{name: WRONG[name].replace(f"?{CANARY}=1", "?odd=1")})
    seen.look_at_files(tmp_path)
    assert seen.leaks == []


def test_s05_a_secret_in_a_place_for_none_is_refused_without_being_repeated(tmp_path: Path, vendor: World) -> None:
    values = canaries()
    seen = Seen(values)
    (tmp_path / "harvester.toml").write_text(
        "".join(f'{o.name.lower().removeprefix("harvester_")} = """{values[o.name]}"""\n' for o in secret_options())
    )
    site = installation(tmp_path, vendor.url, vendor.url, {})
    ended = run_all(site, seen)
    assert ended["config check (0)"] == 3
    (tmp_path / "harvester.toml").unlink()
    seen.look_at_files(tmp_path)
    assert seen.leaks == []


def test_every_command_is_among_those_that_were_run() -> None:
    assert all(lines_of(path) for path in COMMANDS)
    assert set(COMMANDS) >= ENDLESS


def test_a_leak_would_be_found_in_every_form() -> None:
    values = {"A": f"{CANARY}0{SPECIAL}"}
    secret = values["A"].encode()
    for body in (secret, base64.b64encode(secret), base64.b64encode(b"harvester:" + secret), base64.b64encode(b"id:" + secret)):
        seen = Seen(values)
        seen.look("x", b"before " + body + b" after")
        assert seen.leaks


DIES = """
from harvester import cli, redact
redact.know(["c4nary-passw0rd"])

def run():
    raise RuntimeError("no way with c4nary-passw0rd to https://u:c4nary-userinfo@host")

cli.run = run
cli.main()
"""


def test_s05_a_fault_that_nobody_foresaw_shows_where_it_was_and_no_secret() -> None:
    done = subprocess.run([sys.executable, "-c", DIES], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert "RuntimeError: no way with *** to https://u:***@host" in done.stderr
    assert "in main" in done.stderr
    assert CANARY not in done.stderr.replace(DIES, "")
