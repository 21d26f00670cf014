"""`harvest init`: the first settings of a folder, from a few questions or from options."""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
from pydantic import BaseModel

from consumers.sinks import known
from harvester.commands import config
from harvester.commands.options import sink_type, source_type
from harvester.errors import ConfigError, RefusedError
from harvester.examples import example_env, example_toml, secrets_env
from harvester.loading import Loaded
from harvester.options import Option, options_of
from harvester.settings import SHARED_QUEUES, CoreSettings, families, inspect
from harvester.sources import SOURCES

TOML, EXAMPLE, SECRETS = "harvester.toml", ".env.example", ".env"
_ALWAYS_ASKED = ("TIMEZONE",)
"""Has a default, and yet is wrong on most servers."""


_OF_A_SOURCE = ("url", "user", "timezone", "account_id", "client_id", "org")
_SINKS = "HARVESTER_SINKS"
_FOLDER = click.Path(file_okay=False, path_type=Path)


class Answers(NamedTuple):
    """What was chosen: the families in use, and variable → value, secrets apart."""

    models: Sequence[type[BaseModel]]
    values: dict[str, str]
    secrets: dict[str, str]


@click.command("init")
@click.option("--source", type=source_type, default="opencast", show_default=True, help="What is harvested.")
@click.option("--url", help="Where it is: host, host:port or full URL.  [default: asked for; zoom, github: the vendor's own]")
@click.option("--user", help="Account there (opencast).  [default: asked for]")
@click.option("--timezone", help="Zone of its server's clock (opencast).  [default: asked for; with --yes UTC]")
@click.option("--account-id", help="Account of the Server-to-Server OAuth app (zoom).  [default: asked for]")
@click.option("--client-id", help="Client id of that app (zoom).  [default: asked for]")
@click.option("--org", help="Login of the organisation (github).  [default: asked for]")
@click.option("--queue", help="Queue between source and sink.  [default: asked for; with --yes sqlite:///var/queue.db]")
@click.option(
    "--letters", help="Store of dead letters.  [default: asked for beside Kafka and SQS, else sqlite:///var/letters.db]"
)
@click.option("--sink", type=sink_type, help="Where events are written.  [default: asked for; with --yes duckdb]")
@click.option("--sink-url", help="Where that is, if it is a server.  [default: asked for]")
@click.option("--folder", type=_FOLDER, default=".", show_default=True, help="Where to write.")
@click.option("--yes", is_flag=True, help="Ask nothing: what no option gives has its default.")
@click.option("--force", is_flag=True, help="Replace files that are there; each is kept as NAME.old.")
def command(folder: Path, *, yes: bool, force: bool, source: str, **given: str | None) -> int:
    """Write a commented harvester.toml and .env.example, from a few questions or from options.

    A password is asked for on a terminal only. It goes into .env, which its user alone can read, and never into harvester.toml.

    \b
    harvest init
    harvest init --yes --url https://engage.example.edu --user harvester --timezone Europe/Vienna
    harvest init --source zoom --account-id 5dXk2 --client-id 9fQa1
    harvest init --source github --org acme
    """
    asking = sys.stdin.isatty() and not yes
    answers = _answers(source, given, asking=asking)
    _refuse_wrong(answers)
    files = {TOML: example_toml(families(), answers.values), EXAMPLE: example_env(families())}
    if answers.secrets:
        files[SECRETS] = secrets_env(answers.secrets)
    _refuse_overwriting(folder, files, force=force)
    for name, text in files.items():
        _write(folder / name, text, mode=0o600 if name == SECRETS else 0o644)
        click.echo(f"wrote {folder / name}", err=True)
    _say_next(folder, answers)
    return 0


def _answers(source: str, given: Mapping[str, str | None], *, asking: bool) -> Answers:
    """From the options, then from questions. Exit 2 naming every option that is missing when nothing may be asked."""
    core = {option.name: option for option in options_of(CoreSettings)}
    queue, letters, sinks = core["HARVESTER_QUEUE_URL"], core["HARVESTER_LETTERS_URL"], core[_SINKS]
    source_model = _imported(SOURCES[source][0])
    values: dict[str, str] = {"HARVESTER_SOURCES": source} if source != core["HARVESTER_SOURCES"].default else {}
    _refuse_foreign(source, source_model, given)
    wanted = [(option, given.get(option.field)) for option in _asked(source_model, given)]
    missing = _fill(values, [*wanted, (queue, given["queue"])], asking=asking)
    if given["letters"] or values.get(queue.name, "").partition("://")[0] in SHARED_QUEUES:
        missing += _fill(values, [(letters, given["letters"])], asking=asking, needed=True)
    missing += _fill(values, [(sinks, given["sink"])], asking=asking)
    sink_models = _families_of(values.get(sinks.name, sinks.default))
    for model in sink_models:
        missing += _fill(values, [(o, given["sink_url"]) for o in _asked(model, {})], asking=asking, prefix="sink-")
    if missing:
        raise click.UsageError(f"needed, and nothing is asked off a terminal or with --yes: {', '.join(missing)}")
    models: list[type[BaseModel]] = [CoreSettings, source_model, *sink_models]
    secrets = [o for model in models[1:] for o in options_of(model) if o.secret]
    found = {o.name: _secret(o) for o in secrets} if asking else {}
    return Answers(models, values, {name: value for name, value in found.items() if value})


