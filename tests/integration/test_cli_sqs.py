"""The commands on SQS: from a vendor to a sink by the name of a queue alone, and what is said where SQS cannot."""

import asyncio
import signal
import time
from pathlib import Path
from uuid import uuid4

import pytest

from tests.services import Server
from tests.site import HOUR, NOON, Site, World, stamp
from tests.unit.sqsqueues import redriven


@pytest.fixture
def site(tmp_path: Path, vendor: World, sqs: Server) -> Site:
    login = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "secret-canary", "AWS_REGION": "eu-west-1"}
    settings = {f"HARVESTER_{name}": value for name, value in {**login, "AWS_ENDPOINT_URL": sqs.url}.items()}
    settings["HARVESTER_LETTERS_URL"] = f"file://{tmp_path}/letters"
    return Site(tmp_path, vendor.url, SQS_QUEUE_NAME=f"actions-{uuid4().hex}", **settings)


def test_e55_e15_a_name_alone_makes_the_queue_and_everything_arrives_once(site: Site, vendor: World) -> None:
    truth = vendor.truth(NOON - HOUR, NOON)
    done = site.harvest("useractions", "-s", stamp(NOON - HOUR), "-e", stamp(NOON))
    assert (done.code, f"published {len(truth):,} +" in done.err) == (0, True), done
    assert "SQS_QUEUE_NAME is now called HARVESTER_SQS_QUEUE_NAME" in done.err
    assert site.consume().code == 0
    assert site.held() == {number: action.outpoint for number, action in truth.items()}
    assert site.harvest("queue", "lag", "--json").json == {"duckdb": 0}
    again = site.harvest("useractions", "-s", stamp(NOON - HOUR), "-e", stamp(NOON))
    assert (again.code, site.consume().code, len(site.held())) == (0, 0, len(truth))


@pytest.mark.parametrize("command", [("useractions",), ("consume", "duckdb", "--until-empty")])
def test_without_a_named_store_of_letters_every_process_refuses_and_makes_nothing(site: Site, command: tuple[str, ...]) -> None:
    del site.settings["HARVESTER_LETTERS_URL"]
    done = site.harvest(*command)
    assert done.code == 3
    assert "HARVESTER_LETTERS_URL (not set): it is needed beside a queue on SQS" in done.err
    assert not (site.folder / "var").exists()


def test_what_sqs_cannot_is_refused_or_told_by_every_command_with_the_way_on(site: Site) -> None:
    assert site.harvest("useractions", "-s", stamp(NOON - HOUR), "-e", stamp(NOON)).code == 0
    assert site.consume().code == 0
    for args, way in (
        (("queue", "peek"), "harvest trace"),
        (("queue", "seek", "duckdb", "--to", "beginning"), "harvest backfill"),
        (("queue", "forget", "duckdb", "--yes"), "delete"),
    ):
        done = site.harvest(*args)
        assert (done.code, way in done.err, "Traceback" in done.err) == (4, True, False), done
    audit = site.harvest("audit")
    assert audit.code == 0
    assert "unproven" in audit.out
    assert "SQS keeps no counts" in audit.out
    assert "equal" not in audit.out
    assert site.harvest("audit", "--json").json["equations"] == []
    assert "the queue is whole" in site.harvest("queue", "check").err
    assert "duckdb" in site.harvest("queue", "groups").out
    assert "secret-canary" not in audit.out + audit.err


def test_two_sinks_on_one_queue_are_refused_before_one_takes_from_the_other(site: Site) -> None:
    assert site.consume().code == 0
    done = site.harvest("consume", "-", "--until-empty")
    assert done.code == 4
    assert "?groups=duckdb,stdout" in done.err


def findings(site: Site) -> dict[str, str]:
    """What doctor says of SQS: state and text."""
    found = site.harvest("doctor", "--json").json["findings"]
    return {f["name"]: f"{f['state']} {f['text']} {f['fix']}" for f in found if f["name"].startswith("queue: ")}


def test_doctor_makes_no_queue_and_tells_what_could_lose_events(site: Site, sqs: Server) -> None:
    name = site.settings["SQS_QUEUE_NAME"]
    for _ in range(2):
        assert "ok there is none yet: harvest setup" in findings(site)[f"queue: {name}"]
    assert site.harvest("useractions", "-s", stamp(NOON - HOUR), "-e", stamp(NOON)).code == 0
    assert findings(site)[f"queue: {name}"].startswith("ok no redrive policy")
    asyncio.run(redriven(sqs.url, name))
    told = findings(site)[f"queue: {name}"]
    assert told.startswith("fail ")
    assert "redrive policy" in told
    assert "remove it" in told
    assert site.consume().code == 4


def drained(site: Site) -> None:
    """Consume until SQS has nothing, neither waiting nor hidden by somebody who died."""
    until = time.monotonic() + 60
    while True:
        assert site.consume().code == 0
        if not any(site.harvest("queue", "lag", "--json").json.values()):
            return
        assert time.monotonic() < until


@pytest.mark.parametrize(("publish", "commit"), [("in_publish", "in_commit"), ("after_publish", "before_commit")])
def test_f01_f51_a_kill_in_the_middle_of_publish_and_of_commit_loses_and_doubles_nothing(
    site: Site, vendor: World, publish: str, commit: str
) -> None:
    name = site.settings.pop("SQS_QUEUE_NAME")
    site.settings["HARVESTER_QUEUE_URL"] = f"sqs:///{name}?groups=duckdb&visibility=1&pack=20"
    span = ("-s", stamp(NOON - HOUR), "-e", stamp(NOON))
    with site.process("useractions", *span, HARVESTER_CRASH_AT=f"queue.{publish}") as harvester:
        assert harvester.ended() == -signal.SIGKILL
    with site.process("consume", "duckdb", "--until-empty", HARVESTER_CRASH_AT=f"queue.{commit}") as consumer:
        assert consumer.ended() == -signal.SIGKILL
    assert site.harvest("useractions", *span).code == 0
    drained(site)
    assert site.held() == {number: action.outpoint for number, action in vendor.truth(NOON - HOUR, NOON).items()}
