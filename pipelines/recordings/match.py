"""Finds fingerprints of one recording among many, without comparing each with each.

Sub-fingerprints that two tracks have in common vote for the pair and for the offset between them; the best offset
of a pair with votes enough is then verified by the share of bits that differ over the whole overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numba import njit

from pipelines.progress import beat

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
# Hashes are sorted by parts, so that memory stays the same however many there are.
PART_HASHES = 16_000_000
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


def match(hashes: Hashes, starts: Numbers, *, max_error: float, min_overlap: int) -> Matches:
    """Find the pairs.

    Args:
        hashes: uint32 (frames of all tracks,), track after track.
        starts: int64 (tracks + 1,), where each track begins in `hashes`; none has 32,768 frames or more.
        max_error: the largest share of differing bits.
        min_overlap: frames that both must have in common, rests not counted.
    """
    votes = _votes(hashes, starts)
    pairs, shifts = _best_shifts(votes)
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


def _votes(hashes: Hashes, starts: Numbers) -> npt.NDArray[np.uint64]:
    """The votes, each as pair * 2^16 + offset."""
    bits = np.bitwise_count(hashes)
    telling = (bits >= _FEWEST_BITS) & (bits <= BITS - _FEWEST_BITS)
    # By a multiple of the hash, whose high bits are even however those of the hashes are.
    mixed = hashes * np.uint32(2_654_435_761)  # wraps: an odd factor keeps distinct hashes distinct
    parts = max(1, -(-len(hashes) // PART_HASHES))
    edges = np.linspace(0, 1 << 32, parts + 1).astype(np.int64)
    found = []
    for low, high in pairwise(edges.tolist()):
        beat()
        rows = np.flatnonzero(telling & (mixed >= low) & (mixed < high))
        order = rows[np.argsort(mixed[rows], kind="stable")]
        owner = np.searchsorted(starts, order, side="right") - 1
        found.append(_pairs_of_equal(hashes, order, owner, starts, len(starts), NEIGHBOURS))
    return np.concatenate(found)


@njit(cache=True, nogil=True)
def _pairs_of_equal(
    hashes: Hashes, order: Numbers, owner: Numbers, starts: Numbers, base: int, neighbours: int
) -> npt.NDArray[np.uint64]:
    """A key for each two frames of two tracks with one hash, whose surroundings are alike, too."""
    keys = np.empty(1024, np.uint64)
    count = 0
    for i in range(len(order)):
        a = order[i]
        for j in range(i + 1, min(len(order), i + 1 + neighbours)):
            b = order[j]
            if hashes[a] != hashes[b]:
                break
            one, other = owner[i], owner[j]
            if one == other or not _alike(hashes, starts, one, other, a, b):
                continue
            if count == len(keys):
                larger = np.empty(2 * count, np.uint64)
                larger[:count] = keys
                keys = larger
            pair = np.uint64(one) * np.uint64(base) + np.uint64(other)
            shift = (b - starts[other]) - (a - starts[one]) + _OFFSETS // 2
            keys[count] = pair * np.uint64(_OFFSETS) + np.uint64(shift)
            count += 1
    return keys[:count].copy()


@njit(cache=True, nogil=True)
def _alike(hashes: Hashes, starts: Numbers, one: int, other: int, a: int, b: int) -> bool:
    """Whether at most `_AROUND_ERROR` of the bits differ within `_AROUND` frames of two frames."""
    before = min(_AROUND, a - starts[one], b - starts[other])
    behind = min(_AROUND, starts[one + 1] - 1 - a, starts[other + 1] - 1 - b)
    different = 0
    for step in range(-before, behind + 1):
        different += _differing(hashes[a + step], hashes[b + step])
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
    hashes: Hashes, starts: Numbers, one: Numbers, other: Numbers, shifts: Numbers
) -> tuple[npt.NDArray[np.float64], Numbers, Numbers]:
    """The errors, the frames compared, and the shift, of three neighbours, at which the error is least."""
    errors, overlaps = np.ones(len(one)), np.zeros(len(one), np.int64)
    exact = shifts.copy()
    for step in (0, -1, 1):
        beat()
        error, overlap = _errors(hashes, starts, one, other, shifts + step)
        better = error < errors
        errors[better], overlaps[better], exact[better] = error[better], overlap[better], shifts[better] + step
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
