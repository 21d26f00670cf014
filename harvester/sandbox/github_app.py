"""A GitHub App: its key, made of the seed, and the signed texts (JWT, RS256) with which it asks for installation tokens."""

from base64 import b64encode, urlsafe_b64decode
from functools import cache
from hashlib import sha256
from random import Random
from typing import Any, NamedTuple

import msgspec

from harvester.sandbox.dice import dice

_BITS = 2048
_E = 65537
_PRIMES = [number for number in range(3, 2000, 2) if all(number % small for small in range(3, int(number**0.5) + 1, 2))]
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
"""What stands before a SHA-256 digest in a signature (PKCS #1)."""


class Key(NamedTuple):
    n: int
    d: int
    p: int
    q: int

    def pem(self) -> str:
        """The private key as GitHub hands it out (PKCS #1). It opens nothing but made-up data."""
        numbers = (0, self.n, _E, self.d, self.p, self.q, self.d % (self.p - 1), self.d % (self.q - 1), pow(self.q, -1, self.p))
        der = _der(0x30, b"".join(_der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big")) for number in numbers))
        text = b64encode(der).decode()
        lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
        kind = "RSA PRIVATE " + "KEY"
        return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n"


@cache
def key_of(seed: str) -> Key:
    """Takes a second once; the same for each seed."""
    rng = dice(seed, "github-app")
    while True:
        p, q = _prime(rng), _prime(rng)
        if p != q and (p - 1) % _E and (q - 1) % _E:
            return Key(p * q, pow(_E, -1, (p - 1) * (q - 1)), p, q)


def claims_of(token: str, key: Key) -> dict[str, Any] | None:
    """What a JWT claims; None: this key did not sign it."""
    try:
        head, body, signature = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split("."))
        header, claims = msgspec.json.decode(head), msgspec.json.decode(body)
    except ValueError:
        return None
    if not isinstance(header, dict) or header.get("alg") != "RS256" or not isinstance(claims, dict):
        return None
    size = _BITS // 8
    signed = pow(int.from_bytes(signature, "big"), _E, key.n).to_bytes(size, "big")
    digest = _SHA256 + sha256(token.rpartition(".")[0].encode()).digest()
    return claims if signed == b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest else None


def _prime(rng: Random) -> int:
    while True:
        number = rng.getrandbits(_BITS // 2) | 1 | 3 << (_BITS // 2 - 2)
        if all(number % small for small in _PRIMES) and all(pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7)):
            return number


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content
