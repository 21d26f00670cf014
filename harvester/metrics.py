"""Metrics: what the loops counted, for Prometheus. One call a batch; every label set exists from the start.

What there is to measure stands in `measures`; here it is counted. `endpoints` serves it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from prometheus_client import Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from harvester import measures

_errors = {(s, e): measures.errors.labels(s, e) for s in measures.STAGES for e in measures.ERROR_TYPES}
_lookups = {result: measures.cache.labels(result) for result in measures.CACHE_RESULTS}


class StreamMetrics:
    """What the harvest loop counts for one stream."""

    def __init__(self, source: str, stream: str) -> None:
        labels = (source, stream)
        self._read = measures.read.labels(*labels)
        self._published = measures.published.labels(*labels)
        self._late = measures.late.labels(*labels)
        self._filtered = measures.filtered.labels(*labels, "")
        self._dead_lettered = measures.dead_lettered.labels(*labels, "")
        self._watermark = measures.watermark.labels(*labels)
        self._expected = measures.watermark_expected.labels(*labels)
        self._pause = measures.stream_pause.labels(*labels)
        self._lag = measures.lag.labels(*labels)
        self._success = measures.success.labels(*labels)
        self._catchup = measures.catchup.labels(*labels)
        self._gaps = measures.gaps.labels(*labels)
        self._publish_time = measures.publish_time.labels(source)

    def read(self, events: int) -> None:
        self._read.inc(events)

    def published(self, events: int, seconds: float | None = None) -> None:
        """A batch that the queue acknowledged, and how long that took."""
        self._published.inc(events)
        if seconds is not None:
            self._publish_time.observe(seconds)

    def filtered(self, events: int) -> None:
        self._filtered.inc(events)

    def dead_lettered(self, events: int) -> None:
        self._dead_lettered.inc(events)

    def late(self, events: int) -> None:
        self._late.inc(events)

    def expects(self, seconds: float, pause: float) -> None:
        """How old the watermark becomes while all is well, and how many seconds pass between two polls. The stream begins now."""
        self._expected.set(seconds)
        self._pause.set(pause)
        self.advanced()

    def advanced(self) -> None:
        """A page within a window became durable, and what it covers: a long window is no silence."""
        self._success.set_to_current_time()

    def progress(
        self, watermark: datetime | None, live_edge: datetime | None, now: datetime, gaps: int, remaining: float | None = None
    ) -> None:
        """Where the stream stands after a window; `remaining`: unread seconds, by default all since the live edge."""
        self._success.set_to_current_time()
        self._gaps.set(gaps)
        if watermark is not None:
            self._watermark.set(watermark.timestamp())
        if live_edge is not None:
            behind = (now - live_edge).total_seconds()
            self._lag.set(behind)
            self._catchup.set(behind if remaining is None else remaining)


def retired(source: str, stream: str) -> None:
    """There is no such stream any more: nothing is told of how it is. What was counted stays."""
    for gauge in measures.STREAM_GAUGES:
        gauge.remove(source, stream)


class HttpMetrics:
    """What a source's HTTP client is heard of: its requests and its waits."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._ratelimit_wait = measures.ratelimit_wait.labels(source)
        self._retry_waits = {reason: measures.retry_wait.labels(source, reason) for reason in measures.WAIT_REASONS}
        self._requests: dict[tuple[str, str], Histogram] = {}

    def request(self, endpoint: str, outcome: str, seconds: float) -> None:
        """One request, under the endpoint's name (never its URL), and one of OUTCOMES; others count as error."""
        if (endpoint, "error") not in self._requests:
            for each in measures.OUTCOMES:
                self._requests[endpoint, each] = measures.requests.labels(self._source, endpoint, each)
        self._requests.get((endpoint, outcome), self._requests[endpoint, "error"]).observe(seconds)

    def allowance(self, limit: int | None, remaining: int | None, reset: float | None) -> None:
        """What the vendor said of its rate limit; `reset` in seconds since 1970. None: it did not say."""
        for gauge, amount in (
            (measures.ratelimit_limit, limit),
            (measures.ratelimit_remaining, remaining),
            (measures.ratelimit_reset, reset),
        ):
            if amount is not None:
                gauge.labels(self._source).set(amount)

    def waited(self, reason: str, seconds: float) -> None:
        """A wait of one of the reasons of `harvester.retry`."""
        self._retry_waits.get(reason, self._ratelimit_wait).inc(seconds)


