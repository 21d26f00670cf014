"""What the sandboxes of all vendors take on the command line, and how they serve."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

option = partial(click.option, show_default=True, show_envvar=True)


def at_a_port(default: int) -> Callable[[Command], Command]:
    """Where it listens, and its world."""
    options = (
        option("--host", default="127.0.0.1", help="Address to listen on."),
        option("--port", default=default, type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one."),
        option(
            "--now",
            callback=_moment,
            metavar="ISO",
            help="Where the sandbox's clock starts; UTC if it names no zone.  [default: the real time]",
        ),
        option("--speed", default=1.0, type=click.FloatRange(min=0), help="Sandbox seconds a real second; 0 stands still."),
        option("--seed", default="sandbox", help="Other seeds are other worlds; the same seed is always the same."),
    )
    return _all(options)


def faulty(named: str) -> Callable[[Command], Command]:
    """What goes wrong; `named` says which kinds `all` leaves out."""
    options = (
        option(
            "--fault",
            "--faults",
            "faults",
            multiple=True,
            callback=_rates,
            metavar="KIND=SHARE",
            help=(
                "How often a fault happens; may be repeated. all= and records= spread over all kinds of requests and of records; "
                f"{named}"
            ),
        ),
        option("--fault-burst", default=1, type=click.IntRange(min=1), help="A request is refused at most so often in a row."),
        option("--retry-after", default=1.0, type=click.FloatRange(min=0), help="Seconds that a 429 asks for."),
        option("--slow", default=0.5, type=click.FloatRange(min=0), help="Seconds that a slow answer takes."),
    )
    return _all(options)


def _all(options: tuple[Callable[[Any], Any], ...]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for each in reversed(options):
            command = each(command)
        return command

    return decorate


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


def until_a_signal(settings: Any, host: str, port: int, *, as_json: bool, told: Callable[[str], str]) -> None:
    """Serve the sandbox of these settings until SIGINT or SIGTERM; `told`: the line on stderr, of its address."""
    import asyncio

    asyncio.run(_serve(settings, host, port, as_json=as_json, told=told))


async def _serve(settings: Any, host: str, port: int, *, as_json: bool, told: Callable[[str], str]) -> None:
    import asyncio
    import json
    import signal

    from harvester.sandbox.serve import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serve(settings, host=host, port=port) as running:
        click.echo(told(running.url), err=True)
        if as_json:
            click.echo(json.dumps({"url": running.url}))
        await stop.wait()
