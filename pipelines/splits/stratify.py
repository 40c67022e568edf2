"""Group-disjoint multilabel stratified splits: from ids, groups and labels to a split for each row.

Start: iterative stratification over groups. Then the local search of `solver`. The result does not depend on the
order in which the rows come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.splits.groups import FREE, TORN, bound_groups, joined_groups
from pipelines.splits.keep import split_numbers
from pipelines.splits.labels import Codes, Labels, as_array, distinct, labels_of
from pipelines.splits.solver import Floats, Problem, solve
from pipelines.splits.start import iterative_stratification
from schemas.digests import stable_hash

FAIR_SHARE = 0.8
FEW_GROUPS = 5
SIZE_WEIGHT = 4.0
_LEAST_WEIGHT = 100.0
# Counts are whole: what is aimed at lies a little above, so that the whole number below is too little.
_OVER_FAIR = 0.02
_HEADS_WEIGHT = 0.03
_FEW_WEIGHT = 0.2
_LITTLE_MORE = 1.5
_HALF_WEIGHT = 50.0
# A little under half of what is wanted, for what is reached may be a little less.
_NEARLY_HALF = 0.45


@dataclass(frozen=True)
class Items:
    """What is split: one entry a row.

    Attributes:
        ids: unique strings; a sequence or an Arrow column.
        groups: keys of what may not be torn apart; several aligned columns when rows are tied by any of them.
        labels: the tags of each row, a sequence of sequences or an Arrow column of lists; a row without any
            counts for the sizes only.
        pinned: from a group key of the first column to the split that it must be in.
    """

    ids: Any
    groups: Sequence[Any]
    labels: Any
    pinned: Mapping[str, str] | None = None


def stratified_split(
    items: Items, ratios: Mapping[str, float], seed: int = 0, effort: int = 1, kept: pa.Array | None = None
) -> tuple[list[str], list[str]]:
    """Split so that no group is torn and every label has its share in each split.

    Args:
        ratios: normalised, by split name.
        kept: string (rows,), the split that a row has already and keeps, null for a new row. New rows of a group
            follow it; of one that was torn they are `none`.

    Returns:
        the split of each row, aligned with `items.ids`, and warnings for a person.

    Raises:
        UsageError: a split that is kept and has no ratio.
    """
    names = list(ratios)
    ids = as_array(items.ids, pa.string())
    if not len(ids):
        return [], ["there is nothing to split"]
    order = sorted_rows(ids)
    component = joined_groups(*items.groups)[order]
    component = np.unique(component, return_inverse=True)[1]
    first = first_rows(component)
    pinned = np.full(len(first), -1, np.int64)
    for key, name in (items.pinned or {}).items():
        held = pc.equal(as_array(items.groups[0], pa.string()), key).to_numpy(zero_copy_only=False)
        pinned[component[held[order]]] = names.index(name)
    labels = labels_of(items.labels).of(order)
    free = np.ones(len(ids), np.bool_)
    notes: list[str] = []
    if kept is not None:
        numbers = split_numbers(kept, tuple(names), "--keep")[order]
        pinned, notes = _follow(component, numbers, pinned)
        # Rows of a torn group count for the sizes of no split that is searched for.
        free = pinned[component] >= FREE
    rows = np.flatnonzero(free)
    splits = np.full(len(ids), -1, np.int64)
    groups, inner = np.unique(component[rows], return_inverse=True)
    if len(rows):
        chosen = stratified_groups(
            inner,
            labels.of(rows),
            ids.take(pa.array(order[first[groups]])).to_pylist(),
            np.array([ratios[name] for name in names]),
            seed=seed,
            effort=effort,
            pinned=pinned[groups],
        )
        splits[order[rows]] = chosen[inner]
    found = [names[split] if split >= 0 else "none" for split in splits.tolist()]
    if kept is not None:
        found = [old or new for old, new in zip(kept.to_pylist(), found, strict=True)]
    return found, [*notes, *empty_splits(splits, names, len(first))]


def _follow(component: Codes, kept: Codes, pinned: Codes) -> tuple[Codes, list[str]]:
    """Bind each group to the split of its kept rows; a group of several is `TORN`."""
    bound = bound_groups(component, kept, len(pinned))
    torn = bound == TORN
    notes = []
    if torn.any():
        new = int((torn[component] & (kept < 0)).sum())
        notes.append(
            f"{int(torn.sum())} groups are in several of the splits kept: {new} new rows of theirs are in none"
        )
    return np.where(bound == FREE, pinned, bound), notes


def empty_splits(splits: Codes, names: Sequence[str], groups: int) -> list[str]:
    """A warning that names the splits without a row, if any."""
    sizes = np.bincount(splits[splits >= 0], minlength=len(names))
    empty = [name for name, size in zip(names, sizes, strict=True) if not size]
    stay = "stays" if len(empty) == 1 else "stay"
    return [f"{groups} groups for {len(names)} splits: {', '.join(empty)} {stay} empty"] if empty else []


def sorted_rows(ids: pa.Array) -> Codes:
    """The rows in the order of their ids, int64 (rows,)."""
    order: Codes = pc.array_sort_indices(ids).to_numpy(zero_copy_only=False).astype(np.int64)
    return order


def first_rows(component: Codes) -> Codes:
    """The first row of each component, int64 (components,)."""
    return np.unique(component, return_index=True)[1].astype(np.int64)


def stratified_groups(
    component: Codes,
    labels: Labels,
    firsts: Sequence[str],
    shares: Floats,
    *,
    seed: int,
    effort: int,
    pinned: Codes,
    measured: npt.NDArray[np.bool_] | None = None,
    start: Codes | None = None,
) -> Codes:
    """Choose a split for each group.

    Args:
        component: int64 (rows,), the group of each row, 0 to groups - 1.
        labels: of the rows.
        firsts: a string that names each group, (groups,); where the search begins depends on these and the seed.
        shares: float64 (splits,), summing to 1.
        pinned: int64 (groups,), the split that a group must be in, or -1.
        measured: bool (splits,), those that numbers are measured on: all but the first by default.
        start: int64 (groups,), an assignment to improve; by default iterative stratification.

    Returns:
        int64 (groups,).
    """
    groups = len(firsts)
    # Groups enter the search in a seeded order of their names, so that seeds give different splits.
    order = np.array(sorted(range(groups), key=lambda g: (stable_hash(firsts[g], seed), firsts[g])), np.int64)
    place = np.empty(groups, np.int64)
    place[order] = np.arange(groups)
    problem = problem_of(*group_counts(place[component], labels), groups, shares, pinned[order], measured)
    chosen = np.empty(groups, np.int64)
    begun = iterative_stratification(problem) if start is None else start[order]
    chosen[order] = solve(problem, begun, seed, effort, warm=start is not None)
    return chosen


def group_counts(component: Codes, labels: Labels) -> tuple[Codes, Codes, Floats, int]:
    """How many rows of each group have each label.

    Returns:
        int64 (entries,) groups and labels, float64 (entries,) counts, by group, then label; and how many labels
        there are. One more label stands for all rows.
    """
    width = len(labels.names) + 1
    keys = np.concatenate([component[labels.rows] * width + labels.codes, component * width + width - 1])
    unique, counts = distinct(keys)
    return unique // width, unique % width, counts.astype(np.float64), width


def problem_of(
    owner: Codes,
    columns: Codes,
    values: Floats,
    width: int,
    groups: int,
    shares: Floats,
    pinned: Codes,
    measured: npt.NDArray[np.bool_] | None = None,
) -> Problem:
    """A squared miss costs the more the fewer rows were wanted (chi-square), and sizes cost as several labels."""
    totals = np.bincount(columns, values, width)
    targets = np.outer(shares, totals)
    fair = FAIR_SHARE * targets
    weights = 1.0 / np.maximum(targets, 1e-12)
    least_weights = _LEAST_WEIGHT * weights
    heads = np.outer(shares, np.bincount(columns, minlength=width))
    heads_weights = _HEADS_WEIGHT / np.maximum(heads, 1.0)
    weights[:, -1] *= SIZE_WEIGHT * max(1.0, np.sqrt(width - 1))
    if measured is None:
        measured = np.arange(len(shares)) > 0
    few_weights = np.full_like(targets, _FEW_WEIGHT)
    few_weights[~measured] = 0.0
    for table in (least_weights, heads_weights, few_weights):
        table[:, -1] = 0.0
    places = np.zeros((groups, len(shares)))
    tags = columns < width - 1
    wanted = targets[measured].sum(axis=0)
    for split in np.flatnonzero(measured):
        half = values >= _NEARLY_HALF * targets[split, columns]
        # Where the smaller groups cannot fill the splits, half from one is better than nothing.
        others = np.bincount(columns[~half], values[~half], width) >= wanted
        halves = tags & half & others[columns]
        places[:, split] = _HALF_WEIGHT * np.bincount(owner[halves], minlength=groups)
    return Problem(
        np.concatenate([[0], np.bincount(owner, minlength=groups).cumsum()]).astype(np.int64),
        columns.astype(np.int64),
        values,
        targets,
        weights,
        pinned,
        fair + np.minimum(0.5, _OVER_FAIR * fair),
        least_weights,
        heads,
        heads_weights,
        # Only where it takes little more than the fair share.
        np.where(heads * _LITTLE_MORE >= FEW_GROUPS, float(FEW_GROUPS), 0.0),
        few_weights,
        places,
    )
