"""`harvest doctor` where queue, coverage, letters and cache are on servers: the way there, leases, and conditional writes."""

import asyncio
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harvester.access import Access
from harvester.commands.checks import Finding, run
from harvester.commands.checks.servers import server_checks
from harvester.objects import open_objects
from harvester.settings import CoreSettings
from tests.integration.test_cli_daemon import free_port, listening
from tests.integration.test_cli_doctor import doctor, findings
from tests.integration.test_s3 import in_front, place
from tests.services import Server
from tests.site import HOUR, Site, stamp, world

KEYS = {"aws_access_key_id": "any", "aws_secret_access_key": "secret-canary"}


async def looked(core: CoreSettings, seconds: float = 5) -> dict[str, Finding]:
    """The findings of the servers, the last of each name."""
    return {one.name: one for found in await run(list(server_checks(core, seconds)), 3 * seconds) for one in found}


def leased(site: Site) -> dict[str, Any]:
    """What doctor finds, once it sees who harvests; empty before."""
    found = findings(doctor(site))
    return found if "leases" in found else {}


def test_f12_f13_the_way_to_each_server_its_leases_and_what_it_keeps_are_looked_at(
    tmp_path: Path, redis: Server, s3: Server
) -> None:
    asyncio.run(place(s3.url))
    prefix = secrets.token_hex(8)
    with world(now=datetime.now(UTC), speed=1) as vendor:
        site = listening(
            tmp_path,
            vendor.url,
            HARVESTER_COVERAGE_URL=f"{redis.url}/0?prefix={prefix}",
            HARVESTER_CACHE_URL=f"{redis.url}/1",
            HARVESTER_LETTERS_URL=f"s3://books/{prefix}",
            HARVESTER_AWS_ENDPOINT_URL=s3.url,
            HARVESTER_AWS_REGION="eu-west-1",
            HARVESTER_AWS_ACCESS_KEY_ID="any",
            HARVESTER_AWS_SECRET_ACCESS_KEY="secret-canary",
        )
        site.settings["HARVESTER_OPENCAST_START"] = stamp(datetime.now(UTC) - HOUR)
        with site.process("run") as daemon:
            found = daemon.until(lambda: leased(site))
            assert f"pid {daemon.pid}" in found["leases"]["text"]
            assert daemon.stop() == 0
    assert found["coverage server: port"]["state"] == found["letters server: port"]["state"] == "ok"
    assert "cache server: port" not in found  # the same server is asked once
    assert found["coverage: redis"]["state"] == found["cache: redis"]["state"] == "ok"
    assert found["leases"]["text"].startswith("opencast/useractions is harvested by ")
    assert found["letters"]["state"] == "ok"


async def test_a_server_that_is_away_is_a_finding_with_the_settings_to_look_at() -> None:
    port = free_port()
    core = CoreSettings(coverage_url=f"redis://127.0.0.1:{port}/0", cache_url=f"redis://127.0.0.1:{port}/1")
    found = await looked(core)
    away = found["coverage server: port"]
    assert (away.state, str(port) in away.text) == ("fail", True)
    assert away.fix
    assert found["redis"].state == "fail"
    unknown = await looked(CoreSettings(queue_url="kafka://no-such-host.invalid:9092/x", letters_url="file://letters"))
    assert unknown["queue server: name"].state == "fail"
    assert "HARVESTER_QUEUE_URL" in unknown["queue server: name"].fix


async def test_every_broker_of_a_kafka_url_is_looked_for() -> None:
    ports = [free_port(), free_port()]
    core = CoreSettings(queue_url=f"kafka://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/x", letters_url="file://letters")
    told = [one.text for found in await run(list(server_checks(core, 5)), 15) for one in found if one.name.endswith("port")]
    assert len(told) == 2
    assert all(any(str(port) in text for text in told) for port in ports)


async def test_f12_s3_is_asked_whether_it_enforces_conditions_and_nothing_of_that_stays(s3: Server) -> None:
    url = await place(s3.url)
    found = await looked(CoreSettings(coverage_url=url, **KEYS))
    assert found["coverage: s3"].state == "ok"
    async with open_objects(url, Access.model_validate(KEYS)) as objects:
        assert [name async for name in objects.names("")] == []


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
async def test_f12_a_store_that_ignores_conditions_is_found_and_nothing_of_that_stays(s3: Server, header: str) -> None:
    await place(s3.url)
    async with in_front(s3.url, without=(header,)) as way:
        url = await place(way)
        found = await looked(CoreSettings(coverage_url=url, **KEYS))
        assert found["s3"].state == "fail"
        assert header in found["s3"].text
        async with open_objects(url, Access.model_validate(KEYS)) as objects:
            assert [name async for name in objects.names("")] == []


async def test_files_need_no_way() -> None:
    assert list(server_checks(CoreSettings(), 1)) == []


def test_topics_that_are_missing_are_found_and_made_by_the_command_that_is_named(tmp_path: Path, kafka: Server) -> None:
    url = f"kafka://{kafka.url.rpartition('://')[2]}/{secrets.token_hex(6)}"
    with world(now=datetime.now(UTC), speed=1) as vendor:
        site = Site(tmp_path, vendor.url, HARVESTER_QUEUE_URL=url, HARVESTER_LETTERS_URL=f"file://{tmp_path}/letters")
        before = findings(doctor(site))
        assert before["queue server: port"]["state"] == "ok"
        assert before["queue"]["state"] == "fail"
        assert "harvest setup" in before["queue"]["text"] + before["queue"]["fix"]
        made = site.harvest("setup")
        assert made.code == 0, made.err
        assert findings(doctor(site))["queue"]["state"] == "ok"
