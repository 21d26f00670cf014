"""Objects in a bucket of S3, or of what speaks like it: `s3://bucket/prefix?endpoint=https://host&region=eu-west-1`.

Conditional writes by If-Match and If-None-Match (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html):
412 and, after a deletion, 404 mean lost to another; 409 means that another is writing right now.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from harvester.access import NOBODY, Access
from harvester.aws import code_of, named, open_client, status_of
from harvester.errors import ConfigError, ConflictError, HarvesterError, PermanentError, TransientError
from harvester.protocols import Objects, Stored
from harvester.url import Url, parse

_AT_ONCE = 1000
"""Objects that one DeleteObjects takes."""
_LOST = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_NO_KEY = ("NoSuchKey",)
"""Any other 404 is none of S3: of a bucket that is not there, or of a server that is something else."""


class S3Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL can say."""

    endpoint: str = ""
    """Where the service is; empty: as set for AWS."""
    region: str = ""


def open_objects(url: str, access: Access = NOBODY) -> AbstractAsyncContextManager[Objects]:
    """The objects under the prefix of that bucket, which is there already: `prepare` makes it."""
    return opened(place_of(url), access)


def place_of(url: str) -> "Place":
    """ConfigError: no bucket in it, a login in it, or an unknown option."""
    parsed = parse(url)
    options = parsed.options(S3Options)
    if "@" in parsed.host:
        raise ConfigError(f"{parsed.text}: no login may stand here: set HARVESTER_AWS_ACCESS_KEY_ID and …_SECRET_ACCESS_KEY")
    if not parsed.host:
        raise ConfigError(f"{parsed.text}: write s3://bucket/prefix")
    return Place(parsed, parsed.host, parsed.path.strip("/"), options)


class Place(msgspec.Struct, frozen=True):
    """A bucket and the prefix of all names in it."""

    url: Url
    bucket: str
    prefix: str
    options: S3Options


@asynccontextmanager
async def opened(place: Place, access: Access) -> AsyncIterator["S3Objects"]:
    """Asks nothing of the server. ConfigError: no credentials."""
    where = f"s3://{place.bucket}"
    async with open_client("s3", access, where, endpoint=place.options.endpoint, region=place.options.region) as client:
        yield S3Objects(client, place)


async def prepare(url: str, access: Access = NOBODY) -> Sequence[str]:
    """Make the bucket when there is none; what was made, a line each."""
    place = place_of(url)
    async with opened(place, access) as objects:
        return [f"bucket {place.bucket}: created"] if await objects.create_bucket() else []


class S3Objects:
    """Made by `open_objects`."""

    def __init__(self, client: Any, place: Place) -> None:
        self._client = client
        self._bucket = place.bucket
        self._prefix = f"{place.prefix}/" if place.prefix else ""
        self.where = f"s3://{place.bucket}/{self._prefix}"

    async def get(self, name: str) -> Stored | None:
        try:
            answer = await self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            async with answer["Body"] as body:
                return Stored(await body.read(), self._tag(answer))
        except ClientError as error:
            # Of a missing bucket the code is another one, and without the right to list a missing key is a 403: no access.
            if code_of(error) in _NO_KEY:
                return None
            raise self._named(error, name) from error
        except (BotoCoreError, OSError, aiohttp.ClientError) as error:
            raise self._named(error, name) from error  # an answer that breaks off is aiohttp's error

    async def put(self, name: str, body: bytes, *, replaces: str | None = None) -> str:
        condition = {} if replaces is None else {"IfMatch": replaces} if replaces else {"IfNoneMatch": "*"}
        try:
            answer = await self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=body, **condition)
        except ClientError as error:
            lost = code_of(error) in _LOST or (bool(replaces) and code_of(error) in _NO_KEY)
            if lost or (replaces is not None and status_of(error) in (409, 412)):
                raise ConflictError(f"{self.where}{name}: another wrote it first") from error
            raise self._named(error, name) from error
        except (BotoCoreError, OSError) as error:
            raise self._named(error, name) from error
        return self._tag(answer)

    async def delete(self, names: Sequence[str]) -> None:
        for first in range(0, len(names), _AT_ONCE):
            keys = [{"Key": self._prefix + name} for name in names[first : first + _AT_ONCE]]
            try:
                answer = await self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": keys, "Quiet": True})
            except (ClientError, BotoCoreError, OSError) as error:
                raise self._named(error, "") from error
            if kept := answer.get("Errors"):
                raise _undeleted(self.where, kept)

    async def delete_as(self, name: str, tag: str) -> bool:
        # AWS enforces the condition; for a store that does not, it holds but for the moment between these two requests.
        found = await self.get(name)
        if found is None or found.tag != tag:
            return False
        try:
            await self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name, IfMatch=tag)
        except ClientError as error:
            if code_of(error) in (*_LOST, *_NO_KEY):
                return False
            raise self._named(error, name) from error
        except (BotoCoreError, OSError) as error:
            raise self._named(error, name) from error
        return True

    async def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        more: dict[str, str] = {"StartAfter": self._prefix + after} if after else {}
        while True:
            try:
                answer = await self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix + prefix, **more)
            except (ClientError, BotoCoreError, OSError) as error:
                raise self._named(error, prefix) from error
            for found in answer.get("Contents", ()):
                yield str(found["Key"])[len(self._prefix) :]
            if not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    async def create_bucket(self) -> bool:
        """Whether there was none."""
        region = self._client.meta.region_name
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            await self._client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            if status_of(error) != 404:
                raise self._named(error, "") from error
        except (BotoCoreError, OSError) as error:
            raise self._named(error, "") from error
        else:
            return False
        try:
            await self._client.create_bucket(Bucket=self._bucket, **place)
        except ClientError as error:
            if code_of(error) == "BucketAlreadyOwnedByYou":
                return False
            raise self._named(error, "") from error
        except (BotoCoreError, OSError) as error:
            raise self._named(error, "") from error
        return True

    def _tag(self, answer: Mapping[str, Any]) -> str:
        try:
            return str(answer["ETag"])
        except KeyError:
            raise PermanentError(
                f"{self.where}: an answer without ETag: what answers there is no S3; check the endpoint"
            ) from None

    def _named(self, error: Exception, name: str) -> HarvesterError:
        if code_of(error) == "NoSuchBucket":
            return ConfigError(f"there is no bucket {self._bucket}: `harvest setup` makes it; or check the URL and its region")
        return named(error, self.where + name)


def _undeleted(where: str, kept: Sequence[Any]) -> HarvesterError:
    first = kept[0]
    text = f"{where}: {len(kept)} objects were not deleted, e.g. {first.get('Key')}: {first.get('Code')}"
    return PermanentError(text) if first.get("Code") == "AccessDenied" else TransientError(text)
