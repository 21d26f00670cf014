"""Traces: spans of poll → publish → consume → index, a span a batch, sent to a collector by OTLP over HTTP. Off until asked for.

Messages carry the W3C `traceparent` of their publish (https://www.w3.org/TR/trace-context/), so that one trace goes through all
processes. A batch of several publishes has the first for its parent and links to the others. While it is off nothing of
OpenTelemetry is imported, and a span costs one comparison.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from harvester import __version__
from harvester.errors import ConfigError
from harvester.protocols import Delivery, Message

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext, Tracer

HEADER = "traceparent"
MESSAGES = "messaging.batch.message_count"
"""An attribute, by the name of OpenTelemetry's semantic conventions."""
_PATH = "/v1/traces"
_SECONDS = 3.0
"""How long one export may take: a collector that is away holds no stop up for longer."""
_MOST_LINKS = 32
_OFF: AbstractContextManager[None] = nullcontext()
_tracer: "Tracer | None" = None

Kind = Literal["internal", "client", "producer", "consumer"]
Attributes = Mapping[str, str | int]


@asynccontextmanager
async def exporting(url: str) -> AsyncIterator[None]:
    """Send spans to the collector at `url`, http://127.0.0.1:4318 for example, while the block runs; the last ones at its end.

    `url` empty: where OTEL_EXPORTER_OTLP_ENDPOINT says, else nowhere. What a collector refuses or misses is logged and forgotten:
    no event waits for it. ConfigError: no such address, or the library is missing.
    """
    global _tracer  # noqa: PLW0603 - one for the process, so that a span costs nothing while there is none
    endpoint = url or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    if not endpoint:
        yield
        return
    if urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname:
        raise ConfigError("HARVESTER_TRACES_URL is no address: write http://127.0.0.1:4318")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - as said above
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(f"HARVESTER_TRACES_URL needs {error.name}: install event-harvester[otel]") from error
    resource = Resource.create({"service.name": "event-harvester", "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    full = endpoint if endpoint.endswith(_PATH) else endpoint.rstrip("/") + _PATH
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=full, timeout=_SECONDS)))
    _tracer = provider.get_tracer("harvester", __version__)
    try:
        yield
    finally:
        _tracer = None
        # Not on the loop's own threads, which are waited for when it ends: the last batches may need several exports.
        last = threading.Thread(target=provider.shutdown, daemon=True)
        last.start()
        await asyncio.to_thread(last.join, _SECONDS)


def span(name: str, kind: Kind = "internal", attributes: Attributes | None = None) -> AbstractContextManager[None]:
    """A span below the one that is open in this task, or below none."""
    return _OFF if _tracer is None else _open(_tracer, name, kind, attributes or {}, ())


def receiving(name: str, deliveries: Sequence[Delivery], attributes: Attributes | None = None) -> AbstractContextManager[None]:
    """A span below the publish that the deliveries come from; further ones are linked."""
    if _tracer is None:
        return _OFF
    told = dict.fromkeys(d.message.headers.get(HEADER, "") for d in deliveries)
    batch = {"messaging.operation.type": "process", MESSAGES: len(deliveries), **(attributes or {})}
    return _open(_tracer, name, "consumer", batch, [one for one in told if one][:_MOST_LINKS])


def marked(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages with the open span in their headers; as they are while there is none."""
    here = _here()
    if here is None:
        return messages
    header = {HEADER: f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"}
    return [Message(key, body, {**headers, **header}) for key, body, headers in messages]


def current() -> Mapping[str, str]:
    """The ids of the open span, by ECS's names, for lines of the log; empty while there is none."""
    here = _here()
    return {} if here is None else {"trace.id": f"{here.trace_id:032x}", "span.id": f"{here.span_id:016x}"}


def _here() -> "SpanContext | None":
    if _tracer is None:
        return None
    from opentelemetry import trace  # noqa: PLC0415 - imported already

    context = trace.get_current_span().get_span_context()
    return context if context.is_valid else None


@contextmanager
def _open(tracer: "Tracer", name: str, kind: Kind, attributes: Attributes, parents: Sequence[str]) -> Iterator[None]:
    from opentelemetry import trace  # noqa: PLC0415 - imported already

    contexts = [context for context in map(_context, parents) if context.is_valid]
    parent = trace.set_span_in_context(trace.NonRecordingSpan(contexts[0])) if contexts else None
    links = [trace.Link(context) for context in contexts[1:]]
    # The text of an error is not sent: it may hold a part of an answer.
    opened = tracer.start_as_current_span(
        name,
        context=parent,
        kind=trace.SpanKind[kind.upper()],
        attributes=attributes,
        links=links,
        record_exception=False,
        set_status_on_exception=False,
    )
    with opened as current_span:
        try:
            yield
        except BaseException as error:
            current_span.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise


def _context(traceparent: str) -> "SpanContext":
    """Of a header; one that is none is not valid."""
    from opentelemetry.context import Context  # noqa: PLC0415
    from opentelemetry.trace import get_current_span  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 - as above

    found = TraceContextTextMapPropagator().extract({HEADER: traceparent}, context=Context())
    return get_current_span(found).get_span_context()
