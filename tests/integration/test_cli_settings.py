"""Where commands take their settings from, and what they say about it."""

import time
from pathlib import Path

import pytest

from tests.site import HOUR, NOON, PASSWORD, Done, Site, World, stamp

RANGE = ("-s", stamp(NOON - HOUR), "-e", stamp(NOON), "-w", "0")


def six_lines(url: str) -> dict[str, str]:
    """What suffices, as far as file and SQLite go."""
    return {
        "HARVESTER_OPENCAST_URL": url,
        "HARVESTER_OPENCAST_USER": "harvester",
        "HARVESTER_OPENCAST_PASSWORD": PASSWORD,
        "HARVESTER_OPENCAST_TIMEZONE": "UTC",
        "HARVESTER_QUEUE_URL": "sqlite:///data/queue.db",
        "HARVESTER_COVERAGE_URL": "file://data/books",
    }


def harvested(done: Done, world: World) -> bool:
    return done.code == 0 and f"published {len(world.truth(NOON - HOUR, NOON)):,} +" in done.err


def test_e68_six_lines_of_dotenv_suffice_for_useractions(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path)
    (tmp_path / ".env").write_text("".join(f"{n}={v}\n" for n, v in six_lines(vendor.url).items()))
    assert harvested(site.harvest("useractions", *RANGE), vendor)
    assert (tmp_path / "data/queue.db").exists()
    assert (tmp_path / "data/books/opencast.json").exists()


def test_e46_the_environment_alone_suffices_and_goes_before_dotenv(tmp_path: Path, vendor: World) -> None:
    (tmp_path / ".env").write_text("HARVESTER_OPENCAST_URL=http://127.0.0.1:9\nHARVESTER_OPENCAST_WAIT=0\n")
    assert harvested(Site(tmp_path).harvest("useractions", *RANGE, **six_lines(vendor.url)), vendor)


def test_e46_harvester_toml_is_read_and_dotenv_goes_before_it(tmp_path: Path, vendor: World) -> None:
    (tmp_path / "harvester.toml").write_text(f'[opencast]\nurl = "{vendor.url}"\nuser = "nobody"\npassword_file = "secret"\n')
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / ".env").write_text("HARVESTER_OPENCAST_USER=harvester\n")
    assert harvested(Site(tmp_path).harvest("useractions", *RANGE), vendor)


def test_e4_e5_e6_the_command_line_goes_before_everything(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, "http://127.0.0.1:9", HARVESTER_OPENCAST_USER="nobody", HARVESTER_OPENCAST_PASSWORD="nothing")
    done = site.harvest("useractions", "-H", vendor.url, "-u", "harvester", "-p", PASSWORD, *RANGE)
    assert harvested(done, vendor)


@pytest.mark.parametrize("host", ["--engage_host", "--engage-host"])
def test_q3_e4_the_host_is_given_in_both_spellings_and_without_a_scheme(tmp_path: Path, vendor: World, host: str) -> None:
    done = Site(tmp_path, vendor.url).harvest("useractions", host, vendor.url, *RANGE)
    assert harvested(done, vendor)


def test_q58_a_host_on_loopback_is_asked_in_the_clear_and_no_other_is_with_a_password(tmp_path: Path, vendor: World) -> None:
    assert harvested(Site(tmp_path, vendor.url.removeprefix("http://")).harvest("useractions", *RANGE), vendor)
    done = Site(tmp_path, "http://opencast.example.org").harvest("useractions", *RANGE)
    assert done.code == 3
    assert "in the clear" in done.err


def test_q1_old_names_work_and_each_is_told_in_one_line_on_stderr(tmp_path: Path, vendor: World) -> None:
    old = {"MATTERHORN_ENGAGE_HOST": vendor.url, "MATTERHORN_REST_USER": "harvester", "MATTERHORN_REST_PASS": PASSWORD}
    old |= {"DEFAULT_INTERVAL": "5", "MAX_START_END_SPAN": "7200", "EPISODE_CACHE_EXPIRE": "60"}
    done = Site(tmp_path, HARVESTER_OPENCAST_WAIT="0").harvest("useractions", *RANGE, **old)
    assert harvested(done, vendor)
    told = [line for line in done.err.splitlines() if line.startswith("deprecated: ")]
    assert sorted(line.split()[1] for line in told) == sorted(old)
    assert "deprecated: MATTERHORN_REST_USER is now called HARVESTER_OPENCAST_USER; MATTERHORN_REST_USER still works" in told
    assert done.out == ""


