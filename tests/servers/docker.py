"""Servers in Docker, through testcontainers, where an engine answers."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.servers.protocols import MissingServerError

SOCKET = Path("/var/run/docker.sock")


@cache
def unreachable() -> str | None:
    """Why there is no engine, or None when one answers."""
    if not os.environ.get("DOCKER_HOST") and not SOCKET.exists():
        return "no Docker engine here"
    try:
        import docker
    except ImportError:
        return "testcontainers is not installed: make .venv/.dev"
    try:
        engine = docker.from_env(timeout=10)
        engine.ping()
        engine.close()
    except docker.errors.DockerException as error:
        return f"no Docker engine answers: {error}"
    return None


@contextmanager
def container(
    name: str, image: str, port: int, environment: Mapping[str, str], *, host_port: int | None = None, command: str = ""
) -> Iterator[str]:
    """Runs the image while the block runs; yields host:port. MissingServerError without an engine or the image.

    `host_port`: for servers that have to know how they are called from outside.
    """
    if reason := unreachable():
        raise MissingServerError(name, reason)
    import docker
    from testcontainers.core.container import DockerContainer

    running = DockerContainer(image)
    running = running.with_bind_ports(port, host_port) if host_port else running.with_exposed_ports(port)
    if command:
        running.with_command(command)
    for key, value in environment.items():
        running.with_env(key, value)
    try:
        running.start()
    except docker.errors.DockerException as error:
        running.stop()
        raise MissingServerError(name, f"Docker could not run {image}: {error}") from error
    try:
        yield f"{running.get_container_host_ip()}:{running.get_exposed_port(port)}"
    finally:
        running.stop()
