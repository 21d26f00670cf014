"""How a setting of a family is declared: the variable that sets it, older names of it, and what it is for."""

from pydantic import AliasChoices, Field


def setting(family: str, name: str, description: str, *old: str, **more: object) -> object:
    """A field that `family` and `name` together name, as in HARVESTER_KAFKA_ and USER. `old`: names that work too."""
    return Field(validation_alias=AliasChoices(f"{family}{name}", *old), description=description, **more)  # type: ignore[call-overload]
