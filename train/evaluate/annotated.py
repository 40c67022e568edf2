"""Sentences for a model that knows only tags (TTMR 4.1): tracks are annotated, and queries held against the words.

The released code fits the thresholds on the test labels themselves; here they are fitted on the valid split.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.digests import stable_hash

Floats = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]


def best_f1_thresholds(scores: Floats, labels: Flags) -> npt.NDArray[np.float64]:
    """For each tag the score from which on calling it present gives the highest F1, float64 (tags,).

    Of several the highest; infinite for a tag that no track has.

    Args:
        scores, labels: (tracks, tags).
    """
    thresholds = np.full(scores.shape[1], np.inf)
    for tag in np.flatnonzero(labels.any(axis=0)):
        order = np.argsort(-scores[:, tag], kind="stable")
        ordered, hits = scores[order, tag], np.cumsum(labels[order, tag])
        f1 = 2 * hits / (np.arange(1, len(hits) + 1) + hits[-1])
        # Only where a score ends can a threshold lie.
        ends = np.r_[ordered[1:] != ordered[:-1], True]
        thresholds[tag] = ordered[int(np.argmax(np.where(ends, f1, -1)))]
    return thresholds


def overlap_scores(
    captions: Sequence[str], present: Flags, tags: Sequence[str], track_ids: Sequence[str]
) -> npt.NDArray[np.float64]:
    """How many of a query's words are among the words of a track's annotated tags, (captions, tracks).

    Equal counts are set apart by a hash of the track's id, below 1: a random order, and the same every time.

    Args:
        present: bool (tracks, tags).
    """
    columns = {word: i for i, word in enumerate(sorted({word for tag in tags for word in _words(tag)}))}
    of_tags = np.zeros((len(tags), len(columns)), np.float32)
    for row, tag in enumerate(tags):
        of_tags[row, [columns[word] for word in _words(tag)]] = 1
    asked = np.zeros((len(captions), len(columns)), np.float32)
    for row, caption in enumerate(captions):
        asked[row, [columns[word] for word in _words(caption) if word in columns]] = 1
    said = (present.astype(np.float32) @ of_tags > 0).astype(np.float32)
    apart = np.array([stable_hash(track, 0) / 2**64 for track in track_ids])
    return asked.astype(np.float64) @ said.T.astype(np.float64) + apart[None, :] * (1 - 1e-9)


def _words(text: str) -> set[str]:
    return {word for word in re.split(r"[\s,]+", text.lower()) if word}
