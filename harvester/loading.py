"""How settings are joined: names and old names, places by precedence, the faults of all of them at once."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

from pydantic import BaseModel, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from harvester import layers
from harvester.faults import TOLD_WHEN_MISSING, Fault, closest, complaint, quoted
from harvester.layers import COMMAND_LINE, ENVIRONMENT, PREFIX, Entry, Layer
from harvester.options import Option, also_read, options_of
from harvester.redact import Redactor
from harvester.rotation import with_file

Model = TypeVar("Model", bound=BaseModel)
Families = Callable[[], Sequence[type[BaseModel]]]
Values = dict[str, object]
CONFIG = f"{PREFIX}CONFIG"
_CONFIG_FILE = "harvester.toml"
_NO_SETTINGS = re.compile(rf"{PREFIX}(TEST|CRASH|SANDBOX)_\w+")
"""Switches of the tests and of the sandbox, which has options of its own, stand in the environment and are no settings."""
_FILE = "_FILE"
_COMMAND_LINE, _RUN_SECRETS, _TOML = 0, 3, 4


class Given(NamedTuple):
    """One value that was given for one option: under which of its names, in the how-manieth place."""

    entry: Entry
    name: str
    rank: int


class Loaded:
    """Settings as they were found. `faults` is empty when `load` returned it; `warnings` are lines for stderr."""

    def __init__(self, join: "_Join", models: Mapping[type[BaseModel], BaseModel]) -> None:
        self.models = models
        """The families that hold."""
        self.at_fault = frozenset(join.at_fault)
        """The options whose value cannot be used."""
        self._chosen = join.chosen
        self._sound = join.sound
        self._names = {n: o.name for o in join.options for n in o.names}
        self.options = tuple(join.options)
        self.secrets = tuple(sorted(join.secrets))
        """The values of secrets, for the redactor of logs."""
        self.redactor = Redactor(self.secrets)
        self.warnings = tuple(map(self.redactor.text, join.warnings))
        self.faults = tuple(Fault(*map(self.redactor.text, fault)) for fault in join.faults)

    def sound(self, model: type[Model]) -> Model:
        """As `get`, with the default in place of what is at fault. Only for a family that needs nothing."""
        return self._sound(model)

    def get(self, model: type[Model]) -> Model:
        """The settings of one family that was asked for; KeyError when it was not, or is at fault."""
        found = self.models[model]
        assert isinstance(found, model)
        return found

    def given(self, name: str) -> Entry | None:
        """What was given for the option `name` (a secret unmasked), None when its default holds."""
        chosen = self._chosen.get(self._names[name])
        return chosen.entry if chosen else None

    def origin(self, name: str) -> str:
        """One of: command line · environment · .env:3 · a file of /run/secrets · harvester.toml:7 · default."""
        entry = self.given(name)
        return entry.origin if entry else "default"


def read(
    models: Sequence[type[BaseModel]],
    families: Families,
    overrides: Mapping[str, object],
    environ: Mapping[str, str] | None,
    cwd: Path,
) -> Loaded:
    """What `harvester.settings.inspect` promises. `families` tells all there are, and is asked about unknown names only."""
    join = _Join([option for model in models for option in options_of(model)], cwd)
    join.read(overrides, os.environ if environ is None else environ)
    join.refuse_unknown(families)
    join.choose()
    valid = {model: found for model in models if (found := join.validated(model)) is not None}
    return Loaded(join, valid)


class _Join:
    """One reading: what each place says, what was chosen, what is wrong."""

    def __init__(self, options: Sequence[Option], cwd: Path) -> None:
        self.options = options
        self.cwd = cwd
        self.faults: list[Fault] = []
        self.warnings: list[str] = []
        self.secrets: set[str] = set()
        self.chosen: dict[str, Given] = {}
        self.at_fault: set[str] = set()
        self._files: dict[str, Path] = {}
        self._layers: list[Layer] = []
        self._values: list[Values] = []

    def read(self, overrides: Mapping[str, object], environ: Mapping[str, str]) -> None:
        """Read every place, in order of precedence."""
        unknown = overrides.keys() - {n for o in self.options for n in o.names}
        if unknown:
            raise ValueError(f"no option of these families: {', '.join(sorted(unknown))}")
        environment = layers.plain(environ, ENVIRONMENT)
        dotenv = layers.dotenv(self.cwd / ".env", self.faults)
        secrets = [n for o in self.options if o.secret for n in o.names]
        named = next((e for layer in (environment, dotenv) if (e := layer.get(CONFIG)) and e.value), None)
        path = self.cwd / str(named.value if named else _CONFIG_FILE)
        if named and not path.is_file():
            self.faults.append(Fault(CONFIG, named.origin, f"there is no file {quoted(path)}", "write it, or correct the path"))
        self._layers = [
            layers.plain(overrides, COMMAND_LINE),
            environment,
            dotenv,
            layers.secret_files(layers.RUN_SECRETS, secrets, self.faults),
            layers.toml(path, self.faults),
        ]
        self._values = [{} for _ in self._layers]

    def refuse_unknown(self, families: Families) -> None:
        """A name of ours that is no setting is a fault: whoever wrote it believes that it holds."""
        entries = [e for layer in self._layers for e in layer.values() if e.name.upper().startswith(PREFIX)]
        known = {n: o for o in self.options for n in o.names}
        unknown = [e for e in entries if not _is_known(e.name, known)]
        if not unknown:
            return
        known |= {n: o for model in families() for o in options_of(model) for n in o.names}
        for entry in unknown:
            if not _is_known(entry.name, known):
                near = closest(entry.name, known, ignore=PREFIX)
                meant = near if entry.shown == entry.name or not near else known[near].toml
                fix = f"did you mean {meant}?" if near else "`harvest config show` lists all settings"
                self.faults.append(Fault(entry.shown, entry.origin, "there is no such setting", fix))

    def choose(self) -> None:
        """For each option the value of the highest place that gives one, whichever of its names stands there."""
        for option in self.options:
            for given in self._given(option):
                self._take(option, given)

    def _given(self, option: Option) -> Iterator[Given]:
        for rank, layer in enumerate(self._layers):
            for name in option.names:
                for spelled in (name, name + _FILE):
                    entry = layer.get(spelled)
                    if entry is not None and entry.value != "":
                        yield Given(entry, name, rank)

    def _take(self, option: Option, given: Given) -> None:
        above = self.chosen.get(option.name)
        if above and given.rank > above.rank and (above.rank == _COMMAND_LINE or above.name == given.name):
            return  # a higher place gave it: that is what places are for
        if given.name != option.name and given.rank > _COMMAND_LINE:
            self._warn_of_old(option, given)
        value = self._value(option, given)
        if value is None:
            self.at_fault.add(option.name)
            return
        if option.secret:
            self.secrets.add(str(value))
        if above is None:
            self.chosen[option.name] = Given(given.entry._replace(value=value), given.name, given.rank)
            if given.entry.name != given.name:
                self._files[option.name] = self.cwd / str(given.entry.value)
            elif given.rank == _RUN_SECRETS:
                self._files[option.name] = Path(given.entry.origin)
            self._values[given.rank][option.name] = value
        elif str(above.entry.value) != str(value):
            self._contradicts(option, above, given._replace(entry=given.entry._replace(value=value)))

    def _value(self, option: Option, given: Given) -> object:
        """The value itself; None, with a fault, when it cannot be had."""
        entry = given.entry
        if entry.name == given.name:
            if option.secret and given.rank == _TOML:
                fix = f"set {option.name} in the environment or .env, or {option.toml}_file = the path of a file with it"
                self.faults.append(Fault(entry.shown, entry.origin, "a secret does not stand in this file", fix))
                return None
            return entry.value
        try:
            return layers.read_value(self.cwd / str(entry.value), secret=option.secret)
        except ValueError as error:
            self.faults.append(Fault(entry.shown, entry.origin, str(error), "correct the path or the file"))
            return None

    def _contradicts(self, option: Option, above: Given, below: Given) -> None:
        (one, name, _), (other, _, _) = above, below
        values = "" if option.secret else f" ({quoted(one.value)} and {quoted(other.value)})"
        why = f"{other.shown} ({other.origin}) is the same setting and says something else{values}"
        # The old name is the one that a reader of today's documents does not expect.
        leave = one if name != option.name == below.name else other
        self.faults.append(Fault(one.shown, one.origin, why, f"leave out {leave.shown}"))

    def _warn_of_old(self, option: Option, given: Given) -> None:
        old = given.entry.name
        new = option.name + old.removeprefix(given.name)
        line = f"deprecated: {old} is now called {new}; {old} still works"
        if line not in self.warnings:
            self.warnings.append(line)

    def sound(self, model: type[Model]) -> Model:
        """The family's settings without those that are at fault."""
        places = [{name: value for name, value in place.items() if name not in self.at_fault} for place in self._places(model)]
        places.append({o.name: o.info.get_default() for o in options_of(model) if o.name in self.at_fault})
        return model.model_construct(**dict(_joined(model, places)()))

    def _places(self, model: type[BaseModel]) -> list[Values]:
        """What each place gives to a family, and what it may look at besides."""
        names = also_read(model)
        beside = [{n: entry.value for n in names if (entry := layer.get(n)) and entry.value != ""} for layer in self._layers]
        return [{**more, **values} for more, values in zip(beside, self._values, strict=True)]

    def validated(self, model: type[Model]) -> Model | None:
        """The family's settings; None, with faults, when they do not hold."""
        joined = _joined(model, self._places(model))
        options = {n: o for o in options_of(model) for n in (o.field, *o.names)}
        try:
            # Validated already: only the family's own class is put back, so that equal settings are equal.
            found = dict(joined())
            files = {o.field: with_file(found[o.field], self._files[o.name]) for o in options_of(model) if o.name in self._files}
            return model.model_construct(**{**found, **files})
        except ValidationError as error:
            for one in error.errors(include_input=False, include_url=False):
                option = options.get(str(one["loc"][0])) if one["loc"] else None
                if option is None:
                    why = complaint(one, None, secret=False)
                    self.faults.append(Fault(_title(model), "settings", why.why, why.fix or "correct one of them"))
                elif option.name not in self.at_fault:
                    self.at_fault.add(option.name)
                    self.faults.append(self._refused(option, one))
        return None

    def _refused(self, option: Option, error: ErrorDetails) -> Fault:
        given = self.chosen.get(option.name)
        about = option.info.description or option.field
        if given is None and error["type"] in TOLD_WHEN_MISSING:
            return Fault(option.name, "not set", *complaint(error, None, secret=False))
        if given is None:
            instead = (
                f"{option.name}{_FILE} = the path of a file with it" if option.secret else f"`{option.toml}` in {_CONFIG_FILE}"
            )
            return Fault(option.name, "not set", f"it is needed: {about}", f"set it in the environment or .env, or {instead}")
        entry = given.entry
        said = complaint(error, entry.value, secret=option.secret)
        return Fault(entry.shown, entry.origin, said.why, said.fix or expected(option))


