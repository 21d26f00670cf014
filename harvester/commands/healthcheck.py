"""`harvest healthcheck`: whether the daemon of this container is alive."""

import click

from harvester.commands import parts
from harvester.commands.asking import NobodyError, ask
from harvester.settings import CoreSettings


@click.command("healthcheck")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="Seconds to wait for its answer.")
def command(timeout: float) -> int:
    """Ask /livez of the daemon at HARVESTER_LISTEN: exit code 0 when its event loop turns, 1 otherwise.

    \b
    HEALTHCHECK CMD ["harvest", "healthcheck"]
    """
    core = parts.settings().get(CoreSettings)
    if not core.listen:
        raise NobodyError("HARVESTER_LISTEN is not set: nobody can be asked; set it for the daemon and for this command")
    said = ask(core, "/livez", timeout=timeout)
    click.echo(said.body.decode(errors="replace").strip(), err=said.status != 200)
    return 0 if said.status == 200 else 1
