"""`harvest sandbox`: a simulated Opencast to try everything against, without any credential."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import click

_LOGINS, _ORDERS = ("none", "basic", "digest"), ("id", "shuffled", "restless", "moved")


def _moment(_ctx: click.Context, _param: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no ISO time such as 2026-11-02T08:00:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _rates(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> dict[str, float]:
    rates: dict[str, float] = {}
    for part in ",".join(given).split(","):
        name, _, rate = part.strip().partition("=")
        if not name:
            continue
        try:
            rates[name] = float(rate)
        except ValueError as error:
            raise click.BadParameter(f"{part.strip()!r} is not KIND=SHARE, as in reset=0.05") from error
    return rates


_option = partial(click.option, show_default=True, show_envvar=True)


@click.command(name="sandbox", context_settings={"auto_envvar_prefix": "HARVESTER_SANDBOX"})
@_option("--host", default="127.0.0.1", help="Address to listen on.")
@_option("--port", default=8900, type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.")
@_option(
    "--now",
    callback=_moment,
    metavar="ISO",
    help="Where the sandbox's clock starts; UTC if it names no zone.  [default: the real time]",
)
@_option("--speed", default=1.0, type=click.FloatRange(min=0), help="Sandbox seconds a real second; 0 stands still.")
@_option("--seed", default="sandbox", help="Other seeds are other worlds; the same seed is always the same.")
@_option("--actions-per-day", default=2500, type=click.IntRange(min=0), help="On the average of a week.")
@_option("--timezone", default="UTC", help="The server's time zone.")
@_option("--login", default="none", type=click.Choice(_LOGINS), help="What a client has to log in with.")
@_option("--user", default="harvester", help="Who may log in.")
@_option("--password", default="sandbox", help="With what; guards made-up data only.")
@_option("--patched/--stock", default=True, help="Whether actions.json knows start and end; stock ignores them.")
@_option("--day/--no-day", default=True, help="Whether actions.json knows day, as stock does; without it and start it pages all.")
@_option("--usertracking/--no-usertracking", default=True, help="Whether the usertracking plugin is on.")
@_option(
    "--search", default="pre16", type=click.Choice(("pre16", "16")), help="The shape of search answers, by Opencast's release."
)
@_option(
    "--workflows",
    default="by-package",
    type=click.Choice(("by-package", "listed")),
    help="How workflows are asked for, by Opencast's release.",
)
@_option("--session", default="nested", type=click.Choice(("nested", "flat")), help="The shape of sessions in actions.")
@_option("--playing", default="int", type=click.Choice(("int", "bool")), help="The shape of isPlaying.")
@_option("--masked/--unmasked", default=False, help="Whether users, addresses and sessions are -omitted-.")
@_option("--order", default="moved", type=click.Choice(_ORDERS), help="The order of rows; moved: as PostgreSQL stores them.")
@_option("--limit-cap", default=0, type=click.IntRange(min=0), help="Most rows a page; 0: no cap.")
@_option("--late/--punctual", default=True, help="Whether some rows appear later than they were created.")
@_option("--growing/--grown", default=True, help="Whether FOOTPRINT rows are extended in place.")
@_option(
    "--fault",
    "--faults",
    "faults",
    multiple=True,
    callback=_rates,
    metavar="KIND=SHARE",
    help=(
        "How often a fault happens; may be repeated. all= and records= spread over all kinds of requests and of records; "
        "401, 403, 404, date-ahead and date-behind have to be named."
    ),
)
@_option("--fault-burst", default=1, type=click.IntRange(min=1), help="A request is refused at most so often in a row.")
@_option("--retry-after", default=1.0, type=click.FloatRange(min=0), help="Seconds that a 429 asks for.")
@_option("--slow", default=0.5, type=click.FloatRange(min=0), help="Seconds that a slow answer takes.")
@click.option("--json", "as_json", is_flag=True, help='Say {"url": …} on stdout once it serves.')
def command(host: str, port: int, as_json: bool, **switches: Any) -> None:
    """Serve a simulated Opencast until SIGINT or SIGTERM.

    It has a deterministic year of player actions behind it and goes on making them. GET /truth tells what is true of a span;
    GET /sandbox/stats what was asked; POST /sandbox/clock moves its clock; POST /sandbox/faults changes its faults; POST
    /sandbox/switches makes another server of it.
    """
    import asyncio

    from harvester.sandbox.settings import SandboxSettings

    asyncio.run(_serve(SandboxSettings(**switches), host, port, as_json=as_json))


async def _serve(settings: Any, host: str, port: int, *, as_json: bool) -> None:
    import asyncio
    import json
    import signal

    from harvester.sandbox.serve import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serve(settings, host=host, port=port) as running:
        click.echo(f"Opencast sandbox on {running.url} — harvest it with: {_how(settings)} -H {running.url}", err=True)
        if as_json:
            click.echo(json.dumps({"url": running.url}))
        await stop.wait()


def _how(settings: Any) -> str:
    """The command that harvests this sandbox, but for its address."""
    variables = {"MATTERHORN_REST_USER": settings.user, "MATTERHORN_REST_PASS": settings.password}
    if settings.login == "basic":
        variables["HARVESTER_OPENCAST_LOGIN"] = "basic"
    if settings.timezone != "UTC":
        variables["HARVESTER_OPENCAST_TIMEZONE"] = settings.timezone
    return " ".join([*(f"{name}={value}" for name, value in variables.items()), "harvest useractions --wait 0 --output -"])
