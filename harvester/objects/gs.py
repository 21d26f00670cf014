"""Objects in a bucket of Google Cloud Storage: `gs://bucket/prefix?project=my-project&location=EU`.

Its JSON API (https://cloud.google.com/storage/docs/json_api/v1/objects). The tag of an object is its generation: conditions are
enforced by the service itself (https://cloud.google.com/storage/docs/request-preconditions).
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import md5
from secrets import token_hex
from typing import TypeVar
from urllib.parse import quote

import msgspec
from yarl import URL

from harvester.access import NOBODY, Access
from harvester.errors import ConfigError, ConflictError, HarvesterError, PermanentError
from harvester.google import Answered, Google, open_google, refusal
from harvester.protocols import Objects, Stored
from harvester.url import Url, parse

T = TypeVar("T")
Query = Mapping[str, str]
NO_QUERY: Query = {}
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_HOST = URL("https://storage.googleapis.com")
_AT_ONCE = 32
"""Deletions at the same time."""


class GsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL can say."""

    endpoint: str = ""
    """Where the service is; empty: at Google."""
    project: str = ""
    """Whose bucket it becomes when `prepare` has to make it."""
    location: str = "US"
    """Where that bucket is made: the location of the data set that is loaded from it."""


class Place(msgspec.Struct, frozen=True):
    """A bucket and the prefix of all names in it."""

    url: Url
    bucket: str
    prefix: str
    options: GsOptions


class _Name(msgspec.Struct):
    name: str


class _Names(msgspec.Struct, rename="camel"):
    kind: str
    items: list[_Name] = []
    next_page_token: str = ""


class _Located(msgspec.Struct):
    location: str = ""


class _Made(msgspec.Struct):
    generation: str


def open_objects(url: str, access: Access = NOBODY) -> AbstractAsyncContextManager[Objects]:
    """The objects under the prefix of that bucket, which is there already: `prepare` makes it."""
    return opened(place_of(url), access)


def place_of(url: str) -> Place:
    """ConfigError: no bucket in it, a login in it, an endpoint that is none, or an unknown option."""
    parsed = parse(url)
    options = parsed.options(GsOptions)
    if "@" in parsed.host:
        raise ConfigError(f"{parsed.text}: no login may stand here: set HARVESTER_GOOGLE_CREDENTIALS")
    if not parsed.host:
        raise ConfigError(f"{parsed.text}: write gs://bucket/prefix")
    endpoint = URL(options.endpoint)
    if options.endpoint and (endpoint.scheme not in ("http", "https") or not endpoint.host or endpoint.user):
        raise ConfigError(f"{parsed.text}: the endpoint is none: write https://host or http://127.0.0.1:4443")
    return Place(parsed, parsed.host, parsed.path.strip("/"), options)


@asynccontextmanager
async def opened(place: Place, access: Access) -> AsyncIterator["GsObjects"]:
    """Asks nothing of the service. ConfigError: no credentials."""
    endpoint = URL(place.options.endpoint) if place.options.endpoint else None
    async with open_google(access, f"gs://{place.bucket}", scope=_SCOPE, endpoint=endpoint) as google:
        yield GsObjects(google, place, endpoint or _HOST)


async def prepare(url: str, access: Access = NOBODY) -> Sequence[str]:
    """Make the bucket when there is none; what was made, a line each."""
    place = place_of(url)
    async with opened(place, access) as objects:
        return [f"bucket {place.bucket}: created"] if await objects.create_bucket() else []


