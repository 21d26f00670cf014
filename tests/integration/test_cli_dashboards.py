"""`harvest setup dashboards`: what Kibana is sent, what is told of each object, and what of a Kibana that refuses or is away."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from aiohttp import web

from dashboards.boards import boards
from dashboards.builder.lint import faults
from tests.kibana import KNOWN, Kibana, kibana, refused
from tests.servers.process import free_port
from tests.site import Done, Site

IDS = {("dashboard", board.id) for board in boards()}


@pytest.fixture
def server() -> Iterator[Kibana]:
    with kibana() as found:
        yield found


def imported(folder: Path, server: Kibana, *words: str, **settings: str) -> Done:
    return Site(folder, **{"HARVESTER_KIBANA_URL": server.url, **settings}).harvest("setup", "dashboards", *words)


def test_f19_one_command_imports_all_and_may_be_repeated(tmp_path: Path, server: Kibana) -> None:
    done = imported(tmp_path, server)
    assert done.code == 0, done.err
    assert server.objects.keys() >= IDS
    assert "dashboard Lectures: imported\n" in done.out
    held = dict(server.objects)
    again = imported(tmp_path, server)
    assert (again.code, server.objects) == (0, held)
    assert again.out == done.out.replace(": imported", ": renewed")
    assert set(server.logins) == {""}


REAL = os.environ.get("HARVESTER_TEST_KIBANA", "")
"""The address of a Kibana, which takes requests without a login."""


@pytest.fixture(params=["stand-in", "real"] if REAL else ["stand-in"])
def kibana_url(request: pytest.FixtureRequest, server: Kibana) -> str:
    """Of the small server, and of the real one where it is named."""
    return server.url if request.param == "stand-in" else REAL


def test_what_was_imported_can_be_exported_with_all_that_it_refers_to(tmp_path: Path, kibana_url: str) -> None:
    for _ in range(2):
        done = Site(tmp_path, HARVESTER_KIBANA_URL=kibana_url).harvest("setup", "dashboards")
        assert done.code == 0, done.err
    asked = {"objects": [{"type": kind, "id": id_} for kind, id_ in sorted(IDS)], "includeReferencesDeep": True}
    headers = {"kbn-xsrf": "test", "Content-Type": "application/json"}
    request = Request(f"{kibana_url}/api/saved_objects/_export", json.dumps(asked).encode(), headers)
    with urlopen(request, timeout=60) as answer:
        *objects, summary = [json.loads(line) for line in answer.read().splitlines()]
    assert (summary["missingRefCount"], summary["exportedCount"]) == (0, len(objects))
    printed = Site(tmp_path).harvest("setup", "dashboards", "--print").lines
    assert {(one["type"], one["id"]) for one in objects} == {(one["type"], one["id"]) for one in printed}


def test_what_it_did_is_json_too(tmp_path: Path, server: Kibana) -> None:
    found = imported(tmp_path, server, "--json").json
    assert (found["format"], found["kibana"], found["faults"]) == (1, server.url, [])
    assert {(one["type"], one["id"]) for one in found["objects"]} == server.objects.keys()
    assert {one["renewed"] for one in found["objects"]} == {False}


def test_print_asks_nobody_and_gives_one_file_that_kibana_would_take(tmp_path: Path) -> None:
    done = Site(tmp_path, HARVESTER_KIBANA_URL="http://nobody.invalid").harvest("setup", "dashboards", "--print")
    assert (done.code, done.err) == (0, "")
    objects = [json.loads(line) for line in done.out.splitlines()]
    keys = [(one["type"], one["id"]) for one in objects]
    assert len(set(keys)) == len(keys)
    assert set(keys) >= IDS
    assert {kind for kind, _ in keys} == KNOWN.keys()


@pytest.mark.parametrize(
    ("settings", "login"),
    [
        ({"USER": "ada", "PASSWORD": "grüße"}, f"Basic {base64.b64encode('ada:grüße'.encode()).decode()}"),
        ({"API_KEY": "id:key"}, f"ApiKey {base64.b64encode(b'id:key').decode()}"),
        ({"API_KEY": "ZW5jb2RlZA=="}, "ApiKey ZW5jb2RlZA=="),
    ],
)
def test_a_login_goes_along(tmp_path: Path, server: Kibana, settings: dict[str, str], login: str) -> None:
    done = imported(tmp_path, server, **{f"HARVESTER_KIBANA_{name}": value for name, value in settings.items()})
    assert (done.code, server.logins) == (0, [login])


def test_a_base_path_and_a_space_stay_in_the_address(tmp_path: Path, server: Kibana) -> None:
    server.base = "/kibana/s/teaching"
    assert imported(tmp_path, server, HARVESTER_KIBANA_URL=f"{server.url}{server.base}/").code == 0
    done = imported(tmp_path, server)
    assert (done.code, done.out) == (1, "")
    assert f"no Kibana at {server.url} (404 for /api/saved_objects/_import): check HARVESTER_KIBANA_URL" in done.err


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refused(400, "Request must contain a kbn-xsrf header."), "400 for /api/saved_objects/_import: Request must contain"),
        (
            refused(403, "Unable to bulk_create dashboard"),
            'needs the right "Saved Objects Management: All" in this space: Unable',
        ),
        (refused(422, "belongs to a more recent version of Kibana"), "belongs to a more recent version of Kibana"),
        (refused(401, "x"), "the login was refused: check HARVESTER_KIBANA_API_KEY (or _USER and _PASSWORD)"),
        (web.Response(status=302, headers={"Location": "https://elsewhere.example.org/"}), "no Kibana at"),
        (web.json_response([]), "does not answer as Kibana does: check HARVESTER_KIBANA_URL"),
        (web.json_response({"success": False}), "and not why"),
    ],
)
def test_a_refusal_says_what_kibana_said_and_what_to_look_at(
    tmp_path: Path, server: Kibana, answer: web.Response, words: str
) -> None:
    body: Any = answer.body
    server.reply = lambda _: web.Response(status=answer.status, body=body, headers=answer.headers)
    done = imported(tmp_path, server)
    assert done.code == 1
    assert words in done.err
    assert len(server.logins) == 1, "it will say the same again"


def test_every_object_that_was_not_taken_is_told_with_its_reason(tmp_path: Path, server: Kibana) -> None:
    errors = [
        {
            "type": "dashboard",
            "id": "a",
            "title": "A",
            "error": {"type": "missing_references", "references": [{"type": "tag", "id": "t"}]},
        },
        {"type": "dashboard", "id": "b", "meta": {"title": "B"}, "error": {"type": "unsupported_type"}},
        {"type": "dashboard", "id": "c", "error": {"type": "conflict", "destinationId": "x"}},
        {"type": "dashboard", "id": "d", "error": {"type": "unknown", "message": "version conflict", "statusCode": 409}},
    ]
    taken = [{"type": "index-pattern", "id": "v", "meta": {"title": "useractions-*"}}]
    server.reply = lambda _: web.json_response({"success": False, "successCount": 1, "successResults": taken, "errors": errors})
    done = imported(tmp_path, server)
    assert (done.code, done.out) == (1, "index-pattern useractions-*: imported\n")
    for words in (
        "4 of the objects were not imported",
        "dashboard 'A' was not imported: it needs tag t, which is not there",
        "dashboard 'B' was not imported: this Kibana does not know such objects",
        "dashboard 'c' was not imported: another object of this id",
        "dashboard 'd' was not imported: version conflict (409)",
    ):
        assert words in done.err
    again = imported(tmp_path, server, "--json")
    assert (again.code, len(again.json["faults"])) == (1, 4)


@pytest.mark.parametrize("away", [True, False])
def test_a_kibana_that_is_away_or_not_ready_is_said_to_be_so(tmp_path: Path, server: Kibana, *, away: bool) -> None:
    server.reply = lambda _: web.Response(status=503, text="Kibana server is not ready yet.")
    url = f"http://127.0.0.1:{free_port()}" if away else server.url
    done = imported(tmp_path, server, HARVESTER_KIBANA_URL=url)
    assert (done.code, done.out) == (1, "")
    assert ("cannot reach" if away else "not ready yet") in done.err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"URL": "ftp://kibana"}, "HARVESTER_KIBANA_URL"),
        ({"URL": "http://kibana.example.org", "USER": "a", "PASSWORD": "c4nary"}, "HARVESTER_KIBANA_ALLOW_PLAIN_HTTP=true"),
        ({"USER": "a"}, "HARVESTER_KIBANA_PASSWORD is missing"),
        ({"API_KEY": "c4nary", "USER": "a", "PASSWORD": "c4nary"}, "are two logins"),
    ],
)
def test_wrong_settings_are_told_before_anybody_is_asked(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    done = Site(tmp_path, **{f"HARVESTER_KIBANA_{name}": value for name, value in settings.items()}).harvest(
        "setup", "dashboards"
    )
    assert done.code == 3
    assert words in done.err
    assert "c4nary" not in done.err


def test_setup_imports_where_a_kibana_is_named_and_goes_on_where_it_does_not_answer(tmp_path: Path, server: Kibana) -> None:
    done = Site(tmp_path, HARVESTER_KIBANA_URL=server.url).harvest("setup")
    assert (done.code, "dashboard Meetings: imported" in done.out) == (0, True)
    done = Site(tmp_path, HARVESTER_KIBANA_URL=f"http://127.0.0.1:{free_port()}").harvest("setup", "--json")
    assert (done.code, done.json["made"]) == (0, [])
    assert "the dashboards were not imported: kibana: cannot reach" in done.err
    assert "harvest setup dashboards" in done.err
    server.reply = lambda _: refused(403, "no")
    assert Site(tmp_path, HARVESTER_KIBANA_URL=server.url).harvest("setup").code == 1


def test_the_small_server_notices_what_kibana_would(tmp_path: Path, server: Kibana) -> None:
    """What stands for Kibana here can fail, and sees one fault of many: the linter sees them all."""
    assert imported(tmp_path, server).code == 0
    dashboard = json.dumps({**server.objects["dashboard", "harvester-lectures"]})
    others = {*server.objects}
    server.objects.clear()
    alone = server._taken([json.loads(dashboard)], set(), overwrite=True)
    assert alone["errors"][0]["error"]["type"] == "missing_references"
    torn = dashboard.replace("columnOrder", "columnOder")
    assert server._taken([json.loads(torn)], others, overwrite=True)["success"]
    assert faults(f"{torn}\n") != []
