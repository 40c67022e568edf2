from __future__ import annotations

import random
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import DataError
from schemas.store import Store
from schemas.table import ROWS_PER_GROUP, TableSchema, column
from schemas.tables import ANNOTATIONS, EXCLUSIONS, LABELS, SPLITS, TABLES, TRACKS

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
annotation = st.fixed_dictionaries(
    {
        "track_id": text,
        "source": st.sampled_from(["genre", "tags"]),
        "raw_tag": text,
        "score": st.none() | st.floats(allow_nan=False),
    }
)


def memory() -> Store:
    return Store(f"memory://{uuid.uuid4().hex}")


@pytest.mark.parametrize("schema", TABLES.values(), ids=lambda schema: schema.name)
def test_rows_that_a_table_may_hold_twice_are_ordered_by_every_column(schema: TableSchema) -> None:
    """Else rows of one key would lie in the order in which they arrived."""
    assert set(schema.sort_by) <= set(schema.schema.names)
    if schema.unique:
        assert set(schema.unique) <= set(schema.sort_by)
    else:
        assert set(schema.sort_by) == set(schema.schema.names)


@pytest.mark.parametrize("schema", TABLES.values(), ids=lambda schema: schema.name)
def test_every_column_says_what_it_is(schema: TableSchema) -> None:
    assert all((field.metadata or {}).get(b"description") for field in schema.schema)
    assert schema.version >= 1


@pytest.mark.parametrize("schema", TABLES.values(), ids=lambda schema: schema.name)
def test_an_empty_table_is_written_and_read(schema: TableSchema, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert schema.write(store, schema.empty()) == 0
    assert schema.read(store).num_rows == 0
    assert schema.check(store) == []
    assert pq.read_schema(tmp_path / schema.filename).field(0).metadata


@given(st.lists(annotation, max_size=30), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60, derandomize=True)
def test_the_order_of_rows_decides_no_byte(rows: list[dict[str, Any]], shuffler: random.Random) -> None:
    store = memory()
    ANNOTATIONS.write(store, ANNOTATIONS.from_rows(rows))
    before = store.read_bytes(ANNOTATIONS.filename)
    shuffler.shuffle(rows)
    ANNOTATIONS.write(store, ANNOTATIONS.from_rows(rows))
    assert store.read_bytes(ANNOTATIONS.filename) == before

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["track_id"], row["source"], row["raw_tag"], row["score"] is None, row["score"] or 0.0

    def encoded(row: dict[str, Any]) -> tuple[Any, ...]:
        return (*(part.encode() for part in key(row)[:3]), *key(row)[3:])

    assert [key(row) for row in ANNOTATIONS.read(store).to_pylist()] == [key(r) for r in sorted(rows, key=encoded)]


def test_pieces_and_order_of_a_large_table_decide_no_byte(tmp_path: Path) -> None:
    count = ROWS_PER_GROUP + 5000
    ids = [f"track-{n:07d}-{'x' * (n % 40)}" for n in range(count)]
    rows = pa.table({"track_id": ids, "source": ["s"] * count, "raw_tag": [f"tag {n % 977}" for n in range(count)]})
    digests = set()
    shuffled = list(range(count))
    random.Random(1).shuffle(shuffled)
    pieces = [rows.slice(start, 997) for start in range(0, count, 997)]
    for number, table in enumerate([rows, rows.take(pa.array(shuffled)), pa.concat_tables(pieces)]):
        store = Store(str(tmp_path / str(number)))
        ANNOTATIONS.write(store, table)
        digests.add(store.sha256(ANNOTATIONS.filename))
        assert pq.read_metadata(tmp_path / str(number) / ANNOTATIONS.filename).num_row_groups == 2
    assert len(digests) == 1


def test_pieces_of_a_table_of_one_row_or_none_decide_no_byte(tmp_path: Path) -> None:
    one = SPLITS.from_rows([{"scheme": "default", "fold": 0, "track_id": "a", "split": "train"}])
    stores = [Store(str(tmp_path / name)) for name in "ab"]
    SPLITS.write(stores[0], one)
    SPLITS.write(stores[1], pa.concat_tables([SPLITS.empty(), one, SPLITS.empty()]))
    assert stores[0].sha256(SPLITS.filename) == stores[1].sha256(SPLITS.filename)


def test_memory_and_disk_hold_the_same_bytes(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"track_id": "é", "tags": ["b", "a"], "caption": None},
        {"track_id": "a", "tags": [], "caption": "x"},
    ]
    stores = [Store(str(tmp_path)), memory()]
    for store in stores:
        LABELS.write(store, LABELS.from_rows(rows), {"seed": 1})
    assert stores[0].read_bytes(LABELS.filename) == stores[1].read_bytes(LABELS.filename)
    assert LABELS.read(stores[1]).to_pylist() == [rows[1], rows[0]]
    assert LABELS.meta(stores[1]) == {"table": "labels", "version": LABELS.version, "seed": 1}


