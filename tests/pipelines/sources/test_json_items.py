from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources import json_items as module
from pipelines.sources.json_items import json_items

values = st.recursive(
    st.one_of(st.none(), st.integers(), st.text('a"\\é\u2028]}', max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)),
    max_leaves=6,
)
objects = st.lists(st.dictionaries(st.text(max_size=3), values, max_size=3), max_size=6)


@given(objects, st.sampled_from([None, 1]), st.booleans(), st.integers(1, 9))
@settings(deadline=None, max_examples=150, derandomize=True)
def test_items_are_those_of_the_whole_file(items: list[Any], indent: int | None, ascii_: bool, chunk: int) -> None:
    text = json.dumps(items, indent=indent, ensure_ascii=ascii_)
    before, module._CHUNK_BYTES = module._CHUNK_BYTES, chunk
    try:
        found = list(json_items(io.BytesIO(b"\xef\xbb\xbf" + text.encode() + b" \n")))
    finally:
        module._CHUNK_BYTES = before
    assert [item for _, item in found] == items
    assert [number for number, _ in found] == list(range(1, len(items) + 1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not start as a JSON array"),
        (b'{"a": 1}', "does not start as a JSON array"),
        (b"[1]", "item 1 is no JSON object"),
        (b'[{"a": 1}, {"a": ]', "item 2 is not valid JSON"),
        (b'[{"a": 1}, {"a": 1', "item 2 is not valid JSON"),
        (b'[{"a": 1} {"a": 1}]', "after item 1: '{'"),
        (b'[{"a": 1},]', "item 2 is no JSON object"),
        (b'[{"a": 1}', "after item 1: ''"),
        (b'[{"a": 1}] x', "goes on after its last item 1"),
        (b'[{"a": "\xff"}]', "utf-8"),
        (b"[" + b'{"a":' * 100_000, "item 1 is not valid JSON"),
    ],
)
def test_what_is_no_array_of_objects_is_named(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(json_items(io.BytesIO(content)))
