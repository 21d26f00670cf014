"""`harvest zoom` as people call it: days, destinations, names of old, and what it ends with."""

import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.indexed import put_templates
from tests.servers.process import free_port
from tests.services import ElasticsearchServer
from tests.site import Done, Site
from tests.zoom_account import NOW, Account, beside, environment, meeting, refusal, stay


@pytest.fixture
def account() -> Iterator[Account]:
    """Yesterday two meetings, of which one had a rejoin; the day before one."""
    rows = [
        meeting("b==", "2026-11-02T12:00:00Z", end_time="2026-11-02T13:00:00Z", participants=2),
        meeting("a==", host="Ada", email="ada@university.example"),
        meeting("c==", "2026-11-01T12:00:00Z", end_time="2026-11-01T12:30:00Z", duration="30:00"),
    ]
    rejoined = [stay(join="2026-11-02T12:00:01Z"), stay(join="2026-11-02T12:30:00Z")]
    with beside(Account(rows, {"a==": [stay()], "b==": rejoined, "c==": [stay(join="2026-11-01T12:00:00Z")]})) as found:
        yield found


def site_of(folder: Path, account: Account, **more: str) -> Site:
    return Site(folder, **{"HARVESTER_SOURCES": "zoom", **environment(account), **more})


def printed(done: Done) -> list[tuple[str, str]]:
    """What stands in each line: a meeting, or a session of one."""
    return [("session", line["meeting"]) if "join_time" in line else ("meeting", line["uuid"]) for line in done.lines]


def test_e34_e35_stdout_has_yesterday_each_meeting_before_its_sessions(tmp_path: Path, account: Account) -> None:
    done = site_of(tmp_path, account).harvest("zoom", "--destination", "stdout")
    assert done.code == 0, done.err
    assert printed(done) == [
        ("meeting", "a=="),
        ("session", "a=="),
        ("meeting", "b=="),
        ("session", "b=="),
        ("session", "b=="),
    ]
    assert "nothing is recorded as read" in done.err
    assert "secret" not in done.err


def test_e34_a_date_is_a_day_of_utc(tmp_path: Path, account: Account) -> None:
    site = site_of(tmp_path, account, HARVESTER_TIMEZONE="America/New_York")
    assert printed(site.harvest("zoom", "--date", "2026-11-01", "--destination", "stdout")) == [
        ("meeting", "c=="),
        ("session", "c=="),
    ]
    account.now = NOW + timedelta(hours=7)  # two in the morning, and still the third in New York
    account.meetings.append(meeting("d==", "2026-11-03T20:00:00Z", end_time="2026-11-03T21:00:00Z"))
    account.stays["d=="] = [stay(join="2026-11-03T20:00:00Z")]
    assert printed(site.harvest("zoom", "--destination", "stdout"))[0] == ("meeting", "d==")


def test_what_is_left_out_because_its_begin_is_not_told_is_counted_and_read_later(tmp_path: Path, account: Account) -> None:
    account.meetings += [meeting(uuid, "", day="2026-11-02", end_time="2026-11-02T13:00:00Z") for uuid in ("d==", "e==")]
    site = site_of(tmp_path, account)
    done = site.harvest("zoom", "--destination", "stdout")
    assert len(printed(done)) == 5
    assert "left out: 2 meetings of 2026-11-02 whose begin Zoom does not tell yet" in done.err
    assert "`harvest zoom --date 2026-11-02` reads what is left from 2026-11-04T00:00:00Z on" in done.err
    account.now = NOW + timedelta(hours=6)
    done = site.harvest("zoom", "--date", "2026-11-02", "--destination", "stdout")
    assert [uuid for what, uuid in printed(done) if what == "meeting"] == ["d==", "e==", "a==", "b=="]
    assert "left out" not in done.err


@pytest.mark.parametrize(
    "args",
    [
        ("--date", "20261101"),
        ("--date", "2026-02-30"),
        ("--date", "yesterday"),
        ("--date", "2030-01-01"),
        ("--destination", "file"),
        ("--destination", "stdout", "--json"),
    ],
    ids=" ".join,
)
def test_e34_anything_else_is_wrong_usage(tmp_path: Path, account: Account, args: tuple[str, ...]) -> None:
    assert site_of(tmp_path, account).harvest("zoom", *args).code == 2


