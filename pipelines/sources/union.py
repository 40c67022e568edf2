"""An artist is who made it, not an id: ids that share a name or another key (an MBID) are one artist.

Sources give ids and names as they have them. What is made of them here is the same for every source, so that no
split tears an artist apart because a database holds one twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources.artists import artist_key
from pipelines.sources.collaborations import featured_in_title, is_nobody, members
from schemas.tables.tracks import UNKNOWN_ARTIST

UNION_VERSION = 1
_NAMED = 3


@dataclass
class _Union:
    """Disjoint sets of artist ids; the id with the most tracks speaks for its set, then the first in order."""

    tracks: Counter[str]
    parent: dict[str, str] = field(default_factory=dict)

    def find(self, key: str) -> str:
        root = key
        while self.parent.get(root, root) != root:
            root = self.parent[root]
        while self.parent.get(key, key) != root:
            self.parent[key], key = root, self.parent[key]
        return root

    def join(self, first: str, second: str) -> bool:
        """Join two sets; return whether they were two."""
        one, other = sorted((self.find(first), self.find(second)), key=lambda key: (-self.tracks[key], key))
        self.parent[other] = one
        return one != other


def unite_artists(tracks: pa.Table, artist_keys: pa.Table | None = None) -> tuple[pa.Table, list[str]]:
    """Give every track the id of its united artist, and credit the other artists whom its name or title names.

    Args:
        tracks: in the schema of `tracks`; `collaborators` that the source gives are kept.
        artist_keys: columns artist_id and key.

    Returns:
        the tracks, in their order, and what a person should know. Tracks of nobody (`Various Artists`) have
        `UNKNOWN_ARTIST`, and `UNKNOWN_ARTIST` is joined with nobody.
    """
    if tracks.num_rows == 0:
        return tracks, []
    credits, rows = _credits(tracks)
    ids = [UNKNOWN_ARTIST if name is not None and is_nobody(name) else artist for artist, name, _ in credits]
    counts: Counter[str] = Counter()
    for artist, number in zip(ids, np.bincount(rows, minlength=len(ids)).tolist(), strict=True):
        counts[artist] += number
    union = _Union(counts)
    by_name = _join_equal(
        union, ((artist_key(name), a) for a, (_, name, _) in zip(ids, credits, strict=True) if name)
    )
    by_key = 0
    if artist_keys is not None:
        pairs = zip(artist_keys.column("key").to_pylist(), artist_keys.column("artist_id").to_pylist(), strict=True)
        by_key = _join_equal(union, ((key, artist) for key, artist in pairs if artist in counts))

    owner: dict[str, str] = {}
    for artist, (_, name, _) in zip(ids, credits, strict=True):
        if name and artist != UNKNOWN_ARTIST:
            owner.setdefault(artist_key(name), union.find(artist))
    given = _given_collaborators(tracks)
    others: list[list[str]] = []
    for artist, (_, name, title) in zip(ids, credits, strict=True):
        named = [*members(name, owner), *featured_in_title(title, owner)] if name is not None else []
        if name is None and title:
            named = featured_in_title(title, owner)
        others.append(sorted({owner[key] for key in named} - {union.find(artist), UNKNOWN_ARTIST}))
    united = tracks.set_column(
        tracks.column_names.index("artist_id"),
        tracks.schema.field("artist_id"),
        pa.array([union.find(artist) for artist in ids], pa.string()).take(pa.array(rows)),
    )
    place = united.column_names.index("collaborators")
    united = united.set_column(
        place, tracks.schema.field("collaborators"), _collaborators(ids, others, rows, given, union)
    )
    return united, _notes(credits, ids, rows, union, by_name, by_key, others)


def _credits(tracks: pa.Table) -> tuple[list[tuple[str, str | None, str]], npt.NDArray[np.int64]]:
    """The distinct (artist id, name, title where it credits somebody), and for each track which of them it has."""
    title = tracks.column("title")
    crediting = pc.fill_null(pc.match_substring_regex(title, r"(?i)[(\[]\s*(?:feat|ft)"), False)
    titles = pc.if_else(crediting, title, pa.scalar("", pa.string()))
    codes, room = np.zeros(tracks.num_rows, np.int64), 1
    parts: list[tuple[list[Any], npt.NDArray[np.int64]]] = []
    for column in (tracks.column("artist_id"), tracks.column("artist_name"), titles):
        column = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
        encoded = pc.dictionary_encode(pa.concat_arrays(column.chunks), null_encoding="encode")
        values = encoded.dictionary.to_pylist()
        index = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        parts.append((values, index))
        if room * len(values) >= 1 << 63:  # the product would not fit
            codes, first = _numbered(codes)
            room = len(first)
        codes, room = codes * max(1, len(values)) + index, room * max(1, len(values))
    rows, first = _numbered(codes)
    ids, names, said = ([values[index[row]] for row in first.tolist()] for values, index in parts)
    return list(zip(ids, names, said, strict=True)), rows


def _numbered(codes: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Each code's place among those that occur, in order; and the first row of each. Of a million tracks few are
    distinct, so they are hashed before they are sorted."""
    encoded = pa.array(codes).dictionary_encode()
    order = np.argsort(encoded.dictionary.to_numpy())
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    rows = place[encoded.indices.to_numpy()]
    first = np.empty(len(order), np.int64)
    first[rows[::-1]] = np.arange(len(rows))[::-1]
    return rows, first


