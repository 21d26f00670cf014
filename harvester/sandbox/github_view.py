"""What one caller sees of the organisation, at one moment."""

from typing import NamedTuple

from harvester.sandbox.github_login import Caller
from harvester.sandbox.github_settings import GitHubSandboxSettings
from harvester.sandbox.github_world import Repository, World


class View(NamedTuple):
    world: World
    settings: GitHubSandboxSettings
    caller: Caller
    now: int

    def sees(self, repository: Repository) -> bool:
        """Whether the scopes let the caller know of it."""
        scopes = {scope.strip() for scope in self.settings.scopes.split(",")}
        return not repository.private or self.caller.account is None or scopes == {""} or "repo" in scopes

    def forbidden(self, repository: Repository) -> bool:
        """Whether single sign-on keeps the caller from it."""
        return repository.name(self.now) in self.settings.forbidden

    def repositories(self) -> list[Repository]:
        """All that are listed, by name."""
        there = [each for each in self.world.there(self.now) if self.sees(each)]
        return sorted(there, key=lambda each: each.name(self.now).lower())

    def named(self, owner: str, name: str) -> tuple[Repository, bool] | None:
        """The repository of that name, and whether it is still called so; None: there is none for this caller."""
        found = self.world.named(name, self.now) if owner.lower() == self.world.org.login.lower() else None
        return found if found and self.sees(found[0]) else None

    def by_id(self, number: int) -> Repository | None:
        found = self.world.by_id(number, self.now)
        return found if found and self.sees(found) else None
