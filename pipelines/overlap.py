"""Which tracks of a dataset are in another one: by ids, by the digest of the sound, and by artist and title.

Million Song Dataset's tracks are in GTZAN and in MagnaTagATune, under other ids and other spellings; a model that
learnt from them has heard the music that it is then measured on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.recordings.known import with_recordings
from pipelines.sources.artists import artist_key
from pipelines.sources.base import has_published_ids
from pipelines.sources.collaborations import featured_in_title, is_nobody, members
from pipelines.titles import title_key
from schemas.digests import digest_of
from schemas.manifest import learnt_split
from schemas.receipt import Receipt, require_receipt
from schemas.store import Store
from schemas.tables import RECORDINGS, SPLITS, TRACKS
from schemas.tables.tracks import UNKNOWN_ARTIST

COLUMNS = (
    "track_id",
    "artist_id",
    "collaborators",
    "artist_name",
    "title",
    "duration_s",
    "audio_sha256",
    "recording_id",
)
# How a track was recognised, the surest first.
EVIDENCE = ("id", "audio", "recording", "name", "same_recording")
SECONDS_APART = 3.0
UNUSED = "none"
# What a model may learn from beside the first split of a scheme.
BESIDE_TRAIN = frozenset({"extra", "student"})

_READ = (TRACKS.filename, SPLITS.filename, RECORDINGS.filename)
_ID, _AUDIO, _RECORDING, _NAME, _SAME_RECORDING = range(len(EVIDENCE))
# Ids that nobody uses for something else: the Million Song Dataset's tracks and songs, MTG-Jamendo's tracks.
_UNMISTAKABLE = r"^(TR[A-Z]{5}[0-9A-F]{11}|SO[A-Z]{5}[0-9A-F]{11}|track_\d{7,8})$"
_DIGEST = r"^[0-9a-f]{64}$"

_artist_key = lru_cache(maxsize=1 << 20)(artist_key)

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Known:
    """What a dataset says of its tracks that another one can recognise.

    Attributes:
        name: as in its receipt.
        kind: of its source, or None when that is not known.
        digest: of what is known here; no path enters it.
        tracks: `COLUMNS` of all its tracks.
        splits: columns scheme, fold, split, and `row` of `tracks`; None for a dataset that has no splits.
        learnt_from: by scheme, the splits that models learn from.
    """

    name: str
    kind: str | None
    digest: str
    tracks: pa.Table
    splits: pa.Table | None
    learnt_from: Mapping[str, frozenset[str]]

    def used(self) -> Flags:
        """Tracks (rows,) that lie in a split of any scheme; all of them where there are no splits."""
        if self.splits is None:
            return np.ones(self.tracks.num_rows, np.bool_)
        return self._in(pc.not_equal(self.splits.column("split"), UNUSED))

    def measured(self) -> Flags:
        """Tracks (rows,) that lie in a split which some scheme measures on; all of them without splits."""
        if self.splits is None:
            return np.ones(self.tracks.num_rows, np.bool_)
        kept = pc.not_equal(self.splits.column("split"), UNUSED)
        for scheme, names in self.learnt_from.items():
            learnt = pc.is_in(self.splits.column("split"), value_set=pa.array(sorted(names)))
            kept = pc.and_(kept, pc.invert(pc.and_(pc.equal(self.splits.column("scheme"), scheme), learnt)))
        return self._in(kept)

    def learnt(self) -> Flags:
        """Tracks (rows,) that some scheme learns from; none of them without splits."""
        if self.splits is None:
            return np.zeros(self.tracks.num_rows, np.bool_)
        kept = pa.chunked_array([np.zeros(self.splits.num_rows, np.bool_)])
        for scheme, names in self.learnt_from.items():
            learnt = pc.is_in(self.splits.column("split"), value_set=pa.array(sorted(names)))
            kept = pc.or_(kept, pc.and_(pc.equal(self.splits.column("scheme"), scheme), learnt))
        return self._in(kept)

    def places(self, rows: Iterable[int]) -> dict[int, list[str]]:
        """Where tracks lie, as `scheme/split` in order; `no splits` where the dataset has none."""
        wanted = sorted(set(rows))
        if self.splits is None:
            return {row: ["no splits"] for row in wanted}
        table = self.splits.filter(pc.is_in(self.splits.column("row"), value_set=pa.array(wanted, pa.int64())))
        table = table.filter(pc.not_equal(table.column("split"), UNUSED))
        found: dict[int, set[str]] = {row: set() for row in wanted}
        columns = (table.column(name).to_pylist() for name in ("row", "scheme", "split"))
        for row, scheme, split in zip(*columns, strict=True):
            found[row].add(f"{scheme}/{split}")
        return {row: sorted(names) for row, names in found.items()}

    def _in(self, kept: pa.ChunkedArray) -> Flags:
        assert self.splits is not None
        flags = np.zeros(self.tracks.num_rows, np.bool_)
        flags[self.splits.filter(kept).column("row").to_numpy()] = True
        return flags


@dataclass(frozen=True)
class Found:
    """Tracks of one dataset that are in another; every array is (found,), in the order of the rows.

    Attributes:
        rows: of the tracks that were looked for; each at most once.
        others: the row of the other dataset's track; one that is measured on, where there is one.
        by: place in `EVIDENCE`.
        exact: False where only names say so and the durations do not, or are not known.
    """

    rows: Rows
    others: Rows
    by: npt.NDArray[np.int8]
    exact: Flags

    def of(self, wanted: Flags) -> Found:
        """Only those of the tracks with a flag (rows,)."""
        kept = wanted[self.rows]
        return Found(self.rows[kept], self.others[kept], self.by[kept], self.exact[kept])


@dataclass(frozen=True)
class SharedArtist:
    """An artist of both: its name here (its id where none is known), the rows here, a first row there."""

    name: str
    by: str
    rows: Rows
    other: int


def read_known(store: Store) -> Known:
    """Read another dataset.

    Raises:
        UsageError: there is no dataset.
        DataError: a table that its receipt lists is missing, damaged or of another version.
    """
    receipt = require_receipt(store)
    tracks = with_recordings(TRACKS.read(store, list(COLUMNS)), store, receipt)
    return known_of(receipt, tracks, SPLITS.read(store) if has_splits(receipt) else None)


def has_splits(receipt: Receipt) -> bool:
    """Whether the dataset's splits stand."""
    return SPLITS.filename in receipt.files()


