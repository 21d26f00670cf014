"""Metrics: what is counted is shown, every label set from the start."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from harvester import measures, metrics
from harvester.commands.room import room
from harvester.errors import TransientError
from harvester.retry import OutageError
from harvester.settings import CoreSettings

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def value(name: str, **labels: str) -> float | None:
    return measures.REGISTRY.get_sample_value(f"harvester_{name}", labels)


@pytest.fixture
def name() -> str:
    return f"x{uuid4().hex[:8]}"


def test_every_series_of_a_stream_exists_from_zero(name: str) -> None:
    metrics.StreamMetrics(name, "s")
    for counter in ("read", "published", "late"):
        assert value(f"events_{counter}_total", source=name, stream="s") == 0
    for counter in ("filtered", "dead_lettered"):
        assert value(f"events_{counter}_total", source=name, stream="s", sink="") == 0
    assert value("gaps", source=name, stream="s") == 0


def test_every_series_of_a_sink_exists_from_zero(name: str) -> None:
    metrics.SinkMetrics(name)
    for counter in ("consumed", "delivered", "duplicate"):
        assert value(f"events_{counter}_total", sink=name) == 0
    for counter in ("filtered", "dead_lettered"):
        assert value(f"events_{counter}_total", source="", stream="", sink=name) == 0
    assert value("batch_duration_seconds_count", sink=name) == 0
    assert value("circuit_state", sink=name, state="closed") == 1


def test_a_stream_counts_what_its_loop_tells(name: str) -> None:
    stream = metrics.StreamMetrics(name, "s")
    stream.read(10)
    stream.published(7, 0.2)
    stream.filtered(2)
    stream.dead_lettered(1)
    stream.late(3)
    labels = {"source": name, "stream": "s"}
    assert [value(f"events_{n}_total", **labels) for n in ("read", "published", "late")] == [10, 7, 3]
    assert [value(f"events_{n}_total", **labels, sink="") for n in ("filtered", "dead_lettered")] == [2, 1]
    assert value("publish_duration_seconds_count", source=name) == 1


def test_progress_tells_watermark_lag_gaps_and_success(name: str) -> None:
    stream = metrics.StreamMetrics(name, "s")
    labels = {"source": name, "stream": "s"}
    stream.progress(None, None, NOW, 0)
    assert value("watermark_timestamp_seconds", **labels) == 0
    stream.progress(NOW - timedelta(hours=6), NOW - timedelta(seconds=90), NOW, 2)
    assert value("watermark_timestamp_seconds", **labels) == (NOW - timedelta(hours=6)).timestamp()
    assert value("source_lag_seconds", **labels) == value("catchup_remaining_seconds", **labels) == 90
    assert value("gaps", **labels) == 2
    success = value("last_success_timestamp_seconds", **labels)
    assert success is not None
    assert abs(success - datetime.now(UTC).timestamp()) < 60
    stream.progress(None, NOW, NOW, 0, remaining=7200)
    assert value("catchup_remaining_seconds", **labels) == 7200


def test_a_stream_that_begins_has_read_nothing_since_now_and_not_since_1970(name: str) -> None:
    metrics.StreamMetrics(name, "s").expects(60, 60)
    success = value("last_success_timestamp_seconds", source=name, stream="s")
    assert success is not None
    assert abs(success - datetime.now(UTC).timestamp()) < 60


def test_b62_what_may_still_be_spent_is_told_for_each_resource(name: str) -> None:
    metrics.budget(name, "core", 4400)
    metrics.budget(name, "graphql", 12)
    assert [value("budget_left", source=name, resource=one) for one in ("core", "graphql")] == [4400, 12]


def test_a_sink_counts_what_its_loop_tells(name: str) -> None:
    sink = metrics.SinkMetrics(name)
    sink.consumed(10)
    sink.delivered(8)
    sink.duplicate(1)
    sink.filtered(1)
    sink.dead_lettered(1)
    sink.batch(10, 16000, 0.3)
    sink.latency([2.0, 3.0])
    sink.latency(4.0)
    sink.lag(42)
    sink.buffer(5, 600)
    sink.breaker(open=True)
    assert [value(f"events_{n}_total", sink=name) for n in ("consumed", "delivered", "duplicate")] == [10, 8, 1]
    assert (value("batch_bytes_sum", sink=name), value("batch_events_sum", sink=name)) == (16000, 10)
    assert value("end_to_end_latency_seconds_count", sink=name) == 3
    assert (value("consumer_lag", sink=name), value("buffer_events", sink=name), value("buffer_bytes", sink=name)) == (42, 5, 600)
    assert (value("circuit_state", sink=name, state="open"), value("circuit_state", sink=name, state="closed")) == (1, 0)


def test_requests_are_counted_by_endpoint_and_outcome_never_by_a_foreign_word(name: str) -> None:
    http = metrics.HttpMetrics(name)
    for outcome in ("2xx", "timeout", "https://host/secret"):
        http.request("actions", outcome, 0.1)
    count = "http_request_duration_seconds_count"
    assert value(count, source=name, endpoint="actions", code_class="2xx") == 1
    assert value(count, source=name, endpoint="actions", code_class="error") == 1
    assert value(count, source=name, endpoint="actions", code_class="4xx") == 0
    assert b"secret" not in metrics.exposition()[0]


def test_waits_are_counted_by_their_reason(name: str) -> None:
    http = metrics.HttpMetrics(name)
    http.waited("rate_limited", 5)
    http.waited("outage", 2)
    assert value("ratelimit_wait_seconds_total", source=name) == 5
    assert value("retry_wait_seconds_total", source=name, reason="outage") == 2
    assert value("retry_wait_seconds_total", source=name, reason="unusable") == 0


def test_a_source_and_a_sink_are_in_one_state(name: str) -> None:
    metrics.SourceMetrics(name).skew(-1.5)
    metrics.source_state(name, "waiting")
    metrics.sink_state(name, "running")
    assert [s for s in measures.STATES if value("source_state", source=name, state=s)] == ["waiting"]
    assert [s for s in measures.STATES if value("sink_state", sink=name, state=s)] == ["running"]
    assert value("source_state", source=name, state="stopped") == 0
    assert value("source_clock_skew_seconds", source=name) == -1.5


def test_errors_are_counted_by_stage_and_class() -> None:
    before = value("errors_total", stage="write", error_type="TransientError") or 0
    metrics.error("write", TransientError("busy"))
    metrics.error("write", "TransientError")
    assert value("errors_total", stage="write", error_type="TransientError") == before + 2
    other = value("errors_total", stage="read", error_type="other") or 0
    metrics.error("read", ValueError("https://host/secret"))
    assert value("errors_total", stage="read", error_type="other") == other + 1
    metrics.error("write", OutageError("one of ours, by its parent's name"))
    assert value("errors_total", stage="write", error_type="TransientError") == before + 3


def test_the_small_ones_are_counted() -> None:
    before = value("cache_requests_total", result="hit") or 0
    metrics.cache("hit", 3)
    metrics.queue("sqlite", 12, 4096, 3.5)
    metrics.queue("sqs", None, None, None)
    metrics.loop_lag(0.25)
    metrics.lag("elsewhere", 7)
    metrics.lease("s", "t", held=True)
    assert value("cache_requests_total", result="hit") == before + 3
    assert [value(f"queue_{n}", queue="sqlite") for n in ("depth", "bytes", "oldest_age_seconds")] == [12, 4096, 3.5]
    assert value("queue_depth", queue="sqs") is None
    assert (value("consumer_lag", sink="elsewhere"), value("lease_owner", source="s", stream="t")) == (7, 1)
    assert value("loop_lag_seconds") == 0.25


def test_one_digest_of_the_settings_is_told() -> None:
    metrics.config("aa")
    metrics.config("bb")
    assert (value("config_info", hash="aa"), value("config_info", hash="bb")) == (None, 1)


def test_f16_the_exposition_parses_and_every_metric_of_ours_has_prefix_help_and_unit() -> None:
    families = list(text_string_to_metric_families(metrics.exposition()[0].decode()))
    ours = {f.name for f in families if f.name.startswith("harvester_")}
    assert ours == {d.name.removesuffix("_total") for d in measures.DEFINITIONS}
    assert all(f.documentation for f in families)
    assert all(d.name.endswith("_total") == (d.type == "counter") for d in measures.DEFINITIONS)
    assert b"_created" not in metrics.exposition()[0]
    assert "harvester_build_info" in ours


def test_what_no_sink_gets_is_told_with_whether_it_is_meant(name: str) -> None:
    sink = metrics.SinkMetrics(name)
    for reason, intentional in measures.DROPS:
        assert value("events_dropped_total", sink=name, reason=reason, intentional=intentional) == 0
    sink.filtered(2)
    sink.lost(3)
    assert value("events_dropped_total", sink=name, reason="unwanted", intentional="true") == 2
    assert value("events_dropped_total", sink=name, reason="lost", intentional="false") == 3


def test_a_rate_limit_is_shown_as_far_as_the_vendor_tells_it(name: str) -> None:
    http = metrics.HttpMetrics(name)
    http.allowance(5000, None, NOW.timestamp())
    assert value("ratelimit_limit", source=name) == 5000
    assert value("ratelimit_remaining", source=name) is None
    assert value("ratelimit_reset_timestamp_seconds", source=name) == NOW.timestamp()


def test_room_is_told_of_what_is_kept_here_and_of_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    urls = {"queue_url": f"sqlite:///{folder}/queue.db?max_bytes=2GiB", "coverage_url": "redis://nowhere/0"}
    measures.disk_size.clear()
    room(CoreSettings(**urls, letters_url=f"file://{folder}/letters"))
    assert value("queue_max_bytes", queue="sqlite") == 2**31
    size, free = value("disk_size_bytes", volume="letters"), value("disk_free_bytes", volume="queue")
    assert size
    assert free is not None
    assert 0 <= free <= size
    assert value("disk_size_bytes", volume="coverage") is None


def test_who_accepts_openmetrics_gets_it() -> None:
    body, kind = metrics.exposition("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    families = openmetrics(body.decode())  # type: ignore[no-untyped-call]
    assert {family.name for family in families} >= {"harvester_build_info", "harvester_events_read"}
    body, kind = metrics.exposition("text/html")
    assert kind.startswith("text/plain")
    assert not body.endswith(b"# EOF\n")
