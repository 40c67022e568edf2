"""A seeded random split by track, for papers that split so and publish no ids. It knows nothing of artists.

It is the scheme `published`, as what was published is how, not which; where the source has lists too, they are
`published` and this is `random`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from schemas.digests import stable_hash
from schemas.tables import PUBLISHED

PUBLISHED_SCHEME, BESIDE_LISTS = "published", "random"


def random_split(ids: Iterable[str], ratios: Mapping[str, float], seed: int, *, lists: bool = False) -> pa.Table:
    """Rows of the table `published`.

    Args:
        ratios: that sum to 1; sizes are exact to one track.
        lists: whether the source has published lists beside it.
    """
    scheme = BESIDE_LISTS if lists else PUBLISHED_SCHEME
    ordered = sorted(ids, key=lambda track: (stable_hash(f"random\x00{track}", seed), track))
    splits: list[str] = []
    upto = 0.0
    for name, ratio in ratios.items():
        upto += ratio
        splits += [name] * (round(upto * len(ordered)) - len(splits))
    return pa.table([[scheme] * len(ordered), ordered, splits], schema=PUBLISHED.schema)


def random_split_note(ratios: Mapping[str, float], *, lists: bool = False) -> str:
    """What a person should know of it."""
    scheme = BESIDE_LISTS if lists else PUBLISHED_SCHEME
    shares = ", ".join(f"{name} {ratio:.0%}" for name, ratio in ratios.items())
    return (
        f"the scheme `{scheme}` is drawn by track ({shares}), whoever the artist, since the paper says how and no "
        "list is published: expect leaks"
    )
