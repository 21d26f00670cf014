"""How pull requests are read: by GraphQL, or by REST alone where the server has no GraphQL or the token may not use it."""

from collections.abc import Callable, Sequence

from harvester.errors import HarvesterError
from harvester.sources.github_calls import GraphqlError
from harvester.sources.github_details import NUMBER_ID, WHOLE_ID
from harvester.sources.github_refusals import DeniedError, GoneError, TooHeavyError
from harvester.sources.github_settings import SCOPES

OnMode = Callable[[str, str], None]
_OTHER_SCHEMA = "exist on type"
_DENIED = ("FORBIDDEN", "INSUFFICIENT_SCOPES")


class NoNodeError(GoneError):
    """GraphQL works, and does not know this thing, or not for this token."""


class Mode:
    """Which of the two it is now; `auto` leaves GraphQL once, for the life of the process, and says so."""

    def __init__(self, chosen: str, on_mode: OnMode | None = None) -> None:
        self._chosen = chosen
        self._on_mode = on_mode or (lambda *_: None)
        self.graphql = chosen != "rest"
        """Whether GraphQL is asked."""
        self.ids = WHOLE_ID
        """The field that ids of pull requests and reviews are asked for in."""
        self._works = False

    def works(self) -> None:
        """GraphQL has answered for us."""
        self._works = True

    def older(self, errors: Sequence[GraphqlError]) -> bool:
        """Whether the server is too old to have whole ids: from now on they are asked for as numbers."""
        unknown = any(WHOLE_ID in error.message and _OTHER_SCHEMA in error.message for error in errors)
        if self.ids == NUMBER_ID or not unknown:
            return False
        self.ids = NUMBER_ID
        return True

    def leaves(self, error: HarvesterError) -> bool:
        """Whether REST is read from now on because of this refusal. What has worked before is not left."""
        if self._chosen != "auto" or self._works or isinstance(error, NoNodeError):
            return False
        if self.graphql:
            self.graphql = False
            self._on_mode("rest", str(error))
        return True


def refused(errors: Sequence[GraphqlError], what: str) -> HarvesterError:
    """Why GraphQL gave nothing of it."""
    why = "; ".join(error.message[:300] for error in errors) or "no reason given"
    types = {error.type for error in errors}
    said = f"github: {what}: {why}"
    if types & {*_DENIED}:
        sso = "SAML" in why or "single sign-on" in why.lower()
        hint = "authorize the token for the organisation's single sign-on" if sso else SCOPES
        return DeniedError(f"{said}: {hint}", status=403)
    if "NOT_FOUND" in types:
        return NoNodeError(f"{said}: not there, or not for this token: {SCOPES}", status=404)
    if _OTHER_SCHEMA in why:  # of an older server
        return DeniedError(said, status=400)
    return TooHeavyError(said)
