"""Chance that falls the same way each time it is asked."""

import random
from hashlib import blake2b


def dice(*parts: object) -> random.Random:
    """A generator that `parts` alone decide, in every process and release."""
    return random.Random("\0".join(map(str, parts)))  # noqa: S311 -- it makes up data, it guards nothing


def share(*parts: object) -> float:
    """A number in [0, 1) that `parts` alone decide."""
    digest = blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
