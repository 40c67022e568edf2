"""`tracklore report RUN`: RUN/report.html, one page that holds all it shows but the music, to which it links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from schemas.page import Numbering, style
from schemas.page.drawing import CATEGORIES
from schemas.page.words import counted, one_line, percent, shorten, thousands
from train.report import charts, tables
from train.report.contents import Contents, read_contents
from train.report.layout import LEAST, plane
from train.report.sounds import Link, sounds
from train.run import REPORT, Run

MOST_POINTS = 5_000
_FACTS = (
    ("step", "steps"),
    ("batch_size", "tracks a step"),
    ("train_tracks", "tracks trained on"),
    ("valid_tracks", "for validation"),
)


def write_report(run: Run, *, beside: Sequence[Run] = (), audio: str | None = None) -> None:
    """Write the page of a run. Equal runs give equal bytes.

    Args:
        beside: other runs, whose figures stand in the papers' tables as well.
        audio: the folder that the dataset's audio paths begin in; by default `music` in the dataset.

    Raises:
        UsageError: no run here.
        DataError: a file is damaged.
    """
    others = [read_contents(other) for other in beside]
    run.store.write_text(REPORT, page_text(read_contents(run), others, sounds(run, audio)))


def page_text(run: Contents, beside: Sequence[Contents] = (), link: Link = lambda _: None) -> str:
    """The page.

    Args:
        link: see `train.report.sounds`.
    """
    metrics = run.metrics
    found = metrics.get("tagging") or {}
    measured = _by_rows(found) if found.get("roc_auc") is not None else {}
    best_step = run.state.get("best_step")
    several = [run, *beside]
    tasks, transfers = tables.ttmr_table_4(run)
    space, space_note = _space(run, measured.get("by_tag") or [])
    context = {
        "run": run,
        "facts": _facts(run),
        "metrics": metrics,
        "curves": charts.curves(run.history, best_step) if len(run.history) > 1 else None,
        "retrieval": metrics.get("retrieval"),
        "retrieval_rows": tables.retrieval(metrics["retrieval"]) if metrics.get("retrieval") else [],
        "crop_rows": tables.retrieval(metrics["crops"]) if metrics.get("crops") else [],
        "tagging": measured,
        "tagging_rows": tables.tagging(measured),
        "tag_rows": tables.by_tag(measured["by_tag"]) if measured else [],
        "by_category": charts.by_category(measured["by_category"], measured) if measured else None,
        "by_tag": charts.by_tag(measured["by_tag"]) if measured.get("by_tag") else None,
        "drawn_tags": charts.TOP_TAGS,
        "probes": metrics.get("probes") or {},
        "probe_rows": tables.probes(metrics["probes"]) if metrics.get("probes") else [],
        "efficiency": charts.efficiency(metrics["data_efficiency"]) if metrics.get("data_efficiency") else None,
        "table_2": tables.ttmr_table_2(several) if run.recipe.get("task", "text_audio") == "text_audio" else [],
        "of_ecals": [str(one.data.get("name")) for one in several if "ecals" not in str(one.data.get("name"))],
        "table_4": transfers,
        "table_4_tasks": tasks,
        "vcmr": tables.vcmr_table_1(run),
        "space": space,
        "space_note": space_note,
        "examples": [_linked(example, link) for example in metrics.get("examples") or []],
        "elsewhere": [
            (name, one, tables.tagging(one.get("tagging") or {}))
            for name, one in sorted((metrics.get("elsewhere") or {}).items())
        ],
        "recipe": yaml.safe_dump(run.recipe, sort_keys=False, allow_unicode=True, width=100).strip(),
        "style": Markup(style()),  # noqa: S704 - a file of ours
        "number": Numbering(),
    }
    return _environment().get_template("run.html.j2").render(context)


def _by_rows(tagging: dict[str, Any]) -> dict[str, Any]:
    """Tagging's figures with rows of tags; some tasks tell single tags by name alone, or not at all."""
    by_tag = tagging.get("by_tag") or []
    if isinstance(by_tag, dict):
        by_tag = [{"tag": tag, "category": "other", **row} for tag, row in by_tag.items()]
    return {**tagging, "by_tag": by_tag}


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("train.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"thousands": thousands, "percent": percent, "shorten": shorten, "line": one_line}
    environment.filters["category_role"] = _category_role
    environment.globals["counted"] = counted
    return environment


def _category_role(category: str) -> str:
    return f"--cat-{category if category in CATEGORIES else 'other'}"


def _facts(run: Contents) -> list[tuple[str, str]]:
    state, facts = run.state, []
    for key, name in _FACTS:
        if isinstance(state.get(key), int):
            facts.append((f"{state[key]:,}", name))
    if isinstance(state.get("best_valid_loss"), float):
        facts.append((f"{state['best_valid_loss']:.3f}", f"best validation loss, at step {state['best_step']:,}"))
    return facts


def _space(run: Contents, by_tag: Sequence[dict[str, Any]]) -> tuple[Markup | None, str | None]:
    """The map, or why there is none."""
    if run.space is None:
        return None, None
    count = len(run.space.kinds)
    if count < LEAST:
        return None, f"No map: {counted(count, 'point')}, and it takes {LEAST}."
    if count > MOST_POINTS:
        return None, f"No map: {count:,} points are more than {MOST_POINTS:,}."
    try:
        points = plane(run.space.vectors)
    except ImportError:
        return None, "No map: it takes umap-learn, which comes with pip install 'tracklore[train]'."
    return charts.space_map(run.space, points, by_tag), None


def _linked(example: dict[str, Any], link: Link) -> dict[str, Any]:
    return {**example, "tracks": [{**track, "link": link(track["audio_uri"])} for track in example["tracks"]]}
