"""Three consumers on real Kafka and Elasticsearch, as `make several` has them, for as long as a test may take."""

from pathlib import Path

from tests.several.scale import Plan, prove


async def test_members_come_and_go_and_the_sink_is_away_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    plan = Plan(events=16_000, rate=700, away=4, rounds=1, settles=2)
    report = await prove(plan, tmp_path)
    assert report.broken() == []
    assert report.kills, "none was killed while events flowed"
