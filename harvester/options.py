"""The options of a family of settings, as its model declares them: variable, old names, place in harvester.toml, default."""

from typing import NamedTuple, get_args

from pydantic import AliasChoices, BaseModel, ByteSize, Secret, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from harvester.layers import PREFIX
from harvester.redact import HIDDEN

_SECRETS = (SecretStr, SecretBytes, Secret)
_SIZES = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


class Option(NamedTuple):
    """One option of one family."""

    model: type[BaseModel]
    field: str
    info: FieldInfo
    name: str
    """The variable."""
    old: tuple[str, ...]
    """Names that predecessors used."""
    secret: bool
    toml: str
    """Where it stands in harvester.toml: `key`, or `[table] key`."""

    @property
    def names(self) -> tuple[str, ...]:
        """All variables it answers to."""
        return (self.name, *self.old)

    @property
    def default(self) -> str:
        """The default as one would write it, "" when there is none."""
        if self.info.is_required():
            return ""
        return written(self.info.get_default(call_default_factory=True, validated_data={}))


def options_of(model: type[BaseModel]) -> tuple[Option, ...]:
    """The options of a family, in the order of its declaration. A field without a variable is a TypeError."""
    fields = [(field, info, *_aliases(model, field, info)) for field, info in model.model_fields.items()]
    tables = {name.removeprefix(PREFIX).partition("_")[0] for _, _, name, _ in fields}
    table = tables.pop().lower() if len(tables) == 1 else ""
    if any(name == f"{PREFIX}{table.upper()}" for _, _, name, _ in fields):  # in TOML a key is no table as well
        table = ""
    found = []
    for field, info, name, old in fields:
        key = name.removeprefix(PREFIX).lower()
        inside = key.removeprefix(f"{table}_")
        found.append(
            Option(
                model=model,
                field=field,
                info=info,
                name=name,
                old=old,
                secret=_holds(info.annotation, _SECRETS),
                toml=f"[{table}] {inside}" if table and inside != key else key,
            )
        )
    return tuple(found)


def written(value: object) -> str:
    """A value as one would write it into `.env`. A secret is hidden."""
    if isinstance(value, ByteSize):
        return next((f"{value // size}{unit}" for unit, size in _SIZES if value and value % size == 0), str(int(value)))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(map(written, value))
    if isinstance(value, SecretStr | SecretBytes | Secret):
        return HIDDEN if value.get_secret_value() else ""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _aliases(model: type[BaseModel], field: str, info: FieldInfo) -> tuple[str, tuple[str, ...]]:
    alias = info.validation_alias
    names = [str(n) for n in alias.choices] if isinstance(alias, AliasChoices) else [alias]
    if not isinstance(names[0], str) or not names[0].startswith(PREFIX):
        raise TypeError(f"{model.__name__}.{field} has no variable: give it a validation_alias that begins with {PREFIX}")
    return names[0], tuple(str(n) for n in names[1:])


def _holds(annotation: object, kinds: tuple[type, ...]) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, kinds):
        return True
    return any(_holds(part, kinds) for part in get_args(annotation))


def also_read(model: type[BaseModel]) -> frozenset[str]:
    """Names of options of other families that a family's own "before" validator looks at, and takes out of what was given."""
    return getattr(model, "also_reads", frozenset())
