"""The dashboard *Meetings*: which meetings there were, how large and long, whose, and how people came in."""

from consumers.records.zoom import Meeting, Session
from dashboards.builder.aggregation import (
    Aggregation,
    Cases,
    Is,
    Known,
    Newest,
    Ranges,
    Times,
    Top,
    average,
    count,
    distinct,
    greatest,
    total,
)
from dashboards.builder.board import Board, Chart, Control, Rows, Text
from dashboards.builder.listing import Listing

_MEETINGS = count("meetings")
_STAYS = count("stays")
_HOURS = total("duration", "hours", unit="hours")
_INSIDE = (Is("status", ("in_meeting",)),)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
_MINUTES = tuple(minutes * 60 for minutes in (0, 5, 15, 30, 45, 60, 90, 120))
_STAYED = tuple(minutes * 60 for minutes in (0, 1, 5, 15, 30, 60, 90))
_USED = Cases(
    "used",
    {
        "computer audio": (Is("has_voip", (True,)),),
        "telephone": (Is("has_pstn", (True,)),),
        "camera": (Is("has_video", (True,)),),
        "shared screen": (Is("has_screen_share", (True,)),),
        "recording": (Is("recording", (True,)),),
    },
)
_CAME = Cases(
    "who", {"with an account": (Known("id"),), "in the waiting room": (Is("status", ("in_waiting_room",)),), "all stays": ()}
)

_OVERVIEW = """[Lectures](#/view/harvester-lectures) · **Meetings** · \
[Pull requests](#/view/harvester-pull_requests) · [Harvester](#/view/harvester-harvester)

Past meetings and who was in them. A *stay* goes from entering to leaving: who comes back has another, who waits to be let in \
has one in the waiting room. Device, network and place are told by Zoom's dashboard (Business and higher), not by its reports."""

BOARD = Board(
    name="meetings",
    title="Meetings",
    about="Which meetings there were: when, how large and long, whose, and how and from where people came in.",
    rows=(
        (Text("Overview", width=48, height=4, markdown=_OVERVIEW),),
        (
            Chart("Meetings", "metric", 12, 6, Aggregation(Meeting, (_MEETINGS,)), "Past meetings, each instance of a series."),
            Chart(
                "Hours of meetings",
                "metric",
                12,
                6,
                Aggregation(Meeting, (total("duration", "hours of meetings", unit="hours"),)),
                "Their lengths together.",
            ),
            Chart(
                "Hours of participants",
                "metric",
                12,
                6,
                Aggregation(Session, (total("duration", "hours of participants", unit="hours"),), where=_INSIDE),
                "All stays in meetings together, without the waiting rooms.",
            ),
            Chart(
                "Hosts", "metric", 12, 6, Aggregation(Meeting, (distinct("host.email", "hosts"),)), "Different accounts that met."
            ),
        ),
        (
            Chart(
                "Meetings by day",
                "bar",
                24,
                11,
                Aggregation(Meeting, (_MEETINGS,), (Times("day"),)),
                "By the day on which they began.",
            ),
            Chart(
                "Minutes by day",
                "line",
                24,
                11,
                Aggregation(Session, (total("duration", "minutes of participants", unit="minutes"),), (Times("day"),), _INSIDE),
                "What all participants stayed together, by the day on which they came.",
            ),
        ),
        (
            Chart(
                "Sizes",
                "bar",
                24,
                11,
                Aggregation(Meeting, (_MEETINGS,), (Ranges("distinct_participants", "participants", _SIZES),)),
                "Meetings by how many different people were in them; those of which only entries are known are left out.",
            ),
            Chart(
                "Lengths",
                "bar",
                24,
                11,
                Aggregation(Meeting, (_MEETINGS,), (Ranges("duration", "minutes", _MINUTES, 60),)),
                "Meetings by how many minutes they lasted.",
            ),
        ),
        (
            Chart(
                "Hosts, by meetings",
                "table",
                48,
                14,
                Aggregation(
                    Meeting,
                    (
                        _MEETINGS,
                        _HOURS,
                        average("distinct_participants", "participants on the average"),
                        greatest("distinct_participants", "at most"),
                    ),
                    (Top("host.email", "account", 15),),
                    names=(Newest("host.host", "host"),),
                ),
                "Who holds meetings, under the name in the newest of them, and how large they are.",
            ),
        ),
        (
            Chart(
                "Network",
                "donut",
                16,
                12,
                Aggregation(Session, (_STAYS,), (Top("network_type", "network", 8),), _INSIDE),
                "What people were connected by: of a bad meeting the first thing to look at.",
            ),
            Chart(
                "Devices",
                "bar_horizontal",
                16,
                12,
                Aggregation(Session, (_STAYS,), (Top("device", "device", 10),), _INSIDE),
                "What people joined with.",
            ),
            Chart(
                "What meetings used",
                "bar_horizontal",
                16,
                12,
                Aggregation(Meeting, (_MEETINGS,), (_USED,)),
                "Meetings in which somebody used it; one may be in several bars.",
            ),
        ),
        (
            Chart(
                "How long people stay",
                "bar",
                24,
                11,
                Aggregation(Session, (_STAYS,), (Ranges("duration", "minutes", _STAYED, 60),), _INSIDE),
                "Stays by minutes. Many short ones are people who could not hear or see, and tried again.",
            ),
            Chart(
                "Stays by day",
                "line",
                24,
                11,
                Aggregation(Session, (_STAYS,), (_CAME, Times("day"))),
                "All of them, those of people with an account (the others are guests), and those in a waiting room.",
            ),
        ),
        (
            Chart(
                "Countries",
                "bar_horizontal",
                20,
                9,
                Aggregation(Session, (_STAYS,), (Top("country", "country", 10),), _INSIDE),
                "As Zoom says it: two letters, or what stands there instead.",
            ),
            Chart(
                "Cities",
                "table",
                28,
                9,
                Aggregation(
                    Session,
                    (_STAYS, distinct("meeting", "meetings"), total("duration", "hours", unit="hours")),
                    (Top("country", "country", 10), Top("city", "city", 10)),
                    _INSIDE,
                ),
                "Within each country, where Zoom says the city.",
            ),
        ),
        (
            Chart(
                "Series and rooms",
                "table",
                48,
                14,
                Aggregation(
                    Meeting,
                    (_MEETINGS, _HOURS, total("participant_sessions", "entries")),
                    (Top("series_id", "number", 20),),
                    names=(Newest("topic", "topic"),),
                ),
                "Each number of a series, or of somebody's personal room, with the topic of its newest meeting.",
            ),
        ),
        (
            Rows(
                "Newest stays",
                48,
                14,
                Listing(Session, ("meeting", "user_name", "role", "status", "device", "network_type", "country", "duration")),
                "Who came last, one document a row; each opens to all of its fields. The length is in seconds.",
            ),
        ),
    ),
    controls=(Control(Meeting, "series_id", "Number of the meeting"), Control(Meeting, "event.module", "Source")),
)
