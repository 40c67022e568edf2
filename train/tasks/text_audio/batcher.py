"""Batches of crops and what is said of their tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from train.data.batches import Batch, Batches
from train.data.order import EpochOrder
from train.data.reader import Array, ClipReader, ClipRef, centre_crop, random_crop
from train.data.text import DrawnText, Relation, Representation, TextSource, draw_text, labels_of, related
from train.data.tokens import tokenize

VALIDATION_EPOCH = 0
TRUE: tuple[Relation, ...] = ("implied",)
"""What is told of: the other tracks' texts that a track's own tags bear out."""


@dataclass(frozen=True)
class Batcher(Batches):
    """Makes batches; every method is a pure function of its arguments.

    Their tensors: this rank's crops `mels` (n * C, frames, …), a track's C crops side by side; its texts `ids` and
    `mask` (n, length), or (M, length) where all tracks share M texts; and of the whole global batch what
    `train.objectives.base.Pairs` holds.

    Attributes:
        reader: of the feature.
        sources: the usable tracks, in the order that `EpochOrder` counts them.
        tokenizer: cuts and pads.
        frames: length of a crop.
        crops: crops a track and step.
        representation, separator: see `train.data.text`.
        vocabulary: the tags that every track is held against, where the representation is `vocabulary`.
        positives, masked: relations that make a text true of a track, and that make it neither true nor untrue.
        seed: of crops, texts and noise.
    """

    reader: ClipReader
    sources: tuple[TextSource, ...]
    tokenizer: Tokenizer
    frames: int
    crops: int
    representation: Representation
    separator: str
    vocabulary: tuple[str, ...]
    positives: tuple[Relation, ...]
    masked: tuple[Relation, ...]
    seed: int

    def training(self, order: EpochOrder, epoch: int, step: int) -> Batch:
        """A step's batch: random crops, drawn texts."""
        sources = [self.sources[item] for item in order.batch(epoch, step)]
        cut = [
            random_crop(self.clips(source), self.frames, seed=self.seed, epoch=epoch, number=number)
            for source in sources[order.local]
            for number in range(self.crops)
        ]
        texts = None if self.shares_texts else [self.text(source, epoch) for source in sources]
        spoken = self.vocabulary if texts is None else [text.text for text in texts[order.local]]
        tokens = tokenize(self.tokenizer, spoken)
        pairs, figures = self.pairs(sources, texts, (epoch, step))
        tensors = {"mels": self.reader.read(cut), "ids": tokens.ids, "mask": tokens.mask, **pairs}
        return Batch(tuple(source.track_id for source in sources), tensors, self.crops, figures)

    @property
    def shares_texts(self) -> bool:
        """Whether all tracks are held against the same texts."""
        return self.representation == "vocabulary"

    def pairs(
        self, sources: Sequence[TextSource], texts: Sequence[DrawnText] | None, key: tuple[int, ...]
    ) -> tuple[dict[str, Array], dict[str, float]]:
        """What is known of the pairs of a global batch, and what to tell of it.

        Args:
            texts: one a track, or None where all share the vocabulary.
            key: what the noise is a function of, beside the seed.

        Returns:
            `relation`, `ignored`, `noise` as in `train.objectives.base.Pairs`; and how many other tracks' texts are
            true of a track, on average, and how many of these the objective takes for untrue.
        """
        if texts is None:
            relation = labels_of(sources, {tag: column for column, tag in enumerate(self.vocabulary)})
            ignored, figures = np.zeros_like(relation), {}
        else:
            relation = related(sources, texts, self.positives)
            ignored = related(sources, texts, self.masked) & ~relation
            true = related(sources, texts, TRUE)
            figures = {
                "true_of_others": float(true.sum() / len(texts) - 1),
                "false_negatives": float((true & ~relation & ~ignored).sum() / len(texts)),
            }
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, *key])))
        noise = generator.random((2, max(relation.shape) * self.crops), np.float32)
        return {"relation": relation, "ignored": ignored, "noise": noise}, figures

    def validation(self, items: Sequence[int]) -> dict[str, Array]:
        """Centre crops (N, frames, …) and fixed texts of some tracks; or the texts that all share."""
        sources = [self.sources[item] for item in items]
        mels = self.reader.read([centre_crop(self.clips(source), self.frames) for source in sources])
        texts = [self.text(source, VALIDATION_EPOCH).text for source in sources] if not self.shares_texts else ()
        tokens = tokenize(self.tokenizer, texts or self.vocabulary)
        return {"mels": mels, "ids": tokens.ids, "mask": tokens.mask}

    def validation_known(self, items: Sequence[int], number: int) -> dict[str, Array]:
        """What is known of the pairs of validation batch `number`."""
        sources = [self.sources[item] for item in items]
        texts = None if self.shares_texts else [self.text(source, VALIDATION_EPOCH) for source in sources]
        return self.pairs(sources, texts, (VALIDATION_EPOCH, number, 1))[0]

    def text(self, source: TextSource, epoch: int) -> DrawnText:
        """The text of a track in an epoch."""
        return draw_text(source, self.representation, seed=self.seed, epoch=epoch, separator=self.separator)

    def clips(self, source: TextSource) -> Sequence[ClipRef]:
        """A track's clips."""
        return self.reader.clips[source.track_id]
