"""The list of what is measured: every metric with its labels and its meaning; docs/metrics.md is made of it.

Labels are names from the configuration and words of fixed lists: never a user, an address, an id or a text.
"""

from collections.abc import Sequence
from platform import python_version
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from harvester import __version__
from harvester import errors as errors_module

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per counter that nobody reads

PREFIX = "harvester_"
REGISTRY = CollectorRegistry()
STAGES = ("read", "publish", "consume", "enrich", "write")
ERROR_TYPES = (
    *sorted(
        name
        for name, kind in vars(errors_module).items()
        if isinstance(kind, type) and issubclass(kind, errors_module.HarvesterError)
    ),
    "other",
)
STATES = ("paused", "standby", "running", "starting", "waiting", "degraded", "stopped")
CACHE_RESULTS = ("hit", "miss", "negative", "error")
LETTER_REASONS = (
    "pending",
    "mapping",
    "schema",
    "undecodable",
    "refused",
    "payload_too_large",
    "exception",
    "killed",
    "no_template",
    "other",
)
OUTCOMES = ("2xx", "3xx", "4xx", "5xx", "timeout", "error")
NOTICES = (
    *("accepted", "unwanted", "validated"),
    *("forged", "stale", "replayed", "unreadable"),
    *("too_large", "too_many", "incomplete"),
)
"""What becomes of a request to a webhook: it is good, it is refused, or not even read."""
WAIT_REASONS = ("outage", "unusable")
DROPS = (("unwanted", "true"), ("lost", "false"))
"""Why events do not come to a sink that are no letters either, and whether that is meant."""
VOLUMES = ("queue", "coverage", "letters")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LATENCY = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 10800.0, 21600.0, 43200.0, 86400.0)
EVENTS = (1.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0)
BYTES = tuple(float(2**power) for power in range(10, 27, 2))


