"""deployment/deploy.sh, run with a stand-in for gcloud."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.site import ROOT

SCRIPT = ROOT / "deployment/deploy.sh"
TOKEN = "ghp_c4narytoken"
NEEDED = {"GCP_PROJECT_ID": "acme-data", "GITHUB_TOKEN": TOKEN, "GITHUB_ORG": "acme"}
PROGRAMS = ("bash", "cat", "cp", "dirname", "find", "mktemp", "rm", "sleep")


class Deployed(NamedTuple):
    """How one run ended, and what the project is now."""

    code: int
    out: str
    err: str
    calls: list[list[str]]
    state: dict[str, Any]


class Project:
    """A project of Google Cloud that is a file in a folder."""

    def __init__(self, folder: Path, *, gcloud: bool = True) -> None:
        self.folder = folder
        programs = folder / "programs"
        programs.mkdir()
        for name in PROGRAMS:
            (programs / name).symlink_to(shutil.which(name) or f"/bin/{name}")
        if gcloud:
            stand_in = ROOT / "tests/deployment/gcloud.py"
            (programs / "gcloud").write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {stand_in} "$@"\n')
            (programs / "gcloud").chmod(0o755)

    def deploy(self, *words: str, lacks: tuple[str, ...] = (), **variables: str) -> Deployed:
        """One run of the script; `lacks` are needed variables that are not set."""
        given = {name: value for name, value in {**NEEDED, **variables}.items() if name not in lacks}
        environment = {**given, "PATH": str(self.folder / "programs"), "GCLOUD_STAND_IN": str(self.folder), "GRANT_PAUSE": "0"}
        (self.folder / "calls").write_text("")
        done = subprocess.run(
            ["bash", str(SCRIPT), *words],
            cwd=self.folder,
            env={**environment, "TMPDIR": os.environ.get("TMPDIR", "/tmp")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        calls = [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]
        state = self.folder / "state.json"
        return Deployed(done.returncode, done.stdout, done.stderr, calls, json.loads(state.read_text()) if state.exists() else {})


def variables(flags: dict[str, str]) -> dict[str, str]:
    """What `--set-env-vars` sets."""
    separator, _, pairs = flags["set-env-vars"].removeprefix("^").partition("^")
    return dict(pair.split("=", 1) for pair in pairs.split(separator))
