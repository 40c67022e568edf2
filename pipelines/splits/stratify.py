"""Group-disjoint multilabel stratified splits: from ids, groups and labels to a split's name for each id.

Start: scikit-multilearn's iterative stratification (Sechidis et al. 2011) over groups. Then the local search of
`solver`. The result does not depend on the order in which the rows come.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from pipelines.splits.groups import joined_groups
from pipelines.splits.solver import Problem, solve
from schemas.digests import stable_hash

SIZE_WEIGHT = 4.0
_START_CELLS = 20_000_000


@dataclass(frozen=True)
class Items:
    """What is split: one entry a row.

    Attributes:
        ids: unique.
        groups: keys of what may not be torn apart; several aligned lists when rows are tied by any of them.
        labels: the tags of each row; an empty list counts for the sizes only.
        pinned: from a group key of the first list to the split that it must be in.
    """

    ids: Sequence[str]
    groups: Sequence[Sequence[str]]
    labels: Sequence[Sequence[str]]
    pinned: Mapping[str, str] | None = None


def stratified_split(
    items: Items, ratios: Mapping[str, float], seed: int = 0, effort: int = 1
) -> tuple[list[str], list[str]]:
    """Split so that no group is torn and every label has its share in each split.

    Args:
        ratios: normalised, by split name.

    Returns:
        the split of each row, aligned with `items.ids`, and warnings for a person.
    """
    names = list(ratios)
    if not items.ids:
        return [], ["there is nothing to split"]
    order = sorted(range(len(items.ids)), key=lambda row: items.ids[row])
    component = joined_groups(*[[column[row] for row in order] for column in items.groups])
    count = int(component.max()) + 1
    matrix, _ = _group_matrix([items.labels[row] for row in order], component, count)
    pinned = np.full(count, -1, np.int64)
    for row, group in zip(order, component, strict=True):
        name = (items.pinned or {}).get(items.groups[0][row])
        if name is not None:
            pinned[group] = names.index(name)
    shares = np.array([ratios[name] for name in names])
    # Groups enter the search in a seeded order of their first ids, so that seeds give different splits.
    first = {int(g): items.ids[row] for row, g in zip(reversed(order), component[::-1], strict=True)}
    shuffled = np.array(sorted(range(count), key=lambda g: stable_hash(first[g], seed)), np.int64)
    problem = _problem(matrix[shuffled], shares, pinned[shuffled])
    start = _start(problem, matrix[shuffled], shares, seed)
    chosen = np.empty(count, np.int64)
    chosen[shuffled] = solve(problem, start, seed, effort)
    splits = [""] * len(order)
    for row, group in zip(order, component, strict=True):
        splits[row] = names[int(chosen[group])]
    # Told from the result: three groups of one size are better two and one than one each.
    empty = [name for name in names if name not in set(splits)]
    stay = "stays" if len(empty) == 1 else "stay"
    notes = [f"{count} groups for {len(names)} splits: {', '.join(empty)} {stay} empty"] if empty else []
    return splits, notes


def _group_matrix(
    labels: Sequence[Sequence[str]], component: npt.NDArray[np.int64], groups: int
) -> tuple[csr_array, list[str]]:
    """Counts (groups, labels + 1): rows of each label in each group, and in the last column rows of the group."""
    vocabulary = sorted({label for row in labels for label in row})
    number = {label: i for i, label in enumerate(vocabulary)}
    last = len(vocabulary)
    rows = [group for group, row in zip(component, labels, strict=True) for _ in set(row)]
    columns = [number[label] for row in labels for label in sorted(set(row))]
    rows.extend(component)
    columns.extend([last] * len(component))
    matrix = csr_array((np.ones(len(rows)), (rows, columns)), shape=(groups, last + 1))
    matrix.sum_duplicates()
    return matrix, vocabulary


def _problem(matrix: csr_array, shares: npt.NDArray[np.float64], pinned: npt.NDArray[np.int64]) -> Problem:
    """A squared miss costs the more the fewer rows were wanted (chi-square), and sizes cost as several labels."""
    totals = np.asarray(matrix.sum(axis=0)).ravel()
    targets = np.outer(shares, totals)
    weights = 1.0 / np.maximum(targets, 1e-12)
    weights[:, -1] *= SIZE_WEIGHT * max(1.0, np.sqrt(matrix.shape[1] - 1))
    return Problem(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int64),
        matrix.data.astype(np.float64),
        targets,
        weights,
        pinned,
    )


def _start(
    problem: Problem, matrix: csr_array, shares: npt.NDArray[np.float64], seed: int
) -> npt.NDArray[np.int64]:
    """scikit-multilearn's assignment of groups; a hash of nothing but the order where it would be too slow."""
    groups, columns = matrix.shape
    if groups > len(shares) > 1 and columns > 1 and groups * columns <= _START_CELLS:
        start = _iterative_stratification(matrix, shares, seed)
    else:
        edges = np.cumsum(shares)
        start = np.searchsorted(edges, (np.arange(groups) + 0.5) / groups, side="right").astype(np.int64)
        start = np.minimum(start, len(shares) - 1)
    return np.where(problem.pinned >= 0, problem.pinned, start)


def _iterative_stratification(
    matrix: csr_array, shares: npt.NDArray[np.float64], seed: int
) -> npt.NDArray[np.int64]:
    """scikit-multilearn on the groups' label sets, ignoring how many rows a group has."""
    from skmultilearn.model_selection import IterativeStratification

    presence = (matrix[:, :-1].toarray() > 0).astype(np.int64)
    state = np.random.get_state()
    np.random.seed(seed & 0xFFFFFFFF)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folds = IterativeStratification(
                n_splits=len(shares), order=1, sample_distribution_per_fold=[float(share) for share in shares]
            )
            start = np.zeros(len(presence), np.int64)
            for fold, (_, rows) in enumerate(folds.split(np.zeros((len(presence), 1)), presence)):
                start[rows] = fold
    finally:
        np.random.set_state(state)
    return start
