"""The fixed retrieval pairs (TTMR 3.3): drawn once, so that every model answers the same queries."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from schemas.digests import stable_hash
from schemas.manifest import PairsSection
from schemas.tables import PAIRS

# The scheme that published pairs belong to.
_PUBLISHED = "published"


def pairs_of_schemes(
    splits: pa.Table, labels: pa.Table, section: PairsSection, published: pa.Table | None = None
) -> tuple[pa.Table, list[str]]:
    """The pairs of every scheme and fold that has the split which is measured.

    Args:
        splits: of `schemas.tables.SPLITS`.
        labels: of `schemas.tables.LABELS`, at least track_id and caption.
        published: of `schemas.tables.PUBLISHED_PAIRS`; they are those of the scheme `published`.

    Returns:
        a table of `schemas.tables.PAIRS`, and what a person should know of the draws.
    """
    measured = splits.filter(pc.equal(splits.column("split"), section.split))
    wanted = pc.is_in(labels.column("track_id"), value_set=measured.column("track_id").combine_chunks())
    captioned = labels.filter(pc.and_(pc.is_valid(labels.column("caption")), wanted))
    captions = dict(zip(*(captioned.column(name).to_pylist() for name in ("track_id", "caption")), strict=True))
    drawn: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for scheme, fold, track_id in zip(*(measured.column(n).to_pylist() for n in _KEYS), strict=True):
        listed = drawn.setdefault((scheme, fold), [])
        if track_id in captions:
            listed.append((track_id, captions[track_id]))
    chosen = {key: draw_pairs(listed, section.count, section.seed) for key, listed in drawn.items()}
    if published is not None:
        released = zip(*(published.column(name).to_pylist() for name in ("track_id", "caption")), strict=True)
        chosen[_PUBLISHED, 0] = list(released)
    notes = []
    for (scheme, _), listed in chosen.items():
        distinct = len({text for _, text in listed})
        if distinct < len(listed):
            notes.append(f"{scheme}: {len(listed)} retrieval pairs have {distinct} distinct captions")
    return PAIRS.conform(pa.concat_tables([PAIRS.empty(), *map(_rows, chosen, chosen.values())])), notes


_KEYS = ("scheme", "fold", "track_id")


def _rows(key: tuple[str, int], listed: list[tuple[str, str]]) -> pa.Table:
    columns = {
        "scheme": [key[0]] * len(listed),
        "fold": [key[1]] * len(listed),
        "pair_id": list(range(len(listed))),
        "track_id": [track_id for track_id, _ in listed],
        "caption": [text for _, text in listed],
    }
    return pa.table(columns, schema=PAIRS.schema)


def draw_pairs(tracks: Sequence[tuple[str, str]], count: int, seed: int) -> list[tuple[str, str]]:
    """Draw up to `count` of the (track id, caption) pairs by a seeded hash of the id, captions distinct first.

    A second track with the same caption is drawn only when there are not `count` distinct captions.

    Returns:
        the pairs in the order of the draw; it does not depend on the order of `tracks`.
    """
    ordered = sorted(tracks, key=lambda pair: (stable_hash(pair[0], seed), pair[0]))
    seen: set[str] = set()
    fresh: list[tuple[str, str]] = []
    repeated: list[tuple[str, str]] = []
    for pair in ordered:
        (repeated if pair[1] in seen else fresh).append(pair)
        seen.add(pair[1])
    return [*fresh, *repeated][:count]
