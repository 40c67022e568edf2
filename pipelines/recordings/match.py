"""Finds fingerprints of one recording among many, without comparing each with each.

Sub-fingerprints that two tracks have in common vote for the pair and for the offset between them; the best offset
of a pair with votes enough is then verified by the share of bits that differ over the whole overlap.

The hashes may lie on a disk: they are gone over from first to last for a part of their values at a time, each held
with the frames around it. The tracks of pairs are read again, some at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numba import njit

from pipelines.progress import beat
from pipelines.recordings.spool import Frames, Spool

Hashes = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]

BITS = 32
# Unrelated tracks have at most one or two sub-fingerprints in common at one offset, re-encoded ones ten and more.
MIN_VOTES = 3
# Of equal sub-fingerprints each is paired with so many that follow: all of them, but in a crowd, where neighbours
# of neighbours make the group.
NEIGHBOURS = 16
# Nearly all bits equal is a rest or a steady tone, which says nothing.
_FEWEST_BITS = 4
# A hash that two tracks have by chance stands among others: so many frames before and behind are looked at.
_AROUND, _AROUND_ERROR = 8, 0.35
# So many hashes are sorted at a time, each with the frames around it: 90 bytes a hash, however many there are.
PART_HASHES = 4_000_000
# So many are read at a time, and so many are of the pairs that are verified at a time.
READ_HASHES = 4_000_000
# Values are divided among the parts by so many of their bits.
_BIN_BITS = 16
# Votes are counted by so many ranges of tracks, several together where they are few.
_TRACK_BINS = 4_096
_OFFSETS = 1 << 16


@dataclass(frozen=True)
class Matches:
    """Pairs of tracks that are one recording; every array is (pairs,), in the order of (one, other).

    Attributes:
        one, other: int64, numbers of the tracks, one < other.
        shift: int64 frames: frame f of `one` sounds as frame f + shift of `other`.
        error: float64, the share of bits that differ.
        overlap: int64, frames that were compared.
    """

    one: Numbers
    other: Numbers
    shift: Numbers
    error: npt.NDArray[np.float64]
    overlap: Numbers


def match(hashes: Frames, starts: Numbers, *, max_error: float, min_overlap: int) -> Matches:
    """Find the pairs.

    Args:
        hashes: uint32 (frames of all tracks,), track after track.
        starts: int64 (tracks + 1,), where each track begins in `hashes`; none has 32,768 frames or more.
        max_error: the largest share of differing bits.
        min_overlap: frames that both must have in common, rests not counted.
    """
    pairs, shifts = _voted(hashes, starts)
    one, other = pairs // len(starts), pairs % len(starts)
    errors, overlaps, shifts = _verify(hashes, starts, one, other, shifts)
    kept = (errors <= max_error) & (overlaps >= min_overlap)
    return Matches(one[kept], other[kept], shifts[kept], errors[kept], overlaps[kept])


def united(said: Numbers, one: Numbers, other: Numbers) -> Numbers:
    """Unite rows that share a number, or that a pair names: int64 (rows,), the first row of each row's component.

    Args:
        said: int64 (rows,); one, other: int64 (pairs,), rows.
    """
    _, first, inverse = np.unique(said, return_index=True, return_inverse=True)
    parent = np.arange(len(said))
    _unite(parent, first[inverse].astype(np.int64), np.arange(len(said)))
    _unite(parent, one, other)
    return parent


def best_partners(matches: Matches, tracks: int) -> Numbers:
    """For each track the place in `matches` of its most similar partner, the first of equal ones; -1 without."""
    places = np.arange(len(matches.one))
    rows, where = np.concatenate([matches.one, matches.other]), np.concatenate([places, places])
    order = np.lexsort((where, -matches.overlap[where], matches.error[where], rows))
    found = np.full(tracks, -1, np.int64)
    distinct, first = np.unique(rows[order], return_index=True)
    found[distinct] = where[order[first]]
    return found


def _voted(hashes: Frames, starts: Numbers) -> tuple[Numbers, Numbers]:
    """The pairs that have votes enough, in order, and the best offset of each.

    Votes, each as pair * 2^16 + offset, come by the values of hashes and are counted by the tracks of pairs;
    between the two they lie in scratch, where each part is in order.
    """
    values = np.zeros(1 << _BIN_BITS, np.int64)
    for first, last in _read_at_once(starts):
        beat()
        _count(hashes[starts[first] : starts[last]], values)
    tracks = np.linspace(0, len(starts) - 1, _TRACK_BINS + 1).astype(np.uint64)
    bounds = tracks * np.uint64(len(starts) * _OFFSETS)
    found = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    with Spool() as scratch:
        places = []
        for low, high in pairwise(_part_edges(values)):
            votes = np.sort(_part_votes(hashes, starts, low, high, int(values[low:high].sum())))
            # Two of the spool's numbers are a vote.
            places.append(len(scratch) + 2 * np.searchsorted(votes, bounds))
            scratch.append(votes.view(np.uint32))
        of_tracks = np.sum([np.diff(place) for place in places], axis=0) // 2
        for low, high in pairwise(_part_edges(of_tracks)):
            beat()
            some = [scratch[place[low] : place[high]] for place in places]
            found.append(_best_shifts(np.concatenate(some).view(np.uint64)))
    return np.concatenate([pairs for pairs, _ in found]), np.concatenate([shifts for _, shifts in found])


def _read_at_once(starts: Numbers) -> Iterator[tuple[int, int]]:
    """The first track and the one after the last, of tracks whose hashes are read together."""
    first, tracks = 0, len(starts) - 1
    while first < tracks:
        last = int(np.searchsorted(starts, starts[first] + READ_HASHES, side="right")) - 1
        last = max(first + 1, last)
        yield first, last
        first = last


def _part_edges(bins: Numbers) -> list[int]:
    """The first bin of each part, and the one after all; only a part of one bin has more than `PART_HASHES`."""
    edges, held = [0], 0
    for number, count in enumerate(bins.tolist()):
        if held and held + count > PART_HASHES:
            edges.append(number)
            held = 0
        held += count
    return [*edges, len(bins)]


def _part_votes(hashes: Frames, starts: Numbers, low: int, high: int, count: int) -> npt.NDArray[np.uint64]:
    """The votes of the hashes in the bins from `low` to before `high`, which are `count`."""
    owner, frame = np.empty(count, np.int32), np.empty(count, np.int32)
    around = np.empty((count, 2 * _AROUND + 1), np.uint32)
    filled = 0
    for first, last in _read_at_once(starts):
        beat()
        read = hashes[starts[first] : starts[last]]
        filled = _gather(read, starts, first, last, low, high, owner, frame, around, filled)
    order = np.argsort(around[:, _AROUND], kind="stable")
    return _pairs_of_equal(order, owner, frame, around, starts, len(starts), NEIGHBOURS)


@njit(cache=True, nogil=True)
def _bin_of(value: np.uint32) -> int:
    """The bin of a hash."""
    # By a multiple of the hash, whose high bits are even however those of the hashes are.
    mixed = (np.uint64(value) * np.uint64(2_654_435_761)) & np.uint64(0xFFFFFFFF)
    return np.int64(mixed >> np.uint64(BITS - _BIN_BITS))  # type: ignore[return-value] # compiled, it is an int


@njit(cache=True, nogil=True)
def _tells(value: np.uint32) -> bool:
    """Whether a hash is no rest and no steady tone."""
    bits = _differing(value, np.uint32(0))
    return bits >= _FEWEST_BITS and bits <= BITS - _FEWEST_BITS


@njit(cache=True, nogil=True)
def _count(hashes: Hashes, bins: Numbers) -> None:
    """Add to each bin how many of the hashes are its."""
    for value in hashes:
        if _tells(value):
            bins[_bin_of(value)] += 1


@njit(cache=True, nogil=True)
def _gather(
    hashes: Hashes,
    starts: Numbers,
    first: int,
    last: int,
    low: int,
    high: int,
    owner: npt.NDArray[np.int32],
    frame: npt.NDArray[np.int32],
    around: npt.NDArray[np.uint32],
    filled: int,
) -> int:
    """Put the hashes of tracks `first` to before `last` that are in the bins behind the first `filled`.

    `owner` and `frame` are (hashes,): the track of each, and its frame there. `around` is (hashes, 17): the frames
    around it, of which those outside the track say nothing. Returns how many are filled then.
    """
    for track in range(first, last):
        begin, end = starts[track] - starts[first], starts[track + 1] - starts[first]
        for place in range(begin, end):
            number = _bin_of(hashes[place])
            if number < low or number >= high or not _tells(hashes[place]):
                continue
            owner[filled], frame[filled] = track, place - begin
            for step in range(max(-_AROUND, begin - place), min(_AROUND, end - 1 - place) + 1):
                around[filled, _AROUND + step] = hashes[place + step]
            filled += 1
    return filled


@njit(cache=True, nogil=True)
def _pairs_of_equal(
    order: Numbers,
    owner: npt.NDArray[np.int32],
    frame: npt.NDArray[np.int32],
    around: npt.NDArray[np.uint32],
    starts: Numbers,
    base: int,
    neighbours: int,
) -> npt.NDArray[np.uint64]:
    """A key for each two frames of two tracks with one hash, whose surroundings are alike, too."""
    keys = np.empty(1024, np.uint64)
    count = 0
    for i in range(len(order)):
        a = order[i]
        one, at_one = owner[a], frame[a]
        behind_one = starts[one + 1] - starts[one] - 1 - at_one
        for j in range(i + 1, min(len(order), i + 1 + neighbours)):
            b = order[j]
            if around[a, _AROUND] != around[b, _AROUND]:
                break
            other, at_other = owner[b], frame[b]
            behind_other = starts[other + 1] - starts[other] - 1 - at_other
            before = min(_AROUND, at_one, at_other)
            behind = min(_AROUND, behind_one, behind_other)
            if one == other or not _alike(around[a], around[b], before, behind):
                continue
            if count == len(keys):
                larger = np.empty(2 * count, np.uint64)
                larger[:count] = keys
                keys = larger
            pair = np.uint64(one) * np.uint64(base) + np.uint64(other)
            shift = at_other - at_one + _OFFSETS // 2
            keys[count] = pair * np.uint64(_OFFSETS) + np.uint64(shift)
            count += 1
    return keys[:count].copy()


@njit(cache=True, nogil=True)
def _alike(one: Hashes, other: Hashes, before: int, behind: int) -> bool:
    """Whether at most `_AROUND_ERROR` of the bits differ so many frames before and behind the middle of both."""
    different = 0
    for step in range(_AROUND - before, _AROUND + behind + 1):
        different += _differing(one[step], other[step])
    alike: bool = different <= _AROUND_ERROR * 32 * (before + behind)
    return alike


@njit(cache=True, nogil=True)
def _differing(left: np.uint32, right: np.uint32) -> int:
    """How many bits of two hashes differ."""
    x = np.uint64(left ^ right)
    x = x - ((x >> np.uint64(1)) & np.uint64(0x55555555))
    x = (x & np.uint64(0x33333333)) + ((x >> np.uint64(2)) & np.uint64(0x33333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F)
    return int(((x * np.uint64(0x01010101)) & np.uint64(0xFFFFFFFF)) >> np.uint64(24))


def _best_shifts(votes: npt.NDArray[np.uint64]) -> tuple[Numbers, Numbers]:
    """The pairs with votes enough, and the offset for which most are, its neighbours counted in."""
    keys, counts = np.unique(votes, return_counts=True)
    near = counts.copy()
    beside = np.flatnonzero(np.diff(keys) == 1)
    near[beside] += counts[beside + 1]
    near[beside + 1] += counts[beside]
    kept = near >= MIN_VOTES
    pairs = (keys[kept] // np.uint64(_OFFSETS)).astype(np.int64)
    shifts = (keys[kept] % np.uint64(_OFFSETS)).astype(np.int64) - _OFFSETS // 2
    order = np.lexsort((shifts, -counts[kept], -near[kept], pairs))
    distinct, first = np.unique(pairs[order], return_index=True)
    return distinct, shifts[order[first]]


def _verify(
    hashes: Frames, starts: Numbers, one: Numbers, other: Numbers, shifts: Numbers
) -> tuple[npt.NDArray[np.float64], Numbers, Numbers]:
    """The errors, the frames compared, and the shift, of three neighbours, at which the error is least."""
    errors, overlaps = np.ones(len(one)), np.zeros(len(one), np.int64)
    exact = shifts.copy()
    lengths = np.diff(starts)
    ends = np.cumsum(lengths[one] + lengths[other])
    first = 0
    while first < len(one):
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + READ_HASHES, side="right")))
        some = slice(first, last)
        tracks, places = np.unique(np.concatenate([one[some], other[some]]), return_inverse=True)
        read = np.concatenate([hashes[starts[track] : starts[track + 1]] for track in tracks.tolist()])
        begins = np.append(0, np.cumsum(lengths[tracks]))
        left, right = places[: last - first], places[last - first :]
        for step in (0, -1, 1):
            beat()
            error, overlap = _errors(read, begins, left, right, shifts[some] + step)
            better = np.flatnonzero(error < errors[some])
            errors[first + better], overlaps[first + better] = error[better], overlap[better]
            exact[first + better] = shifts[first + better] + step
        first = last
    return errors, overlaps, exact


@njit(cache=True, nogil=True)
def _errors(
    hashes: Hashes, starts: Numbers, one: Numbers, other: Numbers, shifts: Numbers
) -> tuple[npt.NDArray[np.float64], Numbers]:
    errors, overlaps = np.ones(len(one)), np.zeros(len(one), np.int64)
    for n in range(len(one)):
        a, b, shift = one[n], other[n], shifts[n]
        frames_a, frames_b = starts[a + 1] - starts[a], starts[b + 1] - starts[b]
        different = 0
        compared = 0
        for frame in range(max(0, -shift), min(frames_a, frames_b - shift)):
            left, right = hashes[starts[a] + frame], hashes[starts[b] + frame + shift]
            if left == 0 and right == 0:  # a rest in both
                continue
            different += _differing(left, right)
            compared += 1
        if compared:
            errors[n] = different / (32 * compared)
            overlaps[n] = compared
    return errors, overlaps


@njit(cache=True, nogil=True)
def _unite(parent: Numbers, one: Numbers, other: Numbers) -> None:
    """Make `parent` say the first member of each node's component."""
    for n in range(len(one)):
        a, b = one[n], other[n]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        parent[max(a, b)] = min(a, b)
    for node in range(len(parent)):
        parent[node] = parent[parent[node]]
