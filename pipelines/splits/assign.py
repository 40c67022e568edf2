"""From tracks to splits: the scheme `default`, k-fold, and a valid carved from train, by one solver.

What is labelled is split. What is not is `student` when nothing that ties it lies in a split that is measured on,
else `none` (CALS; Won's thesis, 3.5.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.splits.bounds import label_distance_bound
from pipelines.splits.candidates import candidate_links, crossing, has_candidate
from pipelines.splits.fairness import can_be_fair, lacking
from pipelines.splits.groups import FREE, bound_groups
from pipelines.splits.keep import KEEP_NOTE, KEY, kept_splits, split_numbers
from pipelines.splits.labels import Codes
from pipelines.splits.measures import counted, label_distance
from pipelines.splits.solver import Floats
from pipelines.splits.stratify import FAIR_SHARE, empty_splits, first_rows, group_counts, stratified_groups
from pipelines.splits.ties import Mask, Ties, tie
from pipelines.splits.tracks import Tracks
from pipelines.stage import shown
from schemas.errors import UsageError
from schemas.manifest import SplitsSection
from schemas.reasons import Reason
from schemas.tables.splits import DEFAULT_SCHEME, KFOLD_SCHEME

FOLD_SPLITS = ("train", "valid", "test")
# From which part of the tracks on sizes are mended for those that left after the search.
_MENDED_PART = 2000

Why = tuple[Reason, str]


@dataclass(frozen=True)
class Assigned:
    """The splits.

    Attributes:
        schemes: name, fold and string (rows,), the split of each track.
        leaving: by row, why a track is in no split of the default scheme.
        notes: what a person should know.
    """

    schemes: list[tuple[str, int, pa.Array]]
    leaving: dict[int, Why]
    notes: list[str]


@dataclass(frozen=True)
class _Kept:
    """What is kept of one scheme and fold: text (null where nothing is), the number of the split, or -1, and how
    many tracks the kept table lists, here or not."""

    text: pa.Array
    codes: Codes
    listed: int = 0
    given: Mask = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "given", pc.is_valid(self.text).to_numpy(zero_copy_only=False))


@dataclass(frozen=True)
class _Settled:
    """After the search: which tracks of a scheme leave, and which are students."""

    leaving: dict[int, Why]
    students: Mask


def assign(
    tracks: Tracks, settings: SplitsSection, away: Mapping[str, Why] | None = None, kept: pa.Table | None = None
) -> Assigned:
    """Split tracks by every scheme that the settings ask for.

    Args:
        away: by track id, tracks that are in no split whatever else is said of them, and why.
        kept: of `keep.read_kept`; tracks keep what it says.

    Raises:
        UsageError: what is kept has a split without a ratio, or another number of folds.
    """
    notes = []
    gone = pc.is_in(tracks.ids, value_set=pa.array(sorted(away or {}), pa.string())).to_numpy(zero_copy_only=False)
    labelled = tracks.labelled
    if tracks.count and not labelled.any():
        labelled = np.ones(tracks.count, np.bool_)
        notes.append("no track is labelled: all are split by artist")
    leaving = {int(row): (away or {})[tracks.ids[row].as_py()] for row in np.flatnonzero(gone)}
    splits, left, told = _default(tracks, settings, labelled, gone, kept)
    leaving.update(left)
    notes += told
    schemes = [(DEFAULT_SCHEME, 0, splits)]
    if settings.folds is not None:
        folds, told = _kfold(tracks, settings, labelled, gone, kept)
        schemes += [(KFOLD_SCHEME, fold, found) for fold, found in enumerate(folds)]
        notes += told
    return Assigned(schemes, leaving, notes)


def _default(
    tracks: Tracks, settings: SplitsSection, labelled: Mask, gone: Mask, kept: pa.Table | None
) -> tuple[pa.Array, dict[int, Why], list[str]]:
    names, carved = tuple(settings.ratios), 0.0
    shares = np.array(list(settings.ratios.values()))
    notes: list[str] = []
    if settings.nested is not None and "valid" not in names:
        carved = settings.nested
        notes.append(f"the splits have no valid: {carved:.0%} of {names[0]} are carved from it, by artist")
    elif settings.nested is not None and settings.folds is None:
        notes.append("splits.nested changes nothing: the splits have a valid, and no folds are asked for")
    every = (*names, "valid") if carved else names
    held = _kept_of(tracks, kept, DEFAULT_SCHEME, 0, every, gone)
    outer = np.where(held.codes == len(names), 0, held.codes)
    if not (labelled & ~gone).any():
        return (
            _text(np.full(tracks.count, -1), every, held, np.zeros(tracks.count, np.bool_)),
            {},
            [*notes, "there is nothing to split"],
        )
    ties = tie(tracks, labelled & ~gone & ~_kept_apart(held), outer, names)
    where = _solved(tracks, ties.groups, ties.pins, shares, settings)
    where, mended = _mended(tracks, ties, where, shares, settings, held.given)
    notes += [*ties.notes, *mended, *empty_splits(where, names, len(ties.pins))]
    if carved:
        where, shares = (
            _carved(tracks, ties, where, carved, len(names), held.codes, settings, settings.seed),
            np.append(shares * np.where(np.arange(len(shares)) == 0, 1 - carved, 1), shares[0] * carved),
        )
    settled = _settled(tracks, where, shares, labelled, gone, held)
    where[list(settled.leaving)] = -1
    notes += _student_notes(held, settled, where, tracks, gone)
    notes += _notes_on_balance(tracks, ties, where, shares, every)
    return _text(where, every, held, settled.students), {**ties.leaving, **settled.leaving}, notes


def _kfold(
    tracks: Tracks, settings: SplitsSection, labelled: Mask, gone: Mask, kept: pa.Table | None
) -> tuple[list[pa.Array], list[str]]:
    count = settings.folds or 0
    held = [_kept_of(tracks, kept, KFOLD_SCHEME, fold, FOLD_SPLITS, gone) for fold in range(count)]
    _require_folds(kept, count)
    parts = np.full(tracks.count, -1, np.int64)
    never = np.ones(tracks.count, np.bool_)
    for fold, fold_kept in enumerate(held):
        parts[fold_kept.codes == FOLD_SPLITS.index("test")] = fold
        never &= _kept_apart(fold_kept)
    if not (labelled & ~gone).any():
        nothing = np.zeros(tracks.count, np.bool_)
        return [_text(np.full(tracks.count, -1), FOLD_SPLITS, entry, nothing) for entry in held], []
    ties = tie(tracks, labelled & ~gone & ~never, parts, tuple(f"fold {fold}" for fold in range(count)))
    # Nobody's tracks are learnt from in every fold: whoever made them may be in any part.
    ours = np.where(ties.groups == ties.unknown, -1, ties.groups) if ties.unknown >= 0 else ties.groups
    shares = np.full(count, 1 / count)
    part = _solved(tracks, ours, ties.pins, shares, settings, measured=np.ones(count, np.bool_))
    notes = [f"kfold: {note}" for note in empty_splits(part, [f"fold {n}" for n in range(count)], len(ties.pins))]
    found, dropped = [], []
    for fold, fold_kept in enumerate(held):
        where = np.where(ties.groups < 0, -1, np.where(part == fold, FOLD_SPLITS.index("test"), 0))
        valid = settings.nested or 0.0
        if valid:
            seed = settings.seed + fold
            where = _carved(tracks, ties, where, valid, FOLD_SPLITS.index("valid"), fold_kept.codes, settings, seed)
        learnt = 1 - 1 / count
        roles = np.array([learnt * (1 - valid), learnt * valid, 1 / count])
        settled = _settled(tracks, where, roles, labelled, gone, fold_kept)
        where[list(settled.leaving)] = -1
        dropped.append(len(settled.leaving))
        found.append(_text(where, FOLD_SPLITS, fold_kept, settled.students))
    unknown = int((ties.groups == ties.unknown).sum()) if ties.unknown >= 0 else 0
    if unknown:
        notes.append(f"kfold: {unknown} tracks tied to unknown artists are in train in every fold")
    if any(dropped) or ties.leaving:
        listed = ", ".join(map(str, dropped))
        notes.append(
            f"kfold: {len(ties.leaving)} tracks are in none in every fold, and by fold {listed} more, so that no "
            "artist and no recording crosses"
        )
    return found, notes


def require_fitting(kept: pa.Table, settings: SplitsSection) -> None:
    """Hold a kept table against the splits that are asked for.

    Raises:
        UsageError: it has a split without a ratio, or another number of folds.
    """
    names = (*settings.ratios, "valid") if settings.nested is not None else tuple(settings.ratios)
    known = {DEFAULT_SCHEME: names, KFOLD_SCHEME: FOLD_SPLITS if settings.folds is not None else ()}
    for scheme, listed in known.items():
        if listed:
            mine = kept.filter(pc.equal(kept.column("scheme"), scheme))
            split_numbers(mine.column("split").combine_chunks(), listed, KEY)
    if settings.folds is not None:
        _require_folds(kept, settings.folds)


def _require_folds(kept: pa.Table | None, count: int) -> None:
    if kept is None:
        return
    folds = kept.filter(pc.equal(kept.column("scheme"), KFOLD_SCHEME)).column("fold")
    found = len(pc.unique(folds))
    if found and found != count:
        raise UsageError(f"{KEY}: what is kept has {found} folds and splits.folds is {count}")


def _kept_of(
    tracks: Tracks, kept: pa.Table | None, scheme: str, fold: int, names: tuple[str, ...], gone: Mask
) -> _Kept:
    if kept is None:
        return _Kept(pa.nulls(tracks.count, pa.string()), np.full(tracks.count, -1, np.int64))
    text = kept_splits(kept, scheme, fold, tracks.ids)
    text = pc.if_else(pa.array(gone), pa.scalar(None, pa.string()), text)
    mine = pc.and_(pc.equal(kept.column("scheme"), scheme), pc.equal(kept.column("fold"), fold))
    return _Kept(text, split_numbers(text, names, KEY), int(pc.sum(mine).as_py() or 0))


def _kept_apart(held: _Kept) -> Mask:
    """Tracks that are kept in `none`."""
    return held.given & (held.codes < 0)


def _solved(
    tracks: Tracks,
    groups: Codes,
    pins: Codes,
    shares: Floats,
    settings: SplitsSection,
    *,
    seed: int | None = None,
    measured: Mask | None = None,
    start: Codes | None = None,
) -> Codes:
    """The split of each row, -1 where `groups` is.

    Args:
        groups: int64 (rows,); pins: int64 (groups,); start: int64 (rows,), splits to begin with.
    """
    rows = np.flatnonzero(groups >= 0)
    where = np.full(len(groups), -1, np.int64)
    if not len(rows):
        return where
    numbers, component = np.unique(groups[rows], return_inverse=True)
    firsts = rows[first_rows(component)]
    chosen = stratified_groups(
        component,
        tracks.labels.of(rows),
        tracks.ids.take(pa.array(firsts)).to_pylist(),
        shares,
        seed=settings.seed if seed is None else seed,
        effort=settings.effort,
        pinned=pins[numbers],
        measured=measured,
        start=None if start is None else start[firsts],
    )
    where[rows] = chosen[component]
    return where


def _mended(
    tracks: Tracks, ties: Ties, where: Codes, shares: Floats, settings: SplitsSection, fixed: Mask
) -> tuple[Codes, list[str]]:
    """Search again without the candidates that will leave: groups that have none move, so that sizes are right."""
    titles = np.where(where >= 0, tracks.titles, -1)
    leaving = crossing(titles, tracks.moments, where, _roles(shares), fixed)
    if leaving.sum() * _MENDED_PART < (where >= 0).sum():
        return where, []
    one, other = candidate_links(titles, tracks.moments)
    tied = ties.groups[one] != ties.groups[other]
    pins, bound = ties.pins.copy(), np.unique(ties.groups[np.concatenate([one[tied], other[tied]])])
    pins[bound] = where[_first_of(ties.groups, len(pins))][bound]
    groups = np.where(leaving, -1, ties.groups)
    again = _solved(tracks, groups, pins, shares, settings, start=where)
    # Those that leave stay where they are until it is said why.
    again[leaving] = where[leaving]
    return again, []


def _first_of(groups: Codes, count: int) -> Codes:
    first = np.zeros(count, np.int64)
    rows = np.flatnonzero(groups >= 0)[::-1]
    first[groups[rows]] = rows
    return first


def _carved(
    tracks: Tracks,
    ties: Ties,
    where: Codes,
    share: float,
    valid: int,
    kept: Codes,
    settings: SplitsSection,
    seed: int,
) -> Codes:
    """Move whole groups of the first split, `share` of its rows, into the split number `valid`."""
    rows = where == 0
    groups = np.where(rows, ties.groups, -1)
    if not rows.any():
        return where
    # What was kept in two splits lies in groups of its own; one that holds both stays in the first.
    pins = np.full(len(ties.pins), -1, np.int64)
    moved, stayed = rows & (kept == valid), rows & (kept >= 0) & (kept != valid)
    pins[groups[moved]] = 1
    pins[groups[stayed]] = 0
    if ties.unknown >= 0:
        pins[ties.unknown] = 0
    inner = _solved(tracks, groups, pins, np.array([1 - share, share]), settings, seed=seed)
    return np.where(inner == 1, valid, where)


def _roles(shares: Floats) -> list[int]:
    """Splits from the largest to the smallest; of two alike the first comes first."""
    return [int(split) for split in np.argsort(-np.round(shares, 9), kind="stable")]


def _settled(tracks: Tracks, where: Codes, shares: Floats, labelled: Mask, gone: Mask, held: _Kept) -> _Settled:
    """What the search leaves open: nobody's tracks that credit somebody, candidates, and the unlabelled."""
    leaving = _against_kept(tracks, where, held)
    where = np.where(held.codes >= 0, held.codes, where)
    where[list(leaving)] = -1
    nobody = tracks.unknown
    credited = where[tracks.credit_rows]
    measured = np.zeros(len(tracks.artist_ids), np.bool_)
    measured[tracks.artists[where > 0]] = True
    measured[tracks.credit_artists[credited > 0]] = True
    if nobody >= 0:
        # Nobody's tracks are learnt from, unless some are kept where it is measured.
        measured[nobody] = bool((held.codes[tracks.artists == nobody] > 0).any())
    lies = np.zeros((len(tracks.artist_ids), len(shares)), np.bool_)
    lies[tracks.artists[where >= 0], where[where >= 0]] = True
    rows, artists = tracks.credit_rows, tracks.credit_artists
    by_nobody = (tracks.artists[rows] == nobody) & ~held.given[rows]
    for crosses, how in (
        (measured[artists] & (where[rows] == 0), "measured on"),
        # Only beside kept tracks of nobody; the last column is read for -1, and not used.
        ((where[rows] > 0) & (lies.sum(axis=1)[artists] > lies[artists, where[rows]]), "in another split"),
    ):
        tied = by_nobody & crosses
        for row, artist in zip(rows[tied].tolist(), artists[tied].tolist(), strict=True):
            why = f"by an unknown artist, it credits {tracks.named([artist])}, whose tracks are {how}"
            leaving.setdefault(row, (Reason.BRIDGES_ARTISTS, why))
    staying = where.copy()
    staying[list(leaving)] = -1
    crossed = np.flatnonzero(crossing(tracks.titles, tracks.moments, staying, _roles(shares), held.given))
    for row in crossed.tolist():
        who = tracks.named([int(tracks.artists[row])])
        why = f"a track of another split has its title and its duration within a second; it is by {who}"
        leaving[row] = (Reason.RECORDING_CANDIDATE, why)
    staying[crossed] = -1

    recordings = np.zeros(int(tracks.recordings.max(initial=-1)) + 1, np.bool_)
    recordings[tracks.recordings[staying > 0]] = True
    bare = ~labelled & ~gone & ~held.given
    blocked = measured[tracks.artists] | recordings[tracks.recordings]
    blocked[tracks.credit_rows[measured[tracks.credit_artists]]] = True
    blocked |= has_candidate(tracks.titles, tracks.moments, bare, staying > 0)
    return _Settled(leaving, bare & ~blocked)


