"""Faults of the predecessor that no other test met as a user would, and the page that names a test for each of them."""

import re
from pathlib import Path

from aiohttp import web

from tests.integration.test_cli_settings import six_lines
from tests.site import HOUR, NOON, Site, World, stamp
from tests.unit.test_house import text_of
from tests.zoom_account import Account, beside, environment, meeting, refusal, stay

PAGE = "docs/predecessor-faults.md"
SECRET = "s3cret-c4nary"


def test_every_fault_of_the_lists_has_its_tests() -> None:
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", text_of(PAGE), re.MULTILINE)
    assert [int(number) for number, _ in rows] == [*range(1, 20), *range(1, 9), *range(1, 14)]
    assert [tests for _, tests in rows if not re.fullmatch(r"`tests/[\w/]+\.py::\w+`(, `tests/[\w/]+\.py::\w+`)*", tests)] == []


def test_opencast_1_a_queue_that_takes_nothing_fails_the_run_and_moves_nothing(tmp_path: Path, vendor: World) -> None:
    away = {"HARVESTER_AWS_ENDPOINT_URL": "http://127.0.0.1:1", "HARVESTER_AWS_ACCESS_KEY_ID": "any"}
    away |= {"HARVESTER_AWS_SECRET_ACCESS_KEY": "any", "HARVESTER_LETTERS_URL": f"sqlite:///{tmp_path}/letters.db"}
    site = Site(tmp_path, vendor.url, HARVESTER_QUEUE_URL="sqs://eu-west-1/useractions", **away)
    done = site.harvest("useractions", "-s", stamp(NOON - HOUR), "-e", stamp(NOON))
    assert done.code == 1, done.err
    assert not list(tmp_path.rglob("*opencast*.json"))


def test_opencast_11_the_limit_of_a_span_and_the_life_of_an_episode_hold_from_dotenv_alone(tmp_path: Path, vendor: World) -> None:
    lines = {**six_lines(vendor.url), "MAX_START_END_SPAN": "3600", "EPISODE_CACHE_EXPIRE": "77"}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    site = Site(tmp_path)
    done = site.harvest("useractions", "-s", stamp(NOON - 25 * HOUR), "-e", stamp(NOON), "--span-policy", "abort")
    assert (done.code, "90000 s long, more than MAX_START_END_SPAN = 3600 s" in done.err) == (4, True), done.err
    assert re.search(r"EPISODE\w*=77\b", site.harvest("config", "show").out)


def test_opencast_19_printing_needs_no_queue(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    done = site.harvest("useractions", "-o", "-", "-s", stamp(NOON - HOUR), "-e", stamp(NOON))
    assert len(done.lines) == len(vendor.truth(NOON - HOUR, NOON)) > 0
    assert not list(tmp_path.rglob("queue.db"))


def test_zoom_4_neither_secret_nor_token_is_left_in_any_log_or_file(tmp_path: Path) -> None:
    account = Account([meeting("a=="), meeting("b==", "2026-11-02T12:00:00Z")], {"a==": [stay()]}, secret=SECRET)
    met: list[str] = []

    def reply(request: web.BaseRequest) -> web.Response | None:
        """Each way in which Zoom repeats what it was sent, once, and the 3001 that the predecessor logged with all parameters."""
        token = request.headers.get("Authorization", "")
        if not request.path.startswith("/v2") or len(met) == 3:
            return None
        met.append(token)
        answers = {1: (401, 124), 2: (429, 429), 3: (500, 500)}
        return refusal(*answers[len(met)], f"refused: {token} of client_secret={SECRET}", Retry_After="0.01")

    account.reply = reply
    with beside(account):
        site = Site(tmp_path, HARVESTER_SOURCES="zoom", **environment(account))
        done = site.harvest("--log-level", "debug", "zoom", "--date", "2026-11-02", "--destination", "stdout")
    assert len(met) == 3
    assert "3001" in site.harvest("dead-letters", "list", "--group", "zoom", "--json").out
    files = [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*.*") if path.is_file()]
    left = "".join([done.out, done.err, *files])
    assert "refused: " in left
    assert [word for word in (SECRET, *(f"token-{n}" for n in range(1, 9))) if word in left] == []
