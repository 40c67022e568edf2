from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import DataError
from schemas.shards import (
    TRACKS_PER_SHARD,
    Clip,
    FeatureSpec,
    read_shard_index,
    read_shard_meta,
    shard_count,
    shard_digest,
    shard_of,
    shard_path,
    writing_shard,
)
from schemas.store import Store

SPEC = FeatureSpec("ttmr", "float16", (-1, 4), {"kind": "log_mel", "hop_s": 0.01})


def clip(frames: int, number: int = 0, spec: FeatureSpec = SPEC) -> Clip:
    rng = np.random.default_rng(number)
    data = (rng.standard_normal((frames, *spec.shape[1:])) * 50).astype(spec.dtype)
    return Clip(f"track {number}", number % 3, number * 0.5, data)


def write(store: Store, clips: list[Clip], spec: FeatureSpec = SPEC, path: str = "features/x/a.parquet") -> str:
    meta: dict[str, object] = {"shard": 3}
    with writing_shard(store, path, spec, meta) as writer:
        for one in clips:
            writer.append(one)
        meta["rows"] = writer.rows
    return path


@given(
    st.lists(st.integers(0, 300), max_size=12),
    st.sampled_from([("float16", (-1, 4)), ("float32", (-1,)), ("int16", (-1, 2, 3)), ("uint8", (-1, 128))]),
)
@settings(deadline=None, max_examples=40, derandomize=True)
def test_a_tensor_stands_at_its_offset_and_in_its_cell(
    lengths: list[int], kind: tuple[str, tuple[int, ...]]
) -> None:
    spec = FeatureSpec("x", kind[0], kind[1], {})
    store = Store(f"memory://{uuid.uuid4().hex}")
    clips = [clip(frames, number, spec) for number, frames in enumerate(lengths)]
    path = write(store, clips, spec)
    index = read_shard_index(store, path)
    data = store.read_bytes(path)
    with store.open(path) as stream:
        file = pq.ParquetFile(stream)
        assert file.metadata.num_row_groups == len(clips)
        cells = file.read().column("data").to_pylist()
    assert len(index) == len(clips)
    for row, one in enumerate(clips):
        start = int(index.offsets[row])
        assert data[start : start + one.data.nbytes] == one.data.tobytes() == cells[row]
    assert list(index.track_ids) == [one.track_id for one in clips]
    assert index.frames.tolist() == lengths
    assert index.segments.tolist() == [one.segment for one in clips]
    assert index.starts.tolist() == [one.start_s for one in clips]
    assert index.spec == spec


def test_a_specification_comes_back_whole(tmp_path: Path) -> None:
    settings = {"kind": "log_mel", "rates": [16000, 22050], "deep": {"a": None}, "é": True}
    spec = FeatureSpec("mel", "float32", (-1, 2, 5), settings)
    store = Store(str(tmp_path))
    index = read_shard_index(store, write(store, [clip(3, 0, spec)], spec))
    assert index.spec == spec
    assert index.spec.row_bytes == 2 * 5 * 4


def test_memory_and_disk_hold_the_same_bytes(tmp_path: Path) -> None:
    stores = [Store(str(tmp_path)), Store(f"memory://{uuid.uuid4().hex}")]
    paths = [write(store, [clip(30, n) for n in range(4)]) for store in stores]
    assert stores[0].read_bytes(paths[0]) == stores[1].read_bytes(paths[1])


