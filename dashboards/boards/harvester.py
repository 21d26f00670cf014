"""The dashboard *Harvester*: how far behind the sources and sinks are, what goes through, and what did not get through."""

from consumers.records.harvester import ConsumerMinute, WindowRead
from dashboards.builder.aggregation import Aggregation, Known, Times, Top, average, greatest, total
from dashboards.builder.board import Board, Chart, Text

_SOURCES, _SINKS = Top("source", "source", 8), Top("sink", "sink", 8)
_STREAMS = Top("stream", "stream", 10)
_HOURLY = Times("hour")
_LAG = greatest("lag_seconds", "lag", unit="minutes")
_GAP = greatest("gap_seconds", "not read", unit="hours")
_WAITING = greatest("lag", "waiting")

_OVERVIEW = """[Lectures](#/view/harvester-lectures) · [Meetings](#/view/harvester-meetings) · \
[Pull requests](#/view/harvester-pull_requests) · **Harvester**

What the harvester tells of itself (`HARVESTER_OWN_EVENTS`): each window that it read, each minute of a consumer. While \
nothing comes it tells little: a line that ends is no alarm. Alarms are those of Prometheus; the next step is `harvest status`."""

BOARD = Board(
    name="harvester",
    title="Harvester",
    about="Whether the harvest is up to date and complete: lag, throughput, dead letters, gaps, and the limits of the vendors.",
    rows=(
        (Text("Overview", width=48, height=4, markdown=_OVERVIEW),),
        (
            Chart(
                "Events published",
                "metric",
                12,
                6,
                Aggregation(WindowRead, (total("published", "events published"),)),
                "What the queue took of all sources.",
            ),
            Chart(
                "Largest lag",
                "metric",
                12,
                6,
                Aggregation(WindowRead, (greatest("lag_seconds", "largest lag of a source", unit="minutes"),)),
                "How far the newest time that is read was behind the vendor's now, at worst.",
            ),
            Chart(
                "Largest gap",
                "metric",
                12,
                6,
                Aggregation(WindowRead, (greatest("gap_seconds", "not read before the live edge", unit="hours"),)),
                "Time between the start of a stream and its live edge that was not read, at worst: `harvest coverage gaps`.",
            ),
            Chart(
                "Refused by sinks",
                "metric",
                12,
                6,
                Aggregation(ConsumerMinute, (total("dead_lettered", "events refused by sinks"),)),
                "What became dead letters: `harvest dead-letters list`.",
            ),
        ),
        (
            Chart(
                "Lag of the sources",
                "line",
                24,
                11,
                Aggregation(WindowRead, (_LAG,), (_SOURCES, _HOURLY)),
                "The vendor's now minus the live edge, the largest of each hour.",
            ),
            Chart(
                "Events by source",
                "bar_stacked",
                24,
                11,
                Aggregation(WindowRead, (total("published", "events"),), (_SOURCES, _HOURLY)),
                "What was published in each hour. After an outage the backlog comes at once.",
            ),
        ),
        (
            Chart(
                "Waiting for sinks",
                "line",
                24,
                11,
                Aggregation(ConsumerMinute, (_WAITING,), (_SINKS, _HOURLY)),
                "Messages that a sink had not committed at the end of a minute, the most of each hour.",
            ),
            Chart(
                "Events by sink",
                "line",
                24,
                11,
                Aggregation(ConsumerMinute, (total("delivered", "events"),), (_SINKS, _HOURLY)),
                "What each sink confirmed in each hour, the harvester's own events included.",
            ),
        ),
        (
            Chart(
                "Streams",
                "table",
                48,
                9,
                Aggregation(
                    WindowRead,
                    (
                        total("published", "published"),
                        total("filtered", "repeats"),
                        total("dead_lettered", "unreadable"),
                        total("windows", "windows"),
                        total("seconds", "time spent", unit="minutes"),
                        _LAG,
                        _GAP,
                    ),
                    (_SOURCES, _STREAMS),
                ),
                "Of each stream what was read, how long that took, and how far behind and incomplete it was at worst.",
            ),
        ),
        (
            Chart(
                "Sinks",
                "table",
                48,
                8,
                Aggregation(
                    ConsumerMinute,
                    (
                        total("delivered", "delivered"),
                        total("filtered", "not wanted"),
                        total("dead_lettered", "refused"),
                        total("pending", "pending"),
                        total("repaired", "repaired"),
                        total("batch_seconds", "in batches", unit="minutes"),
                        _WAITING,
                    ),
                    (_SINKS,),
                ),
                "What became of the events of each sink, and how many waited at worst. Pending ones get their enrichment later.",
            ),
        ),
        (
            Chart(
                "Dead letters held",
                "line",
                24,
                11,
                Aggregation(ConsumerMinute, (greatest("letters", "letters"),), (_SINKS, _HOURLY)),
                "How many letters a sink had, those that wait for their enrichment included.",
            ),
            Chart(
                "Gaps",
                "line",
                24,
                11,
                Aggregation(WindowRead, (_GAP,), (_SOURCES, _HOURLY)),
                "Hours that are not read, of the stream that has most; what was skipped stays so until `harvest coverage fill`.",
            ),
        ),
        (
            Chart(
                "Calls to vendors",
                "line",
                16,
                11,
                Aggregation(WindowRead, (total("calls", "calls"),), (_SOURCES, _HOURLY)),
                "Requests in each hour.",
            ),
            Chart(
                "Waited",
                "line",
                16,
                11,
                Aggregation(WindowRead, (total("waited_seconds", "waited", unit="minutes"),), (_SOURCES, _HOURLY)),
                "For a turn within the limits, and before another try.",
            ),
            Chart(
                "Calls left",
                "line",
                16,
                11,
                Aggregation(WindowRead, (average("calls_left", "calls left"),), (_SOURCES, _HOURLY), (Known("calls_left"),)),
                "What the vendor still allows in its period, of the vendors that have such a limit; at 0 the harvest waits.",
            ),
        ),
        (
            Chart(
                "Memory of consumers",
                "line",
                48,
                9,
                Aggregation(ConsumerMinute, (greatest("memory_bytes", "memory", unit="bytes"),), (_SINKS, _HOURLY)),
                "Of the largest member of each group.",
            ),
        ),
    ),
    past="now-24h",
)
