"""Options that are settings: their help, default and variable come from the setting's field."""

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

import click
from pydantic import BaseModel

from consumers.sinks import known as known_sink
from harvester.errors import ConfigError, RefusedError
from harvester.options import Option, options_of
from harvester.pauses import Pause, why_paused
from harvester.sources import SOURCES

F = TypeVar("F", bound=Callable[..., Any])


def setting(model: type[BaseModel], field: str, *names: str) -> Callable[[F], F]:
    """A click option that sets one field of a settings model for this run; it is collected in `ctx.obj`."""
    option = next(o for o in options_of(model) if o.field == field)

    def collect(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        if value is None or ctx.resilient_parsing:
            return
        if option.secret:
            click.echo(f"warning: other users of this host can see {names[-1]}; set {option.name} instead", err=True)
        ctx.find_root().ensure_object(dict)[option.name] = value

    default = "required" if option.info.is_required() else f"default: {option.default or 'none'}"
    text = f"{option.info.description}  [env: {', '.join(option.names)}; {default}]"
    decorator: Callable[[F], F] = click.option(
        *names, expose_value=False, callback=collect, help=text, default=None, type=_kind(option)
    )
    return decorator


def _kind(option: Option) -> Any:
    """What click can check of the setting, so that a wrong value is wrong usage and is told with the option's name."""
    annotation = option.info.annotation
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    least = next((m.ge for m in option.info.metadata if hasattr(m, "ge")), None)
    if annotation is int:
        return click.IntRange(min=least)
    if annotation is float:
        return click.FloatRange(min=least)
    return click.STRING


_ALTHOUGH = "harvester.although_paused"


def although_paused_option(function: F) -> F:
    """An option for commands that are refused what is paused: see `refuse_paused`."""

    @click.option("--although-paused", is_flag=True, help="This once, although somebody paused it.")
    @wraps(function)
    def command(*args: Any, although_paused: bool, **options: Any) -> Any:
        click.get_current_context().meta[_ALTHOUGH] = although_paused
        return function(*args, **options)

    return cast("F", command)


def although_paused() -> bool:
    """Whether the command was told to work on what is paused."""
    return bool(click.get_current_context().meta.get(_ALTHOUGH))


def refuse_paused(pauses: Mapping[str, Pause], name: str) -> None:
    """RefusedError when `name` is paused and the command was not told to go on all the same."""
    pause = why_paused(pauses, name)
    if pause and not although_paused():
        whole = name if name in pauses else name.partition("/")[0]
        raise RefusedError(
            f"{whole} is {pause}: nothing was done; next: harvest resume {whole}, "
            f"or the same command with --although-paused for this one run"
        )


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")
stream_option = click.option("--stream", default="", help="One stream of the source.  [default: the only one]")
source_type = click.Choice(tuple(SOURCES))


class _Sink(click.ParamType[str]):
    """A sink's name or URL; one that there is not is wrong usage, told before anything is opened."""

    name = "sink"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            known_sink(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return str(value)


sink_type = _Sink()


def confirmed(question: str, *, yes: bool) -> None:
    """Ask on a terminal; off one, --yes is needed. RefusedError (exit 4) without consent."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError(f"{question} Say --yes to do it.")
    if not click.confirm(question, err=True):
        raise RefusedError("nothing was changed")