@pytest.mark.parametrize("how", ["options", "key", "api"])
def test_q52_key_and_secret_are_those_of_the_oauth_app_when_the_account_is_named(
    tmp_path: Path, account: Account, how: str
) -> None:
    site = site_of(tmp_path, account)
    login = {name: site.settings.pop(name) for name in ("ZOOM_CLIENT_ID", "ZOOM_CLIENT_SECRET")}
    args = ("--key", login["ZOOM_CLIENT_ID"], "--secret", login["ZOOM_CLIENT_SECRET"]) if how == "options" else ()
    if how != "options":
        site.settings |= {f"ZOOM_{how.upper()}": login["ZOOM_CLIENT_ID"], "ZOOM_SECRET": login["ZOOM_CLIENT_SECRET"]}
    done = site.harvest("zoom", "--destination", "stdout", *args)
    assert (done.code, len(done.lines)) == (0, 5), done.err


@pytest.mark.parametrize("how", ["options", "variables"])
def test_q52_key_and_secret_alone_are_told_what_became_of_them(tmp_path: Path, how: str) -> None:
    args = ("--key", "K", "--secret", "S-c4nary", "--es-host", "localhost:9200") if how == "options" else ()
    site = Site(tmp_path, **({} if args else {"ZOOM_KEY": "K", "ZOOM_SECRET": "S-c4nary"}))
    done = site.harvest("zoom", *args)
    assert done.code == 3
    for word in ("JWT apps are gone", "Server-to-Server OAuth app", "dashboard:read:list_meetings:admin", "ZOOM_ACCOUNT_ID"):
        assert word in done.err
    assert "S-c4nary" not in done.err


def test_a_login_that_is_refused_ends_with_1_and_what_to_check(tmp_path: Path, account: Account) -> None:
    done = site_of(tmp_path, account, ZOOM_CLIENT_ID="other").harvest("zoom", "--destination", "stdout")
    assert done.code == 1
    assert "check HARVESTER_ZOOM_ACCOUNT_ID" in done.err


def test_a_meeting_that_cannot_be_read_ends_with_5_and_is_a_letter(tmp_path: Path, account: Account) -> None:
    del account.stays["a=="]
    site = site_of(tmp_path, account)
    done = site.harvest("zoom", "--destination", "stdout")
    assert done.code == 5
    assert printed(done)[:2] == [("meeting", "a=="), ("meeting", "b==")]
    letters = site.harvest("dead-letters", "list", "--group", "zoom", "--json")
    assert "3001" in letters.out


def test_q54_the_limit_of_the_day_ends_with_1_and_says_when_to_go_on(tmp_path: Path, account: Account) -> None:
    account.reply = lambda r: refusal(429, 429, "You have reached the maximum daily rate limit.") if "/b=" in r.raw_path else None
    done = site_of(tmp_path, account).harvest("zoom", "--destination", "stdout")
    assert done.code == 1
    assert "2026-11-04T00:00:00Z" in done.err


def test_e36_e43_the_index_has_each_meeting_and_each_stay_once_however_often_it_is_read(
    tmp_path: Path, account: Account, elasticsearch: ElasticsearchServer
) -> None:
    site = site_of(tmp_path, account)
    host = ("--es_host", elasticsearch.url.removeprefix("http://"))
    assert "harvest setup load_index_templates" in site.harvest("zoom", *host).err
    assert site.harvest("setup", "load_index_templates", HARVESTER_ELASTICSEARCH_URL=elasticsearch.url).code == 0
    for _ in range(2):
        done = site.harvest("zoom", *host, "--json")
        assert done.code == 0, done.err
        assert done.json["published"] == 7  # the days before yesterday are read again
    elasticsearch.call("POST", "/_refresh")
    meetings = _documents(elasticsearch, "meetings-*")
    sessions = _documents(elasticsearch, "sessions-*")
    assert {(d["_index"], d["_id"]) for d in meetings} == {
        ("meetings-2026.11.02", "a=="),
        ("meetings-2026.11.02", "b=="),
        ("meetings-2026.11.01", "c=="),
    }
    assert len(sessions) == 4
    assert {d["_source"]["distinct_participants"] for d in meetings} == {1}


