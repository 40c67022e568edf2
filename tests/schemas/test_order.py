"""The fast order of rows against pyarrow's own sort, and the file against pyarrow's own writer."""

from __future__ import annotations

import itertools
import math
import random
import uuid
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import order, table
from schemas.coded import coded, decoded, distinct_numbers, in_one_dictionary, plain
from schemas.digests import canonical_json
from schemas.errors import DataError
from schemas.order import row_order, stable_order
from schemas.store import Store
from schemas.table import META_KEY, TableSchema, column
from schemas.tables import ANNOTATIONS

words = st.none() | st.sampled_from(["", "a", "B", "b", "ba", "é", "e\u0301", "Ω", "𝄞", "\uffff", "z\x00"])
numbers = st.none() | st.sampled_from([0, 1, -1, 7, 2**31, 2**62, -(2**63), 2**63 - 1])
floats = st.none() | st.sampled_from([0.0, -0.0, 1.5, -1.5, 1e300, 5e-324, math.inf, -math.inf, math.nan])
SCHEMA = pa.schema([("word", pa.string()), ("count", pa.int64()), ("score", pa.float64()), ("other", pa.string())])
rows = st.lists(
    st.fixed_dictionaries({"word": words, "count": numbers, "score": floats, "other": words}), max_size=30
)
keys = st.lists(st.sampled_from(SCHEMA.names), min_size=1, max_size=4, unique=True)


def dictionary(values: list[str | None], cuts: list[int]) -> pa.ChunkedArray:
    """In pieces, each with a dictionary of its own that lists a value twice and one that no row has."""
    edges = [0, *sorted(cut % (len(values) + 1) for cut in cuts), len(values)]
    chunks = []
    for start, end in itertools.pairwise(edges):
        part = values[start:end]
        held = [*reversed(part), "unused", *part]
        codes = [len(held) - len(part) + i if i % 2 else len(part) - 1 - i for i in range(len(part))]
        chunks.append(pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(held, pa.string())))
    return pa.chunked_array(chunks)


def in_pieces(listed: list[dict[str, Any]], cuts: list[int]) -> pa.Table:
    """The same table with its text as dictionaries."""
    found = pa.Table.from_pylist(listed, schema=SCHEMA)
    for name in ("word", "other"):
        index = found.schema.get_field_index(name)
        found = found.set_column(index, name, dictionary(found.column(name).to_pylist(), cuts))
    return found


def by_arrow(found: pa.Table, keys: list[str]) -> list[int]:
    """pyarrow's sort; of the zeros, which it takes as equal, the negative first."""
    signed = [name for name in keys if name == "score"]
    positive_zero = [
        value is not None and value == 0 and math.copysign(1, value) > 0
        for value in found.column("score").to_pylist()
    ]
    whole = pa.table({f"{i}": plain(found.column(name)) for i, name in enumerate(keys)})
    names = [f"{i}" for i in range(len(keys))]
    if signed:
        at = keys.index("score") + 1
        whole = whole.append_column("sign", pa.array(positive_zero).cast(pa.int8()))
        names = [*names[:at], "sign", *names[at:]]
    result: list[int] = pa.compute.sort_indices(whole, [(name, "ascending") for name in names]).to_pylist()
    return result


def shown(value: Any) -> str:
    return repr(value)


