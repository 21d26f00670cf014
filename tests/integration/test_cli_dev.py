"""`harvest dev`: what is asked of Docker, in which order, and what is said where there is none."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from consumers.records.mapping import record_classes
from consumers.records.template import template_name
from tests.containers.compose import COMPOSE
from tests.services import ElasticsearchServer, RefusedError
from tests.site import ROOT, Done, Site

_RECORDER = """#!/bin/sh
echo "$@" >> "{folder}/orders"
case "$*" in {fails}) echo "no such thing" >&2; exit 1;; esac
"""


def dev(folder: Path, *words: str, docker: str | None = "nothing-fails") -> tuple[Done, list[str]]:
    """The command with a `docker` on its PATH that writes down what it is asked, and fails at `docker`; without any for None."""
    programs = folder / "programs"
    programs.mkdir()
    if docker is not None:
        (programs / "docker").write_text(_RECORDER.format(folder=folder, fails=docker))
        (programs / "docker").chmod(0o755)
    (programs / "sh").symlink_to(shutil.which("sh") or "/bin/sh")
    done = Site(folder).harvest("dev", *words, PATH=str(programs))
    orders = (folder / "orders").read_text().splitlines() if (folder / "orders").exists() else []
    return done, [order for order in orders if order not in ("compose version", "info")]


@pytest.mark.parametrize("words", ["up", "down", "init"])
def test_without_docker_it_says_what_to_do(tmp_path: Path, words: str) -> None:
    done, orders = dev(tmp_path, words, docker=None)
    assert (done.code, done.out, orders) == (3, "", [])
    assert "there is no docker on the PATH" in done.err
    assert "harvest demo" in done.err


@pytest.mark.parametrize(("fails", "missing"), [("'compose version'", "the compose plugin"), ("info", "a running Docker engine")])
def test_what_docker_lacks_is_named(tmp_path: Path, fails: str, missing: str) -> None:
    done, orders = dev(tmp_path, "up", docker=fails)
    assert (done.code, orders) == (3, [])
    assert f"docker is here, but not {missing} (no such thing)" in done.err


def test_e60_up_waits_until_all_are_healthy(tmp_path: Path) -> None:
    done, orders = dev(tmp_path, "up", "--profile", "metrics")
    assert done.code == 0
    assert orders == [f"compose --file {COMPOSE} --profile metrics up --detach --build --wait --wait-timeout 600"]


@pytest.mark.parametrize(("options", "more"), [((), ""), (("--volumes",), " --volumes")])
def test_e61_down_leaves_the_volumes_unless_it_is_told(tmp_path: Path, options: tuple[str, ...], more: str) -> None:
    done, orders = dev(tmp_path, "down", *options)
    assert done.code == 0
    assert orders == [f"compose --file {COMPOSE} --profile * down{more}"]
    assert ("are gone" in done.out) == bool(more)


def test_e62_q56_install_kopf_says_that_kibana_replaces_it(tmp_path: Path) -> None:
    done = Site(tmp_path).harvest("dev", "install_kopf")
    assert (done.code, done.err) == (0, "")
    assert "Kibana replaces it: http://127.0.0.1:5601" in done.out


def test_e64_init_is_up_then_kopf_then_the_templates_then_the_dashboards(tmp_path: Path) -> None:
    done, orders = dev(tmp_path, "init")
    assert done.code == 0
    assert [order.removeprefix(f"compose --file {COMPOSE} ").split()[0] for order in orders] == ["up", "run", "run"]
    assert orders[1].endswith("run --rm --no-deps setup setup load_index_templates")
    assert orders[2].endswith("run --rm --no-deps --env HARVESTER_KIBANA_URL=http://kibana:5601 setup setup dashboards")
    assert "Kibana replaces it" in done.out


def test_e64_a_kibana_that_takes_no_dashboards_stops_nothing_and_the_command_for_later_is_said(tmp_path: Path) -> None:
    done, orders = dev(tmp_path, "init", docker="*' setup dashboards'")
    assert (done.code, len(orders)) == (0, 3)
    assert "next, once Kibana answers: harvest setup dashboards" in done.err


def test_e64_afterwards_the_templates_are_there_also_when_the_server_was_made_anew(
    tmp_path: Path, elasticsearch_any: ElasticsearchServer
) -> None:
    """The containers are a stand-in; what runs in the one that sets up, and the Elasticsearch, are real."""
    inside = (
        f'case "$*" in *" setup setup load_index_templates") exec {sys.executable} -m harvester setup load_index_templates;; esac'
    )
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").write_text(f"#!/bin/sh\n{inside}\n")
    (programs / "docker").chmod(0o755)
    site = Site(tmp_path, HARVESTER_ELASTICSEARCH_URL=elasticsearch_any.url, PYTHONPATH=str(ROOT))
    path = f"{programs}:{os.environ['PATH']}"
    for _ in range(2):
        elasticsearch_any.empty()
        with pytest.raises(RefusedError):
            elasticsearch_any.call("GET", "/_index_template/harvester-useractions")
        done = site.harvest("dev", "init", PATH=path)
        assert done.code == 0, done.err
        for record in record_classes():
            elasticsearch_any.call("GET", f"/_index_template/{template_name(record)}")


def test_an_order_that_fails_ends_it_and_names_the_logs(tmp_path: Path) -> None:
    done, orders = dev(tmp_path, "init", docker="*' up '*")
    assert (done.code, len(orders)) == (1, 1)
    assert f"docker compose --file {COMPOSE} logs" in done.err


def test_outside_a_checkout_another_file_can_be_named_and_is_used(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("services: {}\n")
    done, orders = dev(tmp_path, "up", "--file", str(other))
    assert done.code == 0
    assert orders[0].startswith(f"compose --file {other} up")