def _against_kept(tracks: Tracks, where: Codes, held: _Kept) -> dict[int, Why]:
    """New tracks that share an artist or a recording with tracks that are kept in another split."""
    if not held.given.any():
        return {}
    every = np.arange(tracks.count)
    leaving: dict[int, Why] = {}
    by_artist = (np.append(every, tracks.credit_rows), np.append(tracks.artists, tracks.credit_artists))
    for rows, keys in (by_artist, (every, tracks.recordings)):
        bound = bound_groups(keys, held.codes[rows], int(keys.max(initial=-1)) + 1)[keys]
        torn = (bound != FREE) & (bound != where[rows]) & (where[rows] >= 0) & ~held.given[rows]
        for row in rows[torn].tolist():
            why = f"{tracks.named([int(tracks.artists[row])])} or the recording is kept in another split"
            leaving.setdefault(row, (Reason.ARTIST_IN_TWO_SPLITS, why))
    return leaving


def _text(where: Codes, names: tuple[str, ...], held: _Kept, students: Mask) -> pa.Array:
    numbers = np.where(where >= 0, where, np.where(students, len(names), len(names) + 1))
    made = pa.array([*names, "student", "none"], pa.string()).take(pa.array(numbers))
    return pc.coalesce(held.text, made)


def _student_notes(held: _Kept, settled: _Settled, where: Codes, tracks: Tracks, gone: Mask) -> list[str]:
    notes = []
    reasons = [reason for reason, _ in settled.leaving.values()]
    candidates = reasons.count(Reason.RECORDING_CANDIDATE)
    if candidates:
        notes.append(f"{candidates} tracks may be recordings that lie in another split: they are in none")
    unknown = reasons.count(Reason.BRIDGES_ARTISTS)
    if unknown:
        notes.append(f"{unknown} tracks by unknown artists credit artists who are measured on: they are in none")
    if held.listed:
        new, here = int((~held.given & ~gone).sum()), int(held.given.sum())
        absent = held.listed - here
        notes.append(
            f"{here} {KEEP_NOTE}, {new} are new"
            + (f"; {absent} of the {held.listed} that are kept are not here" if absent else "")
        )
    if held.given.any():
        kept = np.where(held.given, where, -1)
        old = crossing(tracks.titles, tracks.moments, kept, range(int(kept.max(initial=0)) + 1), kept < 0)
        if old.any():
            notes.append(f"{int(old.sum())} tracks that keep their splits may be recordings of another split")
    return notes


