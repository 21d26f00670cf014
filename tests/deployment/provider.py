"""A stand-in for Terraform's provider hashicorp/google: with the arguments of the real one, for the real `terraform validate`.

`google_provider.json` says of each resource what the provider's version 6.50 lets it say, taken from its published bindings.
Types stand with a mark: `!` required, `?` given or told, `=` only told, `*` written and never told; blocks with `!` where one is
required, and `1` where there is one at most. The messages are those of Terraform's plugin protocol 5 (tfplugin5.proto), by
hand: few kinds of them are needed.
"""

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

RESOURCES: Mapping[str, Any] = json.loads(Path(__file__).with_name("google_provider.json").read_text(encoding="utf-8"))
_ADDRESS = "registry.terraform.io/hashicorp/google"
_LIST = 2
"""How blocks are nested: in a list, of one where there is one at most."""


@contextmanager
def google(folder: Path) -> Iterator[dict[str, str]]:
    """The variables with which Terraform asks it, and fetches none. `folder`: where the socket is, a short path."""
    socket = folder / "provider.sock"
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((_Handlers(),))
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    place = {"Network": "unix", "String": str(socket)}
    plugin = {"Protocol": "grpc", "ProtocolVersion": 5, "Pid": os.getpid(), "Test": True, "Addr": place}
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps({_ADDRESS: plugin}), "CHECKPOINT_DISABLE": "1"}
    finally:
        server.stop(None).wait()


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Whatever is asked but the schema has nothing to complain of: Terraform itself judges by the schema."""

    def service(self, details: Any) -> Any:
        method = details.method.rpartition("/")[2]

        def answer(asked: bytes, _: object) -> bytes:
            return schema() if method == "GetSchema" else asked if method == "PrepareProviderConfig" else b""

        return grpc.unary_unary_rpc_method_handler(answer)


def schema() -> bytes:
    """A GetProviderSchema.Response."""
    provider = _block({"attributes": {"project": "string", "region": "string"}})
    resources = (_bytes(1, name.encode()) + _bytes(2, _bytes(2, _block(one))) for name, one in RESOURCES.items())
    return _bytes(1, _bytes(2, provider)) + b"".join(_bytes(2, one) for one in resources)


def _block(one: Mapping[str, Any]) -> bytes:
    attributes = (_bytes(2, _attribute(name, kind)) for name, kind in one["attributes"].items())
    return b"".join((*attributes, *(_bytes(3, _nested(name, inner)) for name, inner in one.get("blocks", {}).items())))


def _attribute(name: str, kind: str) -> bytes:
    word = kind.rstrip("!?=*")
    type_ = [word, "string"] if word in ("list", "map") else word
    required, computed = kind.endswith("!"), kind.endswith(("?", "="))
    marks = {4: required, 5: not required and not kind.endswith("="), 6: computed, 10: kind.endswith("*")}
    told = b"".join(_number(field, 1) for field, holds in marks.items() if holds)
    return _bytes(1, name.encode()) + _bytes(2, json.dumps(type_).encode()) + told


def _nested(name: str, inner: Mapping[str, Any]) -> bytes:
    least = _number(4, 1) if "!" in name else b""
    most = _number(5, 1) if name.endswith("1") else b""
    return _bytes(1, name.rstrip("!1").encode()) + _bytes(2, _block(inner)) + _number(3, _LIST) + least + most


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*parts, value))
