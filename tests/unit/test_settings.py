"""Settings: what is taken, what is refused, and how that is told."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ByteSize, SecretStr

from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from harvester.faults import Fault
from harvester.options import options_of, written
from harvester.settings import CoreSettings, families, inspect, load
from tests.unit.plane import CANARY, NEEDED, PlaneSettings, only, plane, wrong


def test_without_an_environ_the_process_environment_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARVESTER_LOG_LEVEL", "debug")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("HARVESTER_LOG_LEVEL=warn\nHARVESTER_SINKS=stdout\n")
    core = load(CoreSettings).get(CoreSettings)
    assert (core.log_level, core.sinks) == ("debug", ("stdout",))


def test_e69_redis_url_names_the_cache(tmp_path: Path) -> None:
    loaded = load(CoreSettings, environ={"REDIS_URL": "redis://localhost:6379/0"}, cwd=tmp_path)
    assert loaded.get(CoreSettings).cache_url == "redis://localhost:6379/0"
    assert loaded.origin("HARVESTER_CACHE_URL") == "environment"


@pytest.mark.parametrize("prefix", ["*", "Dce-", "-dce", "a,b", "x/y", ".x", "é", "a" * 65])
def test_e69_a_prefix_that_no_index_name_can_begin_with_is_refused(prefix: str, tmp_path: Path) -> None:
    name = "HARVESTER_ELASTICSEARCH_INDEX_PREFIX"
    faults = inspect(ElasticsearchSettings, environ={name: prefix}, cwd=tmp_path).faults
    assert [fault.what for fault in faults] == [name]


def test_e20_an_empty_value_counts_as_unset(tmp_path: Path) -> None:
    core = load(CoreSettings, environ={"MAX_START_END_SPAN": "", "HARVESTER_BATCH_EVENTS": ""}, cwd=tmp_path)
    assert core.get(CoreSettings).max_span is None
    assert core.get(CoreSettings).batch_events == 1000
    assert not core.warnings


@pytest.mark.parametrize(
    ("name", "text", "why", "fix"),
    [
        ("HARVESTER_PLANE_LOGIN", "digst", '"digst" is none of digest, basic', "did you mean digest?"),
        ("HARVESTER_PLANE_LOGIN", "zzz", '"zzz" is none of digest, basic', "write one of digest, basic"),
        ("HARVESTER_PLANE_SEATS", "four", '"four" is no whole number', "write digits, like 1000"),
        ("HARVESTER_PLANE_OPEN", "perhaps", '"perhaps" is neither true nor false', "write true or false"),
        ("HARVESTER_PLANE_SEATS", "a\x1b[31m\nb", r'"a\u001b[31m\nb" is no whole number', "write digits, like 1000"),
    ],
)
def test_a_fault_says_what_is_wrong_and_what_to_write(name: str, text: str, why: str, fix: str, tmp_path: Path) -> None:
    assert wrong(name, text, tmp_path) == Fault(name, "environment", why, fix)


@pytest.mark.parametrize(
    ("environ", "part"),
    [
        ({"HARVESTER_TIMEZONE": "Europe/Zurch"}, "did you mean Europe/Zurich?"),
        ({"HARVESTER_TIMEZONE": "../../etc/passwd"}, "is no time zone"),
        ({"HARVESTER_TIMEZONE": "Europe"}, "is no time zone"),
        ({"HARVESTER_BATCH_BYTES": "8MX"}, "like 8MiB"),
        ({"HARVESTER_BATCH_BYTES": "much"}, "is no size"),
        ({"HARVESTER_BATCH_EVENTS": "0"}, "too small; write at least 1"),
        ({"HARVESTER_POLL_INTERVAL": "0"}, "too small; write more than 0"),
        ({"HARVESTER_IN_FLIGHT": "1000"}, "too large; write at most 256"),
        ({"HARVESTER_POLL_INTERVAL": "often"}, "no number"),
        ({"HARVESTER_QUEUE_URL": "queue.db"}, "the default is sqlite:///var/queue.db"),
        ({"HARVESTER_LISTEN": "9464 please"}, "not of the form"),
        ({"HARVESTER_SPAN_POLICY": "windos"}, "did you mean windows?"),
    ],
)
def test_core_settings_refuse_what_cannot_work(environ: Mapping[str, str], part: str, tmp_path: Path) -> None:
    assert part in str(only(inspect(CoreSettings, environ=environ, cwd=tmp_path)))


@pytest.mark.parametrize(
    ("queue", "name"),
    [
        ({"HARVESTER_QUEUE_URL": "kafka://broker/p"}, "Kafka"),
        ({"HARVESTER_QUEUE_URL": "sqs://eu-west-1/q"}, "SQS"),
        ({"SQS_QUEUE_NAME": "q"}, "SQS"),
    ],
)
def test_beside_a_queue_that_hosts_share_the_letters_have_to_be_named(
    queue: Mapping[str, str], name: str, tmp_path: Path
) -> None:
    found = inspect(CoreSettings, environ=queue, cwd=tmp_path)
    fault = only(found)
    assert (fault.what, fault.where) == ("HARVESTER_LETTERS_URL", "not set")
    assert f"needed beside a queue on {name}: the default is a file of each host" in fault.why
    assert "`harvest config check`" in fault.fix
    assert found.sound(CoreSettings).queue_url.partition("://")[0] == name.lower()
    for letters in ("s3://bucket/letters", "file:///shared", "sqlite:///var/letters.db"):
        environ = {**queue, "HARVESTER_LETTERS_URL": letters}
        assert load(CoreSettings, environ=environ, cwd=tmp_path).get(CoreSettings).letters_url == letters
    both = inspect(CoreSettings, environ={**queue, "HARVESTER_IN_FLIGHT": "0"}, cwd=tmp_path).faults
    assert {one.what for one in both} == {"HARVESTER_LETTERS_URL", "HARVESTER_IN_FLIGHT"}


def test_the_embedded_queue_needs_no_store_of_letters_to_be_named(tmp_path: Path) -> None:
    environ = {"HARVESTER_QUEUE_URL": "sqlite:///x.db", "SQS_QUEUE_NAME": "q"}
    assert load(CoreSettings, environ=environ, cwd=tmp_path).get(CoreSettings).letters_url == "sqlite:///var/letters.db"


def test_core_settings_take_sizes_lists_and_addresses_as_people_write_them(tmp_path: Path) -> None:
    environ = {
        "HARVESTER_BATCH_BYTES": "2MiB",
        "HARVESTER_SINKS": "duckdb, stdout,",
        "HARVESTER_LISTEN": "[::1]:9464",
        "HARVESTER_LOG_LEVEL": "WARN",
        "HARVESTER_MAX_SPAN": "90000",
        "HARVESTER_DEFAULT_INTERVAL": "5",
    }
    core = load(CoreSettings, environ=environ, cwd=tmp_path).get(CoreSettings)
    assert (core.batch_bytes, core.sinks, core.listen) == (2 * 2**20, ("duckdb", "stdout"), "[::1]:9464")
    assert (core.log_level, core.max_span, core.default_interval) == ("warn", 90000, 5)


def test_an_unknown_variable_is_a_fault_with_the_name_that_was_meant(tmp_path: Path) -> None:
    loaded = plane(tmp_path, NEEDED, dotenv="\n\nHARVESTER_PLANE_SEETS=3\n")
    assert only(loaded) == Fault(
        "HARVESTER_PLANE_SEETS", ".env:3", "there is no such setting", "did you mean HARVESTER_PLANE_SEATS?"
    )
    assert "config show" in wrong("HARVESTER_XYZZY", "1", tmp_path.parent).fix
    assert wrong("harvester_plane_seats", "1", tmp_path.parent).fix == "did you mean HARVESTER_PLANE_SEATS?"


def test_the_value_of_an_unknown_variable_is_not_told(tmp_path: Path) -> None:
    assert CANARY not in str(wrong("HARVESTER_PLANE_PASWORD", CANARY, tmp_path))


def test_names_of_other_families_of_predecessors_and_of_tests_are_known(tmp_path: Path) -> None:
    others = {n: "x" for model in families() for o in options_of(model) for n in o.names}
    foreign = {"SQS_QUEUE_NAME": "q", "LOGGLY_TOKEN": "t", "HARVESTER_TEST_REQUIRE": "1", "HARVESTER_CRASH_AT": "a:1"}
    assert not plane(tmp_path, {**others, **foreign, **NEEDED}).faults


def test_q1_an_old_name_has_the_same_effect_and_is_told_once(tmp_path: Path) -> None:
    loaded = plane(tmp_path, {"OLD_HOST": "there", "OLD_PASS": CANARY}, dotenv="OLD_HOST=elsewhere\n")
    assert loaded.get(PlaneSettings).url == "there"
    assert loaded.warnings == (
        "deprecated: OLD_HOST is now called HARVESTER_PLANE_URL; OLD_HOST still works",
        "deprecated: OLD_PASS is now called HARVESTER_PLANE_PASSWORD; OLD_PASS still works",
    )


def test_q1_old_and_new_with_one_value_agree_and_with_two_are_a_fault_naming_both(tmp_path: Path) -> None:
    assert not plane(tmp_path, {**NEEDED, "HARVESTER_PLANE_SEATS": "3", "SEATS": "3"}).faults
    fault = only(plane(tmp_path, {**NEEDED, "HARVESTER_PLANE_SEATS": "3"}, dotenv="SEATS=5\n"))
    assert (fault.what, fault.where) == ("HARVESTER_PLANE_SEATS", "environment")
    assert "SEATS (.env:1)" in fault.why
    assert '("3" and "5")' in fault.why
    assert fault.fix == "leave out SEATS"


def test_of_an_old_and_a_new_name_the_old_one_is_to_be_left_out_wherever_it_stands(tmp_path: Path) -> None:
    fault = only(plane(tmp_path, {**NEEDED, "SEATS": "3"}, dotenv="HARVESTER_PLANE_SEATS=5\n"))
    assert (fault.what, fault.fix) == ("SEATS", "leave out SEATS")


def test_the_command_line_overrides_old_names_without_a_fault(tmp_path: Path) -> None:
    loaded = plane(tmp_path, {"OLD_HOST": "there", "HARVESTER_PLANE_PASSWORD": "p"}, {"HARVESTER_PLANE_URL": "here"})
    assert not loaded.faults
    assert loaded.get(PlaneSettings).url == "here"


def test_an_override_of_no_option_is_a_mistake_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="HARVESTER_NOWHERE"):
        plane(tmp_path, NEEDED, {"HARVESTER_NOWHERE": 1})


def test_a_family_is_asked_for_by_name_and_missing_ones_are_a_key_error(tmp_path: Path) -> None:
    loaded = plane(tmp_path, NEEDED)
    assert isinstance(loaded.get(PlaneSettings), PlaneSettings)
    with pytest.raises(KeyError):
        loaded.get(CoreSettings)


def test_a_field_without_a_variable_is_refused_when_it_is_declared_wrong() -> None:
    class Nameless(BaseModel):
        url: str = ""

    with pytest.raises(TypeError, match=r"Nameless\.url"):
        options_of(Nameless)


def test_every_family_describes_every_setting_and_no_variable_has_two_owners() -> None:
    options = [o for model in families() for o in options_of(model)]
    assert all(o.info.description and (o.model.__doc__ or "").strip() for o in options)
    names = [n for o in options for n in o.names]
    assert len(names) == len(set(names))


def test_every_default_as_written_reads_back_as_itself(tmp_path: Path) -> None:
    defaults = {o.name: o.default for o in options_of(CoreSettings)}
    core = load(CoreSettings, environ=defaults, cwd=tmp_path).get(CoreSettings)
    assert core == load(CoreSettings, environ={}, cwd=tmp_path).get(CoreSettings)
    assert type(core) is CoreSettings


_NAMES = st.sampled_from(["HARVESTER_PLANE_SEATS", "SEATS", "HARVESTER_PLANE_URL", "OLD_HOST", "HARVESTER_PLANE_PASSWORD"])


@given(st.dictionaries(_NAMES, st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_whatever_is_given_is_taken_or_told_and_never_raised(environ: Mapping[str, str]) -> None:
    loaded = inspect(PlaneSettings, environ=environ, cwd=Path("/nonexistent"))
    assert loaded.faults or PlaneSettings in loaded.models
    assert all(part.isprintable() for fault in loaded.faults for part in fault)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (2.0, "2"),
        (2.5, "2.5"),
        (ByteSize(3000), "3000"),
        (ByteSize(2048), "2KiB"),
        (("a", "b"), "a,b"),
    ],
)
def test_values_are_written_as_one_would_write_them(value: object, text: str) -> None:
    assert written(value) == text
    assert written(SecretStr("x")) == "***"