def _notes_on_balance(
    tracks: Tracks, ties: Ties, where: Codes, shares: Floats, names: tuple[str, ...]
) -> list[str]:
    """How near the splits are to the best there can be, and which tags could not be split fairly."""
    rows = np.flatnonzero(where >= 0)
    labels = tracks.labels.of(rows)
    counts, sizes = counted(labels, where[rows], len(names))
    if not counts.any():
        return []
    group = np.unique(ties.groups[rows], return_inverse=True)[1]
    owner, columns, values, width = group_counts(group, labels)
    bound = label_distance_bound(columns, values, width - 1, sizes)
    reached = label_distance(counts, sizes)
    notes = [f"label distance {reached:.6f}; no split of these sizes that tears no group is below {bound:.6f}"]
    pins = ties.pins[np.unique(ties.groups[rows])]
    short = lacking(counts, shares, FAIR_SHARE) & (counts.sum(axis=0) > 0)
    impossible: list[str] = []
    missed: list[str] = []
    for label in np.flatnonzero(short.any(axis=0)).tolist():
        mine = columns == label
        fair = can_be_fair(values[mine].astype(np.int64), pins[owner[mine]], shares, FAIR_SHARE)
        where_short = " and ".join(names[split] for split in np.flatnonzero(short[:, label]))
        told = f"{labels.names[label]!r} in {where_short} ({int(mine.sum())} groups of artists)"
        (impossible if fair is False else missed).append(told)
    part = f"{FAIR_SHARE:.0%} of their fair share"
    if impossible:
        listed = shown(impossible, len(impossible))
        notes.append(f"{len(impossible)} tags have less than {part}, for their artists allow no more: {listed}")
    if missed:
        listed = shown(missed, len(missed))
        notes.append(f"{len(missed)} tags have less than {part}, which was not found for all at once: {listed}")
    return notes
