from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources import json_members
from pipelines.sources.json_members import NoJsonObjectError, members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    content=st.dictionaries(st.text(), VALUES, max_size=5),
    indent=st.none() | st.integers(0, 4),
    ascii_only=st.booleans(),
    chunk=st.integers(1, 40),
)
def test_members_are_those_that_json_loads(
    content: dict[str, Any], indent: int | None, ascii_only: bool, chunk: int
) -> None:
    raw = json.dumps(content, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_members, "_CHUNK", chunk)
        assert list(members(io.BytesIO(raw))) == list(json.loads(raw).items())


def test_a_number_that_a_chunk_cuts_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for chunk in range(1, 20):
        monkeypatch.setattr(json_members, "_CHUNK", chunk)
        assert list(members(io.BytesIO(b'{"a": 12345.5e2, "b": -17}'))) == [("a", 1234550.0), ("b", -17)]


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"1", b"{", b'{"a"', b'{"a":', b'{"a": 1', b'{"a": 1,', b'{"a": 1,}', b"{1: 2}", b'{"a" 1}',
     b'{"a": 1} x', b'{"a": tru}', b"\xff\xfe", b'{"a": "\xff"}', b'{"a":' + b"[" * 200_000],
)  # fmt: skip
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(NoJsonObjectError):
        list(members(io.BytesIO(raw)))


def test_only_a_part_of_the_file_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = json.dumps({str(n): {"value": n} for n in range(2000)}).encode()
    stream = io.BytesIO(raw)
    monkeypatch.setattr(json_members, "_CHUNK", 256)
    found = members(stream)
    assert next(found) == ("0", {"value": 0})
    assert stream.tell() == 256
    assert sum(1 for _ in found) == 1999
