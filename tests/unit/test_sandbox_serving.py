"""The sandbox as a process and on a port."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harvester.commands.sandbox import command
from harvester.commands.sandbox_zoom import command as zoom_command
from harvester.errors import ConfigError
from harvester.sandbox.github_settings import GitHubSandboxSettings
from harvester.sandbox.serve import serve
from harvester.sandbox.settings import SandboxSettings
from harvester.sandbox.zoom_settings import ZoomSandboxSettings
from tests.unit.sandboxes import sandbox


async def test_a_port_in_use_is_told_with_the_way_on() -> None:
    async with sandbox() as client:
        port = int(client.running.url.rsplit(":", 1)[1])
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}.*another program.*--port 0"):
            async with serve(SandboxSettings(), port=port):
                pass


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        (SandboxSettings(), "harvest sandbox"),
        (ZoomSandboxSettings(), "harvest sandbox zoom"),
        (GitHubSandboxSettings(), "harvest sandbox github"),
    ],
)
async def test_the_way_on_from_a_busy_port_is_the_command_of_that_vendor(settings: Any, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match=f"with: {command} --port 0$"):
        async with serve(settings, port=taken.getsockname()[1]):
            pass


async def test_a_host_that_is_not_ours_is_told_too() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 203\.0\.113\.1:0"):
        async with serve(SandboxSettings(), host="203.0.113.1"):
            pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_a_signal_and_exits_0(number: int, tmp_path: Path) -> None:
    code = "import sys; from harvester.commands.sandbox import command; sys.exit(command(standalone_mode=False))"
    options = ["--port", "0", "--json", "--now", "2026-11-03T12:00:00", "--speed", "0", "--fault", "500=1,reset=0"]
    environment = {"PATH": os.environ["PATH"], "HARVESTER_SANDBOX_ACTIONS_PER_DAY": "500"}
    with subprocess.Popen(
        [sys.executable, "-c", code, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=environment
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}/sandbox/clock", timeout=10) as answer:
            assert json.load(answer) == {"now": "2026-11-03T12:00:00Z"}
        process.send_signal(number)
        out, told = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, b"")
    assert told.decode().startswith(f"Opencast sandbox on {url} — harvest it with: MATTERHORN_REST_USER=harvester ")
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(("vendor", "says"), [("opencast", "Opencast sandbox on"), ("zoom", "Zoom sandbox on")])
def test_a_vendor_is_chosen_by_its_name_and_has_options_of_its_own(vendor: str, says: str, tmp_path: Path) -> None:
    code = "import sys; from harvester.commands.sandbox import command; sys.exit(command(standalone_mode=False))"
    options = [vendor, "--port", "0", "--json", "--now", "2026-11-03T12:00:00", "--speed", "0", "--fault", "500=0"]
    environment = {"PATH": os.environ["PATH"], "HARVESTER_SANDBOX_ZOOM_PLAN": "pro"}
    with subprocess.Popen(
        [sys.executable, "-c", code, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=environment
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}/sandbox/switches", timeout=10) as answer:
            assert json.load(answer).get("plan") == ("pro" if vendor == "zoom" else None)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert told.decode().startswith(f"{says} {url} — harvest it with: ")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--now", "soon"], "no ISO time"),
        (["--fault", "reset"], "not KIND=SHARE"),
        (["--login", "oauth"], "is not one of"),
        (["--port", "70000"], "70000 is not in the range"),
        (["--wind"], "No such option"),
        (["teams"], "No such command"),
        (["zoom", "--plan", "gold"], "is not one of"),
        (["zoom", "--patched"], "No such option"),
    ],
)
def test_wrong_options_are_wrong_usage(options: list[str], told: str) -> None:
    result = CliRunner().invoke(command, options)
    assert result.exit_code == 2
    assert told in result.stderr


def test_unknown_faults_and_zones_are_wrong_settings() -> None:
    for options in (["--fault", "flood=0.1"], ["--timezone", "Mars/Base"]):
        result = CliRunner().invoke(command, ["--port", "0", *options])
        assert isinstance(result.exception, ConfigError)


def test_every_option_has_help_and_shows_its_default_and_variable() -> None:
    for called, args, variable in (
        (command, [], "HARVESTER_SANDBOX_ACTIONS_PER_DAY"),
        (zoom_command, ["zoom"], "HARVESTER_SANDBOX_ZOOM_MEETINGS_PER_DAY"),
    ):
        text = CliRunner().invoke(command, [*args, "--help"]).output
        for option in called.params:
            assert option.opts[0] in text
            assert getattr(option, "help", "")
        assert variable in text


def test_the_command_is_imported_without_a_server_in_it() -> None:
    code = "import sys, harvester.commands.sandbox; print('aiohttp' in sys.modules, 'asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["False", "False"]
