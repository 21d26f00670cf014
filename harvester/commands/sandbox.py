"""`harvest sandbox`: a simulated Opencast, Zoom or GitHub to try everything against, without any credential."""

from typing import Any

import click

from harvester.commands import sandbox_github, sandbox_zoom
from harvester.commands.sandbox_options import at_a_port, faulty, option, until_a_signal

_LOGINS, _ORDERS = ("none", "basic", "digest"), ("id", "shuffled", "restless", "moved")


@click.group(name="sandbox", invoke_without_command=True, context_settings={"auto_envvar_prefix": "HARVESTER_SANDBOX"})
@at_a_port(8900)
@option("--actions-per-day", default=2500, type=click.IntRange(min=0), help="On the average of a week.")
@option("--timezone", default="UTC", help="The server's time zone.")
@option("--login", default="none", type=click.Choice(_LOGINS), help="What a client has to log in with.")
@option("--user", default="harvester", help="Who may log in.")
@option("--password", default="sandbox", help="With what; guards made-up data only.")
@option("--patched/--stock", default=True, help="Whether actions.json knows start and end; stock ignores them.")
@option("--day/--no-day", default=True, help="Whether actions.json knows day, as stock does; without it and start it pages all.")
@option("--usertracking/--no-usertracking", default=True, help="Whether the usertracking plugin is on.")
@option(
    "--search", default="pre16", type=click.Choice(("pre16", "16")), help="The shape of search answers, by Opencast's release."
)
@option(
    "--workflows",
    default="by-package",
    type=click.Choice(("by-package", "listed")),
    help="How workflows are asked for, by Opencast's release.",
)
@option(
    "--tobira",
    default="admin",
    type=click.Choice(("admin", "forbidden", "none")),
    help="The harvest interface: there, forbidden to this account, or not installed.",
)
@option("--episode-changes", default=0.0, type=click.FloatRange(min=0), help="Lectures renamed, taken back or published, a day.")
@option("--session", default="nested", type=click.Choice(("nested", "flat")), help="The shape of sessions in actions.")
@option("--playing", default="int", type=click.Choice(("int", "bool")), help="The shape of isPlaying.")
@option("--masked/--unmasked", default=False, help="Whether users, addresses and sessions are -omitted-.")
@option("--order", default="moved", type=click.Choice(_ORDERS), help="The order of rows; moved: as PostgreSQL stores them.")
@option("--limit-cap", default=0, type=click.IntRange(min=0), help="Most rows a page; 0: no cap.")
@option("--late/--punctual", default=True, help="Whether some rows appear later than they were created.")
@option("--growing/--grown", default=True, help="Whether FOOTPRINT rows are extended in place.")
@faulty("401, 403, 404, date-ahead and date-behind have to be named.")
@click.option("--json", "as_json", is_flag=True, help='Say {"url": …} on stdout once it serves.')
@click.pass_context
def command(ctx: click.Context, /, host: str, port: int, as_json: bool, **switches: Any) -> None:
    """Serve a simulated Opencast until SIGINT or SIGTERM; `harvest sandbox zoom` and `harvest sandbox github` serve others.

    It has a deterministic year of player actions behind it and goes on making them. GET /truth tells what is true of a span;
    GET /sandbox/stats what was asked; POST /sandbox/clock moves its clock; POST /sandbox/faults changes its faults; POST
    /sandbox/switches makes another server of it.
    """
    if ctx.invoked_subcommand is None:
        _serve(host, port, as_json=as_json, **switches)


def _serve(host: str, port: int, *, as_json: bool, **switches: Any) -> None:
    from harvester.sandbox.settings import SandboxSettings

    settings = SandboxSettings(**switches)
    until_a_signal(
        settings,
        host,
        port,
        as_json=as_json,
        told=lambda url: f"Opencast sandbox on {url} — harvest it with: {_how(settings)} -H {url}",
    )


command.add_command(
    click.Command(
        "opencast",
        params=command.params,
        callback=_serve,
        help="Serve a simulated Opencast: the same as without a name.",
        context_settings={"auto_envvar_prefix": "HARVESTER_SANDBOX"},
    )
)
command.add_command(sandbox_zoom.command)
command.add_command(sandbox_github.command)


def _how(settings: Any) -> str:
    """The command that harvests this sandbox, but for its address."""
    variables = {"MATTERHORN_REST_USER": settings.user, "MATTERHORN_REST_PASS": settings.password}
    if settings.login == "basic":
        variables["HARVESTER_OPENCAST_LOGIN"] = "basic"
    if settings.timezone != "UTC":
        variables["HARVESTER_OPENCAST_TIMEZONE"] = settings.timezone
    return " ".join([*(f"{name}={value}" for name, value in variables.items()), "harvest useractions --wait 0 --output -"])
