"""Stores of rate budgets, picked by URL: what several processes may spend of one credential together."""

from contextlib import AbstractAsyncContextManager
from urllib.parse import quote

from harvester import drivers
from harvester.access import NOBODY, Access
from harvester.budget import Budget
from harvester.url import directory_path, parse

DRIVERS = {
    "file": "harvester.budgets.file:open_budget",
    "redis": "harvester.budgets.redis:open_budget",
    "rediss": "harvester.budgets.redis:open_budget",
}


def open_budget(url: str, access: Access = NOBODY) -> AbstractAsyncContextManager[Budget]:
    """The accounts at `url`: `file://FOLDER` for the processes of one host, or `redis://host:6379/0`.

    ConfigError: no such scheme or option, or the driver's library is not installed. Nothing is asked or made before the first
    request.
    """
    opened: AbstractAsyncContextManager[Budget] = drivers.driver("store of rate budgets", url, DRIVERS)(url, access)
    return opened


def known(url: str) -> str:
    """The driver that `url` asks for, which is not imported yet. ConfigError: there is none of that name."""
    return drivers.known("store of rate budgets", url, DRIVERS) if url else ""


def beside(coverage: str) -> str:
    """Where budgets are kept beside this store of coverage; "": nowhere, so that each process counts for itself."""
    url = parse(coverage)
    if url.scheme == "file":
        return f"file://{directory_path(url)}/budgets"
    if url.scheme not in DRIVERS:
        return ""
    prefix = url.query.get("prefix", "")
    return f"{url.scheme}://{url.host}{url.path}{f'?prefix={quote(prefix)}' if prefix else ''}"