def test_what_the_index_refuses_is_told_and_ends_with_5(
    tmp_path: Path, account: Account, elasticsearch_any: ElasticsearchServer
) -> None:
    numbers = {"template": {"mappings": {"properties": {"topic": {"type": "long"}}}}}
    elasticsearch_any.call("PUT", "/_component_template/harvester-meetings@custom", numbers)
    put_templates(elasticsearch_any)
    site = site_of(tmp_path, account, ES_HOST=elasticsearch_any.url)
    done = site.harvest("zoom", "--date", "2026-11-02", "--json")
    assert done.code == 5
    assert "of what was published elasticsearch refused 2: harvest dead-letters list --group elasticsearch" in done.err
    assert sorted(done.json["refused"]) == ["zoom/a==", "zoom/b=="]
    assert len(site.harvest("dead-letters", "list", "--group", "elasticsearch", "--json").lines) == 2


def test_e36_without_an_address_the_index_is_on_this_host(tmp_path: Path, account: Account) -> None:
    site = site_of(tmp_path, account)
    assert "localhost:9200" in site.harvest("zoom").err
    assert "localhost:1" in site.harvest("zoom", ES_HOST="localhost:1").err


def _documents(server: ElasticsearchServer, pattern: str) -> list[Any]:
    return list(server.call("GET", f"/{pattern}/_search?size=100")["hits"]["hits"])


def test_the_daemon_and_backfill_read_zoom_through_the_queue(tmp_path: Path, account: Account) -> None:
    site = site_of(tmp_path, account)
    done = site.harvest("backfill", "zoom", "--start", "2026-11-01", "--json")
    assert done.code == 0, done.err
    assert done.json["published"] == 7
    assert len(account.paths("participants")) == 3
    again = site.harvest("backfill", "zoom", "--start", "2026-11-01", "--json")
    assert again.json["published"] == 0
    assert len(account.paths("participants")) == 3
    site.consume()
    assert {row[0] for row in site.rows("uuid", "meetings")} == {"a==", "b==", "c=="}


def test_the_calls_of_the_day_are_kept_in_the_store_and_shown_in_status_metrics_and_log(tmp_path: Path, account: Account) -> None:
    address = f"127.0.0.1:{free_port()}"
    start = {"HARVESTER_ZOOM_START": "2026-11-01T00:00:00Z", "HARVESTER_ZOOM_DAILY_CALLS": "6", "HARVESTER_SINKS": "duckdb"}
    site = site_of(tmp_path, account, HARVESTER_LISTEN=address, **start)
    with site.process("run") as daemon:
        line = daemon.logged("tried again")
        assert "6 heavy calls today" in line["error.message"]
        assert "it goes on at 2026-11-04T00:00:00Z" in line["error.message"]
        report = daemon.until(lambda: _spending(site))
        assert report["spent"] == {"day": "2026-11-03", "calls": 6, "most": 6, "account": 0, "until": "2026-11-04T00:00:00Z"}
        assert "it goes on at 2026-11-04T00:00:00Z" in report["reason"]
        with urllib.request.urlopen(f"http://{address}/metrics") as scrape:
            text = scrape.read().decode()
        assert 'harvester_ratelimit_limit{source="zoom"} 6.0' in text
        assert 'harvester_ratelimit_remaining{source="zoom"} 0.0' in text
        assert daemon.stop() == 0
    stored = site.harvest("status", "--json", HARVESTER_LISTEN="").json
    assert stored["sources"][0]["spent"] == report["spent"]
    assert "· zoom/meetings: 0 of 6 calls of " in site.harvest("status", HARVESTER_LISTEN="").out  # of the host's today
    assert len(account.paths("/v2")) == 6


def _spending(site: Site) -> dict[str, Any]:
    """The stream in the status, once that tells of the calls of the day."""
    sources = site.harvest("status", "--json").json["sources"]
    return dict(sources[0]) if sources and sources[0]["spent"] else {}