class Definition(NamedTuple):
    """One metric as a reader meets it."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


DEFINITIONS: list[Definition] = []


def _defined(kind: str, name: str, help_: str, labels: tuple[str, ...]) -> tuple[str, str, tuple[str, ...]]:
    DEFINITIONS.append(Definition(PREFIX + name, kind, labels, help_))
    return PREFIX + name, help_, labels


def _counter(name: str, help_: str, *labels: str) -> Counter:
    return Counter(*_defined("counter", name, help_, labels), registry=REGISTRY)


def _gauge(name: str, help_: str, *labels: str) -> Gauge:
    return Gauge(*_defined("gauge", name, help_, labels), registry=REGISTRY)


def _histogram(name: str, help_: str, *labels: str, buckets: Sequence[float] = SECONDS) -> Histogram:
    return Histogram(*_defined("histogram", name, help_, labels), registry=REGISTRY, buckets=buckets)


_STREAM = ("source", "stream")
_ANY = ("source", "stream", "sink")
read = _counter("events_read_total", "Events that a source's pages held, repeats and broken records included.", *_STREAM)
published = _counter("events_published_total", "Events that the queue acknowledged.", *_STREAM)
late = _counter("events_late_total", "Events found by a second reading, in time that was read before.", *_STREAM)
consumed = _counter("events_consumed_total", "Events that a sink's group received.", "sink")
delivered = _counter("events_delivered_total", "Events that the sink confirmed.", "sink")
duplicate = _counter(
    "events_duplicate_total", "Events that the sink had already, in this state or a newer one, as far as it tells.", "sink"
)
filtered = _counter(
    "events_filtered_total",
    "Events passed over on purpose: recognised repeats (source, stream), or not for this sink (sink).",
    *_ANY,
)
dead_lettered = _counter("events_dead_lettered_total", "Events and records that became dead letters.", *_ANY)
dropped = _counter(
    "events_dropped_total",
    "Events that no sink gets and no letter keeps. unwanted: not for this sink; lost: gone from the queue before they were read.",
    "sink",
    "reason",
    "intentional",
)
pending = _counter("events_pending_total", "Events that were written without their enrichment, which is tried again.", "sink")
repaired = _counter("events_repaired_total", "Due letters that were tried again and are done with.", "sink")
errors = _counter("errors_total", "Errors by stage and class; what a retry cures is counted too.", "stage", "error_type")
watermark = _gauge("watermark_timestamp_seconds", "Up to this time everything since the start is read and final.", *_STREAM)
watermark_expected = _gauge(
    "watermark_expected_age_seconds",
    "How old the watermark becomes while all is well: a window, and its time to settle.",
    *_STREAM,
)
poll_interval = _gauge("poll_interval_seconds", "Seconds between two live polls of a source.")
stream_pause = _gauge(
    "stream_pause_seconds", "Seconds between two live polls of the stream, some of which rest longer.", *_STREAM
)
lag = _gauge("source_lag_seconds", "The vendor's now minus the live edge, when it was read last.", *_STREAM)
success = _gauge(
    "last_success_timestamp_seconds",
    "When a window, or a page that covers what it tells, was last read to its end, by our clock; before it, when it began.",
    *_STREAM,
)
catchup = _gauge("catchup_remaining_seconds", "Time between start and now that is not read yet.", *_STREAM)
gaps = _gauge("gaps", "Gaps: unread times between the start and the live edge.", *_STREAM)
skew = _gauge("source_clock_skew_seconds", "The vendor's clock minus ours.", "source")
source_state = _gauge("source_state", "1 for the worst state that the source or one of its streams is in.", "source", "state")
sink_state = _gauge("sink_state", "1 for the state that the sink is in.", "sink", "state")
sink_success = _gauge("sink_last_success_timestamp_seconds", "When a batch was last written, by our clock.", "sink")
lease_owner = _gauge("lease_owner", "1 while this process is the one that harvests the stream.", "source", "stream")
ratelimit_limit = _gauge("ratelimit_limit", "Requests that the vendor allows in one period, as it last said.", "source")
ratelimit_remaining = _gauge("ratelimit_remaining", "Requests that are left of them, as the vendor last said.", "source")
ratelimit_reset = _gauge("ratelimit_reset_timestamp_seconds", "When the next period begins, as the vendor last said.", "source")
ratelimit_wait = _counter("ratelimit_wait_seconds_total", "Seconds waited because the vendor asked for it.", "source")
budget_left = _gauge(
    "budget_left",
    "Requests (core) or points (graphql) that may still be spent in the running hour, of all processes and credentials together.",
    "source",
    "resource",
)
retry_wait = _counter("retry_wait_seconds_total", "Seconds waited before another try, by reason.", "source", "reason")
notices = _counter(
    "webhook_notices_total",
    "What was pushed to a webhook, by what became of it. accepted: it wakes a stream; forged: its signature is wrong.",
    "source",
    "outcome",
)
early_polls = _counter("early_polls_total", "Polls before their time, called for by a webhook.", *_STREAM)
requests = _histogram("http_request_duration_seconds", "Requests to a source.", "source", "endpoint", "code_class")
publish_time = _histogram("publish_duration_seconds", "From handing a batch to the queue to its acknowledgement.", "source")
batch_time = _histogram("batch_duration_seconds", "From receiving a batch to its commit.", "sink")
latency = _histogram(
    "end_to_end_latency_seconds",
    "From an event's own time, or that of a change, to its confirmation by the sink.",
    "sink",
    buckets=LATENCY,
)
batch_events = _histogram("batch_events", "Events in one batch of a sink.", "sink", buckets=EVENTS)
batch_bytes = _histogram("batch_bytes", "Bytes in one batch of a sink.", "sink", buckets=BYTES)
queue_depth = _gauge("queue_depth", "Messages that the queue keeps.", "queue")
queue_bytes = _gauge("queue_bytes", "Bytes that they take.", "queue")
queue_max = _gauge("queue_max_bytes", "Bytes that they may take; no series: as many as the disk or the server holds.", "queue")
queue_oldest = _gauge(
    "queue_oldest_age_seconds",
    "Age of the oldest message that some group has not committed, to a minute; 0: there is none.",
    "queue",
)
disk_free = _gauge("disk_free_bytes", "Bytes that are free where it is kept, for what is kept on this host.", "volume")
disk_size = _gauge("disk_size_bytes", "Bytes of that disk.", "volume")
consumer_lag = _gauge("consumer_lag", "Messages that the sink's group has not committed.", "sink")
STREAM_GAUGES = (watermark, watermark_expected, stream_pause, lag, success, catchup, gaps, lease_owner)
"""What is told of a stream as it is now, and of none that is no more."""
letters = _gauge(
    "dlq_events", "Dead letters of a sink, or of a source, that wait for another try or for a person.", "sink", "reason"
)
deaths = _gauge(
    "sink_deaths",
    "At how many ends in a row that nobody asked for the events of the last one had been in work; 0 after a good end.",
    "sink",
)
buffer_events = _gauge("buffer_events", "Events in flight to the sink.", "sink")
buffer_bytes = _gauge("buffer_bytes", "Bytes in flight to the sink.", "sink")
circuit = _gauge("circuit_state", "1 for the state that the sink's breaker is in.", "sink", "state")
cache = _counter(
    "cache_requests_total",
    "Look-ups in the metadata cache; negative: known to have nothing; error: a miss that could not be looked up.",
    "result",
)
loop_lag = _gauge("loop_lag_seconds", "How late the event loop is now; grows while it stands still.")
build = _gauge("build_info", "Always 1; the labels say what is running.", "version", "python")
config = _gauge("config_info", "Always 1; the digest changes with any setting but passwords and keys.", "hash")

build.labels(__version__, python_version()).set(1)
ProcessCollector(registry=REGISTRY)
