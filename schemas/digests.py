"""Digests and seeded orders that do not depend on the machine, the process or Python's hash seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import islice
from typing import Any, BinaryIO

CHUNK_BYTES = 1 << 20
_ITEMS_AT_ONCE = 10_000


def canonical_json(value: Any) -> str:
    """Serialise `value` so that equal values give equal text: sorted keys, no spaces, UTF-8 kept."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """Return the sha256 hex digest of a JSON-serialisable value."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def digest_of_texts(items: Iterable[tuple[str, str]]) -> str:
    """What `digest_of` gives of a dict of these, without holding them all.

    Args:
        items: keys and values in order of the keys, each once; the digest of others is another.
    """
    state = hashlib.sha256(b"{")
    left, between = iter(items), b""
    while part := list(islice(left, _ITEMS_AT_ONCE)):
        inner = canonical_json(dict(part))[1:-1]
        state.update(between + inner.encode("utf-8", "surrogatepass"))
        between = b","
    state.update(b"}")
    return state.hexdigest()


def digest_of_stream(stream: BinaryIO) -> tuple[str, int]:
    """Read `stream` to its end; return its sha256 hex digest and the number of bytes read."""
    state = hashlib.sha256()
    count = 0
    while chunk := stream.read(CHUNK_BYTES):
        state.update(chunk)
        count += len(chunk)
    return state.hexdigest(), count


def stable_hash(key: str, seed: int = 0) -> int:
    """Return a 64-bit hash of `key` that is the same everywhere and for ever.

    Seeds give independent hashes: sorting ids by it is a seeded shuffle whose result does not depend on the
    order in which the ids arrived.
    """
    return int.from_bytes(stable_bytes(key, seed), "big")


def stable_bytes(key: str, seed: int = 0) -> bytes:
    """The 8 bytes of `stable_hash`, which sort as it does and are sooner there."""
    return hashlib.sha256(f"{seed}\x00{key}".encode("utf-8", "surrogatepass")).digest()[:8]
