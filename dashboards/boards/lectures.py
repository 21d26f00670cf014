"""The dashboard *Lectures*: who watches which recordings, when, how far, with what and from where."""

from consumers.records.opencast import ANONYMOUS, UserAction
from dashboards.builder.aggregation import Aggregation, Cases, Is, Newest, Not, Ranges, Times, Top, count, distinct, total
from dashboards.builder.board import Board, Chart, Control, Rows, Text
from dashboards.builder.listing import Listing

_FOOTPRINT = (Is("action.type", ("FOOTPRINT",)),)
_PLAYING = (Is("action.type", ("PLAY", "HEARTBEAT", "FOOTPRINT")), Is("action.is_playing", (True,)))
_HOW = Cases("how", {"recorded": (Is("is_live", (False,)),), "live": (Is("is_live", (True,)),)})
_SESSIONS = distinct("session_id", "sessions")
_VIEWERS = distinct("huid", "viewers", where=(Not(Is("huid", (ANONYMOUS,))),))
_HOURS = total("action.length", "hours watched", unit="hours", where=_FOOTPRINT)
_FIVE_MINUTES = tuple(range(0, 7201, 300))

_OVERVIEW = """**Lectures** · [Meetings](#/view/harvester-meetings) · \
[Pull requests](#/view/harvester-pull_requests) · [Harvester](#/view/harvester-harvester)

What is watched, when, how far and from where. A *session* is one visit of the player, a *viewer* a person whose id is known. \
Hours watched are the sum of the player's footprints. Places need `HARVESTER_GEOIP_PATH`."""


def _asked(*measures: object, by: tuple[object, ...] = (), where: tuple[object, ...] = ()) -> Aggregation:
    return Aggregation(UserAction, measures, by, where)  # type: ignore[arg-type]


BOARD = Board(
    name="lectures",
    title="Lectures",
    about="Who watches which lecture recordings: when, live or recorded, how far, with what and from where.",
    rows=(
        (Text("Overview", width=48, height=4, markdown=_OVERVIEW),),
        (
            Chart("Sessions", "metric", 12, 6, _asked(_SESSIONS), "Visits of the player."),
            Chart(
                "Viewers",
                "metric",
                12,
                6,
                _asked(_VIEWERS),
                "Different people, of those whose id the player knows: who is not logged in is left out.",
            ),
            Chart(
                "Recordings", "metric", 12, 6, _asked(distinct("mpid", "recordings")), "Different recordings that were opened."
            ),
            Chart("Hours watched", "metric", 12, 6, _asked(_HOURS), "The length of all footprints together."),
        ),
        (
            Chart(
                "Sessions by day, live and recorded",
                "bar_stacked",
                34,
                12,
                _asked(_SESSIONS, by=(_HOW, Times("day"))),
                "Visits of each day. One that goes on past midnight counts on both days.",
            ),
            Chart(
                "Plays, live and recorded",
                "donut",
                14,
                12,
                _asked(count("plays"), by=(_HOW,), where=(Is("action.type", ("PLAY",)),)),
                "How often somebody pressed play, in a live stream or in a recording.",
            ),
        ),
        (
            Chart(
                "Most watched recordings",
                "table",
                48,
                15,
                Aggregation(
                    UserAction,
                    (_SESSIONS, _VIEWERS, count("plays", where=(Is("action.type", ("PLAY",)),)), _HOURS),
                    (Top("mpid", "recording", 15),),
                    names=(Newest("episode.title", "title"), Newest("episode.course", "course")),
                ),
                "The recordings with the most sessions, under the title and course of the newest action that knows them. "
                "One that the search service never knew has none.",
            ),
        ),
        (
            Chart(
                "Where in the recording they are",
                "bar",
                30,
                12,
                _asked(_SESSIONS, by=(Ranges("action.inpoint", "minute of the recording", _FIVE_MINUTES, 60),), where=_PLAYING),
                "Sessions that played something of each five minutes: where the columns fall, viewers leave.",
            ),
            Chart(
                "Most watched courses",
                "bar_horizontal",
                18,
                12,
                _asked(_SESSIONS, by=(Top("episode.course", "course", 10),)),
                "Series by their sessions.",
            ),
        ),
        (
            Chart("Systems", "donut", 16, 12, _asked(_SESSIONS, by=(Top("ua.os_name", "system", 8),)), "Operating systems."),
            Chart(
                "Browsers and apps",
                "bar_horizontal",
                16,
                12,
                _asked(_SESSIONS, by=(Top("ua.name", "browser", 10),)),
                "By the family that a user agent names; what no browser is stands there too.",
            ),
            Chart(
                "Kinds of action",
                "table",
                16,
                12,
                _asked(count("actions"), _SESSIONS, by=(Top("action.type", "action", 20),)),
                "What viewers do, in the player's own words: an open set.",
            ),
        ),
        (
            Chart(
                "Countries",
                "bar_horizontal",
                24,
                9,
                _asked(_SESSIONS, by=(Top("geoip.country_name", "country", 10),)),
                "By the viewer's address, as the file of places knows it.",
            ),
            Chart(
                "Cities",
                "table",
                24,
                9,
                _asked(_SESSIONS, _VIEWERS, by=(Top("geoip.country_name", "country", 10), Top("geoip.city_name", "city", 10))),
                "Within each country, where the file of places knows the city.",
            ),
        ),
        (
            Rows(
                "Newest actions",
                48,
                14,
                Listing(UserAction, ("episode.course", "episode.title", "action.type", "action.inpoint", "is_live", "huid")),
                "What was done last, one document a row; each opens to all of its fields.",
            ),
        ),
    ),
    controls=(
        Control(UserAction, "episode.course", "Course"),
        Control(UserAction, "episode.title", "Recording"),
        Control(UserAction, "is_live", "Live"),
    ),
)
