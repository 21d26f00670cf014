"""Examples of settings, made from the families: the `.env.example` of the repository, and what `harvest init` writes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO

from dotenv.parser import parse_stream
from pydantic import BaseModel, ByteSize

from harvester.errors import ConfigError
from harvester.options import Option, options_of, written

_ENV_HEAD = "# Copy this to .env and fill in what is empty; what begins with # shows its default."
_TOML_HEAD = """\
# Settings of the event harvester, read from the folder it is started in. What begins with # shows its default.
# The environment and .env go before this file. A secret does not stand here, only the path of a file that holds it.
# `harvest config check` tells everything that is wrong at once, `harvest config show --origin` what holds."""


def example_env(models: Sequence[type[BaseModel]]) -> str:
    """Every setting as a line of `.env`, with its meaning: what is needed is empty, everything else a comment."""
    lines = [_ENV_HEAD]
    for model in models:
        lines += ["", f"# ==== {title(model)}: {about(model)}"]
        for option in options_of(model):
            old = f" (formerly {', '.join(option.old)})" if option.old else ""
            lines += [f"# {option.info.description}{old}"]
            lines += [f"{option.name}=" if option.info.is_required() else f"#{option.name}={option.default}"]
    return "\n".join(lines) + "\n"


def example_toml(models: Sequence[type[BaseModel]], values: Mapping[str, str]) -> str:
    """Every setting as a line of `harvester.toml`; those in `values` (variable → value) are set, all others comments.

    Families without a table have to come first. ValueError for a secret in `values`: it may not stand there.
    """
    lines = [_TOML_HEAD]
    for model in models:
        options = options_of(model)
        table = options[0].toml.partition("] ")[0].removeprefix("[") if options[0].toml.startswith("[") else ""
        lines += ["", f"# ==== {title(model)}: {about(model)}", *([f"[{table}]"] if table else [])]
        for option in options:
            lines += _toml_lines(option, values.get(option.name))
    return "\n".join(lines) + "\n"


def secrets_env(values: Mapping[str, str]) -> str:
    """A `.env` of secrets. ConfigError for a value that cannot be written so that it is read back as it is."""
    head = "# Secrets of the event harvester. Keep this file to the user it runs as: chmod 600 .env"
    return "\n".join([head, *(f"{name}={_dotenv_value(name, value)}" for name, value in values.items())]) + "\n"


def title(model: type[BaseModel]) -> str:
    """The family's name."""
    return model.__name__.removesuffix("Settings")


def about(model: type) -> str:
    """What it is, in one line."""
    return (model.__doc__ or "").partition("\n")[0]


def _toml_lines(option: Option, value: str | None) -> Iterator[str]:
    key = option.toml.rpartition(" ")[2]
    if option.secret:
        if value is not None:
            raise ValueError(f"{option.name} is a secret: it does not stand in harvester.toml")
        yield f"# {option.info.description}: set {option.name} in the environment or .env, or name a file that holds it"
        yield f'#{key}_file = ""'
        return
    needed = " (needed)" if option.info.is_required() else ""
    yield f"# {option.info.description}{needed}"
    yield f"{key} = {_text(value)}" if value is not None else f"#{key} = {_toml_default(option)}"


def _toml_default(option: Option) -> str:
    if option.info.is_required():
        return '""'
    default = option.info.get_default(call_default_factory=True, validated_data={})
    bare = isinstance(default, bool | int | float) and not isinstance(default, ByteSize)
    return written(default) if bare else _text(option.default)


def _text(value: str) -> str:
    """A string of TOML: JSON's form, in which TOML wants DEL escaped too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _dotenv_value(name: str, value: str) -> str:
    """The first of the three forms that is read back as `value`, with another line behind it."""
    quoted = [quote + value.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote for quote in ("'", '"')]
    for form in (value, *quoted):
        read = [(b.key, b.value) for b in parse_stream(StringIO(f"A={form}\nB='c\"d'\n")) if not b.error]
        if read == [("A", value), ("B", 'c"d')]:
            return form
    raise ConfigError(f"{name}: its value cannot stand in a .env file; put it into a file of its own and set {name}_FILE to it")
