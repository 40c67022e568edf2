"""The trainer's verbs as plain functions: they do the work and print. PyTorch is imported when one is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from train.evaluate.asked import Asked


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


def evaluate(
    run: str,
    data: str | None = None,
    *,
    probing: bool = False,
    fractions: str | None = None,
    tags: Sequence[str] = (),
    scheme: str | None = None,
    fold: int | None = None,
) -> dict[str, Any]:
    """Measure a run on its dataset's test split, or on another dataset's; write `metrics.json`.

    Args:
        data: the dataset, when it is another than the run's, or no longer where it was.
        probing: train linear and MLP probes on its embeddings as well.
        fractions: percentages of the labels, such as `5,10,100`, for a curve of data efficiency; needs `probing`.
        tags: files that name tags, one a line, over which tagging is averaged by itself as well.
        scheme, fold: another split than the recipe's.

    Returns:
        the content of `metrics.json`; of another dataset or split, what was measured there.

    Raises:
        UsageError: no trained run, no dataset, or nothing in the test split.
        DataError: damaged files.
    """
    _patient_threads()
    from train.run import METRICS, Run

    place = Run.at(run)
    where = data or place.locate_data()
    from train.evaluate.recorded import is_own, record
    from train.tasks import task_module

    with _bar("Embedding tracks") as embedded, _bar("Training probes") as trained:
        asked = _asked(probing, fractions, tags, scheme, fold, embedded, trained)
        found = task_module(place.recipe().task).measured(place, where, asked)
    content = record(place, found)
    _print_metrics(found)
    _console().print(f"Written to {place.store.root}/{METRICS}", highlight=False, markup=False, soft_wrap=True)
    return content if is_own(place, found) else found


def evaluate_embeddings(
    file: str,
    data: str,
    *,
    texts: str | None = None,
    out: str | None = None,
    fractions: str | None = None,
    tags: Sequence[str] = (),
    scheme: str | None = None,
    fold: int | None = None,
) -> dict[str, Any]:
    """Measure anybody's embeddings of a dataset's tracks; write the figures to `out` when it is given.

    Args:
        file, texts: see `train.evaluate.measure_vectors.measure_vectors`.
        data: the dataset directory.
        out: a JSON file.
        fractions, tags, scheme, fold: see `evaluate`.

    Raises:
        UsageError: files of another form, no dataset, or nothing in the test split.
        DataError: damaged files.
    """
    _patient_threads()
    import json
    from pathlib import Path

    from train.evaluate.measure_vectors import measure_vectors

    with _bar("Training probes") as trained:
        asked = _asked(True, fractions, tags, scheme, fold, lambda *_: None, trained)
        metrics = measure_vectors(data, file, texts, asked)
    _print_metrics(metrics)
    if out is not None:
        Path(out).write_text(json.dumps(metrics, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
        _console().print(f"Written to {out}", highlight=False, markup=False, soft_wrap=True)
    return metrics


def _asked(
    probing: bool,
    fractions: str | None,
    tags: Sequence[str],
    scheme: str | None,
    fold: int | None,
    embedded: Callable[[int, int], None],
    trained: Callable[[int, int], None],
) -> Asked:
    from schemas.errors import UsageError
    from train.evaluate.asked import Asked, percents_of, tags_of

    if fractions and not probing:
        raise UsageError("--fractions: of the labels that probes are trained on; say --probe as well")
    percents = percents_of(fractions) if fractions else ()
    return Asked(probing, percents, dict(tags_of(file) for file in tags), scheme, fold, embedded, trained)


def search(
    run: str,
    query: str | Sequence[str] = (),
    *,
    tags: Sequence[str] = (),
    audio: Sequence[str] = (),
    top: int = 10,
    data: str | None = None,
    split: str | None = None,
) -> list[dict[str, Any]]:
    """The tracks nearest to each query: rank, score, track_id, title, artist, tags, split, audio_uri.

    Args:
        run: a trained run.
        query: words, such as "calm piano"; several are as many queries.
        tags: together one query more.
        audio: files of sound, each a query more.
        top: how many tracks for each.
        data: the dataset, when it is no longer where it was trained on.
        split: only tracks of this split.

    Returns:
        the rows of all queries, one query after the other.

    Raises:
        UsageError: no trained run, no dataset, or a query that says nothing.
        DataError: damaged files; sound that cannot be heard.
    """
    _patient_threads()
    from schemas.errors import UsageError
    from train.run import Run

    texts = [query] if isinstance(query, str) else list(query)
    if not (texts or tags or audio):
        raise UsageError('search: say what to look for: words, --tag or --audio; such as "calm piano"')
    place = Run.at(run)
    place.recipe()
    where = data or place.locate_data()
    from train.evaluate.search import Index

    with _bar("Embedding tracks") as advance:
        index = Index(place, where, advance)
    asked = [(f"“{text}”", index.said(text)) for text in texts]
    if tags:
        asked.append((", ".join(tags), index.tagged(tags)))
    asked += [(file, index.heard(file)) for file in audio]
    answers = [(shown, index.nearest(vector, top=top, split=split)) for shown, vector in asked]
    rows = []
    for shown, found in answers:
        listed = [track.row() for track in found]
        _print_found(shown, listed)
        rows += listed
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
    _console().print(f"Written to {out}: {', '.join(written)}", highlight=False, markup=False, soft_wrap=True)
    _console().print(f'In Python: train.load("{out}")', highlight=False, soft_wrap=True, markup=False)
    return written


def report(run: str, *, beside: Sequence[str] = (), audio: str | None = None) -> None:
    """Write RUN/report.html.

    Args:
        beside: other runs, whose figures stand in the papers' tables as well.
        audio: the folder that the dataset's audio paths begin in; by default `music` in the dataset.

    Raises:
        UsageError: no run.
        DataError: damaged files.
    """
    from train.report.page import write_report
    from train.run import REPORT, Run

    place = Run.at(run)
    write_report(place, beside=[Run.at(other) for other in beside], audio=audio)
    _console().print(f"Written to {place.store.root}/{REPORT}", highlight=False, markup=False, soft_wrap=True)


def _patient_threads() -> None:
    """Let OpenMP's threads sleep while they wait; counts only if PyTorch is not imported yet.

    Spinning, a step takes three times as long as soon as another process wants one of the cores (measured on two).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _console() -> Any:
    from schemas.terminal import PlainConsole

    return PlainConsole()


