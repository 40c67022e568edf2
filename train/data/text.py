"""The text of a track: one tag, all of them, or some of them (TTMR 2.3), as pure functions of a key.

Nothing here holds a random state: a draw sorts the tags by a hash of (seed, epoch, track, tag), which is a
uniform permutation of them, and keeps the first K.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from schemas.digests import stable_hash

Representation = Literal["tag", "sentence", "stochastic"]
Positives = Literal["diagonal", "equal", "implied"]


@dataclass(frozen=True)
class TextSource:
    """What a track can be said to be: its tags, or for want of them its caption."""

    track_id: str
    tags: tuple[str, ...]
    caption: str | None


@dataclass(frozen=True)
class DrawnText:
    """The words given to the text encoder.

    Attributes:
        text: as the tokenizer sees it.
        tags: the tags that it states, sorted; empty when it is a caption of no tags.
    """

    text: str
    tags: tuple[str, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for two texts that say the same, whatever the order of their tags."""
        return self.tags or ("", self.text)


def draw_text(
    source: TextSource, representation: Representation, *, seed: int, epoch: int, separator: str = ", "
) -> DrawnText:
    """The text of a track in an epoch, a pure function of (seed, epoch, track_id).

    `tag` draws one tag uniformly; `sentence` joins all in the order of the table; `stochastic` draws K uniformly
    in 1…L and joins K tags drawn without replacement. A track without tags is said by its caption.

    Raises:
        ValueError: neither tags nor a caption.
    """
    tags = source.tags
    if not tags:
        if not source.caption:
            raise ValueError(f"{source.track_id}: neither tags nor a caption")
        return DrawnText(source.caption, ())
    if representation == "sentence":
        return DrawnText(separator.join(tags), tuple(sorted(tags)))
    key = f"{epoch}\x00{source.track_id}\x00"
    many = 1 if representation == "tag" else 1 + stable_hash(key + "how many", seed) % len(tags)
    drawn = sorted(tags, key=lambda tag: (stable_hash(f"{key}tag\x00{tag}", seed), tag))[:many]
    return DrawnText(separator.join(drawn), tuple(sorted(drawn)))


def relation_of(
    sources: Sequence[TextSource], texts: Sequence[DrawnText], positives: Positives
) -> npt.NDArray[np.bool_]:
    """Which texts are true of which tracks, bool (N, N): row i a track, column j the text drawn for track j.

    `diagonal`: a track's own text only. `equal`: also every text that says the same as its own. `implied`: every
    text whose tags the track has, since "piano" drawn for another track is no untruth about this one.
    """
    count = len(texts)
    relation = np.eye(count, dtype=np.bool_)
    if positives == "diagonal":
        return relation
    numbers: dict[tuple[str, ...], int] = {}
    keys = np.array([numbers.setdefault(text.key, len(numbers)) for text in texts])
    relation |= keys[:, None] == keys[None, :]
    if positives == "equal":
        return relation
    columns = {tag: i for i, tag in enumerate(sorted({tag for text in texts for tag in text.tags}))}
    said = np.zeros((count, len(columns)), np.float32)
    held = np.zeros((count, len(columns)), np.float32)
    for row, (source, text) in enumerate(zip(sources, texts, strict=True)):
        said[row, [columns[tag] for tag in text.tags]] = 1
        held[row, [columns[tag] for tag in source.tags if tag in columns]] = 1
    stated = said.sum(axis=1)
    relation |= (held @ said.T == stated[None, :]) & (stated[None, :] > 0)
    return relation
