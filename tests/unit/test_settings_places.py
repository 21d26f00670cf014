"""Settings: the places they come from, and the secrets among them."""

import os
from pathlib import Path

import pytest

from harvester import layers
from harvester.errors import ConfigError
from harvester.faults import Fault
from harvester.settings import CoreSettings, load
from tests.unit.plane import CANARY, NEEDED, PlaneSettings, only, plane, secret_file, wrong, wrong_file


@pytest.mark.parametrize(
    ("places", "value", "origin"),
    [
        (5, "1", "command line"),
        (4, "2", "environment"),
        (3, "3", ".env:2"),
        (1, "5", "harvester.toml:3"),
        (0, "there", "default"),
    ],
)
def test_the_highest_place_wins_and_is_named(places: int, value: str, origin: str, tmp_path: Path) -> None:
    loaded = plane(
        tmp_path,
        {
            "HARVESTER_PLANE_PASSWORD": "p",
            **({"HARVESTER_PLANE_LOGIN": "basic", "HARVESTER_PLANE_URL": "2"} if places >= 4 else {}),
        },
        {"HARVESTER_PLANE_URL": "1"} if places >= 5 else {"HARVESTER_PLANE_URL": None},
        dotenv="# ours\nHARVESTER_PLANE_URL=3\n" if places >= 3 else "",
        toml='# ours\n[plane]\nurl = "5"\n' if places >= 1 else "",
    )
    if places == 0:
        assert only(loaded).where == "not set"
        assert loaded.origin("HARVESTER_PLANE_SEATS") == origin
    else:
        assert loaded.get(PlaneSettings).url == value
        assert loaded.origin("HARVESTER_PLANE_URL") == loaded.origin("OLD_HOST") == origin


def test_s01_a_mounted_secret_stands_between_dotenv_and_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = tmp_path / "secrets"
    mount.mkdir()
    monkeypatch.setattr(layers, "RUN_SECRETS", mount)
    secret_file(mount / "HARVESTER_PLANE_PASSWORD", CANARY + "\n", 0o644)
    secret_file(mount / "harvester_plane_pin", "1234")
    loaded = plane(tmp_path, {"HARVESTER_PLANE_URL": "x"})
    settings = loaded.get(PlaneSettings)
    assert settings.password.get_secret_value() == CANARY
    assert settings.pin is not None
    assert settings.pin.get_secret_value() == "1234"
    assert loaded.origin("HARVESTER_PLANE_PASSWORD") == str(mount / "HARVESTER_PLANE_PASSWORD")
    assert plane(tmp_path, NEEDED).get(PlaneSettings).password.get_secret_value() == "secret"


def test_dotenv_never_changes_the_process_environment(tmp_path: Path) -> None:
    before = dict(os.environ)
    plane(tmp_path, NEEDED, dotenv="HARVESTER_PLANE_SEATS=9\nSOMETHING_ELSE=1\n")
    assert dict(os.environ) == before


def test_e46_every_fault_of_every_family_and_place_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HARVESTER_TIMEZONE=Europe/Zurch\nno assignment\nHARVESTER_PLANE_SEAT=3\n")
    (tmp_path / "harvester.toml").write_text('queue_url = "sqlite"\n[plane]\nlogin = "digst"\n')
    environ = {"HARVESTER_IN_FLIGHT": "many", "HARVESTER_PLANE_OPEN": "perhaps"}
    with pytest.raises(ConfigError) as caught:
        load(CoreSettings, PlaneSettings, environ=environ, cwd=tmp_path)
    text = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 9
    for place in (".env:1", ".env:2", ".env:3", "harvester.toml:1", "harvester.toml:3", "environment"):
        assert f"({place})" in text
    assert text.count("(not set)") == 2
    assert all("\n" not in fault for fault in caught.value.faults)


def test_lists_and_numbers_of_toml_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "harvester.toml").write_text('sinks = ["stdout", "duckdb"]\nbatch_events = 7\n[batch]\nbytes = 4096\n')
    core = load(CoreSettings, environ={}, cwd=tmp_path).get(CoreSettings)
    assert (core.sinks, core.batch_events, core.batch_bytes) == (("stdout", "duckdb"), 7, 4096)


