from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.digests import digest_of
from schemas.errors import DataError, UsageError
from schemas.receipt import FileEntry, FunnelStep, Receipt, StageEntry, read_receipt, require_receipt
from schemas.store import Store

entries = st.builds(FileEntry, sha256=st.integers().map(digest_of), bytes=st.integers(0), rows=st.integers(0))
steps = st.builds(FunnelStep, step=st.text(max_size=5), tracks=st.none() | st.integers())
stages = st.builds(
    StageEntry,
    version=st.integers(1, 9),
    digest=st.integers().map(digest_of),
    files=st.dictionaries(st.text(min_size=1, max_size=5), entries, max_size=3),
    funnel=st.lists(steps, max_size=2),
    notes=st.lists(st.text(max_size=5), max_size=2),
)
receipts = st.builds(
    Receipt,
    name=st.text(max_size=5),
    manifest=st.integers().map(digest_of),
    recipe=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
    shards=st.none() | st.integers(1, 99),
    stages=st.dictionaries(st.sampled_from(["source", "tags", "splits"]), stages, max_size=3),
)


@given(receipts)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_a_receipt_comes_back_and_its_bytes_are_one_function_of_it(receipt: Receipt) -> None:
    store = Store(f"memory://{uuid.uuid4().hex}")
    receipt.write(store)
    found = read_receipt(store)
    assert found == receipt
    before = store.read_bytes("receipt.json")
    found.write(store)
    assert store.read_bytes("receipt.json") == before


def test_a_receipt_lists_the_files_of_all_stages() -> None:
    entry = FileEntry(sha256=digest_of(1), bytes=1, rows=1)
    receipt = Receipt(
        name="x",
        manifest=digest_of(1),
        stages={
            "source": StageEntry(version=1, digest=digest_of(2), files={"a": entry}),
            "tags": StageEntry(version=1, digest=digest_of(3), files={"b": entry, "c": entry}),
        },
    )
    assert list(receipt.files()) == ["a", "b", "c"]


def test_no_receipt_is_no_dataset(tmp_path: Path) -> None:
    assert read_receipt(Store(str(tmp_path))) is None
    assert read_receipt(Store(str(tmp_path / "none"))) is None
    with pytest.raises(UsageError, match=r"no receipt\.json here.*tracklore build"):
        require_receipt(Store(str(tmp_path)))


def test_a_file_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match=r"no receipt\.json here"):
        require_receipt(Store(str(tmp_path / "file")))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', '{"format": 1, "nmae": "x"}', "\xff"])
def test_a_damaged_receipt_is_told_as_such(text: str, tmp_path: Path) -> None:
    (tmp_path / "receipt.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"receipt\.json: is damaged.*delete it and build again"):
        read_receipt(Store(str(tmp_path)))


def test_a_digest_that_is_none_is_refused(tmp_path: Path) -> None:
    content = {"name": "x", "manifest": "abc", "stages": {}}
    (tmp_path / "receipt.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="damaged"):
        read_receipt(Store(str(tmp_path)))


def test_a_later_format_asks_for_an_update_whatever_else_it_holds(tmp_path: Path) -> None:
    content = {"format": 2, "name": "x", "manifest": digest_of(1), "something": "new"}
    (tmp_path / "receipt.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="format 2, and this version reads 1; update Tracklore"):
        read_receipt(Store(str(tmp_path)))


@given(receipts, st.integers(0, 10**6), st.integers(0, 7))
def test_one_flipped_bit_is_noticed(receipt: Receipt, place: int, bit: int) -> None:
    store = Store("memory://flipped")
    receipt.write(store)
    content = bytearray(store.read_bytes("receipt.json"))
    content[place % len(content)] ^= 1 << bit
    store.write_bytes("receipt.json", bytes(content))
    try:
        found = read_receipt(store)
    except DataError:
        return
    assert found == receipt  # a blank for another at its end
