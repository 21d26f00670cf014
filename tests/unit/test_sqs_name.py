"""The name of an SQS queue alone, as predecessors gave it (E8, E55)."""

from pathlib import Path

import pytest

from harvester.queues import open_queue
from harvester.settings import CoreSettings, load

LETTERS = {"HARVESTER_LETTERS_URL": "s3://bucket/letters"}


def queue_of(tmp_path: Path, **environ: str) -> str:
    return load(CoreSettings, environ={**LETTERS, **environ}, cwd=tmp_path).get(CoreSettings).queue_url


def test_e55_the_name_alone_is_the_queue_of_the_region_and_the_old_name_is_told(tmp_path: Path) -> None:
    loaded = load(CoreSettings, environ={"SQS_QUEUE_NAME": "user-actions", **LETTERS}, cwd=tmp_path)
    core = loaded.get(CoreSettings)
    assert core.queue_url == "sqs:///user-actions"
    assert loaded.warnings == ("deprecated: SQS_QUEUE_NAME is now called HARVESTER_SQS_QUEUE_NAME; SQS_QUEUE_NAME still works",)
    open_queue(core.queue_url, core)


@pytest.mark.parametrize("name", ["SQS_QUEUE_NAME", "HARVESTER_SQS_QUEUE_NAME"])
def test_e8_both_names_do_the_same(tmp_path: Path, name: str) -> None:
    assert queue_of(tmp_path, **{name: "q"}) == "sqs:///q"
    (tmp_path / ".env").write_text(f"{name}=other\n")
    assert queue_of(tmp_path) == "sqs:///other"


def test_e8_a_url_wins_over_the_name(tmp_path: Path) -> None:
    assert queue_of(tmp_path, SQS_QUEUE_NAME="q", HARVESTER_QUEUE_URL="sqlite:///x.db") == "sqlite:///x.db"


@pytest.mark.parametrize("value", ["-", ""])
def test_e8_a_dash_is_no_queue(tmp_path: Path, value: str) -> None:
    assert queue_of(tmp_path, SQS_QUEUE_NAME=value) == "sqlite:///var/queue.db"
