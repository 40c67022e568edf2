"""Runs trained on the dataset: their curves and metrics beside chance, read from what a run directory holds.

The trainer is not imported: a run is a directory of JSON, as a dataset is one of Parquet.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import UsageError
from schemas.receipt import Receipt
from schemas.store import Store

RECIPE, DATA, HISTORY, METRICS, STATE = "recipe.json", "data.json", "history.jsonl", "metrics.json", "state.json"
BESIDE = "run"


@dataclass(frozen=True)
class Metric:
    """One figure beside what a random ranking or score is expected to reach; None where that is not known."""

    name: str
    value: str
    chance: str
    ratio: str


@dataclass(frozen=True)
class RunResult:
    """A run.

    Attributes:
        name: of its recipe, and of its folder.
        history: rows of `history.jsonl`.
        facts: short (name, value) pairs of how it was trained.
        retrieval, tagging: metrics, empty where it was not measured.
        by_category: (category, tags, ROC-AUC, PR-AUC).
        notes: what a reader must know to read the metrics.
    """

    name: str
    folder: str
    recipe: Mapping[str, Any]
    history: list[dict[str, Any]]
    best_step: int | None
    facts: list[tuple[str, str]]
    split: str
    retrieval: list[Metric]
    tagging: list[Metric]
    by_category: list[tuple[str, str, str, str]]
    notes: list[str]


def beside(out: Store) -> Store | None:
    """Where a run that belongs to the dataset is looked for: `run` in the same folder."""
    scheme, separator, path = out.root.rpartition("://")
    path = path.rstrip("/")
    if not separator and out.is_local:
        from pathlib import Path

        return Store(str(Path(path or "/").resolve().parent / BESIDE))
    parent, slash, _ = path.rpartition("/")
    return Store(f"{scheme}{separator}{parent}/{BESIDE}") if slash else None


def read_runs(
    out: Store, receipt: Receipt, given: Iterable[str | Store] | None
) -> tuple[list[RunResult], list[str]]:
    """Read the runs given, or the one beside the dataset.

    Returns:
        runs that were trained on this dataset, and one line for each given that was not, or is damaged.

    Raises:
        UsageError: a directory was given that holds no run.
    """
    if given is None:
        store = beside(out)
        candidates = [store] if store is not None and store.exists(DATA) else []
    else:
        candidates = [run if isinstance(run, Store) else Store(run) for run in given]
    runs, notes = [], []
    for store in candidates:
        folder = store.root.rstrip("/").rpartition("/")[2]
        if not store.exists(DATA):
            raise UsageError(f"{store.root}: no {DATA} here, so no run; make one with tracklore train")
        try:
            data = _json(store, DATA)
            if (data.get("name"), data.get("manifest")) != (receipt.name, receipt.manifest):
                notes.append(f"The run {folder} is not shown: it was trained on another dataset or recipe.")
                continue
            runs.append(_read(store, folder, receipt))
        except (ValueError, TypeError, KeyError, FileNotFoundError) as error:
            notes.append(f"The run {folder} is not shown: its files are damaged ({type(error).__name__}: {error}).")
    return runs, notes


def _json(store: Store, path: str) -> dict[str, Any]:
    content = json.loads(store.read_text(path))
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no mapping")
    return content


def _read(store: Store, folder: str, receipt: Receipt) -> RunResult:
    recipe = _json(store, RECIPE)
    state = _json(store, STATE) if store.exists(STATE) else {}
    lines = store.read_text(HISTORY).splitlines() if store.exists(HISTORY) else []
    history = [_finite(json.loads(line)) for line in lines if line.strip()]
    metrics = _json(store, METRICS) if store.exists(METRICS) else {}
    notes = [str(note) for note in state.get("notes") or []]
    measured_on = metrics.get("data") or {}
    if metrics and measured_on and measured_on.get("manifest") != receipt.manifest:
        notes.append("Its metrics are of another dataset and are not shown.")
        metrics = {}
    elif not metrics:
        notes.append("It was not evaluated.")
    notes += [str(note) for note in metrics.get("notes") or []]
    retrieval, tagging = metrics.get("retrieval") or {}, metrics.get("tagging") or {}
    best = state.get("best_step")
    return RunResult(
        str(recipe.get("name") or folder),
        folder,
        recipe,
        history,
        best if isinstance(best, int) else None,
        _facts(state, history, metrics),
        str(metrics.get("split") or "test"),
        _retrieval(retrieval),
        _tagging(tagging),
        [
            (str(name), f"{row['tags']:,}", _three(row["roc_auc"]), _three(row["pr_auc"]))
            for name, row in sorted((tagging.get("by_category") or {}).items())
        ],
        notes + _retrieval_notes(retrieval) + _tagging_notes(tagging),
    )


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """A row of history whose step is a number; values that are no finite numbers are not drawn."""
    if not isinstance(row.get("step"), int):
        raise ValueError(f"{HISTORY}: a row without a step")
    return {k: v for k, v in row.items() if not isinstance(v, float) or math.isfinite(v)}


def _facts(
    state: Mapping[str, Any], history: list[dict[str, Any]], metrics: Mapping[str, Any]
) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    if history:
        facts.append(("steps", f"{history[-1]['step']:,}"))
    if history and isinstance(history[-1].get("epoch"), int):
        facts.append(("epochs", f"{history[-1]['epoch']:,}"))
    for key in ("train_tracks", "valid_tracks"):
        facts += [(key.replace("_", " "), f"{state[key]:,}")] if isinstance(state.get(key), int) else []
    if isinstance(metrics.get("tracks"), int):
        facts.append(("measured tracks", f"{metrics['tracks']:,}"))
    if isinstance(state.get("best_valid_loss"), int | float):
        facts.append(("best validation loss", f"{state['best_valid_loss']:.3f}"))
    return facts


def _retrieval(found: Mapping[str, Any]) -> list[Metric]:
    """Recall at 1, 5 and 10, mAP at 10 and the median rank of one right track among `pairs` (TTMR 4)."""
    pairs = int(found.get("pairs") or 0)
    if not pairs:
        return []
    rows = []
    for cutoff in (1, 5, 10):
        if found.get(f"recall_at_{cutoff}") is not None:
            chance = found.get(f"chance_at_{cutoff}", min(1.0, cutoff / pairs))
            rows.append(_share(f"R@{cutoff}", found[f"recall_at_{cutoff}"], chance))
    if found.get("map_at_10") is not None:
        # With one right track the average precision is 1/rank, and every rank is equally likely.
        rows.append(
            _share("mAP@10", found["map_at_10"], sum(1 / rank for rank in range(1, min(10, pairs) + 1)) / pairs)
        )
    if found.get("median_rank") is not None:
        rows.append(Metric("median rank", f"{found['median_rank']:,.1f}", f"{(pairs + 1) / 2:,.1f}", ""))
    return rows


def _retrieval_notes(found: Mapping[str, Any]) -> list[str]:
    if not found.get("pairs"):
        return []
    notes = [f"Retrieval: one right track among {found['pairs']:,} for each caption."]
    wide, repeated = found.get("with_duplicates") or {}, found.get("repeated_captions")
    if repeated and wide.get("recall_at_10") is not None:
        notes.append(
            f"{repeated:,} further pairs repeat a caption and are left out; over all {wide['pairs']:,} pairs, "
            f"any track under the caption counting, R@10 is {wide['recall_at_10']:.1%} "
            f"(chance {wide['chance_at_10']:.1%})."
        )
    return notes


def _tagging(found: Mapping[str, Any]) -> list[Metric]:
    rows = []
    if found.get("roc_auc") is not None:
        rows.append(Metric("ROC-AUC, macro", _three(found["roc_auc"]), "0.500", ""))
    if found.get("pr_auc") is not None:
        chance = found.get("pr_auc_chance")
        ratio = _times(found["pr_auc"], chance)
        rows.append(Metric("PR-AUC, macro", _three(found["pr_auc"]), _three(chance), ratio))
    return rows


def _tagging_notes(found: Mapping[str, Any]) -> list[str]:
    if found.get("roc_auc") is None:
        return []
    without = found.get("tags_without_positives") or 0
    left_out = f"; {without:,} without a positive are left out" if without else ""
    return [f"Tagging: {found.get('tags', 0):,} tags{left_out}."]


def _share(name: str, value: float, chance: float) -> Metric:
    return Metric(name, f"{value:.1%}", f"{chance:.1%}", _times(value, chance))


def _times(value: float, chance: float | None) -> str:
    return f"{value / chance:,.1f}" if chance else ""


def _three(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
