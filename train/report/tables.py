"""The tables of a run's page: its figures with their intervals, and the papers' own layout with ours beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.page.words import shorten, thousands
from train.evaluate.bootstrap import shown
from train.report.contents import Contents
from train.report.published import TTMR_TABLE_2, TTMR_TABLE_4, VCMR_TABLE_1, Retrieval, Task

_NAME_LENGTH = 40
_MODELS = {"bce": "Classification", "triplet": "Triplet", "info_nce": "Contrastive"}
_TEXT_ENCODERS = {"pretrained": "BERT base", "glove": "GloVe", "tags": "Binary"}
_TEXTS = {"tag": "Tag", "sentence": "Sentence", "stochastic": "Stochastic", "vocabulary": "Tag"}
NOTHING = "–"


@dataclass(frozen=True)
class Row:
    """A row: its first cell, the others, and whether it is ours rather than published."""

    name: str
    cells: tuple[str, ...]
    ours: bool = False


def retrieval(found: Mapping[str, Any]) -> list[Row]:
    """Recall, mAP and median rank by each rule, each beside chance by the same rule."""
    rules = [found]
    if found.get("repeated_captions"):
        rules += [found["with_duplicates"], found["strict"]]
    rows = []
    for k in (1, 5, 10):
        cells = [
            (shown(one[f"recall_at_{k}"], one["intervals"], f"recall_at_{k}"), one[f"chance_at_{k}"])
            for one in rules
        ]
        rows.append(Row(f"R@{k}", tuple(text for value, chance in cells for text in (value, f"{chance:.3f}"))))
    rows.append(Row("mAP@10", _of_rules(rules, "map_at_10", 3)))
    rows.append(Row("median rank", _of_rules(rules, "median_rank", 1)))
    return [*rows, Row("queries", tuple(text for one in rules for text in (thousands(one["pairs"]), "")))]


def _of_rules(rules: Sequence[Mapping[str, Any]], key: str, digits: int) -> tuple[str, ...]:
    return tuple(text for one in rules for text in (shown(one[key], one["intervals"], key, digits), ""))


def tagging(found: Mapping[str, Any]) -> list[Row]:
    """All tags, groups of them, and categories: areas, what chance earns, how many tags; nothing of nothing."""
    if not found:
        return []
    parts = [("all tags", found), *found.get("by_group", {}).items(), *found["by_category"].items()]
    return [Row(name, _areas(part)) for name, part in parts if part["roc_auc"] is not None]


def probes(found: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Each probe, with the entry of the grid that was chosen."""
    rows = []
    for kind, one in found.items():
        chosen = one["chosen"]
        told = f"batch {chosen['batch_size']}, lr {chosen['lr']:g}, dropout {chosen['dropout']:g}"
        rows.append(Row(kind, (*_areas(one), told + (", LN" if chosen["norm"] else ""))))
    return rows


def _areas(one: Mapping[str, Any]) -> tuple[str, ...]:
    spread, chance = one.get("spread", {}), one.get("pr_auc_chance")
    values = (
        shown(one[key], one.get("intervals", {}), key, spread=spread.get(key)) for key in ("roc_auc", "pr_auc")
    )
    return (*values, "" if chance is None else f"{chance:.3f}", thousands(one["tags"]))


