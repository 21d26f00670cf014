"""`harvest sandbox github`, as a process of its own."""

import json
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.site import Site

FLAGS = ("--port", "0", "--json", "--repositories", "2", "--days", "30", "--org", "school", "--token", "one,two", "--speed", "0")


def test_it_serves_as_its_flags_say_tells_how_to_harvest_it_and_ends_at_a_signal(tmp_path: Path) -> None:
    with Site(tmp_path).process("sandbox", "github", *FLAGS, "--now", "2026-11-12T12:00") as sandbox:
        url = json.loads(sandbox.until(lambda: sandbox.out))["url"]
        request = urllib.request.Request(f"{url}/orgs/school/repos", headers={"Authorization": "Bearer two"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert [row["name"] for row in json.load(answer)] == ["lectures", "widgets"]
            assert answer.headers["Date"] == "Thu, 12 Nov 2026 12:00:00 GMT"
        assert f"HARVESTER_GITHUB_URL={url} GITHUB_ORG=school GITHUB_TOKEN=one,two" in sandbox.err
        assert sandbox.stop() == 0


def test_without_its_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "harvester.sandbox.github", None)
    told = Site(tmp_path).harvest("sandbox", "github", "--port", "0")
    assert told.code == 3
    assert "pip install 'event-harvester[sandbox]'" in told.err
