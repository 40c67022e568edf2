"""A store that fails while a file is read says nothing of the file: no reader tells of a damaged one."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from safetensors.torch import save

from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.recordings.stage import spooled_fingerprints
from pipelines.sources.base import SourceContext
from pipelines.sources.caption_table import CaptionTable, CaptionTableSettings
from pipelines.sources.known_bad import read_list
from pipelines.sources.msd.hdf_frame import read_frame
from pipelines.sources.pickles import load_pickle
from pipelines.sources.probe import probe
from pipelines.splits.keep import read_kept
from pipelines.splits.table import read_table
from schemas.errors import StoreFailedError
from schemas.reasons import Reason
from schemas.shards import read_shard_index, read_shard_meta
from schemas.store import Store
from schemas.tables import TRACKS
from tests.failing_store import FAILURES, FailingFiles
from train.evaluate.space import read_space
from train.evaluate.vector_file import read_vectors
from train.run import MODEL
from train.tasks.waves.network import start
from train.tasks.waves.recipe import StartSection

ROOT = "failing://files"
COUNT = 30_000


@pytest.fixture(scope="module")
def files() -> Store:
    store = Store(ROOT)
    rows = [{"id": f"t{number}", "track_id": f"t{number}", "split": "train"} for number in range(COUNT)]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, row_group_size=COUNT // 10, compression="none")
    for name in ("t.parquet", "tracks.parquet", "features/a.parquet"):
        store.write_bytes(name, buffer.getvalue())
    store.write_text("t.csv", "id,track_id,split\n" + "".join(f"{','.join(row.values())}\n" for row in rows))
    store.write_text("t.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    store.write_bytes("t.pickle", pickle.dumps(columns))
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("a/axis1", data=np.arange(COUNT))
    store.write_bytes("t.h5", buffer.getvalue())
    store.write_bytes(MODEL, save({"a": torch.zeros(COUNT)}))
    return store


@pytest.fixture(autouse=True)
def _mended() -> Iterator[None]:
    yield
    FailingFiles.mend()


def captions(store: Store, name: str) -> Any:
    settings = CaptionTableSettings.model_validate(
        {"kind": "caption_table", "path": store.root, "files": name, "columns": {"id": "id"}}
    )
    return CaptionTable(
        settings, SourceContext(Store("memory://none"), None, Engine(), Reporter(quiet=True))
    ).read()


def frame(store: Store) -> Any:
    with store.open("t.h5") as stream:
        return read_frame(stream, "t.h5")


def networks() -> tuple[Any, Any]:
    """They are come to when the weights are read."""
    return None, None


READERS: dict[str, Callable[[Store], Any]] = {
    "captions, csv": lambda store: captions(store, "t.csv"),
    "captions, jsonl": lambda store: captions(store, "t.jsonl"),
    "captions, parquet": lambda store: captions(store, "t.parquet"),
    "pickle": lambda store: load_pickle(store, "t.pickle"),
    "hdf": frame,
    "fingerprints": lambda store: spooled_fingerprints(store, ["features/a.parquet"], pa.chunked_array([["a"]])),
    "a table of ours": TRACKS.read,
    "its metadata": TRACKS.meta,
    "its check": TRACKS.check,
    "a shard's metadata": lambda store: read_shard_meta(store, "features/a.parquet"),
    "a shard's index": lambda store: read_shard_index(store, "features/a.parquet"),
    "known bad, parquet": lambda store: read_list(store, "t.parquet", "known_bad"),
    "known bad, csv": lambda store: read_list(store, "t.csv", "known_bad"),
    "kept splits": lambda store: read_kept(f"{store.root}/t.parquet", None),
    "a table to split, parquet": lambda store: read_table(f"{store.root}/t.parquet"),
    "a table to split, csv": lambda store: read_table(f"{store.root}/t.csv"),
    "points": lambda store: read_space(store, "t.parquet"),
    "weights to start from": lambda store: start(*networks(), StartSection(run=store.root)),
    "vectors": lambda store: read_vectors(f"{store.root}/t.parquet", "track_id"),
}


@pytest.mark.parametrize("at", [0, 10_000])
@pytest.mark.parametrize("reader", READERS)
def test_a_store_that_fails_is_no_damaged_file(files: Store, reader: str, at: int) -> None:
    for failure in FAILURES:
        FailingFiles.plant(failure, at)
        with pytest.raises(StoreFailedError, match="the store did not do what was asked") as raised:
            READERS[reader](files)
        assert str(raised.value.filename).startswith(ROOT), (failure, raised.value)


def test_tags_that_a_store_does_not_give_are_not_damaged_ones(files: Store, tmp_path: Path) -> None:
    """To a reader of tags a store that fails is a file that ends; the digests before them were read."""
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 200_000), 16_000)
    files.write_bytes("a.flac", path.read_bytes())
    whole = probe(files, "a.flac")
    assert whole.reason is None and whole.duration_s
    reads = FailingFiles.reads
    assert reads > 4
    for spared in range(reads):
        FailingFiles.plant("reset", spared=spared, times=1)
        found = probe(files, "a.flac")
        assert found.reason is Reason.UNREADABLE, (spared, found)
        FailingFiles.mend()