def by_tag(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Every tag, by name."""
    return [
        Row(
            row["tag"],
            (
                row["category"],
                thousands(row["tracks"]),
                *(shown(row[key], row.get("intervals", {}), key) for key in ("roc_auc", "pr_auc")),
                {"True": "yes", "False": "no"}.get(str(row.get("seen")), ""),
            ),
        )
        for row in sorted(rows, key=lambda row: row["tag"])
    ]


def ttmr_table_2(runs: Sequence[Contents]) -> list[Row]:
    """TTMR's Table 2, each of ours under the published row of the same configuration, others at the end."""
    ours = [(_configuration(run), _in_table_2(run)) for run in runs if run.measured]
    rows = []
    for published in TTMR_TABLE_2:
        rows.append(_published(published))
        kept = (published.model, published.text_encoder, published.text)
        rows += [row for configuration, row in ours if configuration == kept]
    listed = {(row.model, row.text_encoder, row.text) for row in TTMR_TABLE_2}
    return rows + [row for configuration, row in ours if configuration not in listed]


def _published(row: Retrieval) -> Row:
    areas = (_pair(row.top_50), _pair(row.all_1054))
    figures = (*(f"{value:.1f}" for value in (*row.recall, row.map_at_10)), f"{row.median_rank:g}")
    return Row(row.model, (row.text_encoder, row.text, *areas, *figures))


def _configuration(run: Contents) -> tuple[str, str, str]:
    recipe = run.recipe
    objective = str((recipe.get("objective") or {}).get("kind", ""))
    text = (recipe.get("model") or {}).get("text") or {}
    kind = str(text.get("kind", "")) if isinstance(text, Mapping) else ""
    said = str((recipe.get("text") or {}).get("representation", ""))
    return (
        _MODELS.get(objective, objective),
        _TEXT_ENCODERS.get(kind, kind),
        _TEXTS.get(said, said),
    )


def _in_table_2(run: Contents) -> Row:
    found, tags = run.metrics.get("retrieval") or {}, run.metrics.get("tagging") or {}
    top = (tags.get("by_group") or {}).get("top 50") or (tags if tags.get("tags", 0) <= 50 else {})
    recalls = (_percent(found.get(key)) for key in ("recall_at_1", "recall_at_5", "recall_at_10", "map_at_10"))
    median = f"{found['median_rank']:g}" if found.get("median_rank") is not None else NOTHING
    _, encoder, text = _configuration(run)
    name = f"{shorten(run.name, _NAME_LENGTH)}, {shorten(str(run.data.get('name')), _NAME_LENGTH)}"
    return Row(name, (encoder, text, _percents(top), _percents(tags), *recalls, median), ours=True)


def ttmr_table_4(run: Contents) -> tuple[list[Task], list[Row]]:
    """TTMR's Table 4, the tasks that the run was measured on; nothing when there are none."""
    measured = _by_dataset(run)
    tasks = [task for task in TTMR_TABLE_4 if set(task.datasets) & set(measured)]
    if not tasks:
        return [], []
    rows = []
    for name, of_paper, key in (("zero-shot", "zero_shot", "tagging"), ("probing", "probing", "probes")):
        rows.append(Row(f"TTMR, {name}", tuple(_listed(getattr(task, of_paper)) for task in tasks)))
        cells = []
        for task in tasks:
            found = next(measured[dataset] for dataset in task.datasets if dataset in measured).get(key) or {}
            found = found.get("mlp", {}) if key == "probes" else found
            cells.append(_percent(found.get("accuracy")) if task.metric == "ACC" else _percents(found))
        rows.append(Row(f"{shorten(run.name, _NAME_LENGTH)}, {name}", tuple(cells), ours=True))
    return tasks, rows


def vcmr_table_1(run: Contents) -> list[Row]:
    """VCMR's Table 1, of the datasets that the run was measured on; nothing when there are none."""
    measured = _by_dataset(run)
    rows = []
    for row in VCMR_TABLE_1:
        if set(row.datasets) & set(measured):
            name = row.model + (" (supervised)" if row.supervised else "")
            rows.append(Row(name, (row.dataset, *(f"{value:.1f}" for value in row.areas))))
    for dataset in dict.fromkeys(name for row in VCMR_TABLE_1 for name in row.datasets):
        found = _transfer(run, measured.get(dataset, {}))
        if found:
            areas = tuple(_percent(found.get(key)) for key in ("roc_auc", "pr_auc"))
            shown_as = next(row.dataset for row in VCMR_TABLE_1 if dataset in row.datasets)
            rows.append(Row(shorten(run.name, _NAME_LENGTH), (shown_as, *areas), ours=True))
    return rows


def _transfer(run: Contents, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Tags as learnt on the dataset: by probes of frozen embeddings, or by a run that was fine-tuned on tags."""
    probed: Mapping[str, Any] = (found.get("probes") or {}).get("mlp") or {}
    tuned: Mapping[str, Any] = found.get("tagging") or {} if run.recipe.get("task") != "text_audio" else {}
    return probed or tuned


def _by_dataset(run: Contents) -> dict[str, Mapping[str, Any]]:
    """What was measured by the name of the dataset, whichever the scheme of its splits."""
    found: dict[str, Mapping[str, Any]] = {}
    for one in (run.metrics.get("elsewhere") or {}).values():
        found[str(one["data"]["name"])] = one
    if run.measured:
        found[str(run.metrics["data"]["name"])] = run.metrics
    return found


def _percents(found: Mapping[str, Any]) -> str:
    if found.get("roc_auc") is None:
        return NOTHING
    return _pair((100 * found["roc_auc"], 100 * found["pr_auc"]))


def _pair(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values)


def _listed(values: Sequence[float]) -> str:
    return " / ".join(f"{value:g}" for value in values)


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.1f}"