def test_an_unknown_key_in_toml_is_a_fault_in_its_own_spelling(tmp_path: Path) -> None:
    fault = only(plane(tmp_path, NEEDED, toml="[plane]\nseats = 3\n\nsaets = 3 # twice\n"))
    assert fault == Fault("[plane] saets", "harvester.toml:4", "there is no such setting", "did you mean [plane] seats?")


def test_q1_two_values_of_a_secret_are_not_told(tmp_path: Path) -> None:
    fault = only(plane(tmp_path, {**NEEDED, "HARVESTER_PLANE_PASSWORD": CANARY, "OLD_PASS": f"other-{CANARY}"}))
    assert "OLD_PASS" in str(fault)
    assert CANARY not in str(fault)


@pytest.mark.parametrize("name", ["HARVESTER_PLANE_PASSWORD_FILE", "OLD_PASS_FILE"])
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_s01_a_secret_may_stand_in_a_file_with_or_without_a_newline(name: str, ending: str, tmp_path: Path) -> None:
    path = secret_file(tmp_path / "password", CANARY + ending)
    loaded = plane(tmp_path, {"HARVESTER_PLANE_URL": "x", name: path})
    assert loaded.get(PlaneSettings).password.get_secret_value() == CANARY
    assert loaded.secrets == (CANARY,)
    assert loaded.origin("HARVESTER_PLANE_PASSWORD") == "environment"


def test_every_setting_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "seats").write_text("11\n")
    loaded = plane(tmp_path, {**NEEDED, "HARVESTER_PLANE_SEATS_FILE": "seats", "HARVESTER_PLANE_CA_FILE": "ca.pem"})
    assert (loaded.get(PlaneSettings).seats, loaded.get(PlaneSettings).ca_file) == (11, "ca.pem")


def test_toml_names_the_file_of_a_secret_but_never_holds_it(tmp_path: Path) -> None:
    secret_file(tmp_path / "pw")
    environ = {"HARVESTER_PLANE_URL": "x"}
    assert (
        plane(tmp_path, environ, toml='[plane]\npassword_file = "pw"\n').get(PlaneSettings).password.get_secret_value() == CANARY
    )
    fault = only(plane(tmp_path, environ, toml=f'[plane]\npassword = "{CANARY}"\n'))
    assert (fault.what, fault.where) == ("[plane] password", "harvester.toml:2")
    assert CANARY not in str(fault)
    assert "HARVESTER_PLANE_PASSWORD" in fault.fix


def test_s03_a_secret_file_that_everyone_can_read_is_refused_outside_the_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"HARVESTER_PLANE_URL": "x", "HARVESTER_PLANE_PASSWORD_FILE": secret_file(tmp_path / "pw", mode=0o644)}
    fault = only(plane(tmp_path, environ))
    assert "chmod 600" in fault.why
    monkeypatch.setattr(layers, "RUN_SECRETS", tmp_path)
    assert not plane(tmp_path, environ).faults
    (tmp_path / "pw").chmod(0o600)
    monkeypatch.undo()
    assert not plane(tmp_path, environ).faults


