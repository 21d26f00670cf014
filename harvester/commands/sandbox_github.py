"""`harvest sandbox github`: a simulated GitHub to try everything against, without any credential."""

from datetime import timedelta
from typing import Any

import click

from harvester.commands.sandbox_options import at_a_port, faulty, option, until_a_signal


def _names(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.strip() for part in given for name in part.split(",") if name.strip())


@click.command(name="github", context_settings={"auto_envvar_prefix": "HARVESTER_SANDBOX_GITHUB"})
@at_a_port(8902)
@option("--org", default="acme", help="The organisation's login.")
@option("--repositories", default=12, type=click.IntRange(0, 1000), help="How many there are.")
@option("--pulls-per-day", default=8.0, type=click.FloatRange(min=0), help="Pull requests opened a day, in all of them.")
@option("--days", default=180, type=click.IntRange(min=1), help="How long ago the organisation was founded.")
@option("--imported", default=4, type=click.IntRange(min=0), help="Threads that each repository was founded with, in one second.")
@option("--traps/--no-traps", default=True, help="Whether some repositories are renamed, deleted, empty or without issues.")
@option("--huge-every", default=150, type=click.IntRange(min=0), help="One in so many has over 250 commits; 0: none.")
@option(
    "--token",
    "tokens",
    default=("sandbox-token",),
    multiple=True,
    callback=_names,
    help="What clients may bring; repeatable: each has limits of its own.",
)
@option("--scopes", default="read:org, repo", help="Of the tokens; without repo, private repositories are not there.")
@option("--forbidden", multiple=True, callback=_names, metavar="NAME", help="A repository behind single sign-on; repeatable.")
@option("--app-id", default=4242, type=int, help="The App; GET /sandbox/app-key gives its private key.")
@option("--installation-id", default=77, type=int, help="Where it is installed.")
@option(
    "--graphql", default="on", type=click.Choice(("on", "forbidden", "absent")), help="Whether the tokens may, or it is there."
)
@option("--heavy", default=0, type=click.IntRange(min=0), help="GraphQL answers with more nodes are 502; 0: none is.")
@option(
    "--limits",
    default="enforced",
    type=click.Choice(("enforced", "counted", "off")),
    help="Whether what is too much is refused, only counted in /sandbox/stats, or there are no limits.",
)
@option("--hourly", default=5000, type=click.IntRange(min=1), help="REST requests an hour for each token.")
@option("--points", default=5000, type=click.IntRange(min=1), help="GraphQL points an hour for each token.")
@option("--used-elsewhere", default=0, type=click.IntRange(min=0), help="Of both, what others spend.")
@option("--concurrent", default=100, type=click.IntRange(min=1), help="Requests of one token under way at once.")
@option("--pace", default=1.0, type=click.FloatRange(min=0, min_open=True), help="Limits a minute times so much.")
@option(
    "--secondary",
    default="403-seconds",
    type=click.Choice(("403-bare", "403-seconds", "429-seconds", "429-date")),
    help="How a secondary limit refuses.",
)
@option("--primary", default="403", type=click.Choice(("403", "429")), help="How REST says that the hour is spent.")
@option("--penalty", default=60.0, type=click.FloatRange(min=0), help="Seconds that a secondary limit lasts.")
@option("--latency", default=0.0, type=click.FloatRange(min=0), help="Seconds that every answer takes.")
@faulty("401, 403, 404, date-ahead and date-behind have to be named.")
@click.option("--json", "as_json", is_flag=True, help='Say {"url": …} on stdout once it serves.')
def command(host: str, port: int, days: int, as_json: bool, **switches: Any) -> None:
    """Serve a simulated GitHub until SIGINT or SIGTERM: REST under /, GraphQL at /graphql.

    Half a year of pull requests lies behind it, and it goes on making them. GET /truth tells what is true of a span; GET
    /sandbox/stats what was asked, and which limits were exceeded; POST /sandbox/clock, /sandbox/faults and /sandbox/switches
    change it.
    """
    from harvester.sandbox.github_settings import GitHubSandboxSettings

    settings = GitHubSandboxSettings(history=timedelta(days=days), **switches)
    until_a_signal(settings, host, port, as_json=as_json, told=lambda url: _told(settings, url))


def _told(settings: Any, url: str) -> str:
    """The address, and the settings that harvest it."""
    variables = {"HARVESTER_GITHUB_URL": url, "GITHUB_ORG": settings.org, "GITHUB_TOKEN": ",".join(settings.tokens)}
    return f"GitHub sandbox on {url} — harvest it with: {' '.join(f'{name}={value}' for name, value in variables.items())}"
