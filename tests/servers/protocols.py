"""What every kind of server in the tests does, and the one error that says that it is not to be had here."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tests.servers.own import Own


class MissingServerError(Exception):
    """No such server here: why, and the command that would provide it.

    A test that needs it is skipped, or fails where the server is required.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


class Server(Protocol):
    """A server that answers."""

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def origin(self) -> str: ...  # from where it was taken, for a person to read
    def empty(self) -> None: ...  # as if nobody had used it


class Kind(Protocol):
    """One row of `tests.services.SERVERS`: the three ways to a server, each raising MissingServerError where it is closed."""

    @property
    def name(self) -> str: ...
    @property
    def provide(self) -> str: ...  # the command that would provide it
    def address(self, url: str) -> Server: ...  # one that somebody else runs
    def container(self) -> AbstractContextManager[Server]: ...  # in Docker
    def process(self) -> AbstractContextManager[Server]: ...  # a local process
    def startable(self) -> None: ...  # raises when the local process cannot be made here; downloads nothing
    def fetched(self) -> str: ...  # what the local process is made of, fetched when it was not here


class OwnKind(Kind, Protocol):
    """One whose local process a test may have for itself."""

    def node(self, settings: dict[str, object]) -> "AbstractContextManager[Own]": ...