def test_q1_a_daemon_tells_of_an_old_name_once_too(tmp_path: Path) -> None:
    site = Site(tmp_path, "http://127.0.0.1:9", DEFAULT_INTERVAL="5", HARVESTER_OPENCAST_START="yesterday")
    done = site.harvest("run", "--no-consume")
    assert done.code == 3
    assert done.err.count("deprecated: ") == 1
    assert "HARVESTER_OPENCAST_START: 'yesterday' is no time" in done.err


def test_q1_old_and_new_name_with_different_values_end_with_3_and_are_both_named(tmp_path: Path, vendor: World) -> None:
    done = Site(tmp_path, vendor.url).harvest("useractions", *RANGE, MATTERHORN_REST_USER="somebody")
    assert done.code == 3
    assert "HARVESTER_OPENCAST_USER" in done.err
    assert "MATTERHORN_REST_USER" in done.err


def test_q16_a_secret_on_the_command_line_works_and_warns_once_naming_the_variable(tmp_path: Path, vendor: World) -> None:
    done = Site(tmp_path, vendor.url).harvest("useractions", "--password", PASSWORD, *RANGE)
    assert harvested(done, vendor)
    warnings = [line for line in done.err.splitlines() if "other users of this host can see" in line]
    assert warnings == ["warning: other users of this host can see --password; set HARVESTER_OPENCAST_PASSWORD instead"]
    assert PASSWORD not in done.err


def test_q16_the_password_may_stand_in_a_file(tmp_path: Path, vendor: World) -> None:
    (tmp_path / "secret").write_text(PASSWORD)
    (tmp_path / "secret").chmod(0o600)
    given = {**six_lines(vendor.url), "HARVESTER_OPENCAST_PASSWORD_FILE": "secret"}
    del given["HARVESTER_OPENCAST_PASSWORD"]
    assert harvested(Site(tmp_path).harvest("useractions", *RANGE, **given), vendor)


def test_a_wrong_password_ends_with_1_and_names_the_settings(tmp_path: Path, vendor: World) -> None:
    done = Site(tmp_path, vendor.url).harvest("useractions", *RANGE, HARVESTER_OPENCAST_PASSWORD="wrong-canary")
    assert done.code == 1
    assert "HARVESTER_OPENCAST_PASSWORD" in done.err
    assert "wrong-canary" not in done.err
    assert not (tmp_path / "var/coverage/opencast.json").exists()


def test_q59_times_are_read_in_the_zone_that_is_set(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url, HARVESTER_TIMEZONE="America/New_York", HARVESTER_OPENCAST_TIMEZONE="UTC")
    assert harvested(site.harvest("useractions", "-s", "20241105060000", "-e", "20241105070000"), vendor)
    assert site.coverage()["start"] == "2024-11-05T11:00:00Z"


def test_e71_the_log_level_is_given_before_the_command(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, "http://127.0.0.1:9", HARVESTER_LOG_LEVEL="info")
    silent = site.harvest("--log-level", "warn", "once", "opencast", HARVESTER_OPENCAST_URL=vendor.url)
    assert '"log.level"' not in silent.err
    assert site.harvest("--log-level", "debug", "config", "show", "--origin").out.count("debug") == 1


def test_e3_it_waits_between_requests_as_long_as_told(tmp_path: Path, vendor: World) -> None:
    vendor.calls()
    began = time.monotonic()
    assert harvested(Site(tmp_path, vendor.url).harvest("useractions", *RANGE[:4], "-w", "0.3", "-b", "100"), vendor)
    assert time.monotonic() - began >= 0.3 * (vendor.calls() - 1)


def test_e8_a_queue_name_beside_a_url_is_taken_and_told_to_be_of_no_use(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url, HARVESTER_QUEUE_URL="sqlite:///var/queue.db")
    done = site.harvest("useractions", *RANGE, "--queue_name", "harvest-prod")
    assert harvested(done, vendor)
    assert "queue name harvest-prod: not used, the queue is sqlite:///var/queue.db" in done.err


@pytest.mark.parametrize("place", ["environment", "dotenv"])
def test_e8_e68_the_queue_name_may_come_from_the_environment_or_dotenv(tmp_path: Path, vendor: World, place: str) -> None:
    if place == "dotenv":
        (tmp_path / ".env").write_text("SQS_QUEUE_NAME=-\n")
    more = {"SQS_QUEUE_NAME": "-"} if place == "environment" else {}
    done = Site(tmp_path, vendor.url).harvest("useractions", *RANGE, **more)
    assert len(done.lines) == len(vendor.truth(NOON - HOUR, NOON))


def test_a_command_that_fails_before_its_logs_are_set_up_says_it_once(tmp_path: Path) -> None:
    with Site(tmp_path).process("queue", "lag", HARVESTER_QUEUE_URL="x") as process:
        assert process.ended() == 3
        assert [line[:33] for line in process.err.splitlines()] == ["harvest: HARVESTER_QUEUE_URL (env"]
