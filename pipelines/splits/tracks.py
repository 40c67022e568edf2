"""What the splits need to know of tracks, as numbers: one entry a row, rows in the order of their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.splits.labels import Codes, Labels, as_array, labels_of, numbered
from pipelines.words import tidy, words_of
from schemas.errors import DataError
from schemas.order import row_order
from schemas.tables.tracks import UNKNOWN_ARTIST

COLUMNS = ("track_id", "artist_id", "collaborators", "artist_name", "title", "duration_s", "recording_id")
MICROSECONDS = 1_000_000
_LONGEST_S = 250_000
# What Unicode's tidying comes to for ASCII: see `pipelines.words`.
_UNSEEN = r"['`\x00-\x08\x0e-\x1b\x7f]"
_BETWEEN_WORDS = r"[^0-9a-z]+"


@dataclass(frozen=True)
class Tracks:
    """Tracks and what ties them.

    Attributes:
        ids: string (rows,), in order.
        artists: int64 (rows,), who made it.
        artist_ids, artist_names: string (artists,), by number; a name may be null.
        credit_rows, credit_artists: int64 (credits,), the other artists of a row; nobody is credited.
        recordings: int64 (rows,), equal for the same recording.
        titles: int64 (rows,), equal for equal titles, -1 where the title or the duration is not known.
        moments: int64 (rows,), the duration in microseconds.
        labels: of the rows.
        labelled: bool (rows,), whether there is something to learn.
    """

    ids: pa.Array
    artists: Codes
    artist_ids: pa.Array
    artist_names: pa.Array
    credit_rows: Codes
    credit_artists: Codes
    recordings: Codes
    titles: Codes
    moments: Codes
    labels: Labels
    labelled: npt.NDArray[np.bool_]

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.artists)

    @property
    def unknown(self) -> int:
        """The number of the artist who is nobody, or -1."""
        return int(pc.index(self.artist_ids, UNKNOWN_ARTIST).as_py())

    def named(self, artists: Sequence[int]) -> str:
        """Some artists for a person: their names in quotes, ids where there is no name."""
        shown = [self.artist_names[a].as_py() or self.artist_ids[a].as_py() for a in artists]
        return ", ".join(map(repr, shown))


def tracks_of(tracks: pa.Table, labels: pa.Table) -> Tracks:
    """Number the tracks that have a row in `labels`.

    Args:
        tracks: the columns `COLUMNS` of `schemas.tables.TRACKS`.
        labels: in the schema of `schemas.tables.LABELS`.

    Raises:
        DataError: a label of a track that is not there.
    """
    order = row_order(labels, ["track_id"]).rows
    labels = labels if order is None else labels.take(pa.array(order))
    ids = as_array(labels.column("track_id"))
    if not ids.equals(as_array(tracks.column("track_id"))):
        places = pc.index_in(ids, value_set=as_array(tracks.column("track_id")))
        if places.null_count:
            missing = ids.filter(pc.is_null(places))[0].as_py()
            raise DataError(f"labels: track {missing!r} is not in tracks; build both again")
        tracks = tracks.take(places)
    encoded = pc.dictionary_encode(as_array(tracks.column("artist_id")))
    lists = as_array(tracks.column("collaborators"))
    rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    credited = as_array(pc.list_flatten(lists))
    artist_ids = pc.unique(pa.concat_arrays([encoded.dictionary, credited])).drop_null()
    artists = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    credits = pc.fill_null(pc.index_in(credited, value_set=artist_ids), -1)
    codes = credits.to_numpy(zero_copy_only=False).astype(np.int64)
    nobody = int(pc.index(artist_ids, UNKNOWN_ARTIST).as_py())
    kept = (codes >= 0) & (codes != artists[rows]) & (codes != nobody)
    first = np.full(len(artist_ids), -1, np.int64)
    first[artists[::-1]] = np.arange(len(artists))[::-1]
    names = as_array(tracks.column("artist_name")).take(pa.array(first, mask=first < 0))
    titles, moments = _titles(as_array(tracks.column("title")), as_array(tracks.column("duration_s")))
    return Tracks(
        ids,
        artists,
        artist_ids,
        names,
        rows[kept],
        codes[kept],
        numbered(tracks.column("recording_id")),
        titles,
        moments,
        labels_of(labels.column("tags")),
        pc.is_valid(as_array(labels.column("caption"))).to_numpy(zero_copy_only=False),
    )


def title_words(titles: pa.Array) -> pa.Array:
    """Titles as they are compared: letters and digits without case and accents, version words kept; a title of
    signs alone keeps them. Most are ASCII, and done together."""
    plain = pc.fill_null(pc.string_is_ascii(titles), True)
    lower = pc.replace_substring_regex(pc.utf8_lower(titles), _UNSEEN, "")
    made = pc.utf8_trim_whitespace(pc.replace_substring_regex(lower, _BETWEEN_WORDS, " "))
    odd = pc.or_(pc.invert(plain), pc.and_(plain, pc.fill_null(pc.equal(made, ""), False)))
    places = np.flatnonzero(odd.to_numpy(zero_copy_only=False))
    if not len(places):
        return made
    encoded = pc.dictionary_encode(titles.take(pa.array(places)))
    words = [words_of(text := tidy(title)) or text for title in encoded.dictionary.to_pylist()]
    return pc.replace_with_mask(made, odd, pa.array(words, pa.string()).take(encoded.indices))


def _titles(titles: pa.Array, durations: pa.Array) -> tuple[Codes, Codes]:
    seconds = pc.fill_null(durations, np.nan).to_numpy(zero_copy_only=False)
    words = title_words(titles)
    known = pc.fill_null(pc.not_equal(words, ""), False).to_numpy(zero_copy_only=False)
    known = known & (seconds > 0) & (seconds < _LONGEST_S)
    codes = np.where(known, numbered(words), -1)
    return codes, np.round(np.where(known, seconds, 0) * MICROSECONDS).astype(np.int64)