def known_digest(receipt: Receipt) -> str:
    """Digest of what `read_known` reads, from the receipt alone; where the dataset lies is no part of it."""
    files = receipt.files()
    tables = [files[name].sha256 for name in _READ if name in files]
    return digest_of([receipt.name, _kind(receipt), sorted(learnt_splits(receipt.recipe, "default")), tables])


def _kind(receipt: Receipt) -> str | None:
    kind = (receipt.recipe.get("source") or {}).get("kind")
    return kind if isinstance(kind, str) else None


def known_of(receipt: Receipt, tracks: pa.Table, splits: pa.Table | None) -> Known:
    """What is known of a dataset, from its tables; tracks that `splits` names and `tracks` has not are left out."""
    indexed = None
    learnt_from = {}
    if splits is not None:
        row = pc.index_in(splits.column("track_id"), value_set=tracks.column("track_id").combine_chunks())
        indexed = splits.drop_columns(["track_id"]).append_column("row", row.cast(pa.int64()))
        indexed = indexed.filter(pc.is_valid(indexed.column("row")))
        schemes = sorted(pc.unique(splits.column("scheme")).to_pylist())
        learnt_from = {scheme: learnt_splits(receipt.recipe, scheme) for scheme in schemes}
    columns = tracks.select(list(COLUMNS))
    return Known(receipt.name, _kind(receipt), known_digest(receipt), columns, indexed, learnt_from)


def learnt_splits(recipe: Mapping[str, Any], scheme: str) -> frozenset[str]:
    """The splits of a scheme that models learn from: its `learnt_split`, `extra` and `student`."""
    ratios = (recipe.get("splits") or {}).get("ratios") if scheme == "default" else None
    return BESIDE_TRAIN | {learnt_split(ratios) if ratios else "train"}