def _refuse_foreign(source: str, model: type[BaseModel], given: Mapping[str, str | None]) -> None:
    """Exit 2 for what was said of a source and is none of its settings."""
    wrong = [_spelt(name) for name in _OF_A_SOURCE if given.get(name) is not None and name not in model.model_fields]
    if wrong:
        raise click.UsageError(f"{source} has no {', '.join(wrong)}: leave it out, or name another source with --source")


def _asked(model: type[BaseModel], given: Mapping[str, str | None]) -> list[Option]:
    """What a person has to say of a family: what is needed and no secret, and what no default fits; and what was said."""
    options = [o for o in options_of(model) if not o.secret]
    return [o for o in options if given.get(o.field) is not None or _needs_an_answer(o)]


def _needs_an_answer(option: Option) -> bool:
    nowhere = option.field == "url" and not option.default
    return option.info.is_required() or option.name.endswith(_ALWAYS_ASKED) or nowhere


def _spelt(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def _fill(
    values: dict[str, str],
    wanted: Sequence[tuple[Option, str | None]],
    *,
    asking: bool,
    prefix: str = "",
    needed: bool = False,
) -> list[str]:
    """Add what was given, or is answered; the options that are missing. `needed`: no default is offered."""
    missing = []
    for option, given in wanted:
        if given is not None:
            values[option.name] = given
        elif asking:
            default = None if needed else option.default or ("UTC" if option.name.endswith("TIMEZONE") else None)
            taken = partial(_checked, option)
            values[option.name] = click.prompt(str(option.info.description), default=default, err=True, value_proc=taken)
        elif needed or option.info.is_required():
            missing.append(_spelt(f"{prefix}{option.field.removesuffix('_url')}"))
    return missing


def _secret(option: Option) -> str:
    text = f"{option.info.description} (not shown; enter nothing to set {option.name} later)"
    return str(click.prompt(text, default="", hide_input=True, show_default=False, err=True))


def _checked(option: Option, text: str) -> str:
    """The answer. click.UsageError, which asks again, when the setting would not take it."""
    faults = [fault for fault in _inspected([option.model], {option.name: text}).faults if fault.what == option.name]
    if faults:
        raise click.UsageError(f"{faults[0].why}; {faults[0].fix}")
    if option.name == _SINKS:
        try:
            _families_of(text)
        except ConfigError as error:
            raise click.UsageError(str(error)) from error
    return text


def _inspected(models: Sequence[type[BaseModel]], values: Mapping[str, str]) -> Loaded:
    """These settings alone, whatever else is set around."""
    with TemporaryDirectory() as nowhere:
        return inspect(*models, overrides=values, environ={}, cwd=Path(nowhere))


def _refuse_wrong(answers: Answers) -> None:
    """ConfigError with every fault of what was chosen; a secret that is not given yet is none."""
    stand_ins = {o.name: "to be given" for m in answers.models for o in options_of(m) if o.secret and o.info.is_required()}
    loaded = _inspected(answers.models, {**stand_ins, **answers.values, **answers.secrets})
    faults = [*loaded.faults, *config.unusable(loaded)]
    if faults:
        raise ConfigError(*map(str, faults))


def _refuse_overwriting(folder: Path, files: Mapping[str, str], *, force: bool) -> None:
    there = [str(folder / name) for name in files if (folder / name).exists()]
    if there and not force:
        raise RefusedError(
            f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} there already: nothing was written; "
            f"name another place with --folder, or replace with --force (the old files are kept as NAME.old)"
        )


def _write(path: Path, text: str, *, mode: int) -> None:
    """Made whole beside its place, readable by nobody else meanwhile; what was there is kept as NAME.old."""
    beside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
        if path.exists():
            path.replace(path.with_name(path.name + ".old"))
        beside.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}: name another place with --folder") from error


def _say_next(folder: Path, answers: Answers) -> None:
    needed = [o.name for m in answers.models for o in options_of(m) if o.secret and o.info.is_required()]
    open_ = [name for name in needed if name not in answers.secrets]
    if open_:
        where = f"in {folder / SECRETS} or the environment, or {open_[0]}_FILE = the path of a file with it"
        click.echo(f"still needed: {', '.join(open_)}, {where}", err=True)
    go = f"cd {folder} && " if folder != Path() else ""
    ready = "harvest doctor, then harvest run"
    if "elasticsearch" in answers.values.get(_SINKS, ""):
        ready = f"harvest setup load_index_templates, then {ready}"
    click.echo(f"next: {go}harvest config check, then {ready}", err=True)


def _families_of(sinks: str) -> list[type[BaseModel]]:
    """The settings of those sinks of a comma list that have a family of their own. ConfigError: there is none of that name."""
    wanted = dict.fromkeys(known(sink.strip()) for sink in sinks.split(",") if sink.strip())
    found = {m.__name__.removesuffix("Settings").lower(): m for m in families()}
    return [found[sink] for sink in wanted if sink in found]


def _imported(path: str) -> type[BaseModel]:
    module, _, name = path.partition(":")
    model: type[BaseModel] = getattr(import_module(module), name)
    return model
