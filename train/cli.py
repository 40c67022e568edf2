"""The trainer's verbs as plain functions: they do the work and print. PyTorch is imported when one is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def train(recipe: str, data: str, out: str, *, resume: bool = False, settings: Sequence[str] = ()) -> None:
    """Train a recipe on a dataset into a run directory.

    Args:
        recipe: a path, or the bare name of a shipped recipe.
        data: a dataset directory.
        out: the run directory; new or empty, unless `resume`.
        resume: go on where the run in `out` stopped; begins it when there is none.
        settings: `a.b=value`, overriding the recipe.

    Raises:
        UsageError: wrong usage, or a dataset that lacks what the recipe needs.
        DataError: damaged files, or a loss that is not finite.
        SystemExit: of code 0, when SIGTERM asked to end and all is saved.
    """
    _patient_threads()
    from train.recipe import load_recipe

    loaded = load_recipe(recipe, settings)
    from train.loop.launch import launched
    from train.loop.trainer import fit

    if launched(loaded.machine, fit, loaded, data, out, resume):
        raise SystemExit(0)


def evaluate(run: str, data: str | None = None, *, probing: bool = False) -> dict[str, Any]:
    """Measure a run on its dataset's test split (or another dataset's), write `metrics.json`, and return it.

    Args:
        probing: train linear and MLP probes on its embeddings as well.

    Raises:
        UsageError: no trained run, no dataset, or nothing in the test split.
        DataError: damaged files.
    """
    _patient_threads()
    from train.run import METRICS, Run

    place = Run.at(run)
    where = data or place.locate_data()
    from train.tasks import task_module

    with _embedding_bar() as advance:
        metrics = task_module(place.recipe().task).measured(place, where, advance, probing=probing)
        place.write_json(METRICS, metrics)
    _print_metrics(metrics)
    _console().print(f"Written to {place.store.root}/{METRICS}", highlight=False, soft_wrap=True)
    return metrics


def evaluate_embeddings(
    file: str, data: str, *, texts: str | None = None, out: str | None = None
) -> dict[str, Any]:
    """Measure anybody's embeddings of a dataset's tracks; write the figures to `out` when it is given.

    Args:
        file, texts: see `train.evaluate.measure_vectors.measure_vectors`.
        data: the dataset directory.
        out: a JSON file.

    Raises:
        UsageError: files of another form, no dataset, or nothing in the test split.
        DataError: damaged files.
    """
    _patient_threads()
    import json
    from pathlib import Path

    from train.evaluate.measure_vectors import measure_vectors

    metrics = measure_vectors(data, file, texts)
    _print_metrics(metrics)
    if out is not None:
        Path(out).write_text(json.dumps(metrics, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
        _console().print(f"Written to {out}", highlight=False, soft_wrap=True)
    return metrics


def search(
    run: str, query: str, *, top: int = 10, data: str | None = None, split: str | None = None
) -> list[dict[str, Any]]:
    """The tracks nearest to a sentence: rank, score, track_id, title, artist, tags, split, audio_uri.

    Args:
        run: a trained run.
        query: words, such as "calm piano".
        top: how many.
        data: the dataset, when it is no longer where it was trained on.
        split: only tracks of this split.

    Raises:
        UsageError: no trained run, no dataset, or a query that says nothing.
        DataError: damaged files.
    """
    _patient_threads()
    from train.run import Run

    place = Run.at(run)
    place.recipe()
    where = data or place.locate_data()
    from train.evaluate.search import find

    with _embedding_bar() as advance:
        found = find(place, where, query, top=top, split=split, advance=advance)
    rows = [track.row() for track in found]
    _print_found(query, rows)
    return rows


def export(run: str, out: str) -> list[str]:
    """Write a run's best weights and all that they need, for `train.load`; return the files.

    Raises:
        UsageError: no trained run, or `out` holds something else.
        DataError: damaged files.
    """
    _patient_threads()
    from schemas.store import Store
    from train.export import export_run
    from train.run import Run

    written = export_run(Run.at(run), Store(out))
    _console().print(f"Written to {out}: {', '.join(written)}", highlight=False, soft_wrap=True)
    _console().print(f'In Python: train.load("{out}")', highlight=False, soft_wrap=True, markup=False)
    return written


def _patient_threads() -> None:
    """Let OpenMP's threads sleep while they wait; counts only if PyTorch is not imported yet.

    Spinning, a step takes three times as long as soon as another process wants one of the cores (measured on two).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _console() -> Any:
    from rich.console import Console

    return Console()