def budget(source: str, resource: str, left: int) -> None:
    """What of a resource of a vendor may still be spent."""
    measures.budget_left.labels(source, resource).set(left)


class SourceMetrics:
    """What is known of one source as a whole."""

    def __init__(self, source: str) -> None:
        self._skew = measures.skew.labels(source)
        for state in measures.STATES:
            measures.source_state.labels(source, state)

    def skew(self, seconds: float) -> None:
        """The vendor's clock minus ours."""
        self._skew.set(seconds)


class SinkMetrics:
    """What the consume loop counts for one sink."""

    def __init__(self, sink: str) -> None:
        self._consumed = measures.consumed.labels(sink)
        self._delivered = measures.delivered.labels(sink)
        self._duplicate = measures.duplicate.labels(sink)
        self._filtered = measures.filtered.labels("", "", sink)
        self._dead_lettered = measures.dead_lettered.labels("", "", sink)
        self._pending = measures.pending.labels(sink)
        self._repaired = measures.repaired.labels(sink)
        self._deaths = measures.deaths.labels(sink)
        self._sink = sink
        for reason in measures.LETTER_REASONS:
            measures.letters.labels(sink, reason)
        self._dropped = {reason: measures.dropped.labels(sink, reason, meant) for reason, meant in measures.DROPS}
        self._time = measures.batch_time.labels(sink)
        self._events = measures.batch_events.labels(sink)
        self._bytes = measures.batch_bytes.labels(sink)
        self._latency = measures.latency.labels(sink)
        self._lag = measures.consumer_lag.labels(sink)
        self._buffer_events = measures.buffer_events.labels(sink)
        self._buffer_bytes = measures.buffer_bytes.labels(sink)
        self._success = measures.sink_success.labels(sink)
        self._closed = measures.circuit.labels(sink, "closed")
        self._open = measures.circuit.labels(sink, "open")
        self.breaker(open=False)

    def consumed(self, events: int) -> None:
        self._consumed.inc(events)

    def delivered(self, events: int) -> None:
        self._delivered.inc(events)

    def duplicate(self, events: int) -> None:
        self._duplicate.inc(events)

    def filtered(self, events: int) -> None:
        self._filtered.inc(events)
        self._dropped["unwanted"].inc(events)

    def lost(self, events: int) -> None:
        """Events that were gone from the queue before this sink read them."""
        self._dropped["lost"].inc(events)

    def dead_lettered(self, events: int) -> None:
        self._dead_lettered.inc(events)

    def pending(self, events: int) -> None:
        self._pending.inc(events)

    def repaired(self, letters: int) -> None:
        self._repaired.inc(letters)

    def deaths(self, times: int) -> None:
        """At how many ends in a row the events of the last one had been in work; 0 after a good end."""
        self._deaths.set(times)

    def letters(self, held: Mapping[str, int]) -> None:
        """How many dead letters the sink has, by reason; those of a reason that is not listed count as other."""
        letters(self._sink, held)

    def batch(self, events: int, bytes: int, seconds: float) -> None:  # noqa: A002
        """A batch that is written: its size, and the time since it was received."""
        self._success.set_to_current_time()
        self._events.observe(events)
        self._bytes.observe(bytes)
        self._time.observe(seconds)

    def latency(self, seconds: float | Iterable[float]) -> None:
        """From event time to confirmation: one observation a batch (its oldest event), or a few."""
        for one in (seconds,) if isinstance(seconds, int | float) else seconds:
            self._latency.observe(one)

    def buffer(self, events: int, bytes: int) -> None:  # noqa: A002
        """What is in flight now."""
        self._buffer_events.set(events)
        self._buffer_bytes.set(bytes)

    def lag(self, messages: int) -> None:
        self._lag.set(messages)

    def breaker(self, open: bool) -> None:  # noqa: A002
        self._open.set(open)
        self._closed.set(not open)


