"""`harvest github`: pull requests of an organisation into an archive, and from there into warehouses."""

from importlib import import_module

import click

COMMANDS: tuple[str, ...] = (
    "init",
    "backfill",
    "collect",
    "scheduled",
    "resume",
    "load-gcs",
    "gcs-summary",
    "wipe-gcs",
    "verify",
    "metrics",
)
"""In the order of the help; `harvester/commands/github_<name>.py` has each as `command`."""


def _loud(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.find_root().ensure_object(dict)["HARVESTER_LOG_LEVEL"] = "debug"


def _verbose() -> click.Option:
    told = "Log all details; stands behind a command, too.  [env: HARVESTER_LOG_LEVEL]"
    return click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, callback=_loud, help=told)


class _Group(click.Group):
    """Lists its commands in their own order."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)


@click.group("github", cls=_Group, params=[_verbose()])
def command() -> None:
    """Pull requests of an organisation with their commits, reviews and comments: archived as they were told, then written into
    warehouses. What belongs to the source is set by HARVESTER_GITHUB_TOKEN and HARVESTER_GITHUB_ORG.
    """


for _name in COMMANDS:
    _found: click.Command = import_module(f"harvester.commands.github_{_name.replace('-', '_')}").command
    _found.params.append(_verbose())
    command.add_command(_found, _name)
