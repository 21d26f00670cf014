"""Examples of settings: they say what the families say, and are read back as they were meant."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester import layers
from harvester.errors import ConfigError
from harvester.examples import example_toml, secrets_env
from harvester.faults import Fault
from harvester.options import options_of
from harvester.settings import families, inspect

OPTIONS = [option for model in families() for option in options_of(model)]


def test_the_toml_names_every_setting_and_sets_none(tmp_path: Path) -> None:
    (tmp_path / "harvester.toml").write_text(example_toml(families(), {}), encoding="utf-8")
    loaded = inspect(*families(), environ={}, cwd=tmp_path)
    assert {fault.where for fault in loaded.faults} == {"not set"}
    assert [option.name for option in OPTIONS if loaded.given(option.name)] == []


def test_its_defaults_uncommented_are_the_defaults(tmp_path: Path) -> None:
    text = example_toml(families(), {})
    lines = [line.removeprefix("#") if line.startswith("#") and not line.startswith("# ") else line for line in text.splitlines()]
    (tmp_path / "harvester.toml").write_text("\n".join(lines), encoding="utf-8")
    loaded = inspect(*families(), environ={}, cwd=tmp_path)
    assert {fault.what for fault in loaded.faults} == {option.name for option in OPTIONS if option.info.is_required()}
    given_ = {option.name for option in OPTIONS if loaded.given(option.name)}
    assert given_ == {option.name for option in OPTIONS if option.default}, "an empty one counts as none"
    bare = inspect(*families(), environ={}, cwd=tmp_path / "nowhere")
    assert loaded.models == bare.models


def test_a_value_is_set_as_it_was_given_whatever_is_in_it(tmp_path: Path) -> None:
    nasty = "a \"b\" \\ #c \x7f é 'd'"
    values = {"HARVESTER_OPENCAST_URL": nasty, "HARVESTER_LOG_LEVEL": "warn"}
    (tmp_path / "harvester.toml").write_text(example_toml(families(), values), encoding="utf-8")
    loaded = inspect(*families(), environ={}, cwd=tmp_path)
    found = [loaded.given(name) for name in values]
    assert [entry.value if entry else None for entry in found] == [nasty, "warn"]


def test_a_secret_never_stands_in_the_toml() -> None:
    with pytest.raises(ValueError, match="secret"):
        example_toml(families(), {"HARVESTER_OPENCAST_PASSWORD": "x"})


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1), min_size=1, max_size=3))
def test_a_secret_is_read_back_from_env_as_it_was_or_refused(
    tmp_path_factory: pytest.TempPathFactory, secrets: list[str]
) -> None:
    values = {f"HARVESTER_S{number}": secret for number, secret in enumerate(secrets)}
    try:
        text = secrets_env(values)
    except ConfigError:
        return
    path = tmp_path_factory.getbasetemp() / "secrets.env"
    path.write_text(text, encoding="utf-8", newline="")
    faults: list[Fault] = []
    assert {name: entry.value for name, entry in layers.dotenv(path, faults).items()} == values
    assert faults == []
