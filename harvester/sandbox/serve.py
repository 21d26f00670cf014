"""A sandbox on a port."""

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar, overload

from aiohttp import web

from harvester.errors import ConfigError
from harvester.sandbox.clock import SandboxClock
from harvester.sandbox.faults import Faults
from harvester.sandbox.github_settings import GitHubSandboxSettings
from harvester.sandbox.opencast import OpencastSandbox
from harvester.sandbox.settings import SandboxSettings
from harvester.sandbox.stats import Stats
from harvester.sandbox.truth import Truth
from harvester.sandbox.zoom import ZoomSandbox
from harvester.sandbox.zoom_settings import ZoomSandboxSettings
from harvester.sandbox.zoom_truth import ZoomTruth

if TYPE_CHECKING:  # it needs a library that the others do not
    from harvester.sandbox.github import GitHubSandbox
    from harvester.sandbox.github_truth import GitHubTruth


class Simulated(Protocol):
    """What the sandboxes of all vendors have."""

    clock: SandboxClock
    faults: Faults
    stats: Stats

    def app(self) -> web.Application: ...
    @property
    def truth(self) -> Callable[..., Any]: ...


Sandbox = TypeVar("Sandbox", bound=Simulated)
Told = TypeVar("Told")
Settings = TypeVar("Settings")


class Serving(NamedTuple, Generic[Sandbox, Told]):
    """A sandbox that serves, and its live parts for those in the same process."""

    url: str
    sandbox: Sandbox

    @property
    def clock(self) -> SandboxClock:
        return self.sandbox.clock

    @property
    def faults(self) -> Faults:
        return self.sandbox.faults

    @property
    def stats(self) -> Stats:
        return self.sandbox.stats

    def truth(self, start: datetime | None = None, end: datetime | None = None, **more: Any) -> Told:
        """What is true of a span; `more` is what the vendor's sandbox takes besides."""
        told: Told = self.sandbox.truth(start, end, **more)
        return told


Running = Serving[OpencastSandbox, Truth]
RunningZoom = Serving[ZoomSandbox, ZoomTruth]
"""Its API is under `url` + "/v2", its tokens under `url` + "/oauth/token"."""
RunningGitHub: TypeAlias = "Serving[GitHubSandbox, GitHubTruth]"
"""REST under `url`, GraphQL at `url` + "/graphql"."""


@overload
def serve(settings: SandboxSettings, *, host: str = ..., port: int = ...) -> AbstractAsyncContextManager[Running]: ...
@overload
def serve(settings: ZoomSandboxSettings, *, host: str = ..., port: int = ...) -> AbstractAsyncContextManager[RunningZoom]: ...
@overload
def serve(settings: GitHubSandboxSettings, *, host: str = ..., port: int = ...) -> AbstractAsyncContextManager[RunningGitHub]: ...
def serve(
    settings: SandboxSettings | ZoomSandboxSettings | GitHubSandboxSettings, *, host: str = "127.0.0.1", port: int = 0
) -> AbstractAsyncContextManager[Any]:
    """Serve until the block ends. Port 0 takes a free one. ConfigError: the port cannot be had, or a library is missing."""
    if isinstance(settings, GitHubSandboxSettings):
        return _served(_github, settings, host, port, "harvest sandbox github")
    if isinstance(settings, ZoomSandboxSettings):
        return _served(ZoomSandbox, settings, host, port, "harvest sandbox zoom")
    return _served(OpencastSandbox, settings, host, port, "harvest sandbox")


@asynccontextmanager
async def _served(
    made: Callable[[Settings], Sandbox], settings: Settings, host: str, port: int, command: str
) -> AsyncIterator[Serving[Sandbox, Any]]:
    sandbox = made(settings)
    async with listening(sandbox.app(), host, port, command=command) as url:
        yield Serving(url, sandbox)


def _github(settings: GitHubSandboxSettings) -> "GitHubSandbox":
    try:
        from harvester.sandbox.github import GitHubSandbox  # noqa: PLC0415 -- the other sandboxes run without its library
    except ModuleNotFoundError as error:
        how = "pip install 'event-harvester[sandbox]'"
        raise ConfigError(
            f"sandbox: the simulated GitHub needs {error.name}, which is not installed; install it with: {how}"
        ) from error
    return GitHubSandbox(settings)


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int, *, command: str = "harvest sandbox") -> AsyncIterator[str]:
    """Serve an app of a sandbox; its address, until the block ends. ConfigError: the port cannot be had, and the way on is
    another port for that command.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, OverflowError) as error:
            raise _no_port(host, port, error, command) from error
        taken = runner.addresses[0][1]
        yield f"http://{f'[{host}]' if ':' in host else host}:{taken}"
    finally:
        await runner.cleanup()


def _no_port(host: str, port: int, error: OSError | OverflowError, command: str) -> ConfigError:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        why = "another program listens there; it may be a sandbox that still runs"
    else:
        why = str(error)
    return ConfigError(f"sandbox: cannot listen on {host}:{port}: {why}; take a free port with: {command} --port 0")