class Overlap:
    """What two datasets have in common. Their artists' names are read once.

    Args:
        tracks: `COLUMNS` of all tracks of the dataset that is looked at.
        kind: of their source.
        other: where they are looked for.
    """

    def __init__(self, tracks: pa.Table, kind: str | None, other: Known) -> None:
        self._tracks, self._kind, self._other = tracks, kind, other
        self._measured = other.measured()
        self._our_names, self._their_names = _Names(tracks), _Names(other.tracks)
        self._our_names.look_for(self._their_names.whole)
        self._their_names.look_for(self._our_names.whole)

    def tracks(self) -> Found:
        """Tracks that are in the other dataset, in one of its splits (anywhere, where it has none).

        Ids count only where both mean the same by them: sources of one kind with published ids, or ids of a form
        that nobody else uses. Names are compared by artist (spelling, `feat.`, members of a collaboration) and
        title together; the title's version words are kept. A track of the same recording as one that was found is
        found.
        """
        candidates = _Candidates(self._other.tracks, self._other.used(), self._measured)
        ids = _id_form(self._kind, self._other.kind)
        parts = [
            _by_key(by, self._tracks.column(name), candidates, name, form)
            for by, name, form in (
                (_ID, "track_id", ids),
                (_AUDIO, "audio_sha256", _DIGEST),
                # Between sources of two kinds a recording's id says something only where it is a digest of sound.
                (_RECORDING, "recording_id", f"{ids}|{_DIGEST}"),
            )
        ]
        parts.append(_by_name(self._tracks, self._our_names, candidates, self._their_names))
        return _with_same_recordings(self._tracks, _surest(parts, self._measured))

    def comparable(self) -> dict[str, int]:
        """By each means that both datasets have, how many tracks of the other one can be recognised by it.

        Where it is empty, that nothing was found says nothing: one has names only, say, and the other none.
        """
        ids = _id_form(self._kind, self._other.kind)
        found = {}
        forms = (("id", "track_id", ids), ("audio", "audio_sha256", _DIGEST))
        for means, column, form in forms:
            ours, theirs = (_of_form(table.column(column), form) for table in (self._tracks, self._other.tracks))
            if ours.null_count < len(ours):
                found[means] = len(theirs) - theirs.null_count
        if self._our_names.titled():
            found["name"] = self._their_names.titled()
        return {means: count for means, count in found.items() if count}

    def artists(self, wanted: Flags) -> list[SharedArtist]:
        """Artists of the tracks with a flag (rows,) who also made a track that the other dataset measures on, in
        order of their names."""
        place_of: dict[str, int] = {}
        for row, key in sorted(self._their_names.entries(self._measured)):
            place_of.setdefault(key, row)
        found: dict[tuple[str, str], set[int]] = defaultdict(set)
        first: dict[tuple[str, str], int] = {}
        for row, key in self._our_names.entries(wanted, place_of):
            found["name", key].add(row)
            first["name", key] = place_of[key]
        if self._kind == self._other.kind and has_published_ids(self._kind):
            named = set().union(*found.values())
            their_id: dict[str, int] = {}
            for row, artist in _artist_ids(self._other.tracks, self._measured):
                their_id.setdefault(artist, row)
            for row, artist in _artist_ids(self._tracks, wanted):
                if artist in their_id and artist != UNKNOWN_ARTIST and row not in named:
                    found["id", artist].add(row)
                    first["id", artist] = their_id[artist]
        names = self._tracks.column("artist_name")
        shared = []
        for (by, key), place in sorted(found.items()):
            listed = sorted(place)
            name = names[listed[0]].as_py()
            shown = name if name is not None and _artist_key(name) == key else key
            shared.append(SharedArtist(shown, by, np.array(listed, np.int64), first[by, key]))
        return sorted(shared, key=lambda artist: (artist.name, artist.by, artist.other))


def _artist_ids(tracks: pa.Table, flags: Flags) -> Iterator[tuple[int, str]]:
    ids = tracks.column("artist_id").filter(pa.array(flags)).to_pylist()
    return zip(np.flatnonzero(flags).tolist(), ids, strict=True)


def _id_form(kind: str | None, other: str | None) -> str:
    return r"^.*$" if kind is not None and kind == other and has_published_ids(kind) else _UNMISTAKABLE