class _Joined(BaseSettings):
    """Joins a family with the places: pydantic-settings merges them, the first that gives a value wins."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    places: ClassVar[Sequence[Values]] = ()

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **__: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        own = {n for o in options_of(settings_cls) for n in o.names} | also_read(settings_cls)
        return tuple(_Place(settings_cls, {n: v for n, v in place.items() if n in own}) for place in cls.places)


def _joined(model: type[BaseModel], places: Sequence[Values]) -> type[_Joined]:
    joined = cast("type[_Joined]", create_model(model.__name__, __base__=(model, _Joined)))
    joined.places = tuple(places)
    return joined


class _Place(PydanticBaseSettingsSource):
    def __init__(self, settings_cls: type[BaseSettings], values: Values) -> None:
        super().__init__(settings_cls)
        self._values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return self._values.get(field_name), field_name, False

    def __call__(self) -> Values:
        return self._values


def _is_known(name: str, known: Mapping[str, object]) -> bool:
    return name == CONFIG or name in known or name.removesuffix(_FILE) in known or _NO_SETTINGS.fullmatch(name) is not None


def expected(option: Option) -> str:
    """What an option takes, for a reader who gave it something else."""
    usual = f"; the default is {option.default}" if option.default else ""
    return f"expected: {option.info.description or option.field}{usual}"


def _title(model: type[BaseModel]) -> str:
    return model.__name__.removesuffix("Settings").lower()
