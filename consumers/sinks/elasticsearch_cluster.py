"""The nodes of one Elasticsearch: requests go to one that answers, and what fails is an error that names the next action."""

import logging
import ssl
from asyncio import sleep, to_thread
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from elastic_transport import AiohttpHttpNode, NodeConfig, Serializer, TransportError
from elastic_transport import ConnectionError as NoConnectionError
from elastic_transport import ConnectionTimeout as LateError
from elasticsearch import ApiError, AsyncElasticsearch, UnsupportedProductError
from pydantic import SecretStr

from consumers.sinks.elasticsearch_answers import refusal
from consumers.sinks.elasticsearch_names import Names
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings, key_header, nodes
from harvester.errors import HarvesterError, PermanentError
from harvester.origin import HttpSettings, tls_context, unreachable
from harvester.retry import OutageError, UnusableError
from harvester.rotation import Renewed, reread

_LONG = 64 * 2**10
"""A shorter body is nowhere too long."""
_PIECE = 256 * 2**10
JSON, NDJSON = "application/json", "application/x-ndjson"


_ASK = ("expect", "100-continue")


class _AsItCame(Serializer):
    """Bytes in, bytes out: only who needs an answer parses it."""

    def dumps(self, data: Any) -> bytes:
        assert isinstance(data, bytes)
        return data

    def loads(self, data: bytes) -> bytes:
        return data


class _RedirectedError(Exception):
    """A node leads elsewhere. To follow would send what is written, and perhaps a login, to an address that nobody has set."""


class _Pieces(aiohttp.Payload):
    """A long body, with a turn for whatever else runs after each piece. Given as a file, another thread would read each."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return str(self._value, encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        view = memoryview(self._value)
        for begin in range(0, len(view), _PIECE):
            await writer.write(view[begin : begin + _PIECE])
            await sleep(0)


class _Node(AiohttpHttpNode):
    """The client's, but a long body goes out in pieces: as bytes it would in one go, during which nothing else runs."""

    async def perform_request(self, method: str, target: str, body: Any = None, *args: Any, **more: Any) -> Any:  # type: ignore[override]  # as theirs
        if body is not None and len(body) > _PIECE:
            body = _Pieces(body)
        return await super().perform_request(method, target, body, *args, **more)

    def _create_aiohttp_session(self) -> None:
        super()._create_aiohttp_session()
        assert self.session is not None
        follows = aiohttp.TraceConfig()
        follows.on_request_redirect.append(_not_followed)
        follows.freeze()
        self.session.trace_configs.append(follows)

    def _log_request(self, *_: object, **__: object) -> None:
        """Nothing: it would make text of every body, also when nobody listens."""


async def _not_followed(*_: object) -> None:
    raise _RedirectedError


_SERIALIZERS = {kind: _AsItCame() for kind in (JSON, NDJSON, "text/plain", "text/*", "application/*")}