@dataclass(frozen=True)
class _Candidates:
    """Where tracks are looked for: `used` (rows,) are those that count, `measured` (rows,) are preferred."""

    tracks: pa.Table
    used: Flags
    measured: Flags


def _part(
    by: int, rows: Sequence[int] | Rows, others: Sequence[int] | Rows, exact: Sequence[bool] | Flags
) -> Found:
    return Found(
        np.asarray(rows, np.int64),
        np.asarray(others, np.int64),
        np.full(len(rows), by, np.int8),
        np.asarray(exact, np.bool_),
    )


def _by_key(by: int, left: pa.ChunkedArray, theirs: _Candidates, name: str, form: str) -> Found:
    """Rows whose keys, where they have the form, are equal."""
    order = np.lexsort((~theirs.measured, ~theirs.used))  # measured first: the first of equal keys counts
    order = order[: int(theirs.used.sum())]
    keys = _of_form(theirs.tracks.column(name), form).take(pa.array(order))
    place = pc.index_in(_of_form(left, form), value_set=keys, skip_nulls=True)
    rows = np.flatnonzero(pc.is_valid(place).to_numpy(zero_copy_only=False))
    others = order[place.drop_null().to_numpy(zero_copy_only=False)]
    return _part(by, rows, others, np.ones(len(rows), np.bool_))


def _of_form(values: pa.ChunkedArray, form: str) -> pa.Array:
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return pc.if_else(pc.match_substring_regex(array, form), array, pa.scalar(None, pa.string()))


class _Names:
    """The artists of tracks by key (`artist_key`); `look_for` adds members of collaborations who are known."""

    def __init__(self, tracks: pa.Table) -> None:
        names = pc.fill_null(tracks.column("artist_name"), "").combine_chunks()
        unknown = pc.equal(tracks.column("artist_id"), UNKNOWN_ARTIST).combine_chunks()
        encoded = pc.if_else(unknown, "", names).dictionary_encode()
        self._names: list[str] = encoded.dictionary.to_pylist()
        self._codes = encoded.indices.to_numpy(zero_copy_only=False)
        self._titles = tracks.column("title")
        self._keys = [set() if is_nobody(name) else {_artist_key(name)} for name in self._names]
        self._featured: list[tuple[int, str]] = []
        self.whole: set[str] = set().union(*self._keys)
        self._credit(tracks)

    def _credit(self, tracks: pa.Table) -> None:
        """Collaborators whose names other tracks of the dataset tell."""
        credited = tracks.column("collaborators")
        if credited.null_count == len(credited):
            return
        ids = tracks.column("artist_id").to_pylist()
        key_of = {}
        for artist, code in zip(ids, self._codes.tolist(), strict=True):
            if artist not in key_of and self._keys[code]:
                key_of[artist] = min(self._keys[code])
        lengths = pc.fill_null(pc.list_value_length(credited), 0).to_numpy()
        rows = np.repeat(np.arange(len(lengths)), lengths)
        listed = zip(rows.tolist(), pc.list_flatten(credited).to_pylist(), strict=True)
        self._featured += [(row, key_of[artist]) for row, artist in listed if artist in key_of]

    def titled(self) -> int:
        """How many tracks have both a title and an artist whose name is known."""
        named = np.array([bool(keys) for keys in self._keys], np.bool_)
        titles = pc.fill_null(pc.not_equal(self._titles, ""), False).to_numpy(zero_copy_only=False)
        return int((titles & named[self._codes]).sum()) if len(named) else 0

    def look_for(self, known: Collection[str]) -> None:
        """Credit the members of a name, and who is featured in a title, who are among the known keys."""
        for keys, name in zip(self._keys, self._names, strict=True):
            if keys:
                keys.update(members(name, known))
        hinted = pc.fill_null(pc.match_substring_regex(self._titles, r"(?i)[(\[]\s*(?:ft|feat)"), False)
        rows = np.flatnonzero(hinted.to_numpy(zero_copy_only=False)).tolist()
        for row in rows:
            featured = featured_in_title(self._titles[row].as_py(), known)
            self._featured += [(row, key) for key in featured]

    def entries(self, flags: Flags, wanted: Collection[str] | None = None) -> list[tuple[int, str]]:
        """(row, key) of every artist of the tracks with a flag (rows,); of `wanted` keys only, when given."""
        kept = [sorted(key for key in keys if wanted is None or key in wanted) for keys in self._keys]
        has = np.array([bool(keys) for keys in kept], np.bool_)
        rows = np.flatnonzero(flags & has[self._codes]) if len(has) else np.empty(0, np.int64)
        codes = self._codes[rows].tolist()
        found = [(row, key) for row, code in zip(rows.tolist(), codes, strict=True) for key in kept[code]]
        found += [(row, key) for row, key in self._featured if flags[row] and (wanted is None or key in wanted)]
        return found


