"""Which fields of Zoom's records are about people: rows of the dashboard and of reports, alone or as events hold them."""

from collections.abc import Collection

from harvester.privacy import Fields, Kind

_SCALARS = (
    *("uuid", "id", "type", "start_time", "end_time", "duration", "timezone", "user_type", "dept", "source"),
    *("participants", "participants_count", "total_minutes", "in_room_participants", "distinct_participants"),
    *("has_pstn", "has_voip", "has_3rd_party_audio", "has_video", "has_screen_share", "has_recording", "recording", "has_sip"),
    *("has_archiving", "has_poll", "has_qa", "has_survey", "audio_quality", "video_quality", "screen_share_quality"),
)
_MEETING: Fields = {
    **dict.fromkeys(_SCALARS, Kind.KEEP),
    "host_id": Kind.USER,
    **dict.fromkeys(("host", "user_name", "host_name"), Kind.NAME),
    **dict.fromkeys(("email", "user_email"), Kind.MAIL),
    "topic": Kind.TEXT,
}
_STAY = (
    *("user_id", "join_time", "leave_time", "duration", "role", "status", "device", "os", "os_version", "browser_name"),
    *("browser_version", "client", "version", "location", "cn", "country", "city", "network_type", "connection_type"),
    *("data_center", "full_data_center", "share_application", "share_desktop", "share_whiteboard", "recording", "failover"),
    *("audio_quality", "video_quality", "screen_share_quality", "in_room_participants", "bo_mtg_id", "internal_user"),
)
_PARTICIPANT: Fields = {
    **dict.fromkeys(_STAY, Kind.KEEP),
    **dict.fromkeys(("id", "participant_user_id", "participant_uuid", "registrant_id", "customer_key"), Kind.USER),
    **dict.fromkeys(("user_name", "name"), Kind.NAME),
    **dict.fromkeys(("email", "user_email"), Kind.MAIL),
    **dict.fromkeys(("ip_address", "internal_ip_addresses"), Kind.ADDRESS),
}
"""`user_id` is a number within one meeting, and a part of the session's key. Names of devices, reasons for leaving and whatever
else people can put their name into is not passed on."""
_USER: Fields = {
    **dict.fromkeys(("day", "type", "dept"), Kind.KEEP),
    "id": Kind.USER,
    "user_name": Kind.NAME,
    "email": Kind.MAIL,
}
_MEETING_EVENT: Fields = {
    "meeting": _MEETING,
    "host_id": Kind.USER,
    **dict.fromkeys(("from", "day", "distinct_participants"), Kind.KEEP),
}
# The topic often holds the host's name, who is not in the row of a participant: a session needs it not.
_SESSION_EVENT: Fields = {
    "meeting": {"uuid": Kind.KEEP, "id": Kind.KEEP},
    "participant": _PARTICIPANT,
    "participants": Kind.KEEP,
}


def fields(names: Collection[str]) -> Fields:
    """Those of a meeting's event, of a session's or what stands for missing ones, or of a bare row that became none of them."""
    if {"participant", "participants"} & set(names) and "meeting" in names:
        return _SESSION_EVENT
    if "meeting" in names:
        return _MEETING_EVENT
    if "uuid" in names:
        return _MEETING
    return _PARTICIPANT if "join_time" in names else _USER
