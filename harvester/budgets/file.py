"""Accounts in a folder, one JSON file a credential: `file://var/coverage/budgets`. For the processes of one host.

Who asks has the file to himself for a moment, and writes it anew: a process that is killed leaves it whole, the old or the new.
It is not synced: what the end of a host costs are counts of an hour, and what the vendor leaves is told with the next answer.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec

from harvester.access import NOBODY, Access
from harvester.budget import HOUR, Account, Budget, Message, Verdict
from harvester.disk import named
from harvester.errors import TransientError
from harvester.lock import Lock, me
from harvester.url import directory_path, parse

_account = msgspec.json.Decoder(Account)


class FileOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL can say."""

    patience: float = 2.0
    """Seconds to wait while another process has an account."""


def open_budget(url: str, _: Access = NOBODY, *, now: Callable[[], float] = time.time) -> AbstractAsyncContextManager[Budget]:
    """The accounts in the folder that `url` names, made with the first request."""
    parsed = parse(url)
    return _opened(directory_path(parsed), parsed.options(FileOptions), now)


@asynccontextmanager
async def _opened(path: Path, options: FileOptions, now: Callable[[], float]) -> AsyncIterator["FileBudget"]:
    thread = ThreadPoolExecutor(1, thread_name_prefix="budget")
    try:
        yield FileBudget(path, options, now, thread)
    finally:
        # What a cancelled caller began comes to its end before the thread is joined, or the loop would wait for it.
        await asyncio.get_running_loop().run_in_executor(thread, int)
        thread.shutdown()


class FileBudget:
    """Made by `open_budget`."""

    def __init__(self, path: Path, options: FileOptions, now: Callable[[], float], thread: ThreadPoolExecutor) -> None:
        self._path = path
        self._options = options
        self._now = now
        self._thread = thread

    async def ask(self, key: str, message: Message) -> Verdict:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, key, message)

    async def accounts(self) -> Mapping[str, Account]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._accounts)

    def _ask(self, key: str, message: Message) -> Verdict:
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            lock = Lock(self._path / f"{key}.lock", me())
            if other := lock.other(self._options.patience):
                raise TransientError(f"{self._path}: the rate budget {key} is held by {other}")
            try:
                return self._change(self._path / f"{key}.json", message)
            finally:
                lock.release()
        except OSError as error:
            raise named(error, self._path) from error

    def _change(self, path: Path, message: Message) -> Verdict:
        account = _read(path)
        verdict = account.ask(message, self._now())
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(account))
        new.replace(path)
        return verdict

    def _accounts(self) -> Mapping[str, Account]:
        now, found = self._now(), dict[str, Account]()
        try:
            for path in sorted(self._path.glob("*.json")):
                account = _read(path)
                if account.seen > now - 2 * HOUR:
                    account.forget(now)
                    found[path.stem] = account
        except OSError as error:
            raise named(error, self._path) from error
        return found


def _read(path: Path) -> Account:
    """What the file holds; a new account where there is none, or a torn one."""
    try:
        return _account.decode(path.read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return Account()
