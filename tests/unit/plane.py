"""A family of settings for tests, and short ways to read and to doubt it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr

from harvester.faults import Fault
from harvester.loading import Loaded
from harvester.settings import inspect

CANARY = "canary-7Qz!&%$x"
NEEDED = {"HARVESTER_PLANE_URL": "there", "HARVESTER_PLANE_PASSWORD": "secret"}


def option(name: str, *old: str) -> object:
    return Field(validation_alias=AliasChoices(f"HARVESTER_{name}", *old), description=name.lower())


class PlaneSettings(BaseModel):
    """A family like those of the sources."""

    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True)

    url: Annotated[str, option("PLANE_URL", "OLD_HOST")]
    password: Annotated[SecretStr, option("PLANE_PASSWORD", "OLD_PASS")]
    login: Annotated[Literal["digest", "basic"], option("PLANE_LOGIN")] = "digest"
    seats: Annotated[int, option("PLANE_SEATS", "SEATS")] = 4
    pin: Annotated[SecretStr | None, option("PLANE_PIN")] = None
    open: Annotated[bool, option("PLANE_OPEN")] = False
    ca_file: Annotated[str, option("PLANE_CA_FILE")] = ""


def plane(
    cwd: Path,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
    *,
    dotenv: str = "",
    toml: str = "",
) -> Loaded:
    if dotenv:
        (cwd / ".env").write_text(dotenv, encoding="utf-8")
    if toml:
        (cwd / "harvester.toml").write_text(toml, encoding="utf-8")
    return inspect(PlaneSettings, overrides=overrides, environ=environ or {}, cwd=cwd)


def only(loaded: Loaded) -> Fault:
    (fault,) = loaded.faults
    return fault


def wrong(name: str, text: str, cwd: Path) -> Fault:
    return only(plane(cwd, {**NEEDED, name: text}))


def secret_file(path: Path, text: str = CANARY, mode: int = 0o600) -> str:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return str(path)


def wrong_file(cwd: Path, path: Path) -> Fault:
    return only(plane(cwd, {"HARVESTER_PLANE_URL": "x", "HARVESTER_PLANE_PASSWORD_FILE": str(path)}))
