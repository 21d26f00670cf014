"""docker/Dockerfile: as S70 wants it, and its steps do what they say, as the user of the image."""

import os
import shutil
from pathlib import Path

import pytest

from tests.containers.compose import COMPOSE, is_ours, read
from tests.containers.dockerfile import DOCKERFILE, Build, faults, ignored, wheels

TEXT = DOCKERFILE.read_text()
BREAKS = {
    "base by ARG": ("FROM ${PYTHON} AS build", "FROM python:3.11 AS build"),
    "base pinned by tag": ("ARG PYTHON=python:3.11-slim-bookworm", "ARG PYTHON=python:latest"),
    "nothing runs in the last stage": ("USER 10001:10001", "RUN apt-get update\nUSER 10001:10001"),
    "hashed wheels": ("--only-binary :all: ", ""),
    "nothing else installed": ("--no-index ", ""),
    "no installer in the environment": ("--without-pip ", ""),
    "user": ("USER 10001:10001", "USER root"),
    "volume": ("VOLUME /var/lib/harvester", "VOLUME /data"),
    "signal": ("STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL"),
    "health": ('CMD ["harvest", "healthcheck"]', "CMD curl localhost"),
    "entry": ('ENTRYPOINT ["harvest"]', "ENTRYPOINT harvest"),
    "copied by name": ("COPY harvester harvester", "COPY . ."),
    "no secret": ("HOME=/var/lib/harvester", "HARVESTER_KAFKA_PASSWORD=x HOME=/var/lib/harvester"),
}


def test_s70_the_image_keeps_every_rule() -> None:
    assert faults(TEXT) == []


@pytest.mark.parametrize("rule", BREAKS)
def test_s70_a_dockerfile_that_breaks_a_rule_is_noticed_by_that_rule(rule: str) -> None:
    right, wrong = BREAKS[rule]
    assert right in TEXT
    assert faults(TEXT.replace(right, wrong)) == [rule]


def test_e60_every_service_of_ours_is_built_from_it() -> None:
    services = read(COMPOSE.read_text())["services"].values()
    assert {str(service["build"]) for service in services if is_ours(service)} == {
        str({"context": "..", "dockerfile": "docker/Dockerfile"})
    }


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        "var/queue.db",
        ".git/config",
        "tests/site.py",
        "harvester/.env",
        "harvester/__pycache__/cli.pyc",
        "docker/secrets/x",
    ],
)
def test_nothing_private_and_nothing_needless_goes_into_the_context(path: str) -> None:
    assert ignored(Path(path))
    assert not ignored(Path("harvester/cli.py"))


@pytest.mark.slow
def test_s70_the_steps_build_a_command_with_every_driver_and_no_installer(tmp_path: Path) -> None:
    build = Build(tmp_path, wheels())
    build.run()
    python = build.environment / "bin/python"
    drivers = "aioboto3, aiokafka, duckdb, elasticsearch, hiredis, cramjam, redis, opentelemetry.sdk"
    assert build.step(f"{python} -c 'import {drivers}; print(1)'") == "1\n"
    assert build.step(f"{python} -c 'import importlib.util as u; print(u.find_spec(\"pip\"))'") == "None\n"
    assert build.step("id -u") == "10001\n" or os.geteuid() != 0
    # Without the tree beside it, from an environment that nobody may write to.
    where = build.step(f"cd / && {python} -c 'import harvester; print(harvester.__file__)'")
    assert where.startswith(str(build.environment))
    for folder in [build.environment, *build.environment.rglob("*")]:
        if folder.is_dir():
            folder.chmod(0o555)
    try:
        assert "harvest" in build.step(f"cd / && {build.environment}/bin/harvest --version")
        assert "topic" in build.step(f"cd / && {build.environment}/bin/harvest setup --help")
    finally:
        for folder in [build.environment, *build.environment.rglob("*")]:
            if folder.is_dir():
                folder.chmod(0o755)
        shutil.rmtree(build.environment)  # pytest keeps folders of several runs, and this is 200 MB
