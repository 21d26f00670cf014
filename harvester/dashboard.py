"""What Grafana shows of the metrics: one dashboard, written by `make docs` to docker/grafana/dashboards/harvester.json.

Shapes as in https://grafana.com/docs/grafana/latest/visualizations/dashboards/build-dashboards/view-dashboard-json-model/.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

UID = "event-harvester"
"""Fixed, so that links to it last and provisioning replaces it."""
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH = 24
_STREAM = '{source=~"$source"}'
_SINK = '{sink=~"$sink"}'
_WRONG = 'state=~"waiting|degraded|stopped"'


class Panel(NamedTuple):
    """One graph: its title, its unit in Grafana's words, and each curve's legend with its PromQL. `about`: what to look for."""

    title: str
    unit: str
    curves: Mapping[str, str]
    about: str = ""
    kind: str = "timeseries"
    width: int = 8
    height: int = 7


def _stat(title: str, query: str, about: str) -> Panel:
    return Panel(title, "short", {"": query}, about, "stat", 4, 4)


def _rate(metric: str, by: str, labels: str) -> str:
    return f"sum by ({by}) (rate(harvester_{metric}{labels}[$__rate_interval]))"


def _quantiles(metric: str, by: str, labels: str) -> Mapping[str, str]:
    return {
        f"{{{{{by}}}}} {share:.0%}": f"histogram_quantile({share}, {_rate(f'{metric}_bucket', f'{by}, le', labels)})"
        for share in (0.5, 0.95)
    }


def _newest(metric: str, labels: str = _STREAM, by: str = "source, stream") -> str:
    # Several processes may tell of one stream: the best informed counts.
    return f"max by ({by}) (harvester_{metric}{labels})"


_OF_STREAM = "{{source}}/{{stream}}"
ROWS: Mapping[str, Sequence[Panel]] = {
    "Health": [
        _stat("Processes", "count(harvester_build_info)", "None: nobody harvests, or nobody can be asked."),
        _stat("Sources in trouble", f"sum(max by (source) (harvester_source_state{{{_WRONG}}}))", "`harvest status` says why."),
        _stat("Sinks in trouble", f"sum(max by (sink) (harvester_sink_state{{{_WRONG}}}))", "`harvest status` says why."),
        _stat("Lost", 'sum(increase(harvester_events_dropped_total{intentional="false"}[$__range]))', "Has to be 0."),
        _stat("Dead letters", "sum(max by (sink, reason) (harvester_dlq_events))", "They wait for another try, or for a person."),
        _stat("Open breakers", 'sum(max by (sink) (harvester_circuit_state{state="open"}))', "The sink refuses too much."),
        Panel("Errors", "cps", {"{{stage}} {{error_type}}": _rate("errors_total", "stage, error_type", "") + " > 0"}, width=12),
        Panel(
            "From event to sink",
            "s",
            _quantiles("end_to_end_latency_seconds", "sink", _SINK),
            "A backfill shows old events.",
            width=12,
        ),
    ],
    "Sources": [
        Panel("Read", "cps", {_OF_STREAM: _rate("events_read_total", "source, stream", _STREAM)}),
        Panel("Published", "cps", {_OF_STREAM: _rate("events_published_total", "source, stream", _STREAM)}),
        Panel(
            "Repeats, late, dead-lettered",
            "cps",
            {
                "filtered": _rate("events_filtered_total", "source", _STREAM),
                "late": _rate("events_late_total", "source", _STREAM),
                "dead-lettered": _rate("events_dead_lettered_total", "source", _STREAM),
            },
        ),
        Panel("Behind the vendor", "s", {_OF_STREAM: _newest("source_lag_seconds")}),
        Panel(
            "Age of the watermark",
            "s",
            {
                _OF_STREAM: f"time() - ({_newest('watermark_timestamp_seconds')} > 0)",
                "normal": _newest("watermark_expected_age_seconds"),
            },
            "What is older is read and final.",
        ),
        Panel("Time since a window was read", "s", {_OF_STREAM: f"time() - ({_newest('last_success_timestamp_seconds')} > 0)"}),
        Panel("Unread time", "s", {_OF_STREAM: _newest("catchup_remaining_seconds")}),
        Panel("Gaps", "short", {_OF_STREAM: _newest("gaps")}),
        Panel("Clock of the vendor minus ours", "s", {"{{source}}": _newest("source_clock_skew_seconds", by="source")}),
        Panel("State", "short", {"{{source}} {{state}}": f"{_newest('source_state', by='source, state')} > 0"}),
        Panel("Streams that a process has", "short", {"{{instance}}": "sum by (instance) (harvester_lease_owner)"}),
        Panel("Publishing", "s", _quantiles("publish_duration_seconds", "source", _STREAM)),
        Panel(
            "Notices of webhooks", "cps", {"{{source}} {{outcome}}": _rate("webhook_notices_total", "source, outcome", _STREAM)}
        ),
        Panel("Early polls", "cps", {_OF_STREAM: _rate("early_polls_total", "source, stream", _STREAM)}),
    ],
    "Queue": [
        Panel("Messages", "short", {"{{queue}}": "max by (queue) (harvester_queue_depth)"}),
        Panel(
            "Bytes",
            "bytes",
            {"{{queue}}": "max by (queue) (harvester_queue_bytes)", "limit": "max by (queue) (harvester_queue_max_bytes)"},
        ),
        Panel("Age of the oldest unread", "s", {"{{queue}}": "max by (queue) (harvester_queue_oldest_age_seconds)"}),
    ],
    "Sinks": [
        Panel("Consumed", "cps", {"{{sink}}": _rate("events_consumed_total", "sink", _SINK)}),
        Panel("Delivered", "cps", {"{{sink}}": _rate("events_delivered_total", "sink", _SINK)}),
        Panel("Lag", "short", {"{{sink}}": _newest("consumer_lag", _SINK, "sink")}),
        Panel(
            "Duplicate, dropped, dead-lettered",
            "cps",
            {
                "{{sink}} duplicate": _rate("events_duplicate_total", "sink", _SINK),
                "{{sink}} {{reason}}": _rate("events_dropped_total", "sink, reason", _SINK),
                "{{sink}} dead-lettered": _rate("events_dead_lettered_total", "sink", _SINK),
            },
        ),
        Panel(
            "Pending and repaired",
            "cps",
            {
                "{{sink}} pending": _rate("events_pending_total", "sink", _SINK),
                "{{sink}} repaired": _rate("events_repaired_total", "sink", _SINK),
            },
        ),
        Panel("Deaths at the same events", "short", {"{{instance}} {{sink}}": "max by (instance, sink) (harvester_sink_deaths)"}),
        Panel("Dead letters", "short", {"{{sink}} {{reason}}": f"{_newest('dlq_events', by='sink, reason', labels='')} > 0"}),
        Panel("One batch", "s", _quantiles("batch_duration_seconds", "sink", _SINK)),
        Panel("Events in a batch", "short", _quantiles("batch_events", "sink", _SINK)),
        Panel("Bytes in a batch", "bytes", _quantiles("batch_bytes", "sink", _SINK)),
        Panel("Events in flight", "short", {"{{sink}}": f"sum by (sink) (harvester_buffer_events{_SINK})"}),
        Panel("Bytes in flight", "bytes", {"{{sink}}": f"sum by (sink) (harvester_buffer_bytes{_SINK})"}),
        Panel(
            "Time since a batch was written",
            "s",
            {"{{sink}}": f"time() - ({_newest('sink_last_success_timestamp_seconds', _SINK, 'sink')} > 0)"},
        ),
        Panel("State", "short", {"{{sink}} {{state}}": f"{_newest('sink_state', _SINK, 'sink, state')} > 0"}),
        Panel("Breaker", "short", {"{{sink}} {{state}}": f"{_newest('circuit_state', _SINK, 'sink, state')} > 0"}),
        Panel("Look-ups of metadata", "cps", {"{{result}}": _rate("cache_requests_total", "result", "")}),
    ],
    "Rate limits": [
        Panel(
            "Left of the rate limit",
            "percentunit",
            {"{{source}}": f"{_newest('ratelimit_remaining', by='source')} / {_newest('ratelimit_limit', by='source')}"},
            "Only of vendors that tell it.",
        ),
        Panel(
            "May still be spent",
            "short",
            {"{{source}} {{resource}}": _newest("budget_left", by="source, resource")},
            "By all processes together, in the running hour.",
        ),
        Panel(
            "Until the next period", "s", {"{{source}}": f"{_newest('ratelimit_reset_timestamp_seconds', by='source')} - time()"}
        ),
        Panel(
            "Waiting",
            "percentunit",
            {
                "{{source}} rate limit": _rate("ratelimit_wait_seconds_total", "source", _STREAM),
                "{{source}} {{reason}}": _rate("retry_wait_seconds_total", "source, reason", _STREAM),
            },
            "Share of the time in which we wait before another try.",
        ),
        Panel(
            "Requests",
            "cps",
            {"{{source}} {{code_class}}": _rate("http_request_duration_seconds_count", "source, code_class", _STREAM)},
        ),
        Panel("One request", "s", _quantiles("http_request_duration_seconds", "source", _STREAM)),
    ],
    "Process": [
        Panel("Lateness of the event loop", "s", {"{{instance}}": "harvester_loop_lag_seconds"}),
        Panel("Memory", "bytes", {"{{instance}}": "process_resident_memory_bytes"}),
        Panel("Processors", "percentunit", {"{{instance}}": "rate(process_cpu_seconds_total[$__rate_interval])"}),
        Panel("Open files", "short", {"{{instance}}": "process_open_fds"}),
        Panel(
            "Free on the disks",
            "percentunit",
            {"{{instance}} {{volume}}": "harvester_disk_free_bytes / harvester_disk_size_bytes"},
        ),
        Panel("Version", "short", {"{{instance}} {{version}} Python {{python}}": "harvester_build_info"}),
    ],
}


def dashboard() -> str:
    """The file, as Grafana provisions it."""
    model = {
        "uid": UID,
        "title": "Event harvester",
        "tags": ["event-harvester"],
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "schemaVersion": 39,
        "editable": False,
        "templating": {
            "list": [_datasource(), _variable("source", "harvester_source_state"), _variable("sink", "harvester_sink_state")]
        },
        "panels": list(_panels()),
    }
    return json.dumps(model, indent=1) + "\n"


def _datasource() -> Mapping[str, Any]:
    return {
        "name": "datasource",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
    }


def _variable(label: str, metric: str) -> Mapping[str, Any]:
    query = f"label_values({metric}, {label})"
    return {
        "name": label,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": label},
        "refresh": 2,  # whenever the time changes
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> Iterator[Mapping[str, Any]]:
    """Row by row, each panel where there is room for it."""
    number, y = 1, 0
    for title, panels in ROWS.items():
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": _place(0, y, _WIDTH, 1), "panels": []}
        number, x, y, height = number + 1, 0, y + 1, 0
        for panel in panels:
            if x + panel.width > _WIDTH:
                x, y, height = 0, y + height, 0
            yield _panel(number, panel, _place(x, y, panel.width, panel.height))
            number, x, height = number + 1, x + panel.width, max(height, panel.height)
        y += height


def _place(x: int, y: int, width: int, height: int) -> Mapping[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(number: int, panel: Panel, place: Mapping[str, int]) -> Mapping[str, Any]:
    targets = [
        {"refId": chr(ord("A") + i), "datasource": _DATASOURCE, "expr": query, "legendFormat": legend or "__auto"}
        for i, (legend, query) in enumerate(panel.curves.items())
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": targets,
    }
