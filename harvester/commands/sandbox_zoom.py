"""`harvest sandbox zoom`: a simulated Zoom to try everything against, without any credential."""

from typing import Any

import click

from harvester.commands.sandbox_options import at_a_port, faulty, option, until_a_signal


def _scopes(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(scope.strip() for part in given for scope in part.split(",") if scope.strip())


@click.command(name="zoom", context_settings={"auto_envvar_prefix": "HARVESTER_SANDBOX_ZOOM"})
@at_a_port(8901)
@option("--meetings-per-day", default=80, type=click.IntRange(min=0), help="On the average of a week; each has some 16 sessions.")
@option("--account-id", default="sandbox-account", help="The account that tokens are for.")
@option("--client-id", default="sandbox-client", help="Who may get a token.")
@option("--client-secret", default="sandbox", help="With what; guards made-up data only.")
@option("--plan", default="business", type=click.Choice(("free", "pro", "business")), help="What the account has paid for.")
@option("--dashboard/--no-dashboard", default=True, help="Whether a business account has the dashboard on.")
@option(
    "--missing-scope",
    "missing_scopes",
    multiple=True,
    callback=_scopes,
    metavar="SCOPE",
    help="What the app may not; repeatable.",
)
@option("--hipaa/--no-hipaa", default=False, help="Whether names, mails, addresses and places of participants are empty.")
@option(
    "--limits",
    default="enforced",
    type=click.Choice(("enforced", "counted")),
    help="Whether what comes too fast is refused, or only counted in /sandbox/stats.",
)
@option("--pace", default=1.0, type=click.FloatRange(min=0, min_open=True), help="Limits a second and minute times so much.")
@option("--daily", default=0, type=click.IntRange(min=0), help="Heavy and Resource-intensive calls a day; 0: as the plan has it.")
@option("--used-elsewhere", default=0, type=click.IntRange(min=0), help="Calls a day that other apps make.")
@option(
    "--refusal",
    default="iso",
    type=click.Choice(("iso", "seconds", "date", "bare")),
    help="How a 429 of a limit says when to come again.",
)
@option("--page-cap", default=300, type=click.IntRange(min=1), help="Most rows a page.")
@option("--late/--punctual", default=True, help="Whether meetings, ends and rows appear later than they happened.")
@option(
    "--counts",
    default="rows",
    type=click.Choice(("rows", "final")),
    help="Whether a meeting's participants tell the rows there are, or all at once while some still come.",
)
@option("--webhook-url", default="", help="Where events are pushed to.  [default: nowhere]")
@option("--webhook-secret", default="sandbox-webhook", help="What they are signed with.")
@faulty("401, 403, 404, date-ahead and date-behind have to be named.")
@click.option("--json", "as_json", is_flag=True, help='Say {"url": …} on stdout once it serves.')
def command(host: str, port: int, as_json: bool, **switches: Any) -> None:
    """Serve a simulated Zoom until SIGINT or SIGTERM.

    It has a deterministic year of meetings behind it, of the same people as the simulated Opencast of that seed, and goes on
    making them. GET /truth tells what is true of a span; GET /sandbox/stats what was asked, and which limits were exceeded; POST
    /sandbox/clock, /sandbox/faults and /sandbox/switches change it; POST /sandbox/webhooks has it push events.
    """
    from harvester.sandbox.zoom_settings import ZoomSandboxSettings

    settings = ZoomSandboxSettings(**switches)
    until_a_signal(settings, host, port, as_json=as_json, told=lambda url: _told(settings, url))


def _told(settings: Any, url: str) -> str:
    """The address, and the settings that harvest it."""
    variables = {
        "HARVESTER_ZOOM_URL": f"{url}/v2",
        "HARVESTER_ZOOM_OAUTH_URL": f"{url}/oauth/token",
        "ZOOM_ACCOUNT_ID": settings.account_id,
        "ZOOM_CLIENT_ID": settings.client_id,
        "ZOOM_CLIENT_SECRET": settings.client_secret,
    }
    return f"Zoom sandbox on {url} — harvest it with: {' '.join(f'{name}={value}' for name, value in variables.items())}"