@given(rows, keys, st.lists(st.integers(0, 30), max_size=3), st.sampled_from([63, 20, 4]))
@settings(deadline=None, max_examples=400, derandomize=True)
def test_rows_are_in_the_order_of_pyarrows_sort(
    listed: list[dict[str, Any]], keys: list[str], cuts: list[int], bits: int
) -> None:
    for found in (pa.Table.from_pylist(listed, schema=SCHEMA), in_pieces(listed, cuts)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(order, "_BITS", bits)  # few bits: keys that do not fit into one number
            got = row_order(found, keys)
        places = list(range(len(listed))) if got.rows is None else got.rows.tolist()
        assert places == by_arrow(found, keys)
        same = Counter(tuple(shown(row[key]) for key in keys) for row in listed)
        assert got.repeats == sum(count > 1 for count in same.values())
        if got.repeated is not None:
            assert same[tuple(shown(listed[got.repeated][key]) for key in keys)] > 1
        assert (got.repeated is None) == (got.repeats == 0)


@given(st.lists(words, max_size=20), st.lists(st.integers(0, 20), max_size=3))
@settings(deadline=None, max_examples=150, derandomize=True)
def test_a_column_taken_apart_is_the_column(values: list[str | None], cuts: list[int]) -> None:
    for column_ in (pa.chunked_array([values], pa.string()), dictionary(values, cuts)):
        found = coded(column_)
        held = [*found.values.to_pylist(), None]
        assert [held[code] for code in found.codes] == values
        assert len(set(held)) == len(held)
        assert found.occurring() == len(set(values) - {None})
        one = in_one_dictionary(column_)
        assert one.to_pylist() == values
        assert one.null_count == values.count(None)
        assert plain(column_).to_pylist() == values


@given(st.lists(st.integers(0, 12) | st.sampled_from([2**31, 2**58, 2**62, 2**63 - 1]), max_size=40))
@settings(deadline=None, max_examples=200, derandomize=True)
def test_numbers_are_in_the_order_of_numpys_stable_sort(listed: list[int]) -> None:
    found = np.array(listed, np.int64)
    assert stable_order(found).tolist() == np.argsort(found, kind="stable").tolist()
    assert distinct_numbers(found).tolist() == sorted(set(listed))


@given(st.lists(words.filter(lambda word: word is not None), min_size=1, max_size=12), st.data())
@settings(deadline=None, max_examples=150, derandomize=True)
def test_pieces_of_one_dictionary_are_not_taken_for_each_other(values: list[str], data: st.DataObject) -> None:
    """What is remembered of a dictionary is of that one alone, also where another lies in the same memory."""
    memory = pa.array(values, pa.string())
    for _ in range(4):
        start = data.draw(st.integers(0, len(values) - 1))
        part = memory.slice(start, data.draw(st.integers(1, len(values) - start)))
        codes = np.array(data.draw(st.lists(st.integers(0, len(part) - 1), max_size=8)), np.int64)
        made = decoded(codes, part)
        found = coded(made)
        assert found.values.take(pa.array(found.codes)).to_pylist() == made.to_pylist()
        assert len(set(found.values.to_pylist())) == len(found.values)


@given(rows, st.lists(st.integers(0, 30), max_size=3), st.integers(1, 40), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=80, derandomize=True)
def test_the_file_is_what_pyarrow_writes_of_the_sorted_table(
    listed: list[dict[str, Any]], cuts: list[int], group: int, shuffler: random.Random
) -> None:
    """Bytes, and so whoever reads: no dictionary shows in the file's schema."""
    fields = [column(f.name, f.type, f"what {f.name} is", nullable=True) for f in SCHEMA]
    schema = TableSchema("things", 1, pa.schema(fields), tuple(SCHEMA.names))
    shuffled = list(listed)
    shuffler.shuffle(shuffled)
    stores = [Store(f"memory://{uuid.uuid4().hex}") for _ in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "ROWS_PER_GROUP", group)
        schema.write(stores[0], in_pieces(shuffled, cuts))
        schema.write(stores[1], pa.Table.from_pylist(listed, schema=SCHEMA))
    whole = pa.Table.from_pylist(listed, schema=SCHEMA)
    ordered = whole.take(pa.array(by_arrow(whole, SCHEMA.names), pa.int64())).cast(schema.schema)
    stamp = canonical_json({"table": "things", "version": 1}).encode()
    with stores[2].writing(schema.filename) as stream:
        pq.write_table(
            ordered.replace_schema_metadata({META_KEY: stamp}),
            stream,
            row_group_size=group,
            compression="zstd",
            version="2.6",
            data_page_version="1.0",
        )
    wanted = stores[2].read_bytes(schema.filename)
    assert [store.read_bytes(schema.filename) == wanted for store in stores[:2]] == [True, True]


def test_a_dictionary_with_a_null_is_refused_where_none_may_be() -> None:
    said = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["rock", None]))
    found = pa.table({"track_id": ["a", "b"], "source": ["s", "s"], "raw_tag": said})
    with pytest.raises(DataError, match=r"annotations\.raw_tag: 1 rows without a value"):
        ANNOTATIONS.conform(found)


def test_a_key_is_named_that_stands_twice_in_dictionaries() -> None:
    schema = TableSchema(
        "pairs", 1, pa.schema([column("a", pa.string(), "x"), column("b", pa.int64(), "y")]), ("a",), ("a",)
    )
    found = pa.table({"a": dictionary(["x", "y", "x", "z", "x", "z"], [2]), "b": [1, 2, 3, 4, 5, 6]})
    with pytest.raises(DataError, match=r"pairs: 2 keys occur more than once, first \{'a': '[xz]'\}"):
        schema.conform(found)
