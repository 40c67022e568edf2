"""What a dataset learns from, held against other datasets: the audit beyond the directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.audit_scheme import LISTED
from pipelines.overlap import EVIDENCE, Found, Known, Overlap, SharedArtist
from schemas.tables import FOUND_ELSEWHERE


def against_datasets(dataset: Known, others: Sequence[Known]) -> tuple[list[dict[str, Any]], pa.Table]:
    """Hold what any scheme of a dataset learns from against other datasets.

    Returns:
        an entry of `against` for each of the others, and the rows of `found_elsewhere`.
    """
    entries, tables = [], [FOUND_ELSEWHERE.empty()]
    learnt = _learnt_by_scheme(dataset)
    here = dataset.learnt()
    for other in others:
        overlap = Overlap(dataset.tracks, dataset.kind, other)
        # All tracks are looked for: one that is learnt from may be the recording of one that is not.
        found, artists = overlap.tracks().of(here), overlap.artists(here)
        tables += [_track_rows(dataset, other, found, learnt), _artist_rows(other, artists, learnt)]
        measured = other.measured()[found.others]
        entries.append(
            {
                "name": other.name,
                "digest": other.digest,
                "tracks": other.tracks.num_rows,
                "comparable": overlap.comparable(),
                "schemes": [
                    _scheme(dataset, other, found, measured, artists, scheme, flags)
                    for scheme, flags in learnt.items()
                ],
            }
        )
    return entries, pa.concat_tables(tables)


def incomparable(entry: Mapping[str, Any]) -> str | None:
    """Why an entry of `against` says nothing, if it does not: no track of it could have been recognised."""
    if entry["comparable"]:
        return None
    return f"{entry['name']!r} cannot be compared: no ids, checksums of sound, or artists and titles in common"


def found_tracks(entry: dict[str, Any], scheme: str) -> int:
    """How many tracks of a scheme an entry of `against` counts."""
    return sum(row["found"]["count"] for row in entry["schemes"] if row["scheme"] == scheme)


def found_artists(entry: dict[str, Any], scheme: str) -> int:
    """How many artists of a scheme an entry of `against` counts."""
    return sum(row["artists"]["count"] for row in entry["schemes"] if row["scheme"] == scheme)


def _learnt_by_scheme(dataset: Known) -> dict[str, npt.NDArray[np.bool_]]:
    """By scheme, which tracks (rows,) any of its folds learns from."""
    assert dataset.splits is not None
    found = {}
    for scheme, names in dataset.learnt_from.items():
        flags = np.zeros(dataset.tracks.num_rows, np.bool_)
        inside = pc.is_in(dataset.splits.column("split"), value_set=pa.array(sorted(names)))
        kept = pc.and_(pc.equal(dataset.splits.column("scheme"), scheme), inside)
        flags[dataset.splits.filter(kept).column("row").to_numpy()] = True
        found[scheme] = flags
    return found


def _scheme(
    dataset: Known,
    other: Known,
    found: Found,
    measured: npt.NDArray[np.bool_],
    artists: Sequence[SharedArtist],
    scheme: str,
    flags: npt.NDArray[np.bool_],
) -> dict[str, Any]:
    here = flags[found.rows]
    order = np.lexsort((found.rows, found.by, ~found.exact, ~measured, ~here))[: min(LISTED, int(here.sum()))]
    places = other.places(found.others[order].tolist())
    ids, their_ids = dataset.tracks.column("track_id"), other.tracks.column("track_id")
    shared = [(artist, int(flags[artist.rows].sum())) for artist in artists]
    shared = [(artist, count) for artist, count in shared if count]
    return {
        "scheme": scheme,
        "found": {
            "count": int(here.sum()),
            "measured": int((here & measured).sum()),
            "exact": int((here & found.exact).sum()),
            "by": {
                name: int((here & (found.by == code)).sum())
                for code, name in enumerate(EVIDENCE)
                if (here & (found.by == code)).any()
            },
            "first": [
                {
                    "track": ids[int(found.rows[k])].as_py(),
                    "other": their_ids[int(found.others[k])].as_py(),
                    "splits": places[int(found.others[k])],
                    "by": EVIDENCE[found.by[k]],
                    "confidence": _confidence(bool(found.exact[k])),
                }
                for k in order.tolist()
            ],
        },
        "artists": {
            "count": len(shared),
            "first": [{"artist": artist.name, "tracks": count} for artist, count in shared[:LISTED]],
        },
    }


def _confidence(exact: bool) -> str:
    return "exact" if exact else "likely"


def _track_rows(dataset: Known, other: Known, found: Found, learnt: dict[str, npt.NDArray[np.bool_]]) -> pa.Table:
    places = other.places(found.others.tolist())
    count = len(found.rows)
    columns = {
        "dataset": [other.name] * count,
        "kind": ["track"] * count,
        "key": dataset.tracks.column("track_id").take(pa.array(found.rows)),
        "schemes": [[name for name, flags in learnt.items() if flags[row]] for row in found.rows.tolist()],
        "other": other.tracks.column("track_id").take(pa.array(found.others)),
        "other_splits": [places[row] for row in found.others.tolist()],
        "by": [EVIDENCE[code] for code in found.by.tolist()],
        "confidence": [_confidence(exact) for exact in found.exact.tolist()],
        "n_tracks": [1] * count,
    }
    return pa.table(columns, schema=FOUND_ELSEWHERE.schema)


def _artist_rows(
    other: Known, artists: Sequence[SharedArtist], learnt: dict[str, npt.NDArray[np.bool_]]
) -> pa.Table:
    places = other.places(artist.other for artist in artists)
    their_ids = other.tracks.column("track_id").to_pylist() if artists else []
    return FOUND_ELSEWHERE.from_rows(
        {
            "dataset": other.name,
            "kind": "artist",
            "key": artist.name,
            "schemes": [name for name, flags in learnt.items() if flags[artist.rows].any()],
            "other": their_ids[artist.other],
            "other_splits": places[artist.other],
            "by": artist.by,
            "confidence": "exact" if artist.by == "id" else "likely",
            "n_tracks": len(artist.rows),
        }
        for artist in artists
    )