@contextmanager
def _bar(words: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that appears with the first that is done, and only on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = _console()
    columns = (TextColumn(words), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    started = False

    def advance(more: int, total: int) -> None:
        nonlocal started
        if not started:
            bar.start()
            bar.add_task("", total=total)
            started = True
        bar.update(bar.task_ids[0], advance=more)
        if bar.finished:
            bar.stop()

    try:
        yield advance
    finally:
        bar.stop()


def _plain_table(title: str) -> Table:
    from rich.table import Table

    options: dict[str, Any] = {"title_justify": "left", "title_style": "bold", "box": None, "pad_edge": False}
    # A title breaks where its table ends.
    return Table(title=title, min_width=min(len(title), _console().width), **options)


def _print_metrics(metrics: dict[str, Any]) -> None:
    console, split = _console(), metrics["split"]
    if metrics.get("retrieval"):
        console.print(_retrieval_table(metrics["retrieval"], split))
    tagging, probes = metrics.get("tagging"), metrics.get("probes")
    if tagging and tagging["roc_auc"] is not None:
        table = _tagging_table(f"Tagging: {tagging['tags']} tags on {tagging['tracks']} tracks of {split}")
        _add_tagging(table, "all", tagging)
        for name, part in (*tagging.get("by_group", {}).items(), *tagging["by_category"].items()):
            _add_tagging(table, f"  {name}", part)
        table.add_row("chance", "0.500", f"{tagging['pr_auc_chance']:.3f}", "")
        console.print(table)
        if "accuracy" in tagging:
            console.print(_accuracy(tagging), highlight=False)
    if probes:
        table = _tagging_table(f"Probes of frozen embeddings, mean ± deviation of 3 seeds, on {split}")
        for kind, found in probes.items():
            _add_tagging(table, kind, found)
            for name, part in found.get("by_group", {}).items():
                _add_tagging(table, f"  {name}", part)
        console.print(table)
        for kind, found in probes.items():
            if "accuracy" in found:
                console.print(f"{kind}: {_accuracy(found)}", highlight=False)
    for kind, rows in metrics.get("data_efficiency", {}).items():
        table = _tagging_table(f"Data efficiency, {kind} probe: train tracks of which it learns")
        for row in rows:
            _add_tagging(table, f"{row['percent']:g} % ({row['train_tracks']:,})", row)
        console.print(table)
    shared = metrics.get("trained_on")
    if shared and shared["artists"]:
        told = f"{shared['tracks']:,} of {metrics['tracks']:,} tracks measured are by {shared['artists']:,} artists"
        console.print(
            f"{told} that the run was trained on, such as {shared['first'][0]}.", highlight=False, markup=False
        )
    for note in metrics["notes"]:
        console.print(note, highlight=False, markup=False)


def _retrieval_table(retrieval: dict[str, Any], split: str) -> Table:
    """Distinct captions, and all pairs by both rules, each beside chance by the same rule."""
    from train.evaluate.bootstrap import shown

    table = _plain_table(f"Sentence to music: {retrieval['pairs']} distinct captions of {split}")
    columns = [("model [95 %]", retrieval)]
    if retrieval["repeated_captions"]:
        columns += [("all pairs", retrieval["with_duplicates"]), ("strict", retrieval["strict"])]
    table.add_column("")
    for name, _ in columns:
        table.add_column(name, justify="right")
        table.add_column("chance", justify="right")
    for k in (1, 5, 10):
        cells = []
        for _, found in columns:
            cells += [shown(found[f"recall_at_{k}"], found["intervals"], f"recall_at_{k}")]
            cells += [f"{found[f'chance_at_{k}']:.3f}"]
        table.add_row(f"recall at {k}", *cells)
    for name, key, digits in (("mAP at 10", "map_at_10", 3), ("median rank", "median_rank", 0)):
        cells = []
        for _, found in columns:
            one_right = key == "median_rank" and found is not retrieval["with_duplicates"]
            chance = f"{(found['pairs'] + 1) / 2:g}" if one_right else ""
            cells += [shown(found[key], found["intervals"], key, digits), chance]
        table.add_row(name, *cells)
    return table


def _accuracy(found: dict[str, Any]) -> str:
    low, high = found["accuracy_interval"]
    return f"accuracy {found['accuracy']:.3f} [{low:.3f}, {high:.3f}], chance {found['accuracy_chance']:.3f}"


def _tagging_table(title: str) -> Table:
    table = _plain_table(title)
    for name in ("", "ROC-AUC [95 %]", "PR-AUC [95 %]", "tags"):
        table.add_column(name, justify="left" if not name else "right")
    return table


def _add_tagging(table: Table, name: str, found: dict[str, Any]) -> None:
    from rich.markup import escape

    from train.evaluate.bootstrap import shown

    if found["roc_auc"] is None:
        return
    spread = found.get("spread", {})
    areas = (
        shown(found[key], found.get("intervals", {}), key, spread=spread.get(key)) for key in ("roc_auc", "pr_auc")
    )
    table.add_row(escape(name), *(escape(area) for area in areas), str(found["tags"]))


def _print_found(shown: str, rows: list[dict[str, Any]]) -> None:
    from rich.markup import escape

    table = _plain_table(escape(shown))
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
