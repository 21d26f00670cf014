"""The `harvest` command. Sub-commands are loaded by name when they are called, so that `harvest --version` is quick."""

import difflib
import os
import signal
import sys
import time
import traceback
from importlib import import_module
from types import TracebackType

import click

from harvester import __version__
from harvester.errors import ConfigError, HarvesterError

REDACTOR = "harvester.redactor"
"""Where in a context's `meta` a command puts what hides its secrets."""

COMMANDS = {
    "demo": "See it work: a week of lectures and meetings, every fault, and the proof.",
    "useractions": "Harvest Opencast user actions once: what is new, or a range.",
    "load-episodes": "Load the recordings that people watched into their own index.",
    "re-enrich": "Write what recordings are called now into the user actions that are there already.",
    "zoom": "Harvest Zoom meetings and who took part, of one day, into the index or onto stdout.",
    "github": "Pull requests of an organisation into an archive, and from there into warehouses.",
    "export": "How lectures were watched, who attended, the roll call of a course: as CSV.",
    "run": "The daemon: harvest for ever, and feed the sinks.",
    "consume": "Feed sinks from the queue.",
    "status": "How everything is, what is wrong, and what to do about it.",
    "pause": "Let a source, a stream or a sink rest.",
    "resume": "Let what was paused go on.",
    "healthcheck": "Is the daemon alive? For containers.",
    "once": "Read one range of a source, or look what it would give.",
    "backfill": "Read history into the queue, in windows, resumable.",
    "coverage": "What is read, what is final, what is missing.",
    "dead-letters": "What could not be finished, and trying it again.",
    "queue": "Look into the queue and move groups.",
    "trace": "Where is this event: coverage, queue, letters, sinks.",
    "doctor": "What is wrong with this installation, and how to mend it.",
    "archive": "Prove that the archive is whole.",
    "replay": "Bring what was archived into sinks again, without a call to a vendor.",
    "audit": "Prove that every event is accounted for.",
    "backup": "Copy queue, coverage, letters and DuckDB as of one moment.",
    "config": "Show and check settings.",
    "init": "Write the first settings, from a few questions.",
    "setup": "Make what servers lack: topics, queues, buckets, index templates.",
    "dev": "The development stack in containers.",
    "sandbox": "Run the simulated Opencast, Zoom or GitHub.",
}
_EPILOG = """Exit codes: 0 complete · 1 failed · 2 wrong usage · 3 wrong or missing settings · 4 refused for safety ·
5 partial (dead letters or holes, listed) · 130 interrupted."""


class _Commands(click.Group):
    """Looks like a group of all commands, imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"harvester.commands.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """A name that is none is told together with the one that was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0].lower().replace("_", "-"), COMMANDS, n=1)
            if not near or "Did you mean" in error.message:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error

    def invoke(self, ctx: click.Context) -> object:
        """Turns our errors into words, without any secret, and an exit code."""
        began = time.monotonic()
        try:
            code = super().invoke(ctx)
        except HarvesterError as error:
            from harvester.redact import Redactor  # noqa: PLC0415 - `harvest --version` needs none
            from harvester.screens import plain  # noqa: PLC0415 - as above

            hide = ctx.meta.get(REDACTOR, Redactor()).text
            words = plain("\n".join(map(hide, _words(error))))
            click.echo(words, err=True)
            _collected(ctx, began, error.exit_code, words)
            ctx.exit(error.exit_code)
        _collected(ctx, began, code if isinstance(code, int) else 0)
        return code

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    epilog=_EPILOG,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda token: token.replace("_", "-"),
        "max_content_width": 110,
    },
)
@click.version_option(__version__, prog_name="harvest", message="%(prog)s %(version)s")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warn"]),
    help="Least level that is logged.  [env: HARVESTER_LOG_LEVEL; default: info]",
)
@click.pass_context
def cli(ctx: click.Context, log_level: str | None) -> None:
    """Harvest events from vendor APIs: nothing lost, nothing doubled, and you can prove it.

    \b
    harvest demo                       see all of it in a minute, no credentials needed
    harvest config check               what is set, what is missing
    harvest useractions -s 20261101000000 -o -
                                       one JSON document a line on stdout
    harvest run                        the daemon
    """
    ctx.obj = {"HARVESTER_LOG_LEVEL": log_level} if log_level else {}


def main() -> None:
    """The process: runs a command and turns errors into words and exit codes."""
    # Until a command has set what it does at a signal, both end it alike.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.excepthook = _unforeseen
    sys.exit(run())


def _unforeseen(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A fault of ours, with its traceback, but without any secret that an error's text may hold."""
    from harvester.redact import hidden  # noqa: PLC0415 - `harvest --version` needs none
    from harvester.screens import plain  # noqa: PLC0415 - as above

    logs = sys.modules.get("harvester.logs")
    if logs is not None:
        logs.get_logger(logs.COLLECTED).error("died", exc_info=error)
    sys.stderr.write(plain(hidden("".join(traceback.format_exception(kind, error, trace)))))


def run(args: list[str] | None = None) -> int:
    """One command; returns its exit code."""
    try:
        code = cli(args, prog_name="harvest", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("harvest: interrupted", err=True)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _collected(ctx: click.Context, began: float, code: int, words: str | None = None) -> None:
    """Tell the collector of logs how a command ended; whoever called it sees that anyway."""
    logs = sys.modules.get("harvester.logs")  # without it nothing was set up
    if logs is not None and ctx.invoked_subcommand is not None:
        log = logs.get_logger(logs.COLLECTED).bind(command=ctx.invoked_subcommand, exit_code=code)
        say = log.error if words else log.info
        say("command failed" if words else "command ended", seconds=round(time.monotonic() - began, 3), error=words)


def _words(error: HarvesterError) -> list[str]:
    if not isinstance(error, ConfigError) or len(error.faults) == 1:
        return [f"harvest: {error}"]
    faults = [f"  {number}. {fault}" for number, fault in enumerate(error.faults, 1)]
    return [f"harvest: {len(faults)} settings are wrong:", *faults]