def test_the_batches_of_a_table_are_the_table(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    rows = [{"track_id": f"t{n:03d}", "tags": [str(n)], "caption": None} for n in range(100)]
    LABELS.write(store, LABELS.from_rows(rows))
    found = [row for batch in LABELS.batches(store, ["track_id"]) for row in batch.to_pylist()]
    assert found == [{"track_id": row["track_id"]} for row in rows]
    assert LABELS.read(store, ["caption"]).column_names == ["caption"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "a"}], "null|without a value"),
        ([{"id": "a", "stage": "tags", "reson": "x"}], "no column 'reson'; did you mean 'reason'"),
        ([{"id": 3, "stage": "tags", "reason": "no_tags"}], "exclusions: a value does not fit"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        EXCLUSIONS.from_rows(rows)


@pytest.mark.parametrize("year", [2**31, 2**70, "1999", [1999]])
def test_a_year_that_is_no_int32_is_refused(year: object) -> None:
    row: dict[str, Any] = {"track_id": "a", "artist_id": "b", "recording_id": "c", "year": year}
    with pytest.raises(DataError, match="tracks"):
        TRACKS.from_rows([row])


def test_text_that_no_encoding_knows_is_refused() -> None:
    with pytest.raises(DataError, match="exclusions"):
        EXCLUSIONS.from_rows([{"id": "a\udcff", "stage": "tags", "reason": "no_tags"}])


def test_a_key_that_stands_twice_is_refused_by_name() -> None:
    row = {"scheme": "default", "fold": 0, "track_id": "a", "split": "train"}
    with pytest.raises(DataError, match=r"splits: 1 keys occur more than once.*'track_id': 'a'"):
        SPLITS.from_rows([row, {**row, "split": "test"}])


def test_a_column_of_another_kind_is_refused() -> None:
    table = pa.table({"track_id": ["a"], "tags": ["rock"], "caption": ["rock"]})
    with pytest.raises(DataError, match=r"labels\.tags"):
        LABELS.conform(table)
    with pytest.raises(DataError, match="'tags' is missing"):
        LABELS.conform(table.drop_columns(["tags"]))


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.parquet: is missing; run tracklore build"):
        LABELS.read(Store(str(tmp_path)))
    assert LABELS.meta(Store(str(tmp_path))) == {}


@pytest.mark.parametrize("kept", [0, 3, 100, -1])
def test_a_damaged_file_is_told_as_such(kept: int, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    LABELS.write(store, LABELS.from_rows([{"track_id": "a", "tags": ["b"], "caption": "b"}]))
    data = (tmp_path / LABELS.filename).read_bytes()
    (tmp_path / LABELS.filename).write_bytes(data[:kept])
    with pytest.raises(DataError, match=r"labels\.parquet"):
        LABELS.read(store)
    assert len(LABELS.check(store)) == 1
    assert LABELS.meta(store) == {}


def test_a_damaged_footer_or_page_is_told_as_such(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    LABELS.write(store, LABELS.from_rows([{"track_id": str(n), "tags": ["b"], "caption": "b"} for n in range(99)]))
    data = bytearray((tmp_path / LABELS.filename).read_bytes())
    footer = int.from_bytes(data[-8:-4], "little")
    for start, end in ((len(data) - 8 - footer, len(data) - 8), (4, len(data) - 8 - footer)):
        broken = bytearray(data)
        broken[start:end] = b"\xff" * (end - start)
        (tmp_path / LABELS.filename).write_bytes(broken)
        with pytest.raises(DataError, match=r"labels\.parquet"):
            LABELS.read(store)


def test_a_file_of_another_version_is_refused_by_column(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    old = TableSchema("labels", 1, pa.schema([column("track_id", pa.string(), "x")]), ("track_id",))
    old.write(store, pa.table({"track_id": ["a"]}))
    assert "'tags' is missing" in LABELS.check(store)[0]
    pq.write_table(
        pa.table({"track_id": ["a"], "tags": [["x"]], "caption": ["x"], "mood": ["sad"]}),
        tmp_path / "labels.parquet",
    )
    assert "does not know: mood" in LABELS.check(store)[0]
    pq.write_table(pa.table({"track_id": [1], "tags": [["x"]], "caption": ["x"]}), tmp_path / "labels.parquet")
    assert "int64, not string" in LABELS.check(store)[0]


def test_pandas_reads_a_table(tmp_path: Path) -> None:
    import pandas as pd

    store = Store(str(tmp_path))
    TRACKS.write(store, TRACKS.from_rows([{"track_id": "t", "artist_id": "a", "recording_id": "r", "year": 1999}]))
    frame = pd.read_parquet(tmp_path / TRACKS.filename)
    assert frame.loc[0, "year"] == 1999
