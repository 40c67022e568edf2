"""How many captions say the same: word for word, or in other order, case, accents or punctuation."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.words import tidy, words_of

_PLAIN_WORDS = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class CaptionCounts:
    """What `count_captions` found.

    Attributes:
        captions: tracks with a caption.
        distinct: different texts among them.
        meanings: different sets of words among those texts; texts with one set are near duplicates.
    """

    captions: int
    distinct: int
    meanings: int

    def notes(self) -> list[str]:
        """As sentences."""
        if not self.captions:
            return []
        exact, near = self.captions - self.distinct, self.distinct - self.meanings
        return [
            f"{self.captions} captions, {self.distinct} of them distinct: {exact} repeat another word for word, "
            f"and {near} of the distinct ones say another's words in other order, case, accents or punctuation"
        ]


def count_captions(captions: pa.Array) -> CaptionCounts:
    """Count exact and near duplicates; nulls do not count.

    Two texts are near duplicates when they have the same set of words: lower case, without accents and
    punctuation, whatever the order and however often. Exact, in one pass: about 3 s for 500,000 captions.
    """
    texts = pc.unique(captions.drop_null())
    return CaptionCounts(
        captions=len(captions) - captions.null_count,
        distinct=len(texts),
        meanings=len({word_set(text) for text in texts.to_pylist()}),
    )


def word_set(text: str) -> str:
    """What is equal for texts with the same set of words. A text without words is itself."""
    if text.isascii():
        words = _PLAIN_WORDS.findall(text.lower().replace("'", "").replace("`", ""))
    else:
        words = words_of(tidy(text)).split()
    return " ".join(sorted(set(words))) or text
