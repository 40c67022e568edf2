"""Runs in the page: curves, metrics beside chance, and only those that were trained on the dataset."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pipelines.report.page import write_report
from pipelines.report.runs import Metric, beside, read_runs
from schemas.errors import UsageError
from schemas.receipt import require_receipt
from schemas.store import Store

RETRIEVAL = {
    "recall_at_1": 0.125,
    "recall_at_5": 0.5,
    "recall_at_10": 0.75,
    "chance_at_10": 0.05,
    "map_at_10": 0.25,
    "median_rank": 6.0,
    "pairs": 200,
    "repeated_captions": 3,
    "with_duplicates": {"pairs": 203, "recall_at_10": 0.8, "chance_at_10": 0.06},
}
TAGGING = {
    "roc_auc": 0.8125,
    "pr_auc": 0.4,
    "pr_auc_chance": 0.1,
    "tags": 40,
    "tags_without_positives": 2,
    "by_category": {
        "genre": {"roc_auc": 0.9, "pr_auc": 0.5, "tags": 30},
        "mood": {"roc_auc": None, "pr_auc": None, "tags": 0},
    },
}


def write_run(store: Store, name: str, manifest: str, **files: Any) -> Store:
    history = [
        {"step": s, "epoch": 1, "loss": 4.0 / s, "lr": 0.001, "valid_loss": 3.0 if s % 2 else None}
        for s in (1, 2, 3)
    ]
    content = {
        "recipe.json": {"name": "little"},
        "data.json": {"name": name, "manifest": manifest},
        "state.json": {"best_step": 3, "best_valid_loss": 2.5, "train_tracks": 1234, "notes": []},
        "metrics.json": {
            "data": {"name": name, "manifest": manifest},
            "split": "test",
            "tracks": 200,
            "retrieval": RETRIEVAL,
            "tagging": TAGGING,
        },
    } | files
    for path, value in content.items():
        if value is not None:
            store.write_text(path, value if isinstance(value, str) else json.dumps(value))
    store.write_text("history.jsonl", "".join(json.dumps(row) + "\n" for row in history))
    return store


@pytest.fixture
def data(make: Any) -> Store:
    store: Store = make(features=False)
    return store


def page(store: Store, runs: list[str | Store] | None = None) -> str:
    write_report(store, None, runs)
    return store.read_text("report.html")


def test_the_run_beside_the_dataset_is_shown(data: Store, digest: str) -> None:
    assert 'id="runs"' not in page(data)
    place = beside(data)
    assert place is not None
    write_run(place, "small", digest)
    text = page(data)
    assert "learning rate" in text
    assert "best step" in text
    for figure in ("12.5%", "75.0%", "15.0", "0.812", "0.500", "1,234", "200 for each caption"):
        assert figure in text


def test_metrics_stand_beside_chance(data: Store, digest: str, tmp_path: Any) -> None:
    run = write_run(Store(str(tmp_path / "a run")), "small", digest)
    [found], notes = read_runs(data, require_receipt(data), [run])
    assert notes == []
    by_name = {metric.name: metric for metric in found.retrieval + found.tagging}
    assert by_name["R@10"] == Metric("R@10", "75.0%", "5.0%", "15.0")
    assert by_name["R@1"].chance == "0.5%"
    # A random ranking of 200, each rank equally likely: the mean of 1/rank where it is at most 10.
    ranks = np.arange(1, 201)
    expected = np.where(ranks <= 10, 1 / ranks, 0).mean()
    assert by_name["mAP@10"].chance == f"{expected:.1%}"
    assert by_name["median rank"].chance == f"{np.median(ranks):,.1f}"
    assert by_name["PR-AUC, macro"].ratio == "4.0"
    assert found.by_category == [("genre", "30", "0.900", "0.500"), ("mood", "0", "", "")]
    assert any("R@10 is 80.0% (chance 6.0%)" in note for note in found.notes)
    assert any("2 without a positive" in note for note in found.notes)


def test_runs_of_other_data_are_named_and_not_shown(data: Store, tmp_path: Any) -> None:
    run = write_run(Store(str(tmp_path / "other")), "small", "f" * 64)
    text = page(data, [run])
    assert "The run other is not shown: it was trained on another dataset" in text
    assert "learning rate" not in text


def test_metrics_of_other_data_are_not_shown(data: Store, digest: str, tmp_path: Any) -> None:
    metrics = {"data": {"name": "x", "manifest": "e" * 64}, "retrieval": RETRIEVAL, "tagging": TAGGING}
    run = write_run(Store(str(tmp_path / "r")), "small", digest, **{"metrics.json": metrics})
    [found], _ = read_runs(data, require_receipt(data), [run])
    assert found.retrieval == found.tagging == []
    assert any("another dataset" in note for note in found.notes)


@pytest.mark.parametrize(("path", "content"), [("metrics.json", "{"), ("recipe.json", "[]"), ("data.json", "null")])
def test_damaged_runs_are_named_and_the_page_is_written(
    data: Store, digest: str, tmp_path: Any, path: str, content: str
) -> None:
    run = write_run(Store(str(tmp_path / "broken")), "small", digest, **{path: content})
    assert "The run broken is not shown: its files are damaged" in page(data, [run])


def test_a_run_in_the_making_is_shown(data: Store, digest: str, tmp_path: Any) -> None:
    run = write_run(Store(str(tmp_path / "r")), "small", digest, **{"metrics.json": None, "state.json": None})
    text = page(data, [run])
    assert "It was not evaluated." in text
    assert "learning rate" in text


def test_what_is_no_run_is_refused(data: Store, tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="so no run"):
        page(data, [str(tmp_path / "nothing")])


@pytest.mark.parametrize(
    ("root", "place"),
    [("memory://a/data", "memory://a/run"), ("gs://bucket/x/data/", "gs://bucket/x/run"), ("memory://data", None)],
)
def test_where_a_run_is_looked_for(root: str, place: str | None) -> None:
    found = beside(Store(root))
    assert (found.root if found else None) == place
