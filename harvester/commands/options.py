"""Options that are settings: their help, default and variable come from the setting's field."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

F = TypeVar("F", bound=Callable[..., Any])


def setting(model: type[BaseModel], field: str, *names: str, flag: bool = False) -> Callable[[F], F]:
    """A click option that sets one field of a settings model for this run; it is collected in `ctx.obj`."""
    info = model.model_fields[field]
    variables = [str(choice) for choice in info.validation_alias.choices]  # type: ignore[union-attr]
    secret = "Secret" in str(info.annotation)

    def collect(ctx: click.Context, param: click.Parameter, value: Any) -> None:  # noqa: ARG001 - click's signature
        if value is None or ctx.resilient_parsing:
            return
        if secret:
            click.echo(f"warning: other users of this host can see {names[-1]}; set {variables[0]} instead", err=True)
        ctx.find_root().ensure_object(dict)[variables[0]] = value

    default = (
        "required" if info.default is PydanticUndefined else f"default: {'none' if info.default in (None, '') else info.default}"
    )
    text = f"{info.description}  [env: {', '.join(variables)}; {default}]"
    kind: Any = {int: click.INT, float: click.FLOAT}.get(info.annotation)  # type: ignore[arg-type]
    more: dict[str, Any] = {"is_flag": True, "flag_value": True} if flag else {"type": kind}
    decorator: Callable[[F], F] = click.option(*names, expose_value=False, callback=collect, help=text, default=None, **more)
    return decorator


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")


def confirmed(question: str, *, yes: bool) -> None:
    """Ask on a terminal; off one, --yes is needed. RefusedError (exit 4) without consent."""
    from harvester.errors import RefusedError

    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError(f"{question} Say --yes to do it.")
    if not click.confirm(question, err=True):
        raise RefusedError("nothing was changed")
