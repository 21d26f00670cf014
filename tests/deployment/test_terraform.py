"""deployment/terraform: written as Terraform and the provider take it, and the same in Google Cloud as deploy.sh makes."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hcl2
import pytest

from tests.deployment.deploying import NEEDED, Project, variables
from tests.deployment.provider import RESOURCES, google
from tests.site import ROOT

FOLDER = ROOT / "deployment/terraform"
META = {"for_each", "count", "depends_on", "lifecycle", "provider", "dynamic"}
"""Terraform's own, on every resource."""
Tree = Mapping[str, Any]


@cache
def parsed() -> dict[str, list[Tree]]:
    """All files together: kind of block → its blocks."""
    found: dict[str, list[Tree]] = {}
    for path in sorted(FOLDER.glob("*.tf")):
        for kind, blocks in plain(hcl2.loads(path.read_text(encoding="utf-8"))).items():
            found.setdefault(kind, []).extend(blocks)
    return found


def plain(value: Any) -> Any:
    """Without the parser's marks: strings without quotes, no comments."""
    if isinstance(value, dict):
        return {plain(key): plain(one) for key, one in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value[1:-1] if isinstance(value, str) and value[:1] == value[-1:] == '"' else value


def resources() -> dict[tuple[str, str], Tree]:
    return {(kind, name): body for one in parsed()["resource"] for kind, named in one.items() for name, body in named.items()}


def named(kind: str) -> dict[str, Tree]:
    """Variables, outputs: by their names."""
    return {name: body for one in parsed()[kind] for name, body in one.items()}


def the(kind: str, name: str) -> Tree:
    return resources()[kind, name]


def faults(body: Tree, schema: Tree, where: str) -> Iterator[str]:
    """What the provider would refuse: names that it does not know, and required ones that are missing."""
    attributes, inner = schema["attributes"], {name.rstrip("!1"): one for name, one in schema.get("blocks", {}).items()}
    needed = [name for name, kind in attributes.items() if kind.endswith("!")]
    needed += [name.rstrip("!1") for name in schema.get("blocks", {}) if "!" in name]
    given = {**body}
    for one in body.get("dynamic", ()):
        given |= {name: [*body.get(name, ()), *content["content"]] for name, content in one.items()}
    yield from (f"{where}: {name} is missing" for name in needed if name not in given)
    for name in given.keys() - META:
        if name in inner:
            for one in given[name]:
                yield from faults(one, inner[name], f"{where}.{name}")
        elif name not in attributes or attributes[name].endswith("="):
            yield f"{where}: there is no {name}"


def test_b70_the_provider_knows_every_argument_and_misses_none() -> None:
    assert len(resources()) > 10
    assert [
        fault for (kind, name), body in resources().items() for fault in faults(body, RESOURCES[kind], f"{kind}.{name}")
    ] == []
    broken = {**the("google_cloud_scheduler_job", "hourly"), "uri": "x", "http_target": [{"http_method": "POST"}]}
    told = sorted(faults(broken, RESOURCES["google_cloud_scheduler_job"], "x"))
    assert told == ["x.http_target: uri is missing", "x: there is no uri"]


def test_b70_whatever_is_referred_to_is_there() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.tf"))
    code = re.sub(r"#.*", "", text)
    used = set(re.findall(r"\bvar\.(\w+)", code))
    assert used == named("variable").keys()
    assert set(re.findall(r"\blocal\.(\w+)", code)) == {name for one in parsed()["locals"] for name in one}
    references = re.findall(r"(?<!\")\b(google_\w+)\.(\w+)(?:\.(\w+))?", code)
    assert len(references) > 10
    for kind, name, attribute in references:
        assert (kind, name) in resources()
        assert attribute in {*RESOURCES[kind]["attributes"], ""}, (kind, name, attribute)


def test_b70_q31_the_token_stands_in_no_state() -> None:
    token = named("variable")["github_token"]
    assert (token["ephemeral"], token["sensitive"]) == (True, True)
    assert "default" not in token
    version = the("google_secret_manager_secret_version", "token")
    assert version["secret_data_wo"] == "${var.github_token}"
    assert "secret_data" not in version
    text = "".join(path.read_text() for path in FOLDER.glob("*.tf"))
    assert len(re.findall(r"var\.github_token\b", text)) == 1
    assert parsed()["terraform"][0]["required_version"] == ">= 1.11"


def filled(value: Any) -> Any:
    """The expressions that we use, with the values of a deployment."""
    settings = {name: body.get("default") for name, body in named("variable").items()}
    settings |= {"project_id": "acme-data", "github_org": "acme", "image": "IMAGE", "bucket_name": "acme-data-github-stats-data"}
    for _ in range(3):
        value = re.sub(r"\$\{var\.(\w+)\}", lambda match: str(settings[match[1]]), value)
        value = value.replace("${local.name}", "github-collector").replace("${local.bucket}", settings["bucket_name"])
    return value


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What deploy.sh makes with the same settings."""
    done = Project(tmp_path_factory.mktemp("deployed")).deploy(IMAGE="IMAGE")
    assert done.code == 0, done.err
    return done.state


def test_b70_the_job_is_that_of_deploy_sh(deployed: dict[str, Any]) -> None:
    made, job = deployed["job github-collector"], the("google_cloud_run_v2_job", "collector")
    [outer] = job["template"]
    [task] = outer["template"]
    [container] = task["containers"]
    [resource] = container["resources"]
    ours = {
        "args": ",".join(container["args"]),
        "image": filled(container["image"]),
        "region": filled(job["location"]),
        "tasks": str(outer["task_count"]),
        "max-retries": str(task["max_retries"]),
        "task-timeout": task["timeout"],
        "cpu": resource["limits"]["cpu"],
        "memory": resource["limits"]["memory"],
    }
    assert ours == {name: made[name] for name in ours}
    settings = parsed()["locals"][0]["settings"]
    assert {name: filled(value) for name, value in settings.items()} == variables(made)
    [secret] = container["env"]
    assert secret["name"] == "GITHUB_TOKEN"
    assert secret["value_source"][0]["secret_key_ref"][0]["version"] == "latest"
    assert f"GITHUB_TOKEN={the('google_secret_manager_secret', 'token')['secret_id']}:latest" == made["set-secrets"]


def test_b70_the_schedule_is_that_of_deploy_sh(deployed: dict[str, Any]) -> None:
    made, ours = deployed["schedule github-collector"], the("google_cloud_scheduler_job", "hourly")
    [target] = ours["http_target"]
    job = "projects/acme-data/locations/us-central1/jobs/github-collector"
    told = {
        "schedule": filled(ours["schedule"]),
        "time-zone": ours["time_zone"],
        "http-method": target["http_method"],
        "uri": target["uri"].replace("${google_cloud_run_v2_job.collector.id}", job),
        "location": filled(ours["region"]),
    }
    assert told == {name: made[name] for name in told}
    assert target["oauth_token"] == [{"service_account_email": "${google_service_account.scheduler.email}"}]


def test_b70_q31_the_rights_are_those_of_deploy_sh(deployed: dict[str, Any]) -> None:
    accounts = {
        f"${{google_service_account.{name}.member}}": f"serviceAccount:{filled(body['account_id'])}@{NEEDED['GCP_PROJECT_ID']}"
        for (kind, name), body in resources().items()
        if kind == "google_service_account"
    }
    ours = {(body["role"], accounts[body["member"]]) for (kind, _), body in resources().items() if kind.endswith("_iam_member")}
    assert ours == {(role, member.removesuffix(".iam.gserviceaccount.com")) for _, role, member in deployed["grants"]}
    bucket = the("google_storage_bucket", "archive")
    assert (bucket["uniform_bucket_level_access"], bucket["public_access_prevention"]) == (True, "enforced")


def test_b70_its_services_are_those_of_deploy_sh(deployed: dict[str, Any]) -> None:
    services = parsed()["locals"][0]["services"]
    assert sorted(f"{name}.googleapis.com" for name in services) == deployed["apis"]


@pytest.fixture(scope="module")
def terraform() -> str:
    found = shutil.which("terraform")
    if found is None:
        pytest.skip("no terraform here: what it says itself is not asked")
    return found


def said(terraform: str, folder: Path, *words: str, **environment: str) -> tuple[int, str]:
    command = [terraform, f"-chdir={folder}", *words]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_b70_it_is_formatted(terraform: str) -> None:
    code, told = said(terraform, FOLDER, "fmt", "-check", "-diff")
    assert code == 0, told


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ("", "", ""),
        ("max_retries     = 0", "max_retries     = {}", "number required"),
        ("time_zone = ", "timezone  = ", '"timezone" is not expected here'),
        ("job.collector.id", "job.collectors.id", "undeclared resource"),
        ("image = var.image", "", 'argument "image" is required'),
        ("secret_data_wo         =", "secret_data =", "ephemeral value"),
    ],
)  # fmt: skip
def test_b70_terraform_finds_it_valid_and_would_see_a_fault(
    terraform: str, tmp_path: Path, right: str, wrong: str, fault: str
) -> None:
    """`terraform validate`, with the arguments of the real provider and without fetching that."""
    folder = shutil.copytree(FOLDER, tmp_path / "terraform")
    text = (folder / "main.tf").read_text(encoding="utf-8")
    assert right in text
    (folder / "main.tf").write_text(text.replace(right, wrong), encoding="utf-8")
    with TemporaryDirectory() as short, google(Path(short)) as provider:
        code, told = said(terraform, folder, "init", "-backend=false", "-input=false", "-no-color", **provider)
        assert code == 0, told
        code, told = said(terraform, folder, "validate", "-no-color", **provider)
    assert (code, (fault or "The configuration is valid") in told) == (int(bool(fault)), True), told