def source_state(source: str, now: str) -> None:
    """The state it is in from now on: the worst of its streams."""
    _one_of(measures.source_state, source, now)


def sink_state(sink: str, now: str) -> None:
    _one_of(measures.sink_state, sink, now)


def _one_of(gauge: Gauge, name: str, now: str) -> None:
    for state in measures.STATES:
        gauge.labels(name, state).set(state == now)


def error(stage: str, error: BaseException | str, amount: int = 1) -> None:
    """Count errors (or the name of its class) in one of `measures.STAGES`; one that has no name of ours by its parent's."""
    names = [error] if isinstance(error, str) else [kind.__name__ for kind in type(error).__mro__]
    _errors[stage, next((name for name in names if name in measures.ERROR_TYPES), "other")].inc(amount)


def cache(result: str, lookups: int = 1) -> None:
    """Count look-ups in the metadata cache, by one of CACHE_RESULTS."""
    _lookups[result].inc(lookups)


def queue(kind: str, messages: int | None, size: int | None, oldest_age: float | None) -> None:
    """What a queue of this kind (sqlite, kafka, sqs) keeps: messages, bytes, and the age in seconds of the oldest that some group
    has not committed; None: it cannot tell.
    """
    for gauge, amount in (
        (measures.queue_depth, messages),
        (measures.queue_bytes, size),
        (measures.queue_oldest, oldest_age),
    ):
        if amount is not None:
            gauge.labels(kind).set(amount)


def queue_limit(kind: str, size: int) -> None:
    """How many bytes a queue of this kind may take."""
    measures.queue_max.labels(kind).set(size)


def disk(volume: str, free: int, size: int) -> None:
    """Bytes free, and in all, where one of VOLUMES is kept."""
    measures.disk_free.labels(volume).set(free)
    measures.disk_size.labels(volume).set(size)


def poll_interval(seconds: float) -> None:
    measures.poll_interval.set(seconds)


def letters(group: str, held: Mapping[str, int]) -> None:
    """How many dead letters a sink or a source has, by reason; those of a reason that is not listed count as other."""
    other = sum(amount for reason, amount in held.items() if reason not in measures.LETTER_REASONS)
    for reason in measures.LETTER_REASONS:
        measures.letters.labels(group, reason).set(held.get(reason, 0) + (other if reason == "other" else 0))


def lag(sink: str, messages: int) -> None:
    """Of a group that may be read by another process."""
    measures.consumer_lag.labels(sink).set(messages)


def lease(source: str, stream: str, *, held: bool) -> None:
    """Whether this process harvests the stream."""
    measures.lease_owner.labels(source, stream).set(held)


def notice(source: str, outcome: str, amount: int = 1) -> None:
    """Count what was pushed to a source's webhook, by one of `measures.NOTICES`; 0 makes the series."""
    measures.notices.labels(source, outcome).inc(amount)


def early_poll(source: str, stream: str, amount: int = 1) -> None:
    """Count polls that a webhook called for; 0 makes the series."""
    measures.early_polls.labels(source, stream).inc(amount)


def config(digest: str) -> None:
    """The digest of all settings but the secrets."""
    measures.config.clear()
    measures.config.labels(digest).set(1)


def loop_lag(seconds: float) -> None:
    measures.loop_lag.set(seconds)


def exposition(accept: str = "") -> tuple[bytes, str]:
    """All metrics, and their content type: OpenMetrics for who accepts it (an `Accept` header), else Prometheus' text form."""
    encode, kind = choose_encoder(accept)
    return encode(measures.REGISTRY), kind