class Cluster:
    """Opened by `open_cluster`. `where` is how messages call it, `names` what our indexes are called there."""

    def __init__(
        self, client: AsyncElasticsearch, hosts: list[HttpSettings], login: Renewed[dict[str, str]], names: Names
    ) -> None:
        self.names = names
        self._client = client
        self._hosts = hosts
        self._login = login
        self.where = ", ".join(str(host.url.origin()) for host in hosts)

    async def request(
        self, method: str, path: str, body: bytes | None = None, *, kind: str = JSON, params: Mapping[str, str] | None = None
    ) -> bytes:
        """The body of a 2xx. A node that cannot be reached is passed over while there is another.

        TransientError: no answer, 429 or 5xx (what was asked may have been done). StatusError: any other status.
        PermanentError: a certificate that is not trusted, or a server that is no Elasticsearch.
        """
        login, renewed = self._login.login, False
        headers = {"accept": JSON, **({"content-type": kind} if body is not None else {}), **login}
        left = len(self._hosts) - 1
        while True:
            try:
                answer = await self._client.perform_request(method, path, params=params, headers=headers, body=body)
            except NoConnectionError as error:
                failure = self._no_way(error, path)
                if isinstance(failure, PermanentError):
                    raise failure from error
                if left:
                    left -= 1  # the client has marked that node dead: the next one is another
                elif len(body or b"") > _LONG and _cut_off(error) and _ASK not in headers.items():
                    # Whoever takes no such body may hang up before we have read that: ask before it is sent once more.
                    headers |= [_ASK]
                else:
                    raise failure from error
            except (TransportError, UnsupportedProductError) as error:
                raise self._fault(error, path) from error
            except ApiError as error:
                if error.meta.status == 401 and not renewed and (newer := await self._login.after(login)):
                    renewed, headers = True, headers | newer
                    continue
                raw = error.body if isinstance(error.body, bytes) else b""
                raise refusal(error.meta.status, error.meta.headers, raw, f"{method} {path}") from error
            else:
                return bytes(answer.body)

    def _no_way(self, error: NoConnectionError, path: str) -> HarvesterError:
        why = error.__context__ or error  # the client keeps what the connection said nowhere else
        match why:
            case _RedirectedError():
                return PermanentError(
                    f"elasticsearch: {self.where} leads to another address, not followed: check HARVESTER_ELASTICSEARCH_URL"
                )
            case aiohttp.ClientConnectorCertificateError() | ssl.SSLCertVerificationError():
                return PermanentError(
                    f"elasticsearch: the certificate of {self.where} is not trusted ({why}): name the CA file it is signed with, "
                    "HARVESTER_ELASTICSEARCH_CA_FILE"
                )
            case aiohttp.ClientSSLError() | ssl.SSLError():
                return OutageError(
                    f"elasticsearch: no TLS at {self.where}, or none that we speak; check HARVESTER_ELASTICSEARCH_URL"
                )
            case aiohttp.ClientConnectorError():
                host = next(
                    (host for host in self._hosts if (host.url.host, host.url.port) == (why.host, why.port)), self._hosts[0]
                )
                return OutageError(unreachable(why.os_error, host, host.timeout.total_seconds()))
            case _:
                return OutageError(f"elasticsearch: the connection to {self.where} broke at {path} ({type(why).__name__})")

    def _fault(self, error: TransportError | UnsupportedProductError, path: str) -> HarvesterError:
        match error:
            case LateError():
                seconds = self._hosts[0].timeout.total_seconds()
                return OutageError(f"elasticsearch: no whole answer within {seconds:g} s from {self.where} for {path}")
            case UnsupportedProductError():
                return PermanentError(
                    f"elasticsearch: {self.where} is no Elasticsearch (it says nothing of X-Elastic-Product): "
                    "check HARVESTER_ELASTICSEARCH_URL"
                )
            case _:
                return UnusableError(
                    f"elasticsearch: what {self.where} answers for {path} cannot be read ({type(error).__name__})"
                )


def _cut_off(error: NoConnectionError) -> bool:
    """Whether there was a connection, which broke."""
    return not isinstance(error.__context__, aiohttp.ClientConnectorError | aiohttp.ClientSSLError | ssl.SSLError)


@asynccontextmanager
async def open_cluster(settings: ElasticsearchSettings) -> AsyncIterator[Cluster]:
    """Asks no server. ConfigError: an address, a login or a CA file that cannot serve."""
    hosts = nodes(settings)
    # The client tells of every request; of failed ones we tell ourselves, and which node is dead matters where there are several.
    logging.getLogger("elastic_transport").setLevel(logging.WARNING if hosts[1:] else logging.ERROR)
    client = AsyncElasticsearch(
        [await to_thread(_node, host) for host in hosts],
        node_class=_Node,
        serializers=_SERIALIZERS,
        request_timeout=settings.timeout,
        max_retries=0,  # it would send the whole body again, at once: the loop knows when
    )
    try:
        login = Renewed("elasticsearch", _login(settings), lambda: _login_again(settings))
        yield Cluster(client, hosts, login, Names(settings.index_prefix))
    finally:
        await client.close()


def _login(settings: ElasticsearchSettings) -> dict[str, str]:
    """The header itself, in UTF-8 as RFC 7617 has it: the client knows only ASCII here."""
    key = settings.api_key.get_secret_value()
    if key:
        return {"authorization": key_header(key)}
    if settings.user:
        return {"authorization": f"Basic {_base64(f'{settings.user}:{settings.password.get_secret_value()}')}"}
    return {}


def _login_again(settings: ElasticsearchSettings) -> dict[str, str] | None:
    """With the secret as its file has it now; None when it stands in none."""
    field = "api_key" if settings.api_key.get_secret_value() else "password"
    secret = reread(getattr(settings, field))
    return None if secret is None else _login(settings.model_copy(update={field: SecretStr(secret)}))


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _node(host: HttpSettings) -> NodeConfig:
    tls = tls_context(host)
    return NodeConfig(
        scheme=host.url.scheme,
        host=host.url.host or "",
        port=host.url.port or 0,
        path_prefix=host.url.raw_path.rstrip("/"),
        ssl_context=tls if isinstance(tls, ssl.SSLContext) else None,
    )
