"""What `harvest doctor` finds at a Kafka cluster."""

from typing import Any

from harvester.commands.checks import Finding, kafka
from harvester.queues.kafka import prepare
from harvester.settings import CoreSettings
from tests.servers.protocols import Server
from tests.unit.kafkaqueues import made


async def found(url: str) -> list[Finding]:
    told: list[Finding] = []
    settings: dict[str, Any] = {"queue_url": url, "letters_url": "sqlite:///letters.db"}
    await kafka.look(CoreSettings(**settings), told.append)
    return told


async def test_a_sound_queue_is_told_in_one_line(kafka: Server) -> None:
    (finding,) = await found(await made(kafka.url, "partitions=4"))
    assert (finding.state, finding.text) == ("ok", "1 broker, 4 partitions, messages kept for 7 days")


async def test_missing_topics_are_named_with_what_makes_them(kafka: Server) -> None:
    (finding,) = await found(f"kafka://{kafka.url}/never-made")
    assert (finding.state, finding.fix) == ("fail", "make them: harvest setup")
    assert "never-made.events and none never-made.counts" in finding.text


async def test_limits_of_the_brokers_that_would_stop_us_are_found_before_they_do(kafka: Server) -> None:
    url = await made(kafka.url, "partitions=1&retention_days=30")
    (offsets,) = await found(url)
    assert (offsets.state, "30 days" in offsets.text) == ("warn", True)
    wrong = await found(url.replace("retention_days=30", "session_timeout=3600&max_message=4MiB"))
    assert [(finding.state, finding.text.split("=")[0]) for finding in wrong] == [
        ("fail", "session_timeout"),
        ("fail", "max_message"),
        ("warn", offsets.text),
    ]
    assert list(await prepare(url)) == []