def _by_name(ours: pa.Table, our_names: _Names, theirs: _Candidates, their_names: _Names) -> Found:
    """Rows with an artist in common and the same title. Titles are read only where the artists agree."""
    right = their_names.entries(theirs.used)
    left = our_names.entries(np.ones(ours.num_rows, np.bool_), {key for _, key in right})
    artists = {key for _, key in left}
    right = [(row, key) for row, key in right if key in artists]
    our_titles = _titles(ours, (row for row, _ in left))
    their_titles = _titles(theirs.tracks, (row for row, _ in right))
    our_seconds, their_seconds = _seconds(ours), _seconds(theirs.tracks)
    holding: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row, artist in right:
        if their_titles[row]:
            holding[artist, their_titles[row]].add(row)
    found: dict[int, tuple[bool, bool, int]] = {}
    for row, artist in left:
        for other in sorted(holding.get((artist, our_titles[row]), ())):
            near = abs(our_seconds[row] - their_seconds[other]) <= SECONDS_APART  # NaN, not known, is not near
            rank = (not theirs.measured[other], not near, other)
            found[row] = min(found.get(row, rank), rank)
    listed = sorted(found)
    return _part(_NAME, listed, [found[row][2] for row in listed], [not found[row][1] for row in listed])


def _titles(tracks: pa.Table, rows: Iterable[int]) -> dict[int, str]:
    wanted = sorted(set(rows))
    titles = pc.fill_null(tracks.column("title").take(pa.array(wanted, pa.int64())), "")
    encoded = titles.combine_chunks().dictionary_encode()
    # Without spaces, for one types `A.B.C.` and another `ABC`; the artist is the same.
    keys = [title_key(title).replace(" ", "") for title in encoded.dictionary.to_pylist()]
    return {row: keys[code] for row, code in zip(wanted, encoded.indices.to_pylist(), strict=True)}


def _seconds(tracks: pa.Table) -> list[float]:
    return pc.fill_null(tracks.column("duration_s"), float("nan")).to_pylist()  # type: ignore[no-any-return]


def _surest(parts: Sequence[Found], measured: Flags) -> Found:
    """Of all that was found for a row, what is measured on, then exact, then by the surest evidence."""
    rows = np.concatenate([part.rows for part in parts])
    others = np.concatenate([part.others for part in parts])
    by = np.concatenate([part.by for part in parts])
    exact = np.concatenate([part.exact for part in parts])
    order = np.lexsort((others, by, ~exact, ~measured[others], rows))
    first = order[np.unique(rows[order], return_index=True)[1]]
    return Found(rows[first], others[first], by[first], exact[first])


def _with_same_recordings(tracks: pa.Table, found: Found) -> Found:
    """Add the tracks whose recording is that of a track which was found."""
    if not len(found.rows):
        return found
    recordings = tracks.column("recording_id").combine_chunks()
    heard = recordings.take(pa.array(found.rows))
    place = pc.index_in(recordings, value_set=heard).to_numpy(zero_copy_only=False).astype(np.float64)
    place[found.rows] = np.nan
    rows = np.flatnonzero(~np.isnan(place))
    source = place[rows].astype(np.int64)
    added = _part(_SAME_RECORDING, rows, found.others[source], found.exact[source])
    order = np.argsort(np.concatenate([found.rows, added.rows]), kind="stable")
    joined = (np.concatenate([getattr(found, name), getattr(added, name)])[order] for name in Found.__annotations__)
    return Found(*joined)
