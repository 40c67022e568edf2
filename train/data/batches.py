"""What one training step is given, from the order, the reader and the texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from train.data.order import EpochOrder
from train.data.reader import Array, ClipReader, ClipRef, centre_crop, random_crop
from train.data.text import DrawnText, Positives, Representation, TextSource, draw_text, relation_of

VALIDATION_EPOCH = 0


@dataclass(frozen=True)
class Tokens:
    """Token ids and attention mask, int64 (N, length)."""

    ids: npt.NDArray[np.int64]
    mask: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """One rank's part of a global batch of N tracks with C crops each.

    Attributes:
        track_ids: of the whole global batch, (N,).
        mels: this rank's crops, (n * C, frames, bands), a track's crops side by side.
        tokens: this rank's texts, (n, length).
        relation: of the whole global batch, bool (N, N); see `relation_of`.
        crops: C.
    """

    track_ids: tuple[str, ...]
    mels: Array
    tokens: Tokens
    relation: npt.NDArray[np.bool_]
    crops: int


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> Tokens:
    """Token ids of texts, padded to the longest."""
    encodings = tokenizer.encode_batch(list(texts))
    ids = np.array([encoding.ids for encoding in encodings], np.int64)
    return Tokens(ids, np.array([encoding.attention_mask for encoding in encodings], np.int64))


@dataclass(frozen=True)
class Batcher:
    """Makes batches; every method is a pure function of its arguments.

    Attributes:
        reader: of the feature.
        sources: the usable tracks, in the order that `EpochOrder` counts them.
        tokenizer: cuts and pads.
        frames: length of a crop.
        crops: crops a track and step.
        representation, separator, positives: see `train.data.text`.
        seed: of crops and texts.
    """

    reader: ClipReader
    sources: tuple[TextSource, ...]
    tokenizer: Tokenizer
    frames: int
    crops: int
    representation: Representation
    separator: str
    positives: Positives
    seed: int

    def training(self, order: EpochOrder, epoch: int, step: int) -> Batch:
        """A step's batch: random crops, drawn texts."""
        chosen = order.batch(epoch, step)
        sources = [self.sources[item] for item in chosen]
        texts = [self.text(source, epoch) for source in sources]
        cut = [
            random_crop(self.clips(source), self.frames, seed=self.seed, epoch=epoch, number=number)
            for source in sources[order.local]
            for number in range(self.crops)
        ]
        return Batch(
            tuple(source.track_id for source in sources),
            self.reader.read(cut),
            tokenize(self.tokenizer, [text.text for text in texts[order.local]]),
            relation_of(sources, texts, self.positives),
            self.crops,
        )

    def validation(self, items: Sequence[int]) -> tuple[Array, Tokens]:
        """Centre crops (N, frames, bands) and fixed texts of some tracks."""
        sources = [self.sources[item] for item in items]
        mels = self.reader.read([centre_crop(self.clips(source), self.frames) for source in sources])
        texts = [self.text(source, VALIDATION_EPOCH).text for source in sources]
        return mels, tokenize(self.tokenizer, texts)

    def validation_relation(self, items: Sequence[int]) -> npt.NDArray[np.bool_]:
        """The relation among tracks and fixed texts of a validation batch, bool (N, N)."""
        sources = [self.sources[item] for item in items]
        return relation_of(sources, [self.text(s, VALIDATION_EPOCH) for s in sources], self.positives)

    def text(self, source: TextSource, epoch: int) -> DrawnText:
        """The text of a track in an epoch."""
        return draw_text(source, self.representation, seed=self.seed, epoch=epoch, separator=self.separator)

    def clips(self, source: TextSource) -> Sequence[ClipRef]:
        """A track's clips."""
        return self.reader.clips[source.track_id]
