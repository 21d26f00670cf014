"""`harvest doctor`: everything that is wrong is told in one go, each with its fix, and nothing is changed."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.services import ElasticsearchServer
from tests.site import HOUR, NOON, Done, Site, World, stamp, world

CANARY = "wr0ng-c4nary"


@pytest.fixture(scope="module")
def today() -> Iterator[World]:
    """An Opencast whose clock is that of this host."""
    with world(now=datetime.now(UTC), speed=1) as found:
        yield found


def findings(done: Done) -> dict[str, dict[str, Any]]:
    """By name; of several with one name the worst."""
    order = ["skip", "ok", "warn", "fail"]
    found: dict[str, dict[str, Any]] = {}
    for one in sorted(done.json["findings"], key=lambda f: order.index(f["state"])):
        found[one["name"]] = one
    assert done.code == done.json["code"]
    return found


def trouble(done: Done) -> set[str]:
    """The names of what is not well. Each has a fix, whatever it is."""
    wrong = [one for one in done.json["findings"] if one["state"] in ("warn", "fail")]
    assert [one for one in wrong if not one["fix"]] == []
    return {one["name"] for one in wrong}


def doctor(site: Site, *options: str, **settings: str) -> Done:
    return site.harvest("doctor", "--json", *options, **settings)


def made(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name not in (".stdout", ".stderr")]


def test_all_is_well_in_a_new_folder_and_nothing_is_made_in_it(tmp_path: Path, today: World) -> None:
    site = Site(tmp_path, today.url)
    done = doctor(site)
    assert (done.code, trouble(done), made(tmp_path)) == (0, set(), [])
    found = findings(done)
    for name in ("settings", "queue", "coverage", "letters", "sink duckdb", "listener"):
        assert found[name]["state"] == "ok"
    for step in ("name", "port", "TLS", "login", "API", "clock", "reading", "episodes"):
        assert found[f"opencast: {step}"]["state"] == "ok"


def test_all_is_well_beside_the_daemon_whose_address_is_known_as_its_own(tmp_path: Path, today: World) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    start = stamp(datetime.now(UTC) - HOUR)
    site = Site(tmp_path, today.url, HARVESTER_LISTEN=port, HARVESTER_OPENCAST_START=start, HARVESTER_POLL_INTERVAL="1")
    assert "is free" in findings(doctor(site))["listener"]["text"]
    with site.process("run") as daemon:
        daemon.until(lambda: site.lag() == 0)
        done = doctor(site)
        assert (done.code, trouble(done)) == (0, set())
        assert "the daemon answers on" in findings(done)["listener"]["text"]
        assert findings(done)["queue"]["text"].startswith("whole; duckdb has ")
        assert daemon.stop() == 0


def test_three_things_that_are_wrong_are_told_at_once_each_with_its_fix(tmp_path: Path, today: World) -> None:
    site = Site(tmp_path, today.url)
    site.harvest("useractions", "-s", stamp(datetime.now(UTC) - HOUR))
    site.consume()
    (tmp_path / "var/harvest.duckdb").write_bytes(b"no duckdb file" * 100)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        wrong = {"HARVESTER_OPENCAST_PASSWORD": CANARY, "HARVESTER_LISTEN": str(other.getsockname()[1])}
        done = doctor(site, "--timeout", "3", **wrong)
        shown = site.harvest("doctor", "--timeout", "3", **wrong)
    assert (done.code, trouble(done)) == (5, {"opencast: login", "sink duckdb", "listener"})
    found = findings(done)
    assert found["opencast: login"]["fix"].startswith("check HARVESTER_OPENCAST_USER, HARVESTER_OPENCAST_PASSWORD")
    assert "harvest queue seek duckdb --to beginning" in found["sink duckdb"]["fix"]
    assert "does not answer" in found["listener"]["text"]
    assert shown.code == 5
    assert shown.out.count("FAIL  ") == 3
    assert shown.out.count("→ ") == 3
    assert shown.err.startswith("3 findings; ")
    assert CANARY not in done.out + done.err + shown.out + shown.err


class Response(NamedTuple):
    status: int
    headers: Message | dict[str, str]
    body: bytes


class Front(BaseHTTPRequestHandler):
    """Stands before an Opencast, whose search service is away behind it."""

    vendor: str

    def do_GET(self) -> None:
        away = Response(HTTPStatus.SERVICE_UNAVAILABLE, {}, b"")
        status, headers, body = away if self.path.startswith("/search/") else self._asked()
        self.send_response(status)
        for name in ("WWW-Authenticate", "Content-Type", "Date"):
            if name in headers:
                self.send_header(name, headers[name])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _asked(self) -> Response:
        headers = {name: value for name, value in self.headers.items() if name not in ("Host", "Accept-Encoding")}
        try:
            with urlopen(Request(self.vendor + self.path, headers=headers)) as answer:
                return Response(answer.status, answer.headers, answer.read())
        except HTTPError as error:
            return Response(error.code, error.headers, error.read())

    def log_message(self, *_: object) -> None:
        pass


def test_a_search_service_that_is_away_is_told_although_its_opencast_can_be_read(tmp_path: Path, today: World) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Before", (Front,), {"vendor": today.url}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        done = doctor(Site(tmp_path, f"http://127.0.0.1:{server.server_port}"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (done.code, trouble(done)) == (5, {"opencast: episodes"})
    found = findings(done)
    assert found["opencast: reading"]["state"] == "ok"
    assert "503" in found["opencast: episodes"]["text"]
    assert "completed by themselves" in found["opencast: episodes"]["fix"]


def test_an_address_that_another_program_has_is_told(tmp_path: Path, today: World) -> None:
    done = doctor(Site(tmp_path, today.url), HARVESTER_LISTEN=today.url.rpartition(":")[2])
    assert trouble(done) == {"listener"}
    assert "another program listens" in findings(done)["listener"]["text"]


def test_wrong_settings_are_told_and_everything_else_is_looked_at_all_the_same(tmp_path: Path) -> None:
    site = Site(tmp_path, "nosuch.invalid", HARVESTER_TIMEZONE="Mars/x", HARVESTER_OPENCAST_BATCH_SIZ="3")
    done = doctor(site)
    assert done.code == 3
    texts = [one["text"] for one in done.json["findings"] if one["name"] == "settings"]
    assert len(texts) == 2
    assert trouble(done) == {"settings", "opencast: name"}
    assert findings(done)["opencast: login"]["state"] == "skip"
    assert findings(done)["sink duckdb"]["state"] == "skip"
    assert findings(done)["queue"]["state"] == "ok"


def test_a_collector_of_logs_that_cannot_be_reached_is_told_without_its_token(tmp_path: Path, today: World) -> None:
    logs = {"HARVESTER_LOGS_URL": "https://nosuch.invalid/bulk/{token}/", "LOGGLY_TOKEN": CANARY}
    done = doctor(Site(tmp_path, today.url), **logs)
    assert (done.code, trouble(done)) == (5, {"logs: name"})
    assert findings(done)["logs: name"]["fix"] == "check HARVESTER_LOGS_URL"
    assert CANARY not in done.out + done.err


def test_an_empty_folder_lacks_the_settings_of_the_source(tmp_path: Path) -> None:
    done = doctor(Site(tmp_path))
    assert (done.code, made(tmp_path)) == (3, [])
    told = " ".join(one["text"] for one in done.json["findings"])
    for name in ("URL", "USER", "PASSWORD"):
        assert f"HARVESTER_OPENCAST_{name} (not set)" in told


@pytest.mark.parametrize(
    ("switches", "name", "part"),
    [
        ({"usertracking": False}, "opencast: API", "404"),
        ({"timezone": "Asia/Tokyo"}, "opencast: reading", "HARVESTER_OPENCAST_TIMEZONE"),
        ({"now": -2 * HOUR}, "opencast: clock", "behind this host"),
        ({"now": HOUR}, "opencast: clock", "ahead of this host"),
        ({"faults": {"401": 1.0}, "fault_burst": 99}, "opencast: login", "HARVESTER_OPENCAST_PASSWORD"),
        ({"faults": {"403": 1.0}, "fault_burst": 99}, "opencast: rights", "403"),
        ({"faults": {"503": 1.0}, "fault_burst": 99}, "opencast: login", "503"),
        ({"faults": {"429-seconds": 1.0}, "fault_burst": 99, "retry_after": 60}, "opencast: login", "rate limited"),
    ],
)
def test_what_is_wrong_at_the_source_is_told_apart(tmp_path: Path, switches: dict[str, Any], name: str, part: str) -> None:
    switches = {**switches, "now": datetime.now(UTC) + switches.get("now", timedelta())}
    with world(**{"speed": 1, **switches}) as vendor:
        done = Site(tmp_path, vendor.url).harvest("doctor", "--json", "--timeout", "3")
    assert (done.code, trouble(done)) == (5, {name})
    found = findings(done)[name]
    assert part in f"{found['text']} {found['fix']}"


@pytest.mark.parametrize(("switches", "mode"), [({}, "window"), ({"patched": False}, "day")])
def test_it_tells_in_which_mode_a_source_is_read_and_why(tmp_path: Path, switches: dict[str, Any], mode: str) -> None:
    with world(now=datetime.now(UTC), speed=1, **switches) as vendor:
        done = doctor(Site(tmp_path, vendor.url))
    assert (done.code, trouble(done)) == (0, set())
    assert f"read in {mode} mode: it " in findings(done)["opencast: API"]["text"]


def test_a_reading_that_takes_its_time_is_no_fault(tmp_path: Path, today: World) -> None:
    site = Site(tmp_path, today.url, HARVESTER_OPENCAST_MODE="tail", HARVESTER_OPENCAST_BATCH_SIZE="1")
    done = site.harvest("doctor", "--json", "--timeout", "8", HARVESTER_OPENCAST_WAIT="1")
    assert (done.code, trouble(done)) == (0, set())
    assert findings(done)["opencast: reading"]["state"] == "skip"


def test_a_server_that_takes_a_request_and_never_answers_holds_nothing_up(tmp_path: Path) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(16)
        began = time.monotonic()
        done = Site(tmp_path, f"http://127.0.0.1:{mute.getsockname()[1]}").harvest("doctor", "--json", "--timeout", "0.5")
    assert trouble(done) == {"opencast: login"}
    assert "no answer within 0.5 s" in findings(done)["opencast: login"]["text"]
    assert time.monotonic() - began < 25


def test_a_queue_that_is_damaged_moved_or_of_another_book_is_told(tmp_path: Path, today: World) -> None:
    site = Site(tmp_path, today.url)
    site.harvest("useractions", "-s", stamp(datetime.now(UTC) - HOUR))
    elsewhere = doctor(site, HARVESTER_QUEUE_URL="sqlite:///elsewhere/queue.db")
    assert trouble(elsewhere) == {"queue"}
    assert "harvest coverage reset opencast --yes" in findings(elsewhere)["queue"]["fix"]
    whole = site.queue.read_bytes()
    site.queue.write_bytes(whole[:20000] + os.urandom(4096) * 4 + whole[20000 + 4 * 4096 :])
    for name in ("-wal", "-shm"):
        site.queue.with_name(site.queue.name + name).unlink(missing_ok=True)
    assert "queue" in trouble(doctor(site))
    site.queue.write_bytes(b"SQLite format 3\0" + b"x" * 9000)
    assert "damaged" in findings(doctor(site))["queue"]["text"]


def test_a_queue_that_was_put_back_from_an_older_copy_is_told(tmp_path: Path, today: World) -> None:
    site, now = Site(tmp_path, today.url), datetime.now(UTC)
    site.harvest("useractions", "-s", stamp(now - 3 * HOUR), "-e", stamp(now - 2 * HOUR))
    older = site.queue.read_bytes()
    site.harvest("useractions", "-s", stamp(now - 2 * HOUR))
    assert trouble(doctor(site)) == set()
    site.queue.write_bytes(older)
    assert trouble(doctor(site)) == {"queue"}
    assert "older copy" in findings(doctor(site))["queue"]["text"]


def test_a_book_that_is_damaged_or_has_gaps_is_told(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - 9 * HOUR), "-e", stamp(NOON - 8 * HOUR))
    site.harvest("useractions", "-s", stamp(NOON - 5 * HOUR), "-e", stamp(NOON - 4 * HOUR))
    found = findings(doctor(site))["coverage"]
    assert (found["state"], found["text"]) == ("warn", "opencast: 1 gap in useractions")
    assert found["fix"].startswith("harvest coverage fill")
    for path in (tmp_path / "var/coverage").glob("opencast.json*"):
        path.write_bytes(b"{")
    found = findings(doctor(site))["coverage"]
    assert (found["state"], "damaged" in found["text"]) == ("fail", True)


def test_a_store_of_letters_that_is_none_is_told(tmp_path: Path, today: World) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var/letters.db").write_bytes(b"x" * 5000)
    assert trouble(doctor(Site(tmp_path, today.url))) == {"letters"}


def test_a_place_where_no_folder_can_be_made_is_told(tmp_path: Path, today: World) -> None:
    (tmp_path / "var").write_text("a file")
    assert "disk: var" in trouble(doctor(Site(tmp_path, today.url)))


def test_a_screen_is_wrapped_for_its_terminal_and_plain_elsewhere(tmp_path: Path) -> None:
    done = Site(tmp_path, "nosuch.invalid").harvest("doctor", "--timeout", "20")
    assert "\x1b" not in done.out
    (line,) = [line for line in done.out.splitlines() if line.startswith("FAIL  opencast: name")]
    assert line.endswith("nosuch.invalid: the name is not known here")


def elastic(tmp_path: Path, today: World, url: str) -> Site:
    return Site(tmp_path, today.url, HARVESTER_SINKS="elasticsearch", HARVESTER_ELASTICSEARCH_URL=url)


def test_an_elasticsearch_without_our_templates_is_told_and_well_once_they_are_loaded(
    tmp_path: Path, today: World, elasticsearch: ElasticsearchServer
) -> None:
    site = elastic(tmp_path, today, elasticsearch.url)
    done = doctor(site)
    assert (done.code, trouble(done)) == (5, {"elasticsearch: template"})
    assert findings(done)["elasticsearch: template"]["fix"] == "harvest setup load_index_templates"
    assert elasticsearch.version in findings(done)["elasticsearch: version"]["text"]
    assert site.harvest("setup", "load_index_templates").code == 0
    site.harvest("useractions", "-s", stamp(datetime.now(UTC) - HOUR))
    site.harvest("consume", "--until-empty")
    done = doctor(site)
    assert (done.code, trouble(done)) == (0, set())
    assert "all as the template says" in findings(done)["elasticsearch: mapping"]["text"]


def test_drift_blocks_and_another_version_are_told_and_a_dead_node_hides_nothing(
    tmp_path: Path, today: World, elasticsearch_any: ElasticsearchServer
) -> None:
    server, site = elasticsearch_any, elastic(tmp_path, today, f"{elasticsearch_any.url},http://127.0.0.1:1")
    server.call("PUT", "/useractions-2020.01.01", {"mappings": {"properties": {"action_id": {"type": "text"}}}})
    site.harvest("setup", "load_index_templates")
    server.call("PUT", "/useractions-2020.01.02", {})
    server.call("PUT", "/useractions-2020.01.02/_settings", {"index.blocks.write": True})
    server.call(
        "PUT", "/_index_template/harvester-useractions", {"index_patterns": ["useractions-*"], "priority": 300, "version": 999}
    )
    done = doctor(site)
    names = {"127.0.0.1:1: port", ": mapping", ": index", ": template"}
    assert trouble(done) == {f"elasticsearch{' ' * name.startswith('1')}{name}" for name in names}
    found = findings(done)
    assert "useractions-2020.01.01: action_id is text, not long" in found["elasticsearch: mapping"]["text"]
    assert '{"index.blocks.write": null}' in found["elasticsearch: index"]["fix"]
    assert found["elasticsearch: template"]["fix"] == "upgrade this program"


def test_an_elasticsearch_that_is_none_is_told(tmp_path: Path, today: World) -> None:
    done = doctor(elastic(tmp_path, today, today.url))
    assert trouble(done) == {"elasticsearch: login"}
    assert "does not answer as Elasticsearch does" in findings(done)["elasticsearch: login"]["text"]
