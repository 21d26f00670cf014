"""Metrics: what the loops counted, for Prometheus. One call a batch; every label set exists from the start.

What there is to measure stands in `measures`; here it is counted, and served.
"""

import errno
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from prometheus_client import Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from harvester import measures
from harvester.errors import ConfigError

if TYPE_CHECKING:
    from aiohttp.web import Request, Response, RouteDef

LOOPBACK = "127.0.0.1"
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

    def waited(self, reason: str, seconds: float) -> None:
        """A wait of one of the reasons of `harvester.retry`."""
        self._retry_waits.get(reason, self._ratelimit_wait).inc(seconds)


class SourceMetrics:
    """What is known of one source as a whole."""

    def __init__(self, source: str) -> None:
        self._skew = measures.skew.labels(source)
        self._states = {state: measures.source_state.labels(source, state) for state in measures.SOURCE_STATES}
        self.state("starting")

    def state(self, now: Literal["starting", "running", "waiting", "stopped"]) -> None:
        """The state it is in from now on."""
        for state, child in self._states.items():
            child.set(state == now)

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
        self._letters = {reason: measures.letters.labels(sink, reason) for reason in measures.LETTER_REASONS}
        self._time = measures.batch_time.labels(sink)
        self._events = measures.batch_events.labels(sink)
        self._bytes = measures.batch_bytes.labels(sink)
        self._latency = measures.latency.labels(sink)
        self._lag = measures.consumer_lag.labels(sink)
        self._buffer_events = measures.buffer_events.labels(sink)
        self._buffer_bytes = measures.buffer_bytes.labels(sink)
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

    def dead_lettered(self, events: int) -> None:
        self._dead_lettered.inc(events)

    def pending(self, events: int) -> None:
        self._pending.inc(events)

    def repaired(self, letters: int) -> None:
        self._repaired.inc(letters)

    def letters(self, held: Mapping[str, int]) -> None:
        """How many dead letters the sink has, by reason; those of a reason that is not listed count as other."""
        other = sum(amount for reason, amount in held.items() if reason not in self._letters)
        for reason, child in self._letters.items():
            child.set(held.get(reason, 0) + (other if reason == "other" else 0))

    def batch(self, events: int, bytes: int, seconds: float) -> None:  # noqa: A002
        """A batch that is committed: its size, and the time since it was received."""
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


def error(stage: str, error: BaseException | str) -> None:
    """Count an error (or the name of its class) in one of `measures.STAGES`."""
    kind = error if isinstance(error, str) else type(error).__name__
    _errors[stage, kind if kind in measures.ERROR_TYPES else "other"].inc()


def cache(result: Literal["hit", "miss", "negative", "error"], lookups: int = 1) -> None:
    """Count look-ups in the metadata cache."""
    _lookups[result].inc(lookups)


def queue_depth(queue: str, messages: int) -> None:
    """`queue` is the kind of queue: sqlite, kafka, sqs."""
    measures.queue_depth.labels(queue).set(messages)


def loop_lag(seconds: float) -> None:
    measures.loop_lag.set(seconds)


def exposition() -> bytes:
    """All metrics in Prometheus' text form."""
    return generate_latest(measures.REGISTRY)


@asynccontextmanager
async def serve(listen: str, routes: Iterable["RouteDef"] = ()) -> AsyncIterator[str]:
    """Serve /metrics, /livez and `routes` on `listen` (HOST:PORT, or a port on loopback) while the block runs.

    Yields the address as host:port, "" when `listen` is empty and nothing is served. Raises ConfigError when the
    address cannot be had.
    """
    if not listen:
        yield ""
        return
    from aiohttp import web  # noqa: PLC0415 - one-shot commands count without serving

    host, port = _address(listen)
    app = web.Application()
    app.add_routes([web.get("/metrics", _metrics), web.get("/livez", _livez), *routes])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ConfigError(_unavailable(listen, host, port, error)) from error
        bound = runner.addresses[0]
        yield f"{host}:{bound[1]}"
    finally:
        await runner.cleanup()


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"HARVESTER_LISTEN: {listen!r} is no address; write HOST:PORT, like 127.0.0.1:9464")
    return host.strip("[]") or LOOPBACK, int(port)


def _unavailable(listen: str, host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        why, ways = "another process listens there", f"`ss -ltnp sport = :{port}` names it; stop it, or choose another port"
    elif error.errno == errno.EACCES:
        why, ways = "this user may not listen there", "choose a port above 1023"
    else:
        why, ways = (
            f"{host} is no address of this host ({error.strerror or error})",
            f"write {LOOPBACK}:{port}, or 0.0.0.0:{port} for all",
        )
    return f"HARVESTER_LISTEN={listen}: metrics cannot be served: {why}; {ways} (HARVESTER_LISTEN= switches this off)"


async def _metrics(_: "Request") -> "Response":
    from aiohttp import web  # noqa: PLC0415 - as above

    return web.Response(body=exposition(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


async def _livez(_: "Request") -> "Response":
    """An answer means that the event loop turns; nothing outside is asked."""
    from aiohttp import web  # noqa: PLC0415 - as above

    return web.Response(text="ok\n")
