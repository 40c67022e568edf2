"""What a build prints: the plan, the funnel, the exclusions, the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.audit import problems, scheme_name
from pipelines.costs.estimate import Estimate
from pipelines.features.presets import Preset
from pipelines.splits.labels import labels_of, numbered
from pipelines.splits.measures import counted, label_distance, share_deviation
from pipelines.stage import stages_in_order
from schemas.reasons import Reason
from schemas.receipt import Receipt
from schemas.store import Store
from schemas.tables import EXCLUSIONS
from schemas.terminal import PlainConsole

FIRST_SHARED = 5


def console(*, stderr: bool = False) -> Console:
    """Where results go; progress goes to the other stream."""
    return PlainConsole(stderr=stderr, highlight=False)


def show_result(out_console: Console, out: Store, receipt: Receipt, audit: Mapping[str, Any] | None) -> None:
    """All that a build tells when it ends."""
    show_funnel(out_console, receipt)
    show_exclusions(out_console, out)
    if audit is not None:
        show_audit(out_console, audit)


def show_split(out_console: Console, rows: Mapping[str, Any], ratios: Mapping[str, float]) -> None:
    """How a split of a table turned out: Arrow columns `groups`, `labels` (lists) and `splits`."""
    # Late: the compiler behind the search takes a second to load, and other verbs show things without it.
    from pipelines.splits.bounds import label_distance_bound
    from pipelines.splits.stratify import group_counts

    names = list(ratios)
    places = pc.fill_null(pc.index_in(rows["splits"], value_set=pa.array(names, pa.string())), -1)
    where, labels = places.to_numpy().astype("int64"), labels_of(rows["labels"])
    counts, sizes = counted(labels, where, len(names))
    pairs = pa.table({"split": rows["splits"], "group": rows["groups"]}).group_by("split")
    distinct = pairs.aggregate([("group", "count_distinct")]).to_pylist()
    groups = {row["split"]: row["group_count_distinct"] for row in distinct}
    table = _table("Split", "split", "rows", "share", "groups", "labels")
    for place, name in enumerate(names):
        share = sizes[place] / max(1, sizes.sum())
        cells = (f"{sizes[place]:,}", f"{share:.1%}", f"{groups.get(name, 0):,}", f"{(counts[place] > 0).sum():,}")
        table.add_row(escape(name), *cells)
    out_console.print(table)
    mean, largest = share_deviation(counts, ratios, names)
    out_console.print(
        f"label distance {label_distance(counts, sizes):.5f}; a label's share is {mean:.2%} off on average, "
        f"{largest:.2%} at most",
        soft_wrap=True,
    )
    placed = (where >= 0).nonzero()[0]
    if len(placed):
        groups_of = numbered(rows["groups"].take(pa.array(placed)))
        _, columns, values, width = group_counts(groups_of, labels.of(placed))
        bound = label_distance_bound(columns, values, width - 1, sizes)
        out_console.print(f"no split of these sizes that tears no group is below {bound:.5f}", soft_wrap=True)


def show_presets(out_console: Console, presets: Mapping[str, Preset]) -> None:
    """The published front ends, two lines each."""
    for name, preset in presets.items():
        out_console.print(f"{name}: {{kind: {preset.kind}, preset: {name}}}", markup=False, soft_wrap=True)
        out_console.print(f"    {preset.about} ({preset.source})", markup=False, soft_wrap=True)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    return table


def show_plan(out_console: Console, rows: Sequence[tuple[str, str, str]]) -> None:
    """The plan of a build."""
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "what", "counts and bytes"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out_console.print(table)


def show_estimate(out_console: Console, found: Estimate) -> None:
    """What the stages of a plan will take."""
    table = _table("What it takes", "stage", "core-hours", "GB read", "GB written", "MB shuffled", "tasks")
    for cost in found.costs:
        sizes = (cost.read / 1e9, cost.written / 1e9, cost.shuffled / 1e6)
        told = [f"{size:,.3f}" for size in sizes]
        table.add_row(
            escape(cost.stage), f"{cost.cpu_s / 3600:,.3f}", *told, f"{cost.tasks:,}" if cost.tasks else ""
        )
    sums = [sum(getattr(cost, name) for cost in found.costs) for name in ("read", "written", "shuffled")]
    told = [f"{size / unit:,.3f}" for size, unit in zip(sums, (1e9, 1e9, 1e6), strict=True)]
    table.add_row("all", f"{found.core_hours:,.3f}", *told, "")
    out_console.print(table)
    lines = found.lines if found.wall_s is None else [_time_and_money(found, found.wall_s), *found.lines]
    for line in lines:
        out_console.print(line, markup=False, highlight=False, soft_wrap=True)


def _time_and_money(found: Estimate, wall_s: float) -> str:
    wall = f"{wall_s / 3600:,.2f} hours" if wall_s >= 3600 else f"{wall_s / 60:,.1f} minutes"
    cores = f" of {found.cores} cores" if (found.cores or 1) > 1 else ""
    if found.money is None:
        return f"On {found.workers} workers{cores}: {wall}"
    paid = f"{found.worker_hours:,.2f} worker-hours, {found.money:,.2f} {found.currency}"
    return f"On {found.workers} workers{cores}: {wall}, {paid}"


def show_funnel(out_console: Console, receipt: Receipt) -> None:
    """How many tracks, artists, tags and annotations each step left."""
    table = _table("Funnel", "step", "tracks", "artists", "tags", "annotations")
    stages = stages_in_order(receipt)
    for name, stage in stages:
        for step in stage.funnel:
            counts = (step.tracks, step.artists, step.tags, step.annotations)
            table.add_row(f"{name}: {step.step}", *("" if n is None else f"{n:,}" for n in counts))
    out_console.print(table)
    for name, stage in stages:
        for note in stage.notes:
            out_console.print(f"{name}: {note}", markup=False, highlight=False)


def show_exclusions(out_console: Console, out: Store, listed: int = 3) -> None:
    """How many left, at which stage, why, and the first of them."""
    rows = EXCLUSIONS.read(out, ["id", "stage", "reason"])
    if not rows.num_rows:
        out_console.print("Exclusions: none")
        return
    counts = rows.group_by(["stage", "reason"]).aggregate([([], "count_all")]).to_pylist()
    table = Table(title="Exclusions", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in ("stage", "reason", "tracks", "meaning", "first"):
        table.add_column(name, overflow="fold")
    for stage, reason, count in sorted((row["stage"], row["reason"], row["count_all"]) for row in counts):
        of_both = pc.and_(pc.equal(rows.column("stage"), stage), pc.equal(rows.column("reason"), reason))
        first = rows.column("id").filter(of_both).slice(0, listed).to_pylist()
        table.add_row(stage, reason, f"{count:,}", Reason(reason).meaning, escape(", ".join(first)))
    out_console.print(table)


def show_audit(out_console: Console, content: Mapping[str, Any]) -> None:
    """Leaks and balance of every scheme."""
    for entry in content["schemes"]:
        table = _table(f"Audit of the split {scheme_name(entry)!r}", "split", "tracks", "share", "artists", "tags")
        for split, row in entry["splits"].items():
            share = f"{row['share']:.1%}" if row["labelled"] else ""
            table.add_row(split, f"{row['tracks']:,}", share, f"{row['artists']:,}", f"{row['tags']:,}")
        out_console.print(table)
        shared, deviation = entry["shared"], entry["share_deviation"]
        out_console.print(
            f"shared between splits: {shared['artists']['count']} artists, "
            f"{shared['recordings']['count']} recordings, {shared['captions']} captions; "
            f"label distance {entry['label_distance']:.5f}; "
            f"a tag's share is {deviation['mean']:.2%} off on average, {deviation['largest']:.2%} at most",
            highlight=False,
            soft_wrap=True,
        )
        for kind in ("artists", "recordings"):
            for key, places in list(shared[kind]["first"].items())[:FIRST_SHARED]:
                out_console.print(f"  {kind[:-1]} {key!r} is in {', '.join(places)}", markup=False, highlight=False)
            more = shared[kind]["count"] - FIRST_SHARED
            if more > 0:
                out_console.print(f"  and {more:,} {kind} more; see leaks.parquet", highlight=False)
        few = entry["few_artists"]
        if few:
            out_console.print(
                f"{len(few)} (tag, split) pairs rest on few artists, such as {few[0]['tag']!r} in "
                f"{few[0]['split']}; see audit.json",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    for line in [*against_lines(content), *(f"warning: {text}" for text in problems(content)[1])]:
        out_console.print(line, markup=False, highlight=False, soft_wrap=True)


def against_lines(content: Mapping[str, Any]) -> list[str]:
    """What of other datasets is learnt from here: a line for each dataset and scheme, then the first tracks."""
    lines = []
    for entry in content.get("against", []):
        if not entry["comparable"]:
            continue
        for row in entry["schemes"]:
            found, artists = row["found"], row["artists"]["count"]
            lines.append(
                f"against {entry['name']!r}: the split {row['scheme']!r} has {found['count']:,} tracks to learn "
                f"from that are among its {entry['tracks']:,} ({found['measured']:,} measured on there; "
                f"{found['exact']:,} exact, {found['count'] - found['exact']:,} likely) and shares {artists:,} "
                "artists with what it measures"
            )
            lines += [
                f"  {first['track']!r} is {first['other']!r} ({', '.join(first['splits'])}): "
                f"{first['confidence']}, by {first['by'].replace('_', ' ')}"
                for first in found["first"][:FIRST_SHARED]
            ]
            more = found["count"] - FIRST_SHARED
            if more > 0:
                lines.append(f"  and {more:,} tracks more; see found_elsewhere.parquet")
    return lines