class GsObjects:
    """Made by `open_objects`."""

    def __init__(self, google: Google, place: Place, host: URL) -> None:
        self._google = google
        self._place = place
        self._host = host
        self._prefix = f"{place.prefix}/" if place.prefix else ""
        self._seen = False
        """Whether the bucket is known to be there: else a missing object may be a missing bucket."""
        self.where = f"gs://{place.bucket}/{self._prefix}"

    async def get(self, name: str) -> Stored | None:
        answer = await self._ask("GET", f"/o/{self._quoted(name)}", {"alt": "media"})
        if answer.status == 404:
            await self._need_bucket()
            return None
        if answer.status != 200:
            raise self._refusal(answer, name, "storage.objects.get")
        self._seen = True
        return Stored(answer.body, self._generation(answer))

    async def put(self, name: str, body: bytes, *, replaces: str | None = None) -> str:
        condition = {} if replaces is None else {"ifGenerationMatch": replaces or "0"}
        kind, parts = _multipart(self._prefix + name, body)
        answer = await self._ask("POST", "/o", {"uploadType": "multipart", **condition}, start="/upload", body=parts, kind=kind)
        if answer.status == 412:
            raise ConflictError(f"{self.where}{name}: another wrote it first")
        if answer.status == 404 and replaces:
            await self._need_bucket()
            raise ConflictError(f"{self.where}{name}: another deleted it")
        if answer.status != 200:
            raise self._refusal(answer, name, "storage.objects.create" + (", and .delete to replace" if replaces != "" else ""))
        self._seen = True
        return self._read(answer, _Made).generation

    async def delete(self, names: Sequence[str]) -> None:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> None:
            async with turns:
                await self._delete(name)

        await asyncio.gather(*map(one, names))

    async def delete_as(self, name: str, tag: str) -> bool:
        # Google enforces the condition; for a server that does not, it holds but for the moment between these two requests.
        found = await self._ask("GET", f"/o/{self._quoted(name)}", {"fields": "generation"})
        if found.status == 404:
            return False
        if found.status != 200:
            raise self._refusal(found, name, "storage.objects.get")
        return self._read(found, _Made).generation == tag and await self._delete(name, {"ifGenerationMatch": tag})

    async def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        query = {"prefix": self._prefix + prefix, "fields": "kind,items(name),nextPageToken"}
        # Its bound is inclusive.
        first = {"startOffset": self._prefix + after} if after else {}
        while True:
            found = await self._listed({**query, **first})
            for item in found.items:
                if (name := item.name[len(self._prefix) :]) != after:
                    yield name
            if not found.next_page_token:
                return
            query["pageToken"] = found.next_page_token

    async def location(self) -> str:
        """Where the bucket is, such as US or EUROPE-WEST3; "" when there is none, or when we may look into it but not at it."""
        answer = await self._ask("GET", "", {"fields": "location"})
        if answer.status in (403, 404):
            return ""
        if answer.status != 200:
            raise self._refusal(answer, "", "storage.buckets.get")
        return self._read(answer, _Located).location

    async def create_bucket(self) -> bool:
        """Whether there was none. ConfigError: it is not said whose it should be.

        It is looked for by listing, which who may only use its objects may do, too.
        """
        answer = await self._ask("GET", "/o", {"maxResults": "1", "fields": "kind", "prefix": self._prefix})
        if answer.status == 200:
            return False
        if answer.status != 404:
            raise self._refusal(answer, "", "storage.objects.list")
        options = self._place.options
        if not options.project:
            raise ConfigError(
                f"there is no bucket {self._place.bucket}: say whose it should be: {self._place.url.text}?project=…"
            )
        closed = {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "enforced"}
        body = {"name": self._place.bucket, "location": options.location, "iamConfiguration": closed}
        url = (self._host / "storage/v1/b").with_query(project=options.project)
        answer = await self._google.request("POST", url, body=msgspec.json.encode(body), kind="application/json")
        if answer.status not in (200, 409):
            raise self._refusal(answer, "", "storage.buckets.create")
        return answer.status == 200

    async def _delete(self, name: str, condition: Query = NO_QUERY) -> bool:
        answer = await self._ask("DELETE", f"/o/{self._quoted(name)}", condition)
        if answer.status in (404, 412):
            return False
        if answer.status not in (200, 204):
            raise self._refusal(answer, name, "storage.objects.delete")
        return True

    async def _listed(self, query: Query) -> _Names:
        answer = await self._ask("GET", "/o", query)
        if answer.status == 404:
            raise self._no_bucket()
        if answer.status != 200:
            raise self._refusal(answer, "", "storage.objects.list")
        found = self._read(answer, _Names)
        self._seen = True
        return found

    async def _need_bucket(self) -> None:
        """ConfigError when a 404 was not of the object but of the bucket."""
        if not self._seen:
            await self._listed({"maxResults": "1", "fields": "kind"})

    async def _ask(
        self, method: str, path: str, query: Query, *, start: str = "", body: bytes | None = None, kind: str = ""
    ) -> Answered:
        base = str(self._host).rstrip("/")
        url = URL(f"{base}{start}/storage/v1/b/{quote(self._place.bucket, safe='')}{path}", encoded=True)
        return await self._google.request(method, url.update_query(query), body=body, kind=kind)

    def _quoted(self, name: str) -> str:
        return quote(self._prefix + name, safe="")

    def _generation(self, answer: Answered) -> str:
        found = answer.headers.get("X-Goog-Generation", "")
        if not found:
            raise PermanentError(f"{self.where}: an answer without a generation: what answers there is no Cloud Storage")
        return found

    def _read(self, answer: Answered, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except msgspec.MsgspecError as error:
            raise PermanentError(f"{self.where}: what answers there is no Cloud Storage ({error}): check the endpoint") from error

    def _refusal(self, answer: Answered, name: str, permission: str) -> HarvesterError:
        if answer.status == 404:
            return self._no_bucket()
        return refusal(answer, self.where + name, permission)

    def _no_bucket(self) -> ConfigError:
        return ConfigError(f"there is no bucket {self._place.bucket}: `harvest setup` makes it; or check the URL")


def _multipart(name: str, body: bytes) -> tuple[str, bytes]:
    """The type and the bytes of an upload that says what it is called, and its MD5, which the service holds it to."""
    about = {
        "name": name,
        "contentType": "application/octet-stream",
        "md5Hash": b64encode(md5(body, usedforsecurity=False).digest()).decode(),
    }
    boundary = b"=" + token_hex(16).encode()
    head = b"--%b\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%b\r\n" % (boundary, msgspec.json.encode(about))
    parts = b"--%b\r\nContent-Type: application/octet-stream\r\n\r\n%b\r\n--%b--\r\n" % (boundary, body, boundary)
    return f'multipart/related; boundary="{boundary.decode()}"', head + parts