def _join_equal(union: _Union, pairs: Iterable[tuple[str, str]]) -> int:
    """Join ids of one key; return how many ids stopped being an artist of their own."""
    first: dict[str, str] = {}
    joined = 0
    for key, artist in pairs:
        if key and artist != UNKNOWN_ARTIST:
            joined += union.join(first.setdefault(key, artist), artist)
    return joined


def _given_collaborators(tracks: pa.Table) -> pa.ChunkedArray | None:
    column = tracks.column("collaborators")
    return None if column.null_count == len(column) else column


def _collaborators(
    ids: Sequence[str],
    others: Sequence[list[str]],
    rows: npt.NDArray[np.int64],
    given: pa.ChunkedArray | None,
    union: _Union,
) -> pa.Array:
    named = pa.array([listed or None for listed in others], pa.list_(pa.string()))
    made = named.take(pa.array(rows))
    if given is None:
        return made
    merged = []
    for row, said, listed in zip(rows.tolist(), made.to_pylist(), given.to_pylist(), strict=True):
        own = {UNKNOWN_ARTIST, union.find(ids[row])}
        merged.append(sorted({union.find(artist) for artist in (*(said or ()), *(listed or ()))} - own) or None)
    return pa.array(merged, pa.list_(pa.string()))


def _notes(
    credits: Sequence[tuple[str, str | None, str]],
    ids: Sequence[str],
    rows: npt.NDArray[np.int64],
    union: _Union,
    by_name: int,
    by_key: int,
    others: Sequence[list[str]],
) -> list[str]:
    notes = []
    known = set(ids) - {UNKNOWN_ARTIST}
    united = {union.find(artist) for artist in known}
    if len(united) < len(known):
        names: dict[str, set[str]] = defaultdict(set)
        for artist, (_, name, _) in zip(ids, credits, strict=True):
            names[union.find(artist)].add(name or artist)
        merged = Counter(union.find(artist) for artist in known)
        most = sorted((root for root, n in merged.items() if n > 1), key=lambda root: (-merged[root], root))
        shown = "; ".join(" = ".join(sorted(names[root])[:_NAMED]) for root in most[:_NAMED])
        notes.append(
            f"{len(known)} artist ids are {len(united)} artists: {by_name} joined by name, {by_key} by another "
            f"key, such as {shown}"
        )
    tracks = np.bincount(rows, minlength=len(ids))
    crediting = int(sum(n for n, listed in zip(tracks.tolist(), others, strict=True) if listed))
    if crediting:
        notes.append(f"{crediting} tracks credit other artists who have tracks of their own: they stay together")
    nobody = sum(
        n
        for n, artist, (was, _, _) in zip(tracks.tolist(), ids, credits, strict=True)
        if artist == UNKNOWN_ARTIST and was != UNKNOWN_ARTIST
    )
    if nobody:
        notes.append(f"{nobody} tracks are by various or unknown artists: one group, kept in the first split")
    return notes
