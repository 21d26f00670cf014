"""Metrics: what is counted is shown, every label set from the start, and served on loopback."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from harvester import measures, metrics
from harvester.errors import ConfigError, TransientError

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
    assert b"secret" not in metrics.exposition()


def test_waits_are_counted_by_their_reason(name: str) -> None:
    http = metrics.HttpMetrics(name)
    http.waited("rate_limited", 5)
    http.waited("outage", 2)
    assert value("ratelimit_wait_seconds_total", source=name) == 5
    assert value("retry_wait_seconds_total", source=name, reason="outage") == 2
    assert value("retry_wait_seconds_total", source=name, reason="unusable") == 0


def test_a_source_is_in_one_state(name: str) -> None:
    source = metrics.SourceMetrics(name)
    source.state("running")
    source.skew(-1.5)
    assert {s: value("source_state", source=name, state=s) for s in measures.SOURCE_STATES} == {
        "starting": 0,
        "running": 1,
        "waiting": 0,
        "stopped": 0,
    }
    assert value("source_clock_skew_seconds", source=name) == -1.5


def test_errors_are_counted_by_stage_and_class() -> None:
    before = value("errors_total", stage="write", error_type="TransientError") or 0
    metrics.error("write", TransientError("busy"))
    metrics.error("write", "TransientError")
    assert value("errors_total", stage="write", error_type="TransientError") == before + 2
    other = value("errors_total", stage="read", error_type="other") or 0
    metrics.error("read", ValueError("https://host/secret"))
    assert value("errors_total", stage="read", error_type="other") == other + 1


def test_the_small_ones_are_counted() -> None:
    before = value("cache_requests_total", result="hit") or 0
    metrics.cache("hit", 3)
    metrics.queue_depth("sqlite", 12)
    metrics.loop_lag(0.25)
    assert value("cache_requests_total", result="hit") == before + 3
    assert value("queue_depth", queue="sqlite") == 12
    assert value("loop_lag_seconds") == 0.25


def test_f16_the_exposition_parses_and_every_metric_of_ours_has_prefix_help_and_unit() -> None:
    families = list(text_string_to_metric_families(metrics.exposition().decode()))
    ours = {f.name for f in families if f.name.startswith("harvester_")}
    assert ours == {d.name.removesuffix("_total") for d in measures.DEFINITIONS}
    assert all(f.documentation for f in families)
    assert all(d.name.endswith("_total") == (d.type == "counter") for d in measures.DEFINITIONS)
    assert b"_created" not in metrics.exposition()
    assert "harvester_build_info" in ours


async def test_metrics_and_livez_are_served_on_loopback_while_the_block_runs() -> None:
    async def status(_: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async with metrics.serve("0", [web.get("/status", status)]) as address, aiohttp.ClientSession(f"http://{address}") as http:
        assert address.startswith("127.0.0.1:")
        async with http.get("/metrics") as answer:
            assert answer.content_type == "text/plain"
            assert b"harvester_build_info" in await answer.read()
        async with http.get("/livez") as answer:
            assert await answer.text() == "ok\n"
        async with http.get("/status") as answer:
            assert await answer.json() == {"ok": True}
        async with http.get("/debug") as answer:
            assert answer.status == 404
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", int(address.partition(":")[2]))


async def test_an_empty_address_serves_nothing() -> None:
    async with metrics.serve("") as address:
        assert address == ""


async def test_a_busy_port_says_what_where_why_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            async with metrics.serve(f"127.0.0.1:{port}"):
                pass
    text = str(caught.value)
    assert f"HARVESTER_LISTEN=127.0.0.1:{port}" in text
    assert "another process listens there" in text
    assert f"ss -ltnp sport = :{port}" in text


@pytest.mark.parametrize(
    ("listen", "why"), [("127.0.0.1:99999", "no address"), ("192.0.2.1:9464", "no address of this host"), ("x", "no address")]
)
async def test_an_address_that_cannot_be_had_is_a_setting_at_fault(listen: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        async with metrics.serve(listen):
            pass
