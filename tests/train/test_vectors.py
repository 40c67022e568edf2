"""Anybody's embeddings through `evaluate --embeddings`, and probes of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from train import cli
from train.evaluate import probe as probe_module
from train.evaluate.probe import Entry, Rows, efficiency, grid, probe
from train.evaluate.tagging import Vocabulary
from train.evaluate.vector_file import read_vectors

Tracks = list[dict[str, Any]]
TAGS = ("piano", "guitar", "drums", "calm", "fast", "dark")


def write(path: Path, key: str, rows: dict[str, Any], kind: pa.DataType | None = None) -> str:
    vectors = pa.array([list(map(float, row)) for row in rows.values()], kind or pa.list_(pa.float32()))
    pq.write_table(pa.table({key: list(rows), "vector": vectors}), path)
    return str(path)


def of_tags(tags: list[str]) -> np.ndarray[Any, Any]:
    """One dimension a tag, and one that all share."""
    return np.array([1.0, *(3.0 * (tag in tags) for tag in TAGS)])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, tracks: Tracks) -> tuple[str, str]:
    """Vectors that know the truth, with a little noise, and those of every tag and caption."""
    root, rng = tmp_path_factory.mktemp("vectors"), np.random.default_rng(0)
    heard = {t["track_id"]: of_tags(t["tags"]) + rng.normal(0, 0.1, 7) for t in tracks}
    captions = {t["caption"]: of_tags(t["tags"]) - [1, *[0] * 6] for t in tracks if t["caption"]}
    said = {**captions, **{tag: of_tags([tag]) - [1, *[0] * 6] for tag in TAGS}}
    return write(root / "tracks.parquet", "track_id", heard), write(root / "texts.parquet", "text", said)


def test_vectors_that_know_the_truth_find_it(
    files: tuple[str, str], dataset: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    out = tmp_path / "metrics.json"
    ran = command("evaluate", "--embeddings", files[0], "--texts", files[1], "--data", dataset, "--out", out)
    assert (ran.code, ran.err) == (0, "")
    metrics = json.loads(out.read_text())
    assert metrics["tagging"]["roc_auc"] > 0.97 and metrics["retrieval"]["recall_at_1"] > 0.9
    for kind in ("linear", "mlp"):
        found = metrics["probes"][kind]
        assert found["roc_auc"] > 0.97 and found["seeds"] == 3 and found["tracks"] == metrics["tagging"]["tracks"]
        assert found["intervals"]["pr_auc"][0] <= found["intervals"]["pr_auc"][1] <= 1
    assert "linear" in ran.out and "recall at 10" in ran.out
    alone = cli.evaluate_embeddings(files[0], str(dataset))
    assert alone["retrieval"] is None and alone["tagging"] is None and alone["probes"] == metrics["probes"]


def test_a_run_is_probed_when_asked(trained: Path, dataset: Path) -> None:
    found = cli.evaluate(str(trained), str(dataset), probing=True, fractions="20,100")
    probes = found["probes"]
    assert probes["linear"]["roc_auc"] > 0.8
    assert set(probes["mlp"]["chosen"]) == {"kind", "batch_size", "lr", "dropout", "norm"}
    for kind, rows in found["data_efficiency"].items():
        assert [(row["percent"], row["train_tracks"]) for row in rows] == [(20, 12), (100, 58)]
        assert rows[1]["roc_auc"] == probes[kind]["roc_auc"] != rows[0]["roc_auc"]
        assert rows[0]["seeds"] == 3 and rows[0]["spread"]["pr_auc"] > 0
    # What is not asked for again stays: the weights are the same.
    assert cli.evaluate(str(trained), str(dataset))["probes"] == probes


@pytest.mark.parametrize("fractions", ["0,50", "50,101", "half", ""])
def test_wrong_fractions_are_refused(fractions: str, trained: Path, command: Callable[..., Any]) -> None:
    if fractions:
        ran = command("evaluate", trained, "--probe", "--fractions", fractions)
        assert ran.code == 2 and f"--fractions {fractions}" in ran.err
    ran = command("evaluate", trained, "--fractions", "50")
    assert ran.code == 2 and "say --probe as well" in ran.err


def test_the_grid_is_the_published_one() -> None:
    assert len(grid("linear")) == 16 and len(grid("mlp")) == 12
    assert {entry.batch_size for entry in grid("mlp")} == {16, 64, 512}
    assert {entry.lr for entry in grid("mlp")} == {1e-3, 5e-4}
    assert {(e.batch_size, e.lr, e.dropout, e.norm) for e in grid("linear")} == {
        (b, r, d, n) for b in (64, 512) for r in (1e-2, 1e-3) for d in (0.0, 0.25) for n in (False, True)
    }


def test_the_test_split_chooses_nothing() -> None:
    rng = np.random.default_rng(0)

    def rows(count: int, flipped: bool) -> Rows:
        vectors = rng.normal(size=(count, 5)).astype(np.float32)
        labels = (vectors[:, :2] > 0) ^ flipped
        return Rows(vectors, labels, [str(i) for i in range(count)])

    parts = {"train": rows(120, False), "valid": rows(60, False), "test": rows(60, True)}
    entries = [Entry("linear", 64, lr, 0.0, False) for lr in (1e-2, 1e-9)]
    vocabulary = Vocabulary(("a", "b"), ("other", "other"))
    found = probe("linear", parts, vocabulary, entries=entries)
    # On test the labels are turned round: the entry that learns is the worst there, and chosen all the same.
    assert found["chosen"]["lr"] == 1e-2 and found["roc_auc"] < 0.1
    assert found == probe("linear", parts, vocabulary, entries=entries)
    scores = parts["test"].vectors[:, :2]
    assert roc_auc_score(parts["test"].labels, scores) < 0.1


def test_more_labels_teach_more_and_parts_are_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    learnt: dict[int, list[set[bytes]]] = {}
    original = probe_module._trained

    def watched(entry: Entry, parts: dict[str, Rows], seed: int) -> Any:
        learnt.setdefault(seed, []).append({row.tobytes() for row in parts["train"].vectors})
        return original(entry, parts, seed)

    monkeypatch.setattr(probe_module, "_trained", watched)

    def rows(count: int) -> Rows:
        vectors = rng.normal(size=(count, 8)).astype(np.float32)
        labels = vectors @ weights + rng.normal(size=(count, 3)) > 0
        return Rows(vectors, labels, [str(i) for i in range(count)])

    weights = rng.normal(size=(8, 3))
    parts = {"train": rows(200), "valid": rows(100), "test": rows(150)}
    vocabulary, entries = Vocabulary(tuple("abc"), ("x",) * 3), [Entry("linear", 64, 1e-2, 0.0, False)]
    whole = probe("linear", parts, vocabulary, entries=entries)
    found = efficiency("linear", parts, vocabulary, (3.0, 25.0, 100.0), whole, entries=entries)
    assert [row["train_tracks"] for row in found] == [6, 50, 200]
    assert found[0]["roc_auc"] < found[1]["roc_auc"] < found[2]["roc_auc"] == whole["roc_auc"]
    for seen in learnt.values():
        few, some, all_of_them = sorted({len(s): s for s in seen}.values(), key=len)
        assert few < some < all_of_them
    assert learnt[1] != learnt[2]


@pytest.mark.parametrize(
    ("key", "rows", "message"),
    [
        ("id", {"a": [1]}, "has no column 'track_id'; it has: id, vector"),
        ("track_id", {"a": [1, 2], "b": [1]}, "'b': 1 numbers, and the first row has 2"),
        ("track_id", {"a": [1, 2], "b": [0, 0]}, "'b': a vector that is zero or not finite"),
        ("track_id", {"a": [1, float("nan")]}, "'a': a vector that is zero or not finite"),
        ("track_id", {"a": [1, 2]}, "no track in split test has a clip"),
        ("track_id", {}, "has no rows"),
    ],
)
def test_another_file_is_refused_in_one_line(
    key: str, rows: dict[str, Any], message: str, dataset: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    ran = command("evaluate", "--embeddings", write(tmp_path / "x.parquet", key, rows), "--data", dataset)
    assert ran.code == 2 and message in ran.err and ran.err.count("\n") == 1


def test_keys_that_are_no_text_and_vectors_that_are_long(
    dataset: Path, tmp_path: Path, tracks: Tracks, command: Callable[..., Any]
) -> None:
    odd = pa.table({"track_id": pa.array([b"\xff\xfe"], pa.binary()), "vector": [[1.0]]})
    pq.write_table(odd, tmp_path / "x.parquet")
    ran = command("evaluate", "--embeddings", tmp_path / "x.parquet", "--data", dataset)
    assert ran.code == 2 and "column 'track_id' holds binary, not text" in ran.err
    far = {t["track_id"]: 1e30 * of_tags(t["tags"]) for t in tracks}
    keys, vectors = read_vectors(write(tmp_path / "far.parquet", "track_id", far), "track_id")
    assert len(keys) == len(tracks) and np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_a_file_that_is_no_parquet_is_refused(dataset: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    (tmp_path / "x.parquet").write_text("no")
    ran = command("evaluate", "--embeddings", tmp_path / "x.parquet", "--data", dataset)
    assert ran.code == 2 and "x.parquet: is no Parquet file" in ran.err
    ran = command("evaluate", "--embeddings", tmp_path / "none.parquet", "--data", dataset)
    assert ran.code == 2 and "none.parquet: is not there" in ran.err


def test_wrong_usage_is_told(
    tmp_path: Path, files: tuple[str, str], dataset: Path, command: Callable[..., Any]
) -> None:
    for arguments, message in (
        ((), "give a run directory, or --embeddings FILE"),
        (("--embeddings", files[0]), "say whose tracks they are by --data"),
        ((tmp_path, "--texts", files[1]), "--texts and --out go with --embeddings"),
        (("--embeddings", files[0], "--data", dataset, "--texts", files[0]), "has no column 'text'"),
    ):
        ran = command("evaluate", *arguments)
        assert ran.code == 2 and message in ran.err
    short = write(tmp_path / "short.parquet", "text", {tag: [1.0] * 7 for tag in TAGS})
    ran = command("evaluate", "--embeddings", files[0], "--data", dataset, "--texts", short)
    assert ran.code == 2 and "has no vector of the caption" in ran.err
