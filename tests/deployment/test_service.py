"""The GitHub collector as a service and as a container: what it runs, as whom, and that nothing of it holds a secret."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests import services as servers
from tests.containers.dockerfile import DOCKERFILE, faults, said, stages
from tests.containers.test_systemd import HARDENED, HARVEST, unit
from tests.github_site import checkpoints, held, organisation, requests, site_of, true
from tests.site import ROOT, Site

UNIT = ROOT / "deployment/systemd/github-collector.service"
SCHEDULED = ["github", "scheduled", "--interval", "6"]
PAGE = ROOT / "deployment/DEPLOYMENT.md"
OWN = {"User", "StateDirectory", "WorkingDirectory", "EnvironmentFile", "MemoryMax"}


def test_b72_the_unit_says_what_was_promised() -> None:
    said_by = unit(UNIT.read_text())
    promised = {
        "After": "network.target",
        "Type": "simple",
        "User": "github-collector",
        "WorkingDirectory": "/var/lib/github-collector",
        "EnvironmentFile": "/etc/github-collector/.env",
        "Environment": "GOOGLE_APPLICATION_CREDENTIALS=%d/google_credentials",
        "LoadCredential": "google_credentials:/etc/github-collector/credentials.json",
        "ExecStart": HARVEST + " ".join(SCHEDULED),
        "Restart": "always",
        "RestartSec": "60",
        "WantedBy": "multi-user.target",
    }
    assert {key: said_by.get(key) for key in promised} == {key: [value] for key, value in promised.items()}


def test_b72_the_unit_is_as_hardened_as_the_others() -> None:
    said_by = unit(UNIT.read_text())
    assert {key: said_by.get(key) for key in HARDENED.keys() - OWN} == {
        key: [value] for key, value in HARDENED.items() if key not in OWN
    }


def test_b72_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = servers.tool("systemd-analyze")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(HARVEST, "/bin/true "))
    done = subprocess.run([analyze, "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "github-collector" in done.stderr) == (0, False), done.stderr


def test_b72_the_page_has_the_steps_and_the_paths_of_the_unit() -> None:
    text = PAGE.read_text()
    for step in ("enable --now github-collector", "status github-collector"):
        assert f"systemctl {step}" in text
    assert "/etc/github-collector/.env" in text
    assert "/etc/github-collector/credentials.json" in text


def test_b73_the_container_collects_every_six_hours_unless_it_is_told_otherwise() -> None:
    before, stage = stages((ROOT / "deployment/Dockerfile").read_text())
    assert said(before, "ARG") == ["IMAGE=event-harvester:dev"]
    assert [(step.word, step.text) for step in stage] == [
        ("FROM", "${IMAGE}"),
        ("HEALTHCHECK", "NONE"),
        ("CMD", json.dumps(SCHEDULED)),
    ]


def test_b73_b74_what_it_is_built_on_is_slim_runs_as_nobody_and_keeps_no_cache_of_pip() -> None:
    text = DOCKERFILE.read_text()
    base, *_, last = stages(text)
    assert re.fullmatch(r"PYTHON=python:3\.1[1-9]-slim-\w+", said(base, "ARG")[0])
    assert faults(text) == []
    copied = [step for step in said(last, "COPY") if "--from=build" in step]
    assert copied == said(last, "COPY"), "what pip left behind is in the first stage alone"
    assert {step.split()[-1] for step in copied} == {"/opt/harvester", "/var/lib/harvester"}


def test_b74_the_page_shows_how_it_is_run() -> None:
    text = re.sub(r"\\\n\s*", "", PAGE.read_text())
    runs = [line for line in text.splitlines() if line.startswith("docker run -d --name github-collector --env-file .env ")]
    assert runs
    for line in runs:
        source, target, mode = next(word for word in line.split() if word.endswith(":ro")).split(":")
        assert (source.startswith(("/", "./", '"$PWD')), mode) == (True, "ro")
        assert f"--env GOOGLE_APPLICATION_CREDENTIALS={target}" in line
        assert line.split()[-1] == "github-collector"


def test_b72_b74_what_is_started_collects_and_ends_orderly_at_a_stop(tmp_path: Path) -> None:
    with organisation() as github:
        site = Site(tmp_path)
        given = {"GITHUB_TOKEN": "sandbox-token", "GITHUB_ORG": "acme", "HARVESTER_GITHUB_URL": github.url}
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in given.items()))
        with site.process(*SCHEDULED) as collector:
            collector.until(lambda: [one.state for one in checkpoints(site)] == ["complete"])
            assert collector.stop() == 0
        assert held(site)["pull_requests"] == true(github)["pull_requests"] != set()


def test_b72_a_token_that_is_refused_is_asked_about_once_told_and_not_restarted_for_ever(tmp_path: Path) -> None:
    with organisation() as github:
        site = site_of(tmp_path, github, HARVESTER_GITHUB_TOKEN="other")
        with site.process(*SCHEDULED) as collector:
            told = collector.logged("a collection failed; the next one comes at its time")
            assert "the token was refused: check HARVESTER_GITHUB_TOKEN" in told["error.message"]
            assert collector.stop() == 0, "it waited for the next one"
        assert sum(requests(github).values()) == 1


def test_b68_the_function_collects_the_last_day_and_keeps_nothing(tmp_path: Path) -> None:
    entry = ROOT / "deployment/function/main.py"
    # As it is deployed: beside the packages of the product.
    (tmp_path / "main.py").write_bytes(entry.read_bytes())
    for name in ("harvester", "consumers", "index_templates", "dashboards"):
        (tmp_path / name).symlink_to(ROOT / name)
    with organisation() as github:
        archive = tmp_path / "archive"
        given = {"TOKEN": "sandbox-token", "ORG": "acme", "URL": github.url}
        settings = {f"HARVESTER_GITHUB_{name}": value for name, value in given.items()}
        site = Site(tmp_path / "site", HARVESTER_ARCHIVE_URL=f"file://{archive}", HARVESTER_SINKS="archive", **settings)
        command = [sys.executable, "-B", "-c", "import main; print(main.collect(None))"]
        for turn in (1, 2):
            done = subprocess.run(command, cwd=tmp_path, env=site.environment(), capture_output=True, text=True, check=False)
            assert done.stdout == "('complete (exit code 0)\\n', 200)\n", done.stderr
            assert len(list((archive / "acme/_checkpoints").glob("*.json"))) == turn
        assert not (tmp_path / "var").exists()