@contextmanager
def _embedding_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar that appears with the first tracks embedded, and only on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = _console()
    columns = (TextColumn("Embedding tracks"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task("", total=None, visible=False)

    def advance(more: int, total: int) -> None:
        bar.update(task, advance=more, total=total, visible=True)

    with bar:
        yield advance


def _plain_table(title: str) -> Table:
    from rich.table import Table

    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)


def _print_metrics(metrics: dict[str, Any]) -> None:
    from train.evaluate.bootstrap import shown

    console = _console()
    retrieval, tagging, probes = metrics["retrieval"], metrics["tagging"], metrics.get("probes")
    if retrieval:
        table = _plain_table(f"Sentence to music: {retrieval['pairs']} distinct captions of {metrics['split']}")
        for name in ("", "model [95 %]", "chance"):
            table.add_column(name, justify="left" if not name else "right")
        within = retrieval["intervals"]
        for k in (1, 5, 10):
            name = f"recall_at_{k}"
            table.add_row(
                f"recall at {k}", shown(retrieval[name], within, name), f"{retrieval[f'chance_at_{k}']:.3f}"
            )
        table.add_row("mAP at 10", shown(retrieval["map_at_10"], within, "map_at_10"), "")
        middle = shown(retrieval["median_rank"], within, "median_rank", 0)
        table.add_row("median rank", middle, f"{(retrieval['pairs'] + 1) / 2:g}")
        console.print(table)
    if tagging and tagging["roc_auc"] is not None:
        table = _tagging_table(
            f"Tagging: {tagging['tags']} tags on {tagging['tracks']} tracks of {metrics['split']}"
        )
        _add_tagging(table, "all", tagging, tagging["intervals"])
        for name, part in tagging["by_category"].items():
            _add_tagging(table, f"  {name}", part, {})
        table.add_row("chance", "0.500", f"{tagging['pr_auc_chance']:.3f}", "")
        console.print(table)
    if probes:
        table = _tagging_table(f"Probes of frozen embeddings, mean of 3 seeds, on {metrics['split']}")
        for kind, found in probes.items():
            _add_tagging(table, kind, found, found["intervals"])
        console.print(table)
    for note in metrics["notes"]:
        console.print(note, highlight=False)


def _tagging_table(title: str) -> Table:
    table = _plain_table(title)
    for name in ("", "ROC-AUC [95 %]", "PR-AUC [95 %]", "tags"):
        table.add_column(name, justify="left" if not name else "right")
    return table


def _add_tagging(table: Table, name: str, found: dict[str, Any], within: dict[str, Any]) -> None:
    from train.evaluate.bootstrap import shown

    areas = (shown(found[key], within, key) for key in ("roc_auc", "pr_auc"))
    table.add_row(name, *areas, str(found["tags"]))


def _print_found(query: str, rows: list[dict[str, Any]]) -> None:
    from rich.markup import escape

    table = _plain_table(f"“{escape(query)}”")
    table.add_column("#", justify="right")
    table.add_column("score", justify="right")
    table.add_column("track, artist and file", ratio=1)
    table.add_column("split")
    table.add_column("tags", ratio=1)
    for row in rows:
        heading = escape(row["title"] or row["track_id"]) + (f" – {escape(row['artist'])}" if row["artist"] else "")
        file = f"\n[dim]{escape(row['audio_uri'])}[/dim]" if row["audio_uri"] else ""
        cells = (heading + file, escape(row["split"] or ""), escape(", ".join(row["tags"])))
        table.add_row(str(row["rank"]), f"{row['score']:.3f}", *cells)
    _console().print(table)
