"""A seeded random split by track, for papers that split so and publish no ids. It knows nothing of artists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from schemas.digests import stable_hash
from schemas.tables import PUBLISHED

RANDOM = "random"


def random_split(ids: Iterable[str], ratios: Mapping[str, float], seed: int) -> pa.Table:
    """Rows of `published` under the scheme `random`.

    Args:
        ratios: that sum to 1; sizes are exact to one track.
    """
    ordered = sorted(ids, key=lambda track: (stable_hash(f"{RANDOM}\x00{track}", seed), track))
    splits: list[str] = []
    upto = 0.0
    for name, ratio in ratios.items():
        upto += ratio
        splits += [name] * (round(upto * len(ordered)) - len(splits))
    return pa.table([[RANDOM] * len(ordered), ordered, splits], schema=PUBLISHED.schema)


def random_split_note(ratios: Mapping[str, float]) -> str:
    """What a person should know of it."""
    shares = ", ".join(f"{name} {ratio:.0%}" for name, ratio in ratios.items())
    return f"the scheme `{RANDOM}` is drawn by track ({shares}), whoever the artist: expect leaks"