def test_rows_added_before_the_end_are_in_the_footer(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    path = write(store, [clip(3)])
    meta = read_shard_meta(store, path)
    assert meta is not None
    assert {key: meta[key] for key in ("shard", "rows")} == {"shard": 3, "rows": 1}
    assert shard_digest(store, path, meta) == store.sha256(path)
    data = store.read_bytes(path)
    for place in (10, meta["content"]["bytes"] - 1):
        store.write_bytes(path, data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert not shard_digest(store, path, meta)
    assert read_shard_meta(store, "features/x/none.parquet") is None
    (tmp_path / path).write_bytes((tmp_path / path).read_bytes()[:-5])
    assert read_shard_meta(store, path) is None


def test_a_block_that_fails_leaves_no_shard(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(KeyError), writing_shard(store, "features/x/a.parquet", SPEC, {}) as writer:
        writer.append(clip(3))
        raise KeyError
    assert store.list() == []
    assert store.remove_temporaries() == 0


def test_an_array_in_another_layout_is_stored_in_rows(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    data = np.asfortranarray(np.arange(12, dtype=np.float16).reshape(3, 4))
    path = write(store, [Clip("t", 0, 0.0, data), Clip("t", 1, 0.0, data[::-1])])
    cells = pq.read_table(tmp_path / path).column("data").to_pylist()
    assert np.array_equal(np.frombuffer(cells[0], np.float16).reshape(3, 4), data)
    assert np.array_equal(np.frombuffer(cells[1], np.float16).reshape(3, 4), data[::-1])


@pytest.mark.parametrize("data", [np.zeros((3, 4), np.float32), np.zeros((3, 5), np.float16)])
def test_a_tensor_that_is_not_the_specs_is_refused(
    data: np.ndarray[tuple[int, int], np.dtype[np.floating]],
) -> None:
    store = Store(f"memory://{uuid.uuid4().hex}")
    with pytest.raises(ValueError, match="ttmr"):
        write(store, [Clip("t", 0, 0.0, data)])


def test_a_damaged_or_missing_shard_is_told_with_the_way_out(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(DataError, match="is missing; run tracklore build"):
        read_shard_index(store, "features/x/a.parquet")
    path = write(store, [clip(300, n) for n in range(3)])
    data = (tmp_path / path).read_bytes()
    for broken in (b"", data[:50], data[:-9], b"x" * 64, data[:-200] + b"\xff" * 192 + data[-8:]):
        (tmp_path / path).write_bytes(broken)
        with pytest.raises(DataError, match=r"a\.parquet: is damaged.*--check"):
            read_shard_index(store, path)


def test_other_parquet_is_no_shard(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    small = {"track_id": ["t"], "segment": [0], "start_s": [0.0], "frames": [1]}
    tables = {
        "has no column 'data'": pa.table(small),
        "does not say what it holds": pa.table({**small, "data": [b"12345678"]}),
        "compressed or dictionary": pa.table(
            [*(pa.array(v) for v in small.values()), pa.array([b"0" * 8])],
            schema=pa.schema([*(pa.field(n, pa.array(v).type) for n, v in small.items()), SPEC.field()]),
        ),
    }
    for message, table in tables.items():
        pq.write_table(table, tmp_path / "a.parquet")
        with pytest.raises(DataError, match=message):
            read_shard_index(store, "a.parquet")
    pq.write_table(
        pa.concat_tables([tables["compressed or dictionary"]] * 2),
        tmp_path / "a.parquet",
        compression="none",
        use_dictionary=False,
    )
    with pytest.raises(DataError, match="1 row groups for 2 clips"):
        read_shard_index(store, "a.parquet")


def test_a_cell_stands_alone_uncompressed_and_without_statistics(tmp_path: Path) -> None:
    path = write(Store(str(tmp_path)), [clip(30, n) for n in range(3)])
    chunk = pq.read_metadata(tmp_path / path).row_group(1).column(4)
    assert chunk.path_in_schema == "data"
    assert chunk.compression == "UNCOMPRESSED"
    assert not chunk.has_dictionary_page
    assert not chunk.is_stats_set
    assert "RLE_DICTIONARY" not in chunk.encodings


def test_a_track_keeps_its_shard_whatever_others_there_are() -> None:
    shards = [shard_of(f"track {n}", 7) for n in range(7000)]
    assert set(shards) == set(range(7))
    sizes = np.bincount(shards)
    assert sizes.min() > 850
    assert shards[5] == shard_of("track 5", 7)


@pytest.mark.parametrize(("tracks", "count"), [(0, 1), (1, 1), (160, 1), (161, 2), (54_380, 340)])
def test_there_are_about_160_tracks_a_shard(tracks: int, count: int) -> None:
    assert TRACKS_PER_SHARD == 160
    assert shard_count(tracks) == count
    assert shard_path("ttmr", 0, count) == f"features/ttmr/ttmr-00000-of-{count:05d}.parquet"
