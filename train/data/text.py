"""The text of a track: one tag, all of them, or some of them (TTMR 2.3), as pure functions of a key.

Nothing here holds a random state: a draw sorts the tags by a hash of (seed, epoch, track, tag), which is a
uniform permutation of them, and keeps the first K.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from schemas.digests import stable_hash

Representation = Literal["tag", "sentence", "stochastic", "vocabulary"]
Relation = Literal["equal", "implied", "recording", "artist"]


@dataclass(frozen=True)
class TextSource:
    """What a track can be said to be: its tags, or for want of them its caption; and what else it is one with."""

    track_id: str
    tags: tuple[str, ...]
    caption: str | None
    recording_id: str | None = None
    artist_id: str | None = None


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
        ValueError: neither tags nor a caption; or `vocabulary`, where a track has no text of its own.
    """
    tags = source.tags
    if representation == "vocabulary":
        raise ValueError("every track is held against the whole vocabulary; none has a text")
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


def related(
    sources: Sequence[TextSource], texts: Sequence[DrawnText], relations: Collection[Relation]
) -> npt.NDArray[np.bool_]:
    """Which texts are, by any of the relations, true of which tracks: bool (N, N), row i a track, column j the text
    drawn for track j. A track's own text always is.

    `equal`: the text says the same as the track's own. `implied`: that, or the track has all tags of the text,
    since "piano" drawn for another track is no untruth about this one. `recording`, `artist`: the text's track is
    the same recording, or by the same artist.
    """
    relation = np.eye(len(texts), dtype=np.bool_)
    if "equal" in relations or "implied" in relations:
        relation |= same([text.key for text in texts])
    if "recording" in relations:
        relation |= same([source.recording_id for source in sources])
    if "artist" in relations:
        relation |= same([source.artist_id for source in sources])
    if "implied" in relations:
        relation |= _implied(sources, texts)
    return relation


def same(keys: Sequence[Hashable | None]) -> npt.NDArray[np.bool_]:
    """Which keys are equal; None equals nothing."""
    numbers: dict[Hashable, int] = {}
    found = np.array([-1 if key is None else numbers.setdefault(key, len(numbers)) for key in keys])
    same: npt.NDArray[np.bool_] = (found[:, None] == found[None, :]) & (found >= 0)[:, None]
    return same


def _implied(sources: Sequence[TextSource], texts: Sequence[DrawnText]) -> npt.NDArray[np.bool_]:
    columns = {tag: i for i, tag in enumerate(sorted({tag for text in texts for tag in text.tags}))}
    held = labels_of(sources, columns).astype(np.float32)
    said = np.zeros((len(texts), len(columns)), np.float32)
    for row, text in enumerate(texts):
        said[row, [columns[tag] for tag in text.tags]] = 1
    stated = said.sum(axis=1)
    implied: npt.NDArray[np.bool_] = (held @ said.T == stated[None, :]) & (stated[None, :] > 0)
    return implied


def labels_of(sources: Sequence[TextSource], columns: Mapping[str, int]) -> npt.NDArray[np.bool_]:
    """Which tags the tracks have, bool (N, len(columns)); tags without a column are left out."""
    held = np.zeros((len(sources), len(columns)), np.bool_)
    for row, source in enumerate(sources):
        held[row, [columns[tag] for tag in source.tags if tag in columns]] = True
    return held
