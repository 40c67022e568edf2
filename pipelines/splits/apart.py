"""Staying apart from other datasets: tracks that are in one of them leave the splits."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipelines.locations import store_at
from pipelines.overlap import EVIDENCE, Known, Overlap, known_digest, read_known
from schemas.digests import digest_of
from schemas.errors import UsageError
from schemas.reasons import Reason
from schemas.receipt import require_receipt
from schemas.store import Store

APART_FROM = "splits.apart_from"
APART_VERSION = 1


def other_datasets(paths: Sequence[str], base: str | None, out: Store) -> list[Store]:
    """The datasets that a manifest names under `splits.apart_from`.

    Args:
        base: the folder that relative paths start from.
        out: the dataset itself, which cannot stay apart from itself.

    Raises:
        UsageError: one of them is no dataset, or is the dataset itself.
    """
    stores = []
    for path in paths:
        store = store_at(path, base, APART_FROM)
        if store.full("x") == out.full("x"):
            raise UsageError(f"{APART_FROM}: {path} is the dataset itself")
        try:
            require_receipt(store)
        except UsageError as error:
            raise UsageError(f"{APART_FROM}: {error}") from error
        stores.append(store)
    return stores


def digest_of_others(others: Sequence[Store]) -> str:
    """Digest of what the datasets hold, from their receipts, whatever their order. No path enters it.

    Raises:
        UsageError: one of them is no dataset.
    """
    return digest_of([APART_VERSION, sorted({known_digest(require_receipt(store)) for store in others})])


def contaminated(
    tracks: pa.Table, others: Sequence[Store], kind: str | None = None
) -> dict[str, tuple[Reason, str]]:
    """Tracks that are in a split of another dataset, whichever it is; those in its `none` do not count.

    Args:
        tracks: of `schemas.tables.TRACKS`, at least the columns `pipelines.overlap.COLUMNS`.
        kind: of their source; without it ids are compared only where their form is unmistakable.

    Returns:
        by track id, in the order of `tracks`, the reason and which track of which dataset it is. It does not
        depend on the order of `others`.

    Raises:
        UsageError: one of the others is no dataset.
        DataError: a table of it is missing or damaged.
    """
    found: dict[int, str] = {}
    for known in sorted((read_known(store) for store in others), key=lambda other: (other.name, other.digest)):
        for row, detail in _found_in(tracks, kind, known):
            found.setdefault(row, detail)
    ids = tracks.column("track_id")
    return {ids[row].as_py(): (Reason.CONTAMINATED, found[row]) for row in sorted(found)}


def _found_in(tracks: pa.Table, kind: str | None, known: Known) -> list[tuple[int, str]]:
    found = Overlap(tracks, kind, known).tracks()
    places = known.places(found.others.tolist())
    ids = known.tracks.column("track_id").take(pa.array(found.others)).to_pylist()
    details = []
    for other, id_, by, exact in zip(
        found.others.tolist(), ids, found.by.tolist(), found.exact.tolist(), strict=True
    ):
        sure = "" if exact else "likely, "
        how = EVIDENCE[by].replace("_", " ")
        details.append(f"in {known.name}: {id_!r} ({', '.join(places[other])}), {sure}by {how}")
    return list(zip(found.rows.tolist(), details, strict=True))
