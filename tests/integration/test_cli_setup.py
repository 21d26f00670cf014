"""`harvest setup`: what every configured server lacks is made, told, and made no second time."""

from pathlib import Path
from uuid import uuid4

import pytest

from tests.servers.protocols import Server
from tests.site import Done, Site

BUCKET = {
    "HARVESTER_AWS_REGION": "eu-west-1",
    "HARVESTER_AWS_ACCESS_KEY_ID": "k",
    "HARVESTER_AWS_SECRET_ACCESS_KEY": "s3cret-Key",
}


def test_embedded_there_is_nothing_to_make(tmp_path: Path) -> None:
    done = Site(tmp_path).harvest("setup")
    assert (done.code, done.out, done.err) == (0, "nothing was missing\n", "")
    assert not (tmp_path / "var").exists()


def test_e17_topics_and_buckets_are_made_once_and_told(tmp_path: Path, kafka: Server, s3: Server) -> None:
    name = f"setup{uuid4().hex[:8]}"
    places = {
        "HARVESTER_QUEUE_URL": f"kafka://{kafka.url}/{name}",
        "HARVESTER_LETTERS_URL": f"s3://{name}/letters",
        "HARVESTER_CLAIMS_URL": f"s3://{name}-claims/x",
        "HARVESTER_AWS_ENDPOINT_URL": s3.url,
    }
    site = Site(tmp_path, **BUCKET, **places)
    first = site.harvest("setup", "--json")
    assert first.code == 0, first.err
    made = first.json["made"]
    assert [f"bucket {name}: created", f"bucket {name}-claims: created"] == [line for line in made if "bucket" in line]
    assert any(f"{name}.events" in line for line in made)
    again = site.harvest("setup", "--json")
    assert (again.code, again.json["made"]) == (0, [])


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_what_was_made_before_a_fault_stays_and_is_told(tmp_path: Path, s3: Server, more: tuple[str, ...]) -> None:
    name = f"setup{uuid4().hex[:8]}"
    letters = {"HARVESTER_LETTERS_URL": f"s3://{name}/letters", "HARVESTER_CLAIMS_URL": f"s3://{name}-claims?endpoint=gopher://x"}
    site = Site(tmp_path, **BUCKET, **letters, HARVESTER_AWS_ENDPOINT_URL=s3.url)
    done: Done = site.harvest("setup", *more)
    assert done.code == 3
    assert f"bucket {name}: created" in done.out
    assert "gopher" in done.err
    assert "s3cret" not in done.out + done.err
    only = Site(tmp_path / "other", **BUCKET, HARVESTER_LETTERS_URL=letters["HARVESTER_CLAIMS_URL"])
    assert "nothing was missing" not in only.harvest("setup").out
