"""The verbs of the pipelines, as functions that `tracklore.py` gives to the command line. Imports are late."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import DataError, UsageError, fault_of_file

if TYPE_CHECKING:
    from pipelines.engine import Engine


def build(
    manifest: str,
    out: str,
    *,
    only: Sequence[str] = (),
    settings: Sequence[str] = (),
    check: bool = False,
    runner: str | None = None,
    workers: int | None = None,
    dry_run: bool = False,
    strict: bool = False,
    flags: Sequence[str] = (),
    always_tell: bool = False,
    keep: str | None = None,
    track_timeout: float | None = None,
    track_memory: float | None = None,
    stall_timeout: float | None = None,
    memory_limit: float | None = None,
    retry: bool = False,
    prices: str | None = None,
) -> None:
    """`tracklore build`. With `always_tell` the funnel and the audit are printed of a dataset that stands, too.

    Raises:
        UsageError: wrong configuration.
        DataError: a source or an engine failed, or the default split leaks.
    """
    from pipelines.build import Build, Request
    from pipelines.build import build as run_build
    from pipelines.costs.estimate import estimate
    from pipelines.costs.prices import read_prices
    from pipelines.engine import DEFAULT_RUNNER, check_flags, check_runner
    from pipelines.memory import peak_memory
    from pipelines.progress import Reporter
    from pipelines.show import console, show_estimate, show_plan, show_result
    from pipelines.splits.apart import other_datasets
    from pipelines.views import LOADS, standing_audit, write_views
    from pipelines.watch import guarded, watched
    from schemas.manifest import load_manifest
    from schemas.store import Store

    check_flags(flags)
    name = check_runner(runner or DEFAULT_RUNNER)
    engine = _engine(name, _workers(workers), flags, track_timeout, track_memory, stall_timeout, memory_limit)
    typed = [*settings, *([] if keep is None else [f"splits.keep={keep}"])]
    loaded, where, base = load_manifest(manifest, _from_here(manifest, typed))
    # Workers in other processes have working directories of their own.
    place = Store(out if engine.is_local else _absolute(out))
    request = Request(loaded, where, base, place, engine, _several(only), check, retry)
    content: dict[str, Any] | None = None
    if prices is not None and not dry_run:
        raise UsageError("--prices goes with --dry-run")

    def views(result: Build) -> None:
        nonlocal content
        with watched("report", engine.stall_s):
            content = written_views(result)

    def written_views(result: Build) -> dict[str, Any] | None:
        standing = None if result.worked else standing_audit(request.out)
        if not result.worked:
            console().print(f"{out}: everything stands; nothing to do", markup=False, soft_wrap=True)
        if standing is None:
            splits = "splits" in result.receipt.stages
            others = other_datasets(loaded.splits.apart_from, base, request.out) if splits else []
            return write_views(request.out, others)
        return standing

    reporter = Reporter()
    with guarded(engine.stall_s), peak_memory(engine.memory_bytes) as peak:
        result = run_build(request, reporter, dry_run=dry_run, ahead=LOADS, views=views)
    if dry_run:
        show_plan(console(), result.plan)
        if result.to_make is not None and result.to_make[0]:
            costs, items = result.to_make
            show_estimate(console(), estimate(costs, items, engine, read_prices(prices)))
        return
    if result.worked:
        reporter.say(f"memory: {peak.bytes / 1e9:.2f} GB at most, in {peak.processes} processes")
    if result.worked or always_tell:
        show_result(console(), request.out, result.receipt, content)
    if content is not None:
        _refuse_leaks(out, content, strict=strict)


def _from_here(manifest: str, settings: Sequence[str]) -> list[str]:
    """Make paths that were typed start where the user stands; those of the manifest start where it lies."""
    from pipelines.sources.base import source_class
    from schemas.manifest import FEATURE_LOCATION_KEYS, load_manifest

    loaded, where, _ = load_manifest(manifest, settings)
    keys = {f"source.{key}" for key in source_class(loaded.source, where)[0].LOCATION_KEYS}
    keys |= {"exclude", "splits.keep", "videos.local", "videos.folder", "videos.cookies"}
    keys |= {f"features.{name}.{key}" for name in loaded.features for key in FEATURE_LOCATION_KEYS}
    made = []
    for setting in settings:
        key, _, value = setting.partition("=")
        here = key in keys and "://" not in value and value not in ("", "null", "~")
        if key == "splits.apart_from":
            made.append(f"{key}={json.dumps([_absolute(path) for path in loaded.splits.apart_from])}")
        else:
            made.append(f"{key}={json.dumps(_absolute(value))}" if here else setting)
    return made


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).expanduser().absolute())


def split(
    table: str,
    out: str,
    *,
    columns: Mapping[str, str],
    ratios: Sequence[str],
    label_separator: str | None = None,
    seed: int = 0,
    effort: int = 1,
    keep: str | None = None,
) -> None:
    """`tracklore split`.

    Raises:
        UsageError: a ratio or a column that cannot be.
        DataError: rows without an id or a group.
    """
    from pipelines.show import console, show_split
    from pipelines.splits.table import split_table

    parsed = parse_ratios(ratios)
    if effort < 1:
        raise UsageError(f"--effort {effort}: at least 1")
    result, notes, rows = split_table(
        table, out, columns, parsed, label_separator=label_separator, seed=seed, effort=effort, keep=keep
    )
    show_split(console(), rows, parsed)
    for note in notes:
        console(stderr=True).print(f"warning: {note}", markup=False, soft_wrap=True)
    console().print(f"{result.num_rows} rows written to {out}", markup=False, soft_wrap=True)


def parse_ratios(ratios: Sequence[str]) -> dict[str, float]:
    """Parse `train=0.7` and the like; normalise.

    Raises:
        UsageError: not of that form, a name twice, or a sum that is not 1.
    """
    from schemas.manifest import RESERVED_SPLITS, normalised_ratios

    parsed: dict[str, float] = {}
    for text in ratios:
        name, equals, value = text.partition("=")
        try:
            ratio = float(value)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise UsageError(f"--ratio {text}: write --ratio train=0.7")
        if name.strip() in RESERVED_SPLITS:
            raise UsageError(f"--ratio {text}: {name.strip()!r} has a meaning of its own; choose another name")
        if name.strip() in parsed:
            raise UsageError(f"--ratio {text}: {name.strip()!r} is given twice")
        parsed[name.strip()] = ratio
    try:
        return normalised_ratios(parsed)
    except ValueError as error:
        raise UsageError(f"--ratio: {error}") from error


def audit(directory: str, *, against: Sequence[str] = (), strict: bool = False) -> None:
    """`tracklore audit`.

    Args:
        against: directories of datasets whose tracks this one should not learn from.

    Raises:
        UsageError: there is no dataset with splits, or one of the others is no dataset.
        DataError: a split of ours shares an artist or a recording, or learns from a track of another dataset; with
            `strict`, any split does, or an artist is shared with what another dataset measures on.
    """
    from pipelines.audit import audit as run_audit
    from pipelines.show import console, show_audit
    from schemas.store import Store

    content = run_audit(Store(directory), [Store(other) for other in against])
    show_audit(console(), content)
    _refuse_leaks(directory, content, strict=strict)


def verify(directory: str, *, against: str | None = None, workers: int | None = None, deep: bool = False) -> None:
    """`tracklore verify`.

    Args:
        against: another build of the dataset, or an export of its ids.
        deep: read every tensor, too.

    Raises:
        UsageError: there is no dataset.
        DataError: a file is not what the receipt says, or two builds differ.
    """
    from pipelines.export import differences, is_export
    from pipelines.progress import Reporter
    from pipelines.show import console
    from pipelines.verify import compare
    from pipelines.verify import verify as run_verify
    from schemas.errors import UsageError
    from schemas.receipt import read_receipt
    from schemas.store import Store

    if against is not None and not is_export(Store(against)) and read_receipt(Store(against)) is None:
        raise UsageError(
            f"--against {against}: neither a dataset nor an export of its ids is there; "
            "name what tracklore build made, or tracklore export --ids-only"
        )
    result = run_verify(Store(directory), Reporter(), _workers(workers), deep=deep)
    problems = list(result.problems)
    if against is not None:
        hold = differences if is_export(Store(against)) else compare
        problems += hold(Store(directory), Store(against))
    for line in problems:
        console().print(line, markup=False, highlight=False, soft_wrap=True)
    if problems:
        raise DataError(f"{directory}: {len(problems)} problems in {result.files} files")
    console().print(f"{directory}: {result.files} files, {result.bytes:,} bytes: all as the receipt says")


def export(directory: str, out: str) -> None:
    """`tracklore export --ids-only`.

    Raises:
        UsageError: there is no dataset with splits, or `out` holds something else.
        DataError: a table is missing or damaged.
    """
    from pipelines.export import export_ids
    from pipelines.show import console
    from schemas.store import Store

    rows = export_ids(Store(directory), Store(out))
    told = ", ".join(f"{name} ({count:,} rows)" for name, count in rows.items())
    console().print(f"{out}: {told}, manifest.yaml and export.json written", markup=False, soft_wrap=True)


def exclusions(directory: str, out: str, *, stages: Sequence[str] = (), reasons: Sequence[str] = ()) -> None:
    """`tracklore exclusions`.

    Args:
        out: a `.csv` or `.parquet`, in the form that a manifest's `exclude` reads.
        stages, reasons: only rows of these; `features` is every feature's. All when there are none.

    Raises:
        UsageError: there is no dataset, a stage or a reason that is none, or a file that cannot be written.
    """
    from pipelines.exclusions import choose
    from pipelines.show import console
    from pipelines.sources.known_bad import write_list
    from schemas.receipt import require_receipt
    from schemas.store import Store
    from schemas.tables import EXCLUSIONS

    if not out.lower().endswith((".csv", ".parquet")):
        raise UsageError(f"--out {out}: the list is written as CSV or Parquet; name it .csv or .parquet")
    data = Store(directory)
    receipt = require_receipt(data)
    chosen = choose(EXCLUSIONS.read(data), receipt.stages, _several(stages), _several(reasons))
    path = _absolute(out)
    folder, _, name = path.rpartition("/")
    try:
        rows = write_list(chosen, Store(folder or "/"), name)
    except OSError as error:
        why = fault_of_file(error)
        raise UsageError(f"--out {out}: cannot be written ({error.strerror or why})") from error
    console().print(f"{rows} rows written to {out}", markup=False, soft_wrap=True)


def _several(given: Sequence[str]) -> list[str]:
    return [name.strip() for part in given for name in part.split(",") if name.strip()]


def report(directory: str) -> None:
    """`tracklore report`.

    Raises:
        UsageError: there is no dataset.
    """
    from pipelines.show import console
    from pipelines.views import write_views
    from schemas.store import Store

    write_views(Store(directory))
    console().print(f"{directory}/report.html, README.md and metadata.json written", markup=False, soft_wrap=True)


def presets() -> None:
    """`tracklore presets`."""
    from pipelines.features.presets import PRESETS
    from pipelines.show import console, show_presets

    show_presets(console(), PRESETS)


def _workers(workers: int | None) -> int:
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: at least one worker is needed")
    return workers or os.cpu_count() or 1


def _engine(
    runner: str,
    workers: int,
    flags: Sequence[str],
    track_timeout: float | None,
    track_memory: float | None,
    stall_timeout: float | None,
    memory_limit: float | None,
) -> Engine:
    """The engine with its limits, where they are given.

    Raises:
        UsageError: a limit that cannot be.
    """
    from pipelines.engine import LOCAL_RUNNERS, STALL_ELSEWHERE_S, Engine
    from pipelines.memory import shared

    for flag, value in (
        ("--track-timeout", track_timeout),
        ("--track-memory", track_memory),
        ("--stall-timeout", stall_timeout),
        ("--memory-limit", memory_limit),
    ):
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{flag} {value:g}: give a number above 0")
    limits: dict[str, Any] = {}
    if track_timeout is not None:
        limits["track_timeout_s"] = track_timeout
    if track_memory is not None:
        limits["track_bytes"] = round(track_memory * 1e9)
    if stall_timeout is not None:
        limits["stall_s"] = stall_timeout
    elif runner not in LOCAL_RUNNERS:
        limits["stall_s"] = STALL_ELSEWHERE_S
    if memory_limit is not None:
        share = shared(memory_limit * 1e9, workers, limits.get("track_bytes"))
        workers = share.workers
        limits |= {"track_bytes": share.track_bytes, "memory_bytes": round(memory_limit * 1e9)}
    return Engine(runner, workers, tuple(flags), **limits)


def _refuse_leaks(directory: str, content: Mapping[str, Any], *, strict: bool) -> None:
    from pipelines.audit import problems

    grave, slight = problems(content)
    if grave or (strict and slight):
        raise DataError(f"{directory}: {'; '.join([*grave, *slight] if strict else grave)}")
