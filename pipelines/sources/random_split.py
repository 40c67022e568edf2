"""A seeded random split by track, for papers that split so and publish no ids. It knows nothing of artists.

It is the scheme `published`, as what was published is how, not which; where the source has lists too, they are
`published` and this is `random`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa
from pydantic import field_validator

from pipelines.sources.published_files import PublishedFilesSettings
from schemas.digests import stable_hash
from schemas.manifest import normalised_ratios
from schemas.tables import PUBLISHED

PUBLISHED_SCHEME, BESIDE_LISTS = "published", "random"


class RandomSplitSettings(PublishedFilesSettings):
    """The keys of `source:` where a random split may be drawn.

    Attributes:
        random: ratios of a seeded random split by track, the scheme `published`, or `random` beside lists.
        random_seed: of that split.
    """

    random: dict[str, float] | None = None
    random_seed: int = 0

    @field_validator("random")
    @classmethod
    def _ratios(cls, ratios: dict[str, float] | None) -> dict[str, float] | None:
        return None if ratios is None else normalised_ratios(ratios)

    def drawn(self, ids: Iterable[str], *, lists: bool = False) -> tuple[pa.Table | None, list[str]]:
        """Rows of the table `published` and what a person should know of them; nothing where none are asked for.

        Args:
            lists: whether the source has published lists beside it.
        """
        if self.random is None:
            return None, []
        split = random_split(ids, self.random, self.random_seed, lists=lists)
        return split, [random_split_note(self.random, lists=lists)]


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
