"""`harvest config`: what is set, where it comes from, and what is wrong with it."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pydantic import BaseModel

    from harvester.faults import Fault
    from harvester.loading import Loaded
    from harvester.options import Option
    from harvester.settings import CoreSettings

_FORMAT = 1
_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group("config")
def command() -> None:
    """Show and check settings.

    \b
    harvest config check               everything that is wrong, at once; exit 3 when anything is
    harvest config show --origin       every setting, its value, and where that comes from
    """


@command.command()
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@_json_option
@click.pass_context
def show(ctx: click.Context, *, origin: bool, as_json: bool) -> None:
    """Every setting as lines of a .env file. Secrets are hidden."""
    loaded, families = _inspected(ctx)
    if as_json:
        settings = [_described(loaded, option) for options in families.values() for option in options]
        _say(json.dumps({"format": _FORMAT, "settings": settings}, indent=2, ensure_ascii=False))
    else:
        width = max(len(_line(loaded, option)) for options in families.values() for option in options)
        for number, (model, options) in enumerate(families.items()):
            _say(("\n" if number else "") + click.style(f"# {(model.__doc__ or model.__name__).splitlines()[0]}", bold=True))
            for option in options:
                line = _line(loaded, option)
                line = f"{line:{min(width, 60)}}  # {_origin(loaded, option)}" if origin else line
                _say(click.style(line, dim=loaded.given(option.name) is None))
    _remind(loaded)
    if loaded.faults and any(loaded.given(option.name) for option in loaded.options):
        _say("Something is wrong: `harvest config check` tells what.", err=True)


@command.command()
@_json_option
@click.pass_context
def check(ctx: click.Context, *, as_json: bool) -> None:
    """Tell everything that is wrong, at once. Nothing is opened, no server is asked."""
    from harvester.settings import CoreSettings, inspect
    from harvester.sources import SOURCES

    everything, families = _inspected(ctx)
    idle = {model: needed for model, options in families.items() if (needed := _needed(everything, options))}
    loaded = inspect(*(model for model in families if model not in idle), overrides=ctx.find_root().obj)
    wanted = everything.sound(CoreSettings).sources
    idle = {model: needed for model, needed in idle.items() if _name(model) in wanted or _name(model) not in SOURCES}
    faults = [*loaded.faults, *unusable(loaded)]
    if as_json:
        _say(json.dumps(_report(loaded, faults, idle), indent=2, ensure_ascii=False))
    elif faults:
        _say("\n".join(told(faults)))
    else:
        _say(_praise(loaded))
    _remind(loaded)
    for model, needed in idle.items():
        _say(f"{_name(model)} is not set up; it needs {', '.join(o.name for o in needed)}; harvest init asks for them", err=True)
    if faults:
        _say(
            "Correct this and run `harvest config check` again. `harvest config show --origin` tells where values come from.",
            err=True,
        )
        ctx.exit(3)


def told(faults: "Sequence[Fault]") -> Iterator[str]:
    """Faults as a screen: a head line, then for each its place, its name, what is wrong, and what to do."""
    count = "One setting is wrong" if len(faults) == 1 else f"{len(faults)} settings are wrong"
    yield click.style(f"{count}:", bold=True)
    margin = len(str(len(faults)))
    for number, fault in enumerate(faults, 1):
        yield ""
        yield f"  {number:{margin}}  {click.style(fault.what, fg='red', bold=True)}  ({fault.where})"
        yield f"  {'':{margin}}  {fault.why}"
        yield f"  {'':{margin}}  {click.style(f'→ {fault.fix}', fg='green')}"
    yield ""


def _inspected(ctx: click.Context) -> "tuple[Loaded, dict[type[BaseModel], tuple[Option, ...]]]":
    from harvester.options import options_of
    from harvester.settings import families, inspect

    models = families()
    return inspect(*models, overrides=ctx.find_root().obj), {model: options_of(model) for model in models}


def _needed(loaded: "Loaded", options: "Sequence[Option]") -> "list[Option]":
    """What a family would need when none of its settings is given: it is not wrong, it is not in use."""
    if any(loaded.given(option.name) for option in options):
        return []
    return [option for option in options if option.info.is_required()]


def unusable(loaded: "Loaded") -> "Iterator[Fault]":
    """What reads well and still makes a part refuse its settings; parts whose own settings are at fault are not asked."""
    from harvester.errors import ConfigError
    from harvester.faults import Fault
    from harvester.loading import expected
    from harvester.settings import CoreSettings

    options = {option.name: option for option in loaded.options}
    for name, use in _uses(loaded, loaded.sound(CoreSettings)):
        if name in loaded.at_fault:
            continue
        try:
            use()
        except ConfigError as error:
            given = loaded.given(name)
            shown, where = (given.shown, given.origin) if given else (name, "default")
            for fault in error.faults:
                yield Fault(shown, where, loaded.redactor.text(fault), expected(options[name]))


def _uses(loaded: "Loaded", core: "CoreSettings") -> Iterator[tuple[str, Callable[[], object]]]:
    """For each setting that names a part: the act that would refuse it."""
    from consumers.caches import open_cache
    from consumers.sinks import open_sink, settings_of
    from harvester.commands.parts import source_settings
    from harvester.coverages import open_coverages
    from harvester.letters import open_letters
    from harvester.queues import open_queue
    from harvester.sources import SOURCES

    yield "HARVESTER_QUEUE_URL", partial(open_queue, core.queue_url, core)
    yield "HARVESTER_COVERAGE_URL", partial(open_coverages, core.coverage_url, core)
    yield "HARVESTER_LETTERS_URL", partial(open_letters, core.letters_url, core)
    yield "HARVESTER_CACHE_URL", partial(open_cache, core.cache_url, core)
    for sink in core.sinks:
        model = settings_of(sink)
        if model is None:
            yield "HARVESTER_SINKS", partial(open_sink, sink)
        elif model in loaded.models:
            yield _first(loaded, model), partial(_opened, open_sink(sink, loaded.get(model), core))
    for source in core.sources:
        yield "HARVESTER_SOURCES", partial(source_settings, source)
    for settings, opener in SOURCES.values():
        model = _imported(settings)
        if model in loaded.models:
            yield _first(loaded, model), partial(_opened, _imported(opener)(loaded.get(model), zone=core.timezone))


def _first(loaded: "Loaded", model: "type[BaseModel]") -> str:
    """The setting of a family that a fault of the whole is told with."""
    return next(option.name for option in loaded.options if option.model is model)


def _opened(part: AbstractAsyncContextManager[object]) -> None:
    asyncio.run(_open(part))


async def _open(part: AbstractAsyncContextManager[object]) -> None:
    async with part:
        pass  # opening asks no server: it refuses addresses, plain http and files that cannot serve


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def _value(loaded: "Loaded", option: "Option") -> str:
    from harvester.options import written
    from harvester.redact import HIDDEN

    given = loaded.given(option.name)
    if given is None:
        return option.default
    return HIDDEN if option.secret else loaded.redactor.text(written(given.value))


def _line(loaded: "Loaded", option: "Option") -> str:
    value = _value(loaded, option)
    plain = all(c.isprintable() and c not in " #'\"\\$" for c in value)
    return f"{option.name}={value if plain else json.dumps(value, ensure_ascii=False)}"


def _origin(loaded: "Loaded", option: "Option") -> str:
    given = loaded.given(option.name)
    if given is None:
        return "not set, needed" if option.info.is_required() else "default"
    return given.origin if given.name == option.name else f"{given.origin}, as {given.name}"


def _described(loaded: "Loaded", option: "Option") -> dict[str, object]:
    given = loaded.given(option.name)
    return {
        "name": option.name,
        "value": _value(loaded, option),
        "given": given is not None,
        "origin": loaded.origin(option.name),
        "as": given.name if given else option.name,
        "secret": option.secret,
        "needed": option.info.is_required(),
        "description": option.info.description,
    }


def _report(loaded: "Loaded", faults: "Sequence[Fault]", idle: "Mapping[type[BaseModel], Sequence[Option]]") -> dict[str, object]:
    return {
        "format": _FORMAT,
        "ok": not faults,
        "faults": [{"setting": f.what, "where": f.where, "why": f.why, "fix": f.fix} for f in faults],
        "warnings": list(loaded.warnings),
        "not_set_up": {_name(model): [option.name for option in needed] for model, needed in idle.items()},
    }


def _praise(loaded: "Loaded") -> str:
    origins = [loaded.origin(option.name).partition(":")[0] for option in loaded.options]
    default = origins.count("default")
    given = ", ".join(f"{n} from {origin}" for origin, n in Counter(origins).items() if origin != "default")
    return f"ok: {given or 'nothing is set'}, {default} at their default"


def _name(model: "type[BaseModel]") -> str:
    return model.__name__.removesuffix("Settings").lower()


def _remind(loaded: "Loaded") -> None:
    for warning in loaded.warnings:
        _say(warning, err=True)


def _say(text: str, *, err: bool = False) -> None:
    click.echo(text, err=err, color=False if os.environ.get("NO_COLOR") else None)
