"""deployment/DEPLOYMENT.md: its settings exist, its sums are right, and what it has to tell is told."""

import re
import shlex

from consumers.records.github import PullRequest
from consumers.records.github_commits import Commit, PullRequestCommit
from consumers.records.github_reviews import IssueComment, Review, ReviewComment
from harvester.settings import families, inspect
from tests.site import ROOT
from tests.unit.test_documents import check_call, items

PAGE = (ROOT / "deployment/DEPLOYMENT.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def table(title: str) -> list[list[str]]:
    """Its rows, without the head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_b71_each_part_has_its_section() -> None:
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    needed = ["Install", "On Google Cloud", "With Terraform", "As a service", "In a container"]
    assert titles == [*needed, "Permissions", "Cost", "Queries", "Trouble"]


def test_b77_every_setting_of_the_predecessor_is_in_the_example_with_a_comment() -> None:
    settings = [item for item in items("docs/requirements.md") if re.match(r"\[[ x]\] \*\*B(3\d|4[01])\*\*", item)]
    names = [match[1] for item in settings if (match := re.search(r"\*\* `([A-Z_]+)", item))]
    assert len(names) == 12
    comments = [line for line in EXAMPLE.splitlines() if line.startswith("# ")]
    assert [name for name in names if not any(re.search(rf"\b{name}\b", line) for line in comments)] == []


def test_b77_the_install_has_its_steps_and_its_settings_are_taken_as_they_stand_but_for_the_token() -> None:
    text = section("Install")
    for step in ("python3 -m venv .venv", "pip install", "cp .env.example .env"):
        assert step in text
    [block] = re.findall(r"```ini\n(.*?)```", text, re.DOTALL)
    given = dict(line.split("=", 1) for line in block.splitlines())
    assert [name for name, value in given.items() if not value] == ["GITHUB_TOKEN"]
    loaded = inspect(*families(), environ={**given, "GITHUB_TOKEN": "ghp_x"}, cwd=ROOT / "docs")
    others = ("HARVESTER_OPENCAST", "HARVESTER_ZOOM")
    assert [str(fault) for fault in loaded.faults if not fault.what.startswith(others)] == []
    known = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert [name for name in given if f"`{name}`" not in known and name not in EXAMPLE] == []


def test_b50_b61_the_permissions_are_named() -> None:
    text = section("Permissions")
    storage = {"buckets.create", "objects.create", "objects.get", "objects.delete", "objects.list"}
    bigquery = {"datasets.create", "tables.create", "tables.updateData", "jobs.create"}
    needed = {f"storage.{name}" for name in storage} | {f"bigquery.{name}" for name in bigquery}
    assert {name for name in needed if f"`{name}`" not in text} == set()


def test_b75_the_sums_of_the_worked_example_are_right_and_within_the_promise() -> None:
    *rows, total = table("Cost")
    for what, quantity, price, cost, left in rows:
        assert round(float(quantity.split()[0]) * float(price) + 1e-9, 2) == float(cost), what
        assert 0 <= float(left) <= float(cost), what
    sums = [round(sum(float(row[column]) for row in rows), 2) for column in (3, 4)]
    assert [float(total[3]), float(total[4])] == sums
    assert sums[1] <= 2, "about one to two dollars"
    assert sums[0] <= 2.5, "also where nothing is free"


def test_b75_nothing_runs_between_two_runs() -> None:
    words = (ROOT / "deployment/deploy.sh").read_text(encoding="utf-8")
    assert "min-instances" not in words
    assert "--max-instances=1" in words
    assert "compute instances" not in words


def test_b60_the_query_against_doubles_is_that_which_is_shipped_for_every_table() -> None:
    shipped = (ROOT / "docs/queries/bigquery/deduplicate.sql").read_text(encoding="utf-8")
    [query] = re.findall(r"```sql\n(.*?)```", section("Queries"), re.DOTALL)
    statements = [one.strip() for one in re.sub(r"^--.*$", "", query, flags=re.MULTILINE).split(";") if one.strip()]
    assert [one for one in statements if one not in shipped] == []
    tables = {record.__shape__.table for record in (PullRequest, Commit, PullRequestCommit, Review, ReviewComment, IssueComment)}
    assert {name for name in tables if f"TABLE github_stats.{name}\n" not in query} == set()
    assert "ingestion_timestamp DESC" in query


def test_b76_the_troubles_are_there_with_what_helps() -> None:
    text = section("Trouble")
    for words in (
        ["rate limit", "MAX_WORKERS", "interval", "fewer repositories"],
        ["permission", "BIGQUERY_LOCATION", "GCS_BUCKET_NAME"],
        ["Data are missing", "partial", "backfill"],
        ["resume --collection-id 2025-01-01T12:00:00+00:00", "_checkpoints/", "cannot be read"],
        ["twice", "key", "[query above](#queries)"],
    ):
        assert [word for word in words if word not in text] == []


def test_b69_b70_what_the_page_shows_of_the_script_and_of_terraform_is_there() -> None:
    script = (ROOT / "deployment/deploy.sh").read_text(encoding="utf-8")
    for flag in set(re.findall(r"deploy\.sh (--[\w-]+)", PAGE)):
        assert f"{flag})" in script
    variables = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "deployment/terraform").glob("*.tf"))
    for name in set(re.findall(r"TF_VAR_(\w+)", PAGE)):
        assert f'variable "{name}"' in variables
    [target] = re.findall(r"-target=(\w+)\.(\w+)", PAGE)
    assert 'resource "{}" "{}"'.format(*target) in variables


def test_b68_b73_whatever_is_started_is_a_command_of_ours() -> None:
    unit = (ROOT / "deployment/systemd/github-collector.service").read_text(encoding="utf-8")
    dockerfile = (ROOT / "deployment/Dockerfile").read_text(encoding="utf-8")
    function = (ROOT / "deployment/function/main.py").read_text(encoding="utf-8")
    started = [
        re.findall(r"^ExecStart=\S+ (.+)$", unit, re.MULTILINE)[0].split(),
        re.findall(r'"([^"]+)"', re.findall(r"^CMD (.+)$", dockerfile, re.MULTILINE)[0]),
        re.findall(r'"([^"]+)"', re.findall(r"^COMMAND = (.+)$", function, re.MULTILINE)[0]),
        re.findall(r"--args=(\S+)", (ROOT / "deployment/deploy.sh").read_text(encoding="utf-8"))[0].split(","),
        *(shlex.split(line)[0].split(",") for line in re.findall(r"--args (\S+)", PAGE)),
    ]
    assert len(started) == 5
    for words in started:
        check_call(words)


def test_b68_its_settings_are_ones_that_there_are() -> None:
    text = (ROOT / "deployment/deploy.sh").read_text(encoding="utf-8")
    given = dict(re.findall(r"([A-Z_]+)=(?:\$(?:\w+)|(\w+))", "".join(re.findall(r'^SETTINGS\+?=".*"$', text, re.MULTILINE))))
    values = {
        "GITHUB_ORG": "acme",
        "BIGQUERY_PROJECT_ID": "acme-data",
        "BIGQUERY_LOCATION": "US",
        "GCS_BUCKET_NAME": "acme-data-x",
    }
    environ = {name: value or values.get(name, "x") for name, value in given.items()} | {"GITHUB_TOKEN": "ghp_x"}
    assert environ.keys() >= {"PERSIST_TO_GCS", "HARVESTER_SINKS", *values}
    loaded = inspect(*families(), environ=environ, cwd=ROOT / "docs")
    others = ("HARVESTER_OPENCAST", "HARVESTER_ZOOM")
    assert [str(fault) for fault in loaded.faults if not fault.what.startswith(others)] == []
    assert [name for name in environ if name not in EXAMPLE] == []
