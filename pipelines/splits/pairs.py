"""The fixed retrieval pairs (TTMR 3.3): drawn once, so that every model answers the same queries."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.digests import stable_hash


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
