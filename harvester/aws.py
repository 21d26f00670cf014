"""The one way to AWS and to what speaks like it: aioboto3 clients of S3 and SQS, and what their errors mean.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Literal

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import (
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.loaders import create_loader
from yarl import URL

from harvester.access import Access
from harvester.errors import ConfigError, HarvesterError, PermanentError, TransientError
from harvester.logs import get_logger
from harvester.origin import is_loopback

_CONNECT, _READ = 5.0, 30.0
"""Seconds. A long poll of SQS lasts 20 at most."""
_LOADER = create_loader()
"""What describes the services, read once: without it each client costs 50 ms of CPU, with it 8."""
_BUSY = (
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestThrottled",
    "ThrottledException",
    "OverLimit",
    "RequestLimitExceeded",
    "InternalError",
    "InternalFailure",
    "ServiceUnavailable",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "ConditionalRequestConflict",
    "OperationAborted",
)
_REFUSED = (
    "AccessDenied",
    "AccessDeniedException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidClientTokenId",
    "ExpiredToken",
    "ExpiredTokenException",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "AllAccessDisabled",
    "Forbidden",
    "403",
)


@asynccontextmanager
async def open_client(
    service: Literal["s3", "sqs"], access: Access, where: str, *, endpoint: str = "", region: str = "", pool: int = 16
) -> AsyncIterator[Any]:
    """A client that tries nothing twice: whoever asks knows when. `where` is how messages call it.

    ConfigError: no credentials at all, or credentials that would go unencrypted to another host.
    """
    url = endpoint or access.aws_endpoint_url
    _guard(url, access, where)
    shared = get_session()
    shared.register_component("data_loader", _LOADER)
    session = aioboto3.Session(
        botocore_session=shared,
        aws_access_key_id=access.aws_access_key_id or None,
        aws_secret_access_key=access.aws_secret_access_key.get_secret_value() or None,
        aws_session_token=access.aws_session_token.get_secret_value() or None,
        region_name=region or access.aws_region or None,
    )
    found = session.region_name or _predecessors_region()
    config = AioConfig(
        connect_timeout=_CONNECT,
        read_timeout=_READ,
        max_pool_connections=pool,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"} if url else {},
    )
    verify = str(access.aws_ca_file) if access.aws_ca_file else None
    try:
        opening = session.client(service, region_name=found, endpoint_url=url or None, config=config, verify=verify)
        async with opening as client:
            yield client
    except (NoRegionError, NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise named(error, where) from error
    except ValueError as error:
        if "endpoint" in str(error):
            raise ConfigError(f"{where}: {error}") from error
        raise


@cache
def _predecessors_region() -> str:
    """Where nobody says another one. Told once: data lie somewhere, and that matters to some."""
    get_logger("aws").warning("no region is set: it is us-east-1, as for the predecessor", setting="HARVESTER_AWS_REGION")
    return "us-east-1"


def _guard(endpoint: str, access: Access, where: str) -> None:
    if not endpoint:
        return
    url = URL(endpoint)
    if url.user or url.password:
        raise ConfigError(f"{where}: no login may stand in an endpoint: set HARVESTER_AWS_ACCESS_KEY_ID and …_SECRET_ACCESS_KEY")
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(f"{where}: the endpoint {endpoint} is none: write https://host or http://127.0.0.1:9000")
    if url.scheme == "http" and not is_loopback(url.host) and not access.allow_plain:
        raise ConfigError(
            f"{where}: {url.origin()} would get requests signed by our key without TLS: use https://, or set "
            f"HARVESTER_ALLOW_PLAIN=true for a network you trust"
        )


def code_of(error: Exception) -> str:
    """The service's own word for it, without the prefix that some put before it; "" when there was no answer."""
    if not isinstance(error, ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", "")).rpartition(".")[2]


def status_of(error: Exception) -> int:
    """The HTTP status of an answer, 0 when there was none."""
    meta = error.response.get("ResponseMetadata", {}) if isinstance(error, ClientError) else {}
    return int(meta.get("HTTPStatusCode", 0))


def named(error: Exception, where: str) -> HarvesterError:
    """What botocore raised, as an error that names the next action."""
    if isinstance(error, NoRegionError):
        return ConfigError(f"{where}: no region: set HARVESTER_AWS_REGION, or name it in the URL")
    if isinstance(error, NoCredentialsError | PartialCredentialsError | ProfileNotFound):
        return ConfigError(
            f"{where}: no credentials ({error}): set HARVESTER_AWS_ACCESS_KEY_ID and HARVESTER_AWS_SECRET_ACCESS_KEY, or give "
            f"this process a role or profile"
        )
    if isinstance(error, ClientError):
        return _answered(error, where)
    return TransientError(f"{where}: no answer: {type(error).__name__}: {error}")


def _answered(error: ClientError, where: str) -> HarvesterError:
    code, status = code_of(error), status_of(error)
    text = f"{where}: {status} {code}: {error.response.get('Error', {}).get('Message', '')}"
    if code in _REFUSED or status in (401, 403):
        return PermanentError(f"{text}: check HARVESTER_AWS_ACCESS_KEY_ID, its secret, and what it may do")
    if code in _BUSY or status >= 500 or status in (0, 408, 429):
        return TransientError(text)
    return PermanentError(text)
