"""The stores that the contracts of coverage, letters and objects are held against: where each is kept, and who we are there."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from harvester.access import Access
from harvester.objects import gs, s3
from tests.servers.fixtures import Servers

KEYS = Access(aws_access_key_id="any", aws_secret_access_key=SecretStr("any"))
"""Who we are at every server of them."""


class Driver(NamedTuple):
    """One kind of store."""

    name: str
    url: Callable[[Path, str], str]
    """Of an empty store in this directory, or at the server at this URL; the same each time."""
    server: str = ""
    """The row of tests.services that it is kept on, "" for none."""

    def __str__(self) -> str:
        return self.name


def digest(directory: Path) -> str:
    """A name that no other test has."""
    return blake2b(str(directory).encode(), digest_size=8).hexdigest()


def in_folder(name: str) -> Driver:
    """A folder of this name in the test's own."""
    return Driver("file", lambda directory, _: f"file://{directory}/{name}")


def in_bucket(bucket: str) -> Driver:
    """A prefix of the test's own in this bucket."""
    return Driver("s3", lambda directory, server: f"s3://{bucket}/{digest(directory)}?endpoint={server}&region=eu-west-1", "s3")


def in_google_bucket(bucket: str) -> Driver:
    """The same at Google."""
    return Driver("gs", lambda directory, server: f"gs://{bucket}/{digest(directory)}?endpoint={server}&project=tests", "gcs")


def in_redis() -> Driver:
    """Keys of the test's own in database 0."""
    return Driver("redis", lambda directory, server: f"{server}/0?prefix={digest(directory)}", "redis")


DRIVERS: dict[str, Sequence[Driver]] = {
    "coverage": [in_folder("coverage"), in_redis(), in_bucket("coverage")],
    "letters": [
        Driver("sqlite", lambda directory, _: f"sqlite:///{directory}/letters.db"),
        in_folder("letters"),
        in_bucket("letters"),
        in_google_bucket("letters"),
    ],
    "objects": [in_folder("objects"), in_bucket("objects"), in_google_bucket("objects")],
}
"""By contract. A new driver adds a line."""


async def prepared(driver: Driver, directory: Path, servers: Servers) -> str:
    """The URL of the test's own store, with whatever it needs at its server."""
    url = driver.url(directory, servers.get(driver.server).url if driver.server else "")
    if driver.server == "s3":
        await s3.prepare(url, KEYS)
    if driver.server == "gcs":
        await gs.prepare(url)
    return url
