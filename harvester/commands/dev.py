"""`harvest dev`: the development stack of docker/compose.yaml, in containers."""

import shutil
import subprocess
from pathlib import Path

import click

from harvester.errors import ConfigError, HarvesterError

COMPOSE = Path("docker/compose.yaml")
KIBANA = "http://127.0.0.1:5601"
_WITHIN = "http://kibana:5601"
"""The same as containers call it."""
_LATER = "the dashboards were not imported, all else is there; next, once Kibana answers: harvest setup dashboards"
_WITHOUT = "without containers: `harvest demo` shows everything, `harvest sandbox` is the simulated Opencast alone"
_file_option = click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"The compose file.  [default: {COMPOSE} of the folder you are in, or of the checkout that runs]",
)
_profile_option = click.option(
    "--profile", "profiles", multiple=True, help="Services beside the usual ones, like metrics; repeatable."
)


class DockerError(HarvesterError):
    """Docker did not do it (exit 1); what it said stands above."""


@click.group("dev")
def command() -> None:
    """The development stack: simulated Opencast, queue, Elasticsearch and Kibana in containers. Needs Docker and 4 GB.

    \b
    harvest dev init              start it, load the index templates, import the dashboards
    harvest dev down --volumes    stop it and forget its data
    """


@command.command("up")
@_file_option
@_profile_option
def up(file: Path | None, profiles: tuple[str, ...]) -> None:
    """Build the image, start the containers and wait until all are healthy."""
    _up(_compose(file), profiles)


@command.command("down")
@_file_option
@click.option("--volumes", is_flag=True, help="Remove the data volumes too; without it they stay.")
def down(file: Path | None, *, volumes: bool) -> None:
    """Stop and remove the containers, of every profile."""
    _docker(*_compose(file), "--profile", "*", "down", *(["--volumes"] if volumes else []))
    click.echo("stopped; the data volumes are gone" if volumes else "stopped; the data volumes stay (--volumes removes them)")


@command.command("install-kopf")
def install_kopf() -> None:
    """Say what replaces kopf; kept so that old scripts run through."""
    _say_kopf()


@command.command("init")
@_file_option
@_profile_option
def init(file: Path | None, profiles: tuple[str, ...]) -> None:
    """`dev up`, `dev install_kopf`, `setup load_index_templates` and `setup dashboards`, in this order; may be repeated.

    A Kibana that takes no dashboards stops nothing.
    """
    compose = _compose(file)
    _up(compose, profiles)
    _say_kopf()
    once = [*compose, "run", "--rm", "--no-deps"]
    _docker(*once, "setup", "setup", "load_index_templates")
    try:
        _docker(*once, "--env", f"HARVESTER_KIBANA_URL={_WITHIN}", "setup", "setup", "dashboards")
    except DockerError:
        click.echo(_LATER, err=True)


def _up(compose: list[str], profiles: tuple[str, ...]) -> None:
    named = [word for profile in profiles for word in ("--profile", profile)]
    _docker(*compose, *named, "up", "--detach", "--build", "--wait", "--wait-timeout", "600")
    click.echo(f"up and healthy; Kibana: {KIBANA}, what runs: docker compose --file {compose[-1]} ps")


def _say_kopf() -> None:
    click.echo(f"kopf and other site plugins work with no Elasticsearch of today; Kibana replaces it: {KIBANA}")


def _compose(file: Path | None) -> list[str]:
    """The command line that every order begins with. ConfigError: no compose file, or no Docker."""
    beside = Path(__file__).parents[2] / COMPOSE
    found = file or next((path for path in (COMPOSE, beside) if path.is_file()), None)
    if found is None:
        raise ConfigError(f"there is no {COMPOSE} here: work in a checkout of event-harvester, or name one with --file")
    docker = shutil.which("docker")
    if docker is None:
        raise ConfigError(f"there is no docker on the PATH: install Docker with its compose plugin (2.24 or newer); {_WITHOUT}")
    for words, missing in ((["compose", "version"], "the compose plugin"), (["info"], "a running Docker engine")):
        # only fixed words, never a text of somebody
        done = subprocess.run([docker, *words], capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
            what = f"docker is here, but not {missing} ({said[0]}): `docker {' '.join(words)}` has to work"
            raise ConfigError(f"{what}; {_WITHOUT}")
    return [docker, "compose", "--file", str(found)]


def _docker(*words: str) -> None:
    """One order, with its output as it comes. DockerError when it fails."""
    code = subprocess.run(words, check=False).returncode  # noqa: S603 - no shell reads them
    if code:
        raise DockerError(f"`docker {' '.join(words[1:])}` ended with {code}; what is wrong: docker {' '.join(words[1:4])} logs")
