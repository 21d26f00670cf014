"""deployment/deploy.sh: repeatable, closed to the public, with least rights, and the token nowhere but in Secret Manager."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.deployment.deploying import NEEDED, TOKEN, Deployed, Project, variables
from tests.deployment.gcloud import COMMANDS, parsed
from tests.site import ROOT

RUNNER = "serviceAccount:github-collector@acme-data.iam.gserviceaccount.com"
CALLER = "serviceAccount:github-collector-scheduler@acme-data.iam.gserviceaccount.com"
GRANTS = {
    ("secret github-token", "roles/secretmanager.secretAccessor", RUNNER),
    ("bucket gs://acme-data-github-stats-data", "roles/storage.objectAdmin", RUNNER),
    ("project acme-data", "roles/bigquery.user", RUNNER),
}


class Twice(NamedTuple):
    """The same deployment, run twice, and the project that it is in."""

    project: Project
    first: Deployed
    second: Deployed


def twice(folder: Path, *words: str) -> Twice:
    project = Project(folder)
    first = project.deploy(*words)
    assert first.code == 0, first.err
    return Twice(project, first, project.deploy(*words))


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Twice:
    return twice(tmp_path_factory.mktemp("job"))


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Twice:
    return twice(tmp_path_factory.mktemp("function"), "--function")


def changing(calls: list[list[str]]) -> list[list[str]]:
    """Those that make something, without what only looks."""
    return [call for call in calls if not {"describe", "access"} & set(call)]


@pytest.mark.parametrize("lacks", [("GITHUB_TOKEN",), ("GCP_PROJECT_ID", "GITHUB_ORG"), tuple(NEEDED)])
def test_b69_missing_variables_are_named_all_at_once_and_nothing_is_done(tmp_path: Path, lacks: tuple[str, ...]) -> None:
    done = Project(tmp_path).deploy(lacks=lacks)
    assert (done.code, done.out, done.calls) == (3, "", [])
    assert f"not set: {' '.join(lacks)}." in done.err


def test_b69_wrong_usage_and_a_missing_gcloud_are_told(tmp_path: Path) -> None:
    project = Project(tmp_path, gcloud=False)
    wrong = project.deploy("--dryrun")
    assert (wrong.code, "there is no --dryrun" in wrong.err) == (2, True)
    without = project.deploy()
    assert (without.code, "no gcloud on the PATH" in without.err) == (3, True)
    assert project.deploy("--help").code == 0


def test_b68_b69_a_job_runs_every_hour_and_only_the_schedule_may_start_it(job: Twice) -> None:
    state = job.first.state
    made, schedule = state["job github-collector"], state["schedule github-collector"]
    assert made["args"] == "github,collect,--go-on"
    assert made["image"] in state["images"]
    assert schedule["schedule"] == "0 * * * *"
    assert schedule["uri"].endswith("/projects/acme-data/locations/us-central1/jobs/github-collector:run")
    assert f"serviceAccount:{schedule['oauth-service-account-email']}" == CALLER
    assert {tuple(grant) for grant in state["grants"]} == GRANTS | {("job github-collector", "roles/run.invoker", CALLER)}
    assert f"serviceAccount:{made['service-account']}" == RUNNER
    assert int(made["task-timeout"].removesuffix("s")) < 3600, "no two runs at a time"


def test_b68_q31_the_function_is_not_callable_by_the_public_either(function: Twice) -> None:
    state = function.first.state
    made, schedule = state["function github-collector"], state["schedule github-collector"]
    assert "no-allow-unauthenticated" in made
    assert "allow-unauthenticated" not in made
    assert (made["entry-point"], made["max-instances"], made["concurrency"]) == ("collect", "1", "1")
    assert schedule["uri"] == schedule["oidc-token-audience"] == "https://github-collector-abc-uc.a.run.app"
    assert f"serviceAccount:{schedule['oidc-service-account-email']}" == CALLER
    assert {tuple(grant) for grant in state["grants"]} == GRANTS | {("function github-collector", "invoker", CALLER)}
    assert "images" not in state


@pytest.mark.parametrize("kind", ["job", "function"])
def test_q31_the_token_is_in_the_secret_manager_and_nowhere_else(kind: str, request: pytest.FixtureRequest) -> None:
    done: Deployed = request.getfixturevalue(kind).first
    made = done.state[f"{kind} github-collector"]
    assert done.state["versions"] == [TOKEN]
    assert made["set-secrets"] == "GITHUB_TOKEN=github-token:latest"
    assert "GITHUB_TOKEN" not in variables(made)
    assert TOKEN not in json.dumps([done.calls, {**done.state, "versions": []}, done.out, done.err])


@pytest.mark.parametrize("kind", ["job", "function"])
def test_b69_a_second_run_changes_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    _, first, second = request.getfixturevalue(kind)
    assert (second.code, second.state) == (0, first.state)
    assert [call for call in changing(second.calls) if {"create", "add"} & set(call)] == []
    assert "secret github-token: holds this token" in second.err


def test_b69_what_changed_is_changed(tmp_path: Path, job: Twice) -> None:
    (tmp_path / "state.json").write_text(json.dumps(job.second.state))
    done = Project(tmp_path).deploy(GITHUB_TOKEN="ghp_another", SCHEDULE="30 * * * *", IMAGE="registry.example.edu/harvester:2")
    assert done.state["versions"] == [TOKEN, "ghp_another"]
    assert done.state["schedule github-collector"]["schedule"] == "30 * * * *"
    assert done.state["job github-collector"]["image"] == "registry.example.edu/harvester:2"
    assert not [call for call in done.calls if call[0] in ("builds", "artifacts")]
    assert done.state["grants"] == job.first.state["grants"]


@pytest.mark.parametrize(("kind", "words"), [("job", ()), ("function", ("--function",))])
def test_b69_a_dry_run_prints_what_would_be_run_and_runs_nothing(
    tmp_path: Path, kind: str, words: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    dry = Project(tmp_path).deploy("--dry-run", *words)
    assert (dry.code, dry.calls, dry.state) == (0, [], {})
    assert TOKEN not in dry.out + dry.err
    printed = [shlex.split(line) for line in dry.out.splitlines()]
    assert {line[0] for line in printed} == {"gcloud"}
    real = changing(request.getfixturevalue(kind).first.calls)
    assert [parsed(line[1:])[0] for line in printed] == [parsed(call)[0] for call in real]


def test_b69_an_account_that_is_not_known_everywhere_yet_is_waited_for(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (tmp_path / "refusals").write_text("1\n2\n")
    done = project.deploy(GCLOUD_REFUSES="secrets add-iam-policy-binding")
    assert done.code == 0
    assert {tuple(grant) for grant in done.state["grants"]} >= GRANTS


@pytest.mark.parametrize("refused", ["services enable", "secrets versions add"])
def test_b69_a_refusal_ends_it_with_the_words_of_gcloud(tmp_path: Path, refused: str) -> None:
    project = Project(tmp_path)
    (tmp_path / "refusals").write_text("no\n" * 9)
    done = project.deploy(GCLOUD_REFUSES=refused)
    assert done.code == 1
    assert "PERMISSION_DENIED" in done.err
    assert "deploy: done" not in done.err


def test_the_stand_in_refuses_what_gcloud_would() -> None:
    with pytest.raises(SystemExit):
        parsed(["run", "jobs", "deploy", "x", "--schedule=now"])
    with pytest.raises(SystemExit):
        parsed(["run", "job", "deploy", "x"])
    assert len(COMMANDS) > 20


def test_b68_what_is_deployed_as_a_function_runs_a_command_of_the_product(function: Twice) -> None:
    source = function.project.folder / "source"
    assert (source / "requirements.txt").read_bytes() == (ROOT / "requirements/production.txt").read_bytes()
    assert not list(source.rglob("__pycache__"))
    program = "import main; main.COMMAND = ({}); print(main.collect(None))"
    for words, said in (("'config', 'show'", ("complete (exit code 0)\n", 200)), ("'nope',", ("failed (exit code 2)\n", 500))):
        command = [sys.executable, "-B", "-c", program.format(words)]
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
        assert done.stdout.splitlines()[-1:] == [repr(said)], done.stderr


def test_nothing_private_is_sent_to_be_built_and_nothing_needed_is_left_out() -> None:
    listed = ["git", "ls-files", "--cached", "--others"]
    ignored = subprocess.run(
        [*listed, "--ignored", "--exclude-from=deployment/.gcloudignore"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    everything = subprocess.run([*listed, "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    sent = set(everything.stdout.splitlines()) - set(ignored.stdout.splitlines())
    tops = {name.partition("/")[0] for name in sent}
    folders = {"harvester", "consumers", "index_templates", "dashboards", "docker", "requirements"}
    assert tops == folders | {"LICENSE", "NOTICE", "README.md", "pyproject.toml", ".dockerignore"}
    assert {name for name in sent if name.startswith(("docker/", "requirements/"))} == {
        "docker/Dockerfile",
        "requirements/production.txt",
    }