@pytest.mark.parametrize(("body", "why"), [(None, "cannot be read"), (b"", "is empty"), (b"\xff\xfe", "is not UTF-8")])
def test_a_secret_file_that_gives_nothing_is_one_fault(body: bytes | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / "pw"
    if body is not None:
        path.write_bytes(body)
        path.chmod(0o600)
    assert why in wrong_file(tmp_path, path).why
    assert "is no file" in wrong_file(tmp_path, tmp_path).why


def test_a_file_that_a_higher_place_overrides_is_not_even_read(tmp_path: Path) -> None:
    assert not plane(tmp_path, NEEDED, dotenv="HARVESTER_PLANE_PASSWORD_FILE=/nowhere\n").faults


@pytest.mark.parametrize("value", [5, True, [CANARY], {"a": CANARY}, b"\xff"])
def test_s04_a_wrong_type_in_a_secret_tells_nothing_of_it(value: object, tmp_path: Path) -> None:
    loaded = plane(tmp_path, {"HARVESTER_PLANE_URL": "x"}, {"HARVESTER_PLANE_PASSWORD": value})
    fault = only(loaded)
    assert fault.what == "HARVESTER_PLANE_PASSWORD"
    assert CANARY not in str(fault)
    assert "not shown" in fault.why


def test_s04_secrets_are_masked_in_settings_and_in_faults_of_others(tmp_path: Path) -> None:
    loaded = plane(tmp_path, {**NEEDED, "HARVESTER_PLANE_PASSWORD": CANARY, "HARVESTER_PLANE_SEATS": f"x{CANARY}"})
    assert CANARY not in str(only(loaded))
    good = plane(tmp_path, {**NEEDED, "HARVESTER_PLANE_PASSWORD": CANARY})
    assert CANARY not in repr(good.get(PlaneSettings))
    assert CANARY not in str(good.get(PlaneSettings).model_dump(mode="json"))


def test_dotenv_takes_quotes_exports_comments_and_any_character(tmp_path: Path) -> None:
    dotenv = (
        "\ufeff# head\r\nexport HARVESTER_PLANE_URL='there' # why\r\n\r\n"
        "HARVESTER_PLANE_PASSWORD=pa$$w${ord}#1\r\nHARVESTER_PLANE_SEATS = 3\r\n"
    )
    loaded = plane(tmp_path, dotenv=dotenv)
    settings = loaded.get(PlaneSettings)
    assert (settings.url, settings.seats) == ("there", 3)
    assert settings.password.get_secret_value() == "pa$$w${ord}#1"
    assert [loaded.origin(f"HARVESTER_PLANE_{n}") for n in ("URL", "PASSWORD", "SEATS")] == [".env:2", ".env:4", ".env:5"]


def test_a_torn_line_in_dotenv_is_a_fault_that_does_not_repeat_it(tmp_path: Path) -> None:
    fault = only(plane(tmp_path, NEEDED, dotenv=f"A=1\n\nHARVESTER_PLANE_PIN='{CANARY}\n"))
    assert fault.where == ".env:3"
    assert CANARY not in str(fault)


@pytest.mark.parametrize(
    ("toml", "where", "why"),
    [
        (b"seats = \n", "harvester.toml:1", "not TOML"),
        (b'a = 1\nb = "\n', "harvester.toml:2", "not TOML"),
        (b"\n\n[plane]\nurl = '\xff'\n", "harvester.toml:4", "not UTF-8"),
        (b"plane_seats = 1\n[plane]\nseats = 2\n", "harvester.toml:3", "given twice, also as plane_seats (harvester.toml:1)"),
    ],
)
def test_a_damaged_toml_is_one_fault_with_its_line(toml: bytes, where: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "harvester.toml").write_bytes(toml)
    fault = only(plane(tmp_path, NEEDED))
    assert fault.where == where
    assert why in fault.why


def test_a_place_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert "cannot be read" in only(plane(tmp_path, NEEDED)).why


def test_another_toml_may_be_named_and_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text("[plane]\nseats = 8\n")
    loaded = plane(tmp_path, {**NEEDED, "HARVESTER_CONFIG": "ours.toml"})
    assert (loaded.get(PlaneSettings).seats, loaded.origin("SEATS")) == (8, "ours.toml:2")
    assert "there is no file" in wrong("HARVESTER_CONFIG", "theirs.toml", tmp_path).why


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ("plane = { seats = 3 }\n", 1),
        ("plane.seats = 3\n", 1),
        ('["plane"] # ours\n\n"seats" = 3\n', 3),
        ("[ plane ]\n  SEATS=3\n", 2),
        ('[other-table]\nx = """\n[plane]\n"""\n[plane]\nseats = 3\n', 6),
    ],
)
def test_a_key_is_found_however_toml_spells_it(toml: str, line: int, tmp_path: Path) -> None:
    loaded = plane(tmp_path, NEEDED, toml=toml)
    assert loaded.get(PlaneSettings).seats == 3
    assert loaded.origin("SEATS") == f"harvester.toml:{line}"
