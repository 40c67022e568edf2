"""Which tracks belong together: by artist, collaboration, recording, and recordings that may be the same.

A collaboration or a recording that would make a group too large to place is not followed: the tracks that bridge it
leave. What may be the same recording is followed only while the group stays far smaller, for common titles
(`Intro`) tie everybody to everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.splits.candidates import candidate_links
from pipelines.splits.groups import FREE, TORN, bound_groups, by_first_row, join_sets, roots
from pipelines.splits.labels import Codes
from pipelines.splits.tracks import Tracks
from pipelines.stage import shown
from schemas.reasons import Reason

# A group above one part in so many of the tracks is bridged; one made by candidates is kept smaller still.
LARGEST_PART, LARGEST_CANDIDATE_PART = 100, 1000
SMALL = 10

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Ties:
    """What came of it.

    Attributes:
        groups: int64 (rows,), the group of each row, -1 for one that leaves or was not asked for.
        pins: int64 (groups,), the split that a group is bound to, or -1.
        leaving: by row, why it leaves.
        unknown: the group of nobody's tracks, or -1.
        notes: what a person should know.
    """

    groups: Codes
    pins: Codes
    leaving: dict[int, tuple[Reason, str]]
    unknown: int
    notes: list[str]


def tie(tracks: Tracks, rows: Mask, kept: Codes, names: tuple[str, ...]) -> Ties:
    """Group tracks.

    Args:
        rows: bool (all,), which are to be split.
        kept: int64 (all,), the split that a track has already and keeps, or -1.
        names: the splits; nobody's tracks are bound to the first.
    """
    counted = int(rows.sum())
    limit, small = max(SMALL, counted // LARGEST_PART), max(SMALL, counted // LARGEST_CANDIDATE_PART)
    artists, nobody = len(tracks.artist_ids), tracks.unknown
    sizes = np.bincount(tracks.artists[rows], minlength=artists)
    pins = bound_groups(tracks.artists, kept, artists)
    torn = pins == TORN
    if nobody >= 0 and pins[nobody] == FREE:
        pins[nobody] = 0
    sets = _sets(tracks, rows)
    whole = np.arange(artists)
    join_sets(whole, sizes.copy(), np.full(artists, FREE), sets.offsets, sets.members, len(rows) + 1)
    whole = roots(whole)
    parent, weight = np.arange(artists), sizes.copy()
    joined = join_sets(parent, weight, pins, sets.offsets, sets.members, limit)
    total = np.bincount(whole[tracks.artists[rows]], minlength=artists)

    leaving: dict[int, tuple[Reason, str]] = {}
    notes: list[str] = []
    for row in np.flatnonzero(rows & torn[tracks.artists] & (kept < 0)).tolist():
        artist = tracks.named([int(tracks.artists[row])])
        leaving[row] = (Reason.ARTIST_IN_TWO_SPLITS, f"tracks of {artist} are in several of the splits kept")
    if torn.any():
        new = f"{len(leaving)} new tracks of theirs are in none" if leaving else "none of their tracks is new"
        listed = shown(tracks.named([int(a)]) for a in np.flatnonzero(torn))
        notes.append(f"{int(torn.sum())} artists are in several of the splits kept ({listed}): {new}")
    found = roots(parent)
    bridging = _bridging(tracks, kept, sets, joined, found, weight)
    for row, members in bridging.items():
        if row not in leaving:
            size = int(total[whole[members[0]]])
            leaving[row] = (Reason.BRIDGES_ARTISTS, _why(tracks, members, size, limit, pins[found[members]], names))
    notes += _bridge_notes(tracks, rows, bridging, whole, total, limit)

    stays = rows.copy()
    stays[list(leaving)] = False
    notes += _join_candidates(tracks, stays & ~torn[tracks.artists], parent, weight, pins, small)
    found = roots(parent)
    keys = np.where(torn[tracks.artists] & (kept >= 0), artists + kept, found[tracks.artists])
    groups = np.full(len(rows), -1, np.int64)
    groups[stays] = by_first_row(keys[stays])
    bound = np.full(int(groups.max(initial=-1)) + 1, FREE, np.int64)
    pinned = np.where(keys >= artists, kept, pins[np.minimum(found[tracks.artists], artists - 1)])
    bound[groups[stays]] = pinned[stays]
    unknown = groups[stays & (tracks.artists == nobody)] if nobody >= 0 else groups[:0]
    return Ties(groups, bound, leaving, int(unknown[0]) if len(unknown) else -1, notes)


@dataclass(frozen=True)
class _Sets:
    """Artists tied by credits or recordings, strongest first: the more tracks would leave, the stronger."""

    offsets: Codes
    members: Codes
    rows: list[Codes]
    recordings: list[int]


def _sets(tracks: Tracks, rows: Mask) -> _Sets:
    found: list[tuple[int, int, tuple[int, ...], Codes, int]] = []
    used = rows[tracks.credit_rows] & (tracks.artists[tracks.credit_rows] != tracks.unknown)
    credited, others = tracks.credit_rows[used], tracks.credit_artists[used]
    places, starts = np.unique(credited, return_index=True)
    by_members: dict[tuple[int, ...], list[int]] = {}
    parts = np.split(others[np.argsort(credited, kind="stable")], starts[1:]) if len(places) else []
    for row, part in zip(places.tolist(), parts, strict=True):
        key = tuple(sorted({int(tracks.artists[row]), *part.tolist()}))
        by_members.setdefault(key, []).append(row)
    for key, listed in by_members.items():
        found.append((-len(listed), listed[0], key, np.array(listed, np.int64), -1))
    for recording, held in _shared_recordings(tracks, rows):
        artists, counts = np.unique(tracks.artists[held], return_counts=True)
        found.append((-int(counts.sum() - counts.max()), int(held[0]), tuple(artists.tolist()), held, recording))
    found.sort(key=lambda entry: (entry[0], entry[1], entry[4], entry[2]))
    ends = np.cumsum([0, *(len(entry[2]) for entry in found)]).astype(np.int64)
    members = np.array([artist for entry in found for artist in entry[2]], np.int64)
    return _Sets(ends, members, [entry[3] for entry in found], [entry[4] for entry in found])


def _shared_recordings(tracks: Tracks, rows: Mask) -> list[tuple[int, Codes]]:
    """Recordings of several artists, with their rows in order."""
    held = np.flatnonzero(rows)
    order = held[np.lexsort((held, tracks.recordings[held]))]
    recordings = tracks.recordings[order]
    starts = np.flatnonzero(np.r_[True, recordings[1:] != recordings[:-1]]) if len(order) else order
    artists = tracks.artists[order]
    several = np.minimum.reduceat(artists, starts) != np.maximum.reduceat(artists, starts) if len(order) else starts
    ends = np.r_[starts[1:], len(order)]
    return [(int(recordings[starts[i]]), order[starts[i] : ends[i]]) for i in np.flatnonzero(several)]


def _bridging(
    tracks: Tracks, kept: Codes, sets: _Sets, joined: Mask, found: Codes, weight: Codes
) -> dict[int, list[int]]:
    """The rows that leave, each with the artists whom it ties."""
    leaving: dict[int, list[int]] = {}
    refused = np.flatnonzero(~joined).tolist()
    for number in sorted(refused, key=lambda n: sets.recordings[n] >= 0):
        members = sets.members[sets.offsets[number] : sets.offsets[number + 1]].tolist()
        held = sets.rows[number]
        if sets.recordings[number] >= 0:
            held = np.array([row for row in held.tolist() if row not in leaving], np.int64)
            if not len(held):
                continue
            held = _apart_from_most(tracks, held, kept, found, weight)
        leaving.update((row, members) for row in held.tolist() if kept[row] < 0)
    return leaving


def _apart_from_most(tracks: Tracks, held: Codes, kept: Codes, found: Codes, weight: Codes) -> Codes:
    """Rows of a recording outside the group that holds most of it; what is kept counts more than any number."""
    groups = found[tracks.artists[held]]
    nobody = found[tracks.unknown] if tracks.unknown >= 0 else -1

    def rank(group: int) -> tuple[bool, bool, int, int, int]:
        mine = groups == group
        return bool((kept[held[mine]] < 0).all()), group == nobody, -int(mine.sum()), -int(weight[group]), group

    best = min(np.unique(groups).tolist(), key=rank)
    apart: Codes = held[groups != best]
    return apart


def _why(tracks: Tracks, members: list[int], size: int, limit: int, pins: Codes, names: tuple[str, ...]) -> str:
    bound = sorted({int(pin) for pin in pins if pin >= 0})
    named = tracks.named(members)
    if len(bound) > 1:
        return f"ties {named}, who are in {' and '.join(names[pin] for pin in bound)}"
    return f"ties {named} into a group of {size} tracks; one of more than {limit} is not made"


def _bridge_notes(
    tracks: Tracks, rows: Mask, bridging: dict[int, list[int]], whole: Codes, total: Codes, limit: int
) -> list[str]:
    by_group: dict[int, list[int]] = {}
    for row, members in sorted(bridging.items()):
        by_group.setdefault(int(whole[members[0]]), []).append(row)
    artists = np.bincount(whole[np.unique(tracks.artists[rows])], minlength=len(whole))
    notes = []
    for group in sorted(by_group, key=lambda g: (-total[g], g)):
        listed = by_group[group]
        ids = shown(repr(tracks.ids[row].as_py()) for row in listed)
        notes.append(
            f"a group of {total[group]} tracks by {artists[group]} artists (at most {limit} are one group) is "
            f"bridged by {len(listed)} tracks, which are in none: {ids}"
        )
    return notes


def _join_candidates(
    tracks: Tracks, rows: Mask, parent: Codes, weight: Codes, pins: Codes, limit: int
) -> list[str]:
    """Join groups that may share recordings, those first whose titles are the rarest and that share the most."""
    titles = np.where(rows, tracks.titles, -1)
    one, other = candidate_links(titles, tracks.moments)
    found = roots(parent)
    low = np.minimum(found[tracks.artists[one]], found[tracks.artists[other]])
    high = np.maximum(found[tracks.artists[one]], found[tracks.artists[other]])
    between = low != high
    if not between.any():
        return []
    one, low, high = one[between], low[between], high[between]
    held = np.bincount(titles[titles >= 0], minlength=int(titles.max()) + 1)
    pairs, place = np.unique(low * len(parent) + high, return_inverse=True)
    strength = np.bincount(place, 1.0 / (held[titles[one]] - 1))
    order = np.argsort(-strength, kind="stable")
    members = np.stack([pairs[order] // len(parent), pairs[order] % len(parent)], axis=1).ravel()
    joined = join_sets(parent, weight, pins, np.arange(len(pairs) + 1) * 2, members, limit)
    return [
        f"{len(one)} pairs of neighbours have equal titles within a second by different artists: "
        f"{int(joined.sum())} of {len(pairs)} pairs of groups were joined, groups staying below {limit + 1} tracks"
    ]
