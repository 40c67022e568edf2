"""The directory as the ecosystem's tools read it: mlcroissant and datasets."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from schemas.receipt import read_receipt
from schemas.shards import read_shard_index
from schemas.store import Store

Command = Callable[..., Any]
# What nothing in a dataset can tell: when it was published, and for the demo what to cite.
UNKNOWN = {"datePublished", "citeAs"}


@pytest.fixture(scope="module")
def description(built: Path) -> Any:
    return _loaded(built / "metadata.json")


def _loaded(path: Path) -> Any:
    import mlcroissant

    return mlcroissant.Dataset(jsonld=str(path))


def _warned(dataset: Any) -> set[str]:
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    return {message.split('"')[1].rpartition("/")[2] for message in issues.warnings}


def test_it_is_valid_and_lacks_only_what_is_not_known(built: Path, description: Any) -> None:
    assert _warned(description) == UNKNOWN
    content = json.loads((built / "metadata.json").read_text())
    assert content["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert content["isLiveDataset"] is False
    assert content["name"] == "Tracklore's synthetic demo corpus"
    assert content["license"] == "CC0"


def test_every_table_is_read_through_it_row_by_row(built: Path, description: Any) -> None:
    tables = {path.stem: path for path in built.glob("*.parquet")}
    record_sets = {record_set.uuid for record_set in description.metadata.record_sets}
    assert record_sets == {*tables, "features.ttmr"}
    for name, path in tables.items():
        listed = pq.read_table(path).to_pylist()
        read = list(description.records(name))
        assert len(read) == len(listed)
        assert [_plain(record, name) for record in read] == [_missing_is_none(row) for row in listed]


def _plain(record: dict[str, Any], name: str) -> dict[str, Any]:
    return _missing_is_none({key.removeprefix(f"{name}/"): value for key, value in record.items()})


def _missing_is_none(row: dict[str, Any]) -> dict[str, Any]:
    def one(value: Any) -> Any:
        if isinstance(value, (list, np.ndarray)):
            return [one(item) for item in value]
        if isinstance(value, bytes):
            return value.decode()
        return None if value is None or value != value else value

    return {key: one(value) for key, value in row.items()}


def test_tensors_are_read_through_it(built: Path, description: Any) -> None:
    store = Store(str(built))
    (path,) = [info.path for info in store.list("features")]
    spec = read_shard_index(store, path).spec
    rows = {row["track_id"]: row["data"] for row in pq.read_table(built / path).to_pylist()}
    read = list(description.records("features.ttmr"))
    assert {record["features.ttmr/track_id"].decode() for record in read} == set(rows)
    for record in read:
        data = record["features.ttmr/data"]
        assert data == rows[record["features.ttmr/track_id"].decode()]
        tensor = np.frombuffer(data, spec.dtype).reshape(-1, *spec.shape[1:])
        assert tensor.shape == (record["features.ttmr/frames"], 128)


def test_files_are_described_by_their_true_digests_and_sizes(built: Path) -> None:
    content = json.loads((built / "metadata.json").read_text())
    objects = [entry for entry in content["distribution"] if entry["@type"] == "cr:FileObject"]
    for entry in objects:
        data = (built / entry["contentUrl"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["contentSize"] == f"{len(data)} B"
    receipt = read_receipt(Store(str(built)))
    assert receipt is not None
    tables = {path for path in receipt.files() if not path.startswith("features/")}
    assert {entry["@id"] for entry in objects} == {*tables, "receipt.json"}


def test_it_tells_no_time_and_no_place(data: Path, command: Command) -> None:
    before = (data / "metadata.json").read_bytes()
    assert str(data.parent).encode() not in before
    os.utime(data / "receipt.json", (0, 0))
    (data / "metadata.json").unlink()
    assert command("report", data).code == 0
    assert (data / "metadata.json").read_bytes() == before


def test_a_card_that_says_more_leaves_only_the_date_open(data: Path, command: Command) -> None:
    receipt = json.loads((data / "receipt.json").read_text())
    source = {"name": "S", "licence": "CC BY 4.0", "url": "https://example.org/s", "bibtex": "@misc{s, title={S}}"}
    receipt["recipe"]["card"] = {"title": "Ünïcode “title”", "sources": [source]}
    del receipt["digest"]
    (data / "receipt.json").write_text(json.dumps(receipt))
    assert command("report", data).code == 0
    dataset = _loaded(data / "metadata.json")
    assert _warned(dataset) == {"datePublished"}
    assert dataset.metadata.name == "Ünïcode “title”"
    assert dataset.metadata.cite_as == source["bibtex"]
    assert dataset.metadata.url == source["url"]
    assert dataset.metadata.license == ["not stated"]


def test_a_dataset_without_splits_or_features_is_described_too(
    tmp_path: Path, command: Command, small: tuple[str, ...]
) -> None:
    assert command("build", "demo", "--out", tmp_path / "out", "--only", "tags", *small).code == 0
    dataset = _loaded(tmp_path / "out" / "metadata.json")
    assert _warned(dataset) == UNKNOWN
    assert len(list(dataset.records("labels"))) == 15


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    import datasets

    datasets.disable_progress_bars()
    yield datasets
    datasets.enable_progress_bars()


def test_datasets_reads_every_table_and_every_shard(built: Path, tmp_path: Path, offline: Any) -> None:
    paths = sorted(path for path in built.rglob("*.parquet"))
    assert any(path.parent.name == "ttmr" for path in paths)
    for path in paths:
        loaded = offline.load_dataset(
            "parquet", data_files={"full": str(path)}, split="full", cache_dir=str(tmp_path / "cache")
        )
        expected = pq.read_table(path)
        assert loaded.num_rows == expected.num_rows
        assert loaded.column_names == expected.column_names
        assert loaded[:] == expected.to_pydict()
