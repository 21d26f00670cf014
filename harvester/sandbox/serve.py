"""A sandbox on a port."""

import errno
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, overload

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


class Running(NamedTuple):
    """A sandbox that serves, and its live parts for those in the same process."""

    url: str
    sandbox: OpencastSandbox

    @property
    def clock(self) -> SandboxClock:
        return self.sandbox.clock

    @property
    def faults(self) -> Faults:
        return self.sandbox.faults

    @property
    def stats(self) -> Stats:
        return self.sandbox.stats

    def truth(self, start: datetime | None = None, end: datetime | None = None) -> Truth:
        return self.sandbox.truth(start, end)


class RunningZoom(NamedTuple):
    """A simulated Zoom that serves; its API is under `url` + "/v2", its tokens under `url` + "/oauth/token"."""

    url: str
    sandbox: ZoomSandbox

    @property
    def clock(self) -> SandboxClock:
        return self.sandbox.clock

    @property
    def faults(self) -> Faults:
        return self.sandbox.faults

    @property
    def stats(self) -> Stats:
        return self.sandbox.stats

    def truth(self, start: datetime | None = None, end: datetime | None = None) -> ZoomTruth:
        return self.sandbox.truth(start, end)


class RunningGitHub(NamedTuple):
    """A simulated GitHub that serves: REST under `url`, GraphQL at `url` + "/graphql"."""

    url: str
    sandbox: "GitHubSandbox"

    @property
    def clock(self) -> SandboxClock:
        return self.sandbox.clock

    @property
    def faults(self) -> Faults:
        return self.sandbox.faults

    @property
    def stats(self) -> Stats:
        return self.sandbox.stats

    def truth(self, start: datetime | None = None, end: datetime | None = None, *, at: datetime | None = None) -> "GitHubTruth":
        return self.sandbox.truth(start, end, at=at)


@overload
def serve(settings: SandboxSettings, *, host: str = ..., port: int = ...) -> AbstractAsyncContextManager[Running]: ...
@overload
def serve(settings: ZoomSandboxSettings, *, host: str = ..., port: int = ...) -> AbstractAsyncContextManager[RunningZoom]: ...
@overload
def serve(settings: GitHubSandboxSettings, *, host: str = ..., port: int = ...) -> AbstractAsyncContextManager[RunningGitHub]: ...
def serve(
    settings: SandboxSettings | ZoomSandboxSettings | GitHubSandboxSettings, *, host: str = "127.0.0.1", port: int = 0
) -> AbstractAsyncContextManager[Running | RunningZoom | RunningGitHub]:
    """Serve until the block ends. Port 0 takes a free one. ConfigError: the port cannot be had, or a library is missing."""
    if isinstance(settings, GitHubSandboxSettings):
        return _github(settings, host, port)
    return _zoom(settings, host, port) if isinstance(settings, ZoomSandboxSettings) else _opencast(settings, host, port)


@asynccontextmanager
async def _opencast(settings: SandboxSettings, host: str, port: int) -> AsyncIterator[Running]:
    sandbox = OpencastSandbox(settings)
    async with listening(sandbox.app(), host, port) as url:
        yield Running(url, sandbox)


@asynccontextmanager
async def _zoom(settings: ZoomSandboxSettings, host: str, port: int) -> AsyncIterator[RunningZoom]:
    sandbox = ZoomSandbox(settings)
    async with listening(sandbox.app(), host, port) as url:
        yield RunningZoom(url, sandbox)


@asynccontextmanager
async def _github(settings: GitHubSandboxSettings, host: str, port: int) -> AsyncIterator[RunningGitHub]:
    try:
        from harvester.sandbox.github import GitHubSandbox  # noqa: PLC0415 -- the other sandboxes run without its library
    except ModuleNotFoundError as error:
        how = "pip install 'event-harvester[sandbox]'"
        raise ConfigError(
            f"sandbox: the simulated GitHub needs {error.name}, which is not installed; install it with: {how}"
        ) from error
    sandbox = GitHubSandbox(settings)
    async with listening(sandbox.app(), host, port) as url:
        yield RunningGitHub(url, sandbox)


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve an app of a sandbox; its address, until the block ends. ConfigError: the port cannot be had."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, OverflowError) as error:
            raise _no_port(host, port, error) from error
        taken = runner.addresses[0][1]
        yield f"http://{f'[{host}]' if ':' in host else host}:{taken}"
    finally:
        await runner.cleanup()


def _no_port(host: str, port: int, error: OSError | OverflowError) -> ConfigError:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        why = "another program listens there; it may be a sandbox that still runs"
    else:
        why = str(error)
    return ConfigError(f"sandbox: cannot listen on {host}:{port}: {why}; take a free port with: harvest sandbox --port 0")
