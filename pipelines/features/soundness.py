"""Whether decoded samples hold sound that a feature can be made of; one place for every audio feature."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.features.decode import ExcludedError
from pipelines.features.loudness import LOUDEST
from schemas.reasons import Reason

FULL_SCALE = 0.99
CLIPPED_RUN = 3
# Loud masters are clipped, too; only what has lost its waveform is to leave. Half of Gaussian noise lies above full
# scale when its RMS is 3.4 dB above it.
MAX_CLIPPED = 0.5


def require_sound(
    samples: npt.NDArray[np.float32],
    rate: int,
    uri: str,
    start_s: float,
    *,
    min_s: float,
    silence_db: float,
    max_clipped: float | None = MAX_CLIPPED,
) -> None:
    """Refuse what is too short, not finite, silent or clipped, in this order.

    Args:
        samples: float32 (samples,), mono, full scale at 1.
        rate: samples a second.
        uri, start_s: the file and the second at which the samples start, for the detail.
        min_s: seconds that are needed.
        silence_db: the peak that is needed, dB re full scale.
        max_clipped: the largest `clipped_share` that is let through; None for any.

    Raises:
        ExcludedError: too_short, not_finite, silent or clipped.
    """
    seconds = len(samples) / rate
    if seconds < min_s or not len(samples):
        raise ExcludedError(Reason.TOO_SHORT, f"{uri}: {seconds:.2f} s; at least {min_s:g} s are needed")
    at = f"from second {start_s:.0f} on" if start_s else "from its start"
    # NaN and infinity outlive min and max, which need no copy.
    low, high = float(samples.min()), float(samples.max())
    if not np.isfinite(low) or not np.isfinite(high):
        count = int(len(samples) - np.isfinite(samples).sum())
        raise ExcludedError(
            Reason.NOT_FINITE, f"{uri}: {count} of {len(samples)} samples {at} are NaN or infinite: no numbers"
        )
    peak = max(-low, high)
    if peak > LOUDEST:
        detail = f"{uri}: a sample of {peak:g} {at}, where full scale is 1: no sound"
        raise ExcludedError(Reason.NOT_FINITE, detail)
    if peak < 10 ** (silence_db / 20):
        raise ExcludedError(Reason.SILENT, f"{uri}: no sample above {silence_db:g} dB {at}")
    if max_clipped is not None and peak >= FULL_SCALE:
        share = clipped_share(samples)
        if share > max_clipped:
            raise ExcludedError(
                Reason.CLIPPED,
                f"{uri}: {share:.1%} of the samples {at} are clipped; at most {max_clipped:.1%} are let through",
            )


def clipped_share(samples: npt.NDArray[np.float32]) -> float:
    """The share of samples that lie in runs of three or more at full scale (0.99 and above) on one side.

    A peak that only touches full scale is one or two samples long; a flat top is longer.

    Args:
        samples: float32 (samples,), full scale at 1.
    """
    if not len(samples):
        return 0.0
    clipped = 0
    for at_full_scale in (samples >= FULL_SCALE, samples <= -FULL_SCALE):
        edges = np.flatnonzero(np.diff(at_full_scale, prepend=False, append=False))
        lengths = edges[1::2] - edges[::2]
        clipped += int(lengths[lengths >= CLIPPED_RUN].sum())
    return clipped / len(samples)
