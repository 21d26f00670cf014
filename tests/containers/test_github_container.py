"""GitHub into BigQuery in one container, as docs/deployment.md tells it: its settings exist, and the image holds none of them."""

import re
import shlex

from harvester.settings import families, inspect
from tests.containers.compose import ROOT
from tests.containers.dockerfile import DOCKERFILE, said, stages
from tests.unit.test_documents import check_call

PAGE = (ROOT / "docs/deployment.md").read_text()
SECTION = PAGE.partition("\n## GitHub into BigQuery, in one container\n")[2].partition("\n## ")[0]
GIVEN = dict(line.split("=", 1) for line in re.findall(r"```ini\n(.*?)```", SECTION, re.DOTALL)[0].splitlines())


def runs() -> list[list[str]]:
    return [shlex.split(line) for line in re.sub(r"\\\n\s*", "", SECTION).splitlines() if line.startswith("docker run ")]


def test_b74_the_settings_of_the_page_are_taken_as_they_stand_but_for_the_token() -> None:
    empty = [name for name, value in GIVEN.items() if not value]
    assert empty == ["GITHUB_TOKEN"]
    loaded = inspect(*families(), environ={**GIVEN, "GITHUB_TOKEN": "ghp_x"}, cwd=ROOT / "docs")
    wrong = [str(fault) for fault in loaded.faults if not fault.what.startswith(("HARVESTER_OPENCAST", "HARVESTER_ZOOM"))]
    assert wrong == []
    known = (ROOT / "docs/configuration.md").read_text()
    assert [name for name in GIVEN if f"`{name}`" not in known] == []


def test_b74_its_commands_exist_and_credentials_are_mounted_read_only() -> None:
    setup, daemon = runs()
    assert setup[-2:] == ["event-harvester:dev", "setup"]
    assert daemon[2:5] == ["-d", "--name", "github-collector"]
    assert daemon[-1] == "event-harvester:dev", "what the image does by default"
    for words in (setup, daemon):
        mounts = [word.split(":") for word in words if word.endswith(":ro")]
        assert [mode for *_, mode in mounts] == ["ro"]
        assert f"GOOGLE_APPLICATION_CREDENTIALS={mounts[0][1]}" in words
        assert words[words.index("--env-file") + 1] == ".env"
    last = stages(DOCKERFILE.read_text())[-1]
    check_call([word.strip('[]",') for word in said(last, "CMD")[0].split()])
    assert f"github-collector:{said(last, 'VOLUME')[0]}" in daemon


def test_b50_b61_the_page_names_the_permissions() -> None:
    storage = {"storage.buckets.create", "storage.objects.create"}
    bigquery = {"bigquery.datasets.create", "bigquery.tables.create", "bigquery.tables.updateData", "bigquery.jobs.create"}
    assert {name for name in storage | bigquery if f"`{name}`" not in SECTION} == set()
