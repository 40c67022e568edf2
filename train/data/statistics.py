"""The mean and spread of a feature over training clips, by which the audio encoder standardises its input."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.digests import stable_hash
from schemas.errors import DataError
from train.data.reader import ClipReader

CLIPS = 256


def mean_and_std(reader: ClipReader, track_ids: Sequence[str], *, seed: int) -> tuple[float, float]:
    """Mean and standard deviation over all values of up to 256 clips, in the feature's unit.

    The clips are those whose ids hash lowest, so neither order nor machine matters; sums are float64.

    Raises:
        DataError: a clip with a value that is not finite, or clips that never vary.
    """
    chosen = sorted(track_ids, key=lambda track: (stable_hash(track, seed), track))[:CLIPS]
    total = squares = count = 0.0
    for track in chosen:
        values = reader.clip(reader.clips[track][0]).astype("float64")
        total += float(values.sum())
        squares += float((values * values).sum())
        count += values.size
        if not math.isfinite(squares):
            raise DataError(f"track {track}: its clip of {reader.spec.name} holds values that are not finite")
    mean = total / count
    std = math.sqrt(max(0.0, squares / count - mean * mean))
    if std < 1e-6:
        raise DataError(f"{reader.spec.name}: the training clips never vary (all {mean:g}); check the audio")
    return mean, std


def by_dimension(
    reader: ClipReader, track_ids: Sequence[str], *, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean and standard deviation of each dimension of a feature of vectors, float32 (D,) twice, of those clips.

    A dimension that never varies has 1.

    Raises:
        DataError: a clip with a value that is not finite.
    """
    chosen = sorted(track_ids, key=lambda track: (stable_hash(track, seed), track))[:CLIPS]
    vectors = np.concatenate([reader.clip(clip).astype(np.float64) for t in chosen for clip in reader.clips[t]])
    if not np.isfinite(vectors).all():
        raise DataError(f"{reader.spec.name}: a training clip holds values that are not finite")
    spread = vectors.std(axis=0)
    std = np.where(spread < 1e-6, 1.0, spread)
    return vectors.mean(axis=0).astype(np.float32), std.astype(np.float32)
