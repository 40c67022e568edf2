from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.digests import CHUNK_BYTES, canonical_json, digest_of, digest_of_stream, digest_of_texts, stable_hash

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), st.text(), max_size=5))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_texts_that_are_not_held_have_the_digest_of_their_dict(texts: dict[str, str]) -> None:
    assert digest_of_texts(sorted(texts.items())) == digest_of(texts)


@pytest.mark.parametrize("count", [9_999, 10_000, 10_001, 20_001])
def test_many_texts_have_the_digest_of_their_dict(count: int) -> None:
    texts = {f"\udcff é {number:06d}": str(number) for number in range(count)}
    assert digest_of_texts(texts.items()) == digest_of(texts)


@given(json_values)
@settings(deadline=None, max_examples=100, derandomize=True)
def test_canonical_json_reads_back_and_is_its_own_canonical_form(value: object) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(max_size=5), st.integers(), min_size=2, max_size=6))
@settings(deadline=None, max_examples=50, derandomize=True)
def test_the_order_of_keys_does_not_enter_a_digest(value: dict[str, int]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert digest_of(value) == digest_of(backwards)


def test_a_digest_tells_text_from_number_and_list_from_nesting() -> None:
    values = [1, "1", [1], [[1]], {"1": 1}, None, "null", 1.5, True, "true"]
    assert len({digest_of(value) for value in values}) == len(values)


def test_a_number_that_is_none_has_no_digest() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of(float("nan"))


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_a_stream_is_read_to_its_end(size: int) -> None:
    data = bytes(size)
    assert digest_of_stream(io.BytesIO(data)) == (hashlib.sha256(data).hexdigest(), size)


def test_stable_hash_is_64_bits_of_sha256_for_ever() -> None:
    expected = int.from_bytes(hashlib.sha256(b"7\x00track").digest()[:8], "big")
    assert stable_hash("track", 7) == expected
    assert stable_hash("track") == int.from_bytes(hashlib.sha256(b"0\x00track").digest()[:8], "big")


def test_stable_hash_does_not_hear_of_pythons_hash_seed() -> None:
    root = Path(__file__).resolve().parents[2]
    code = "from schemas.digests import stable_hash; print(stable_hash('\\udcff é', 3))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert seen == {f"{stable_hash(chr(0xDCFF) + ' é', 3)}\n"}


def test_seeds_give_independent_orders() -> None:
    ids = [f"t{n}" for n in range(200)]
    orders = [sorted(ids, key=lambda i: stable_hash(i, seed)) for seed in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    places = [order.index("t0") for order in (sorted(ids, key=lambda i: stable_hash(i, s)) for s in range(40))]
    assert min(places) < 50 < 150 < max(places)
