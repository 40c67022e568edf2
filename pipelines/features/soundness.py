"""Whether decoded samples are sound that a feature can be made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.features.decode import ExcludedError
from schemas.reasons import Reason


def require_sound(
    samples: np.ndarray[Any, np.dtype[np.float32]],
    rate: int,
    uri: str,
    start_s: float,
    *,
    min_s: float,
    silence_db: float,
    max_clipped: float | None = None,  # noqa: ARG001
) -> None:
    """Refuse what holds no music.

    Args:
        samples: float32 (samples,) at `rate`; start_s: where they begin in the file.
        min_s: the least length, seconds; silence_db: the least peak, re full scale.
        max_clipped: the greatest share of samples at full scale.

    Raises:
        ExcludedError: too short, silent, or not finite.
    """
    seconds = len(samples) / rate
    if seconds < min_s or not len(samples):
        raise ExcludedError(Reason.TOO_SHORT, f"{uri}: {seconds:.2f} s; at least {min_s:g} s are needed")
    peak = float(np.abs(samples).max())
    if not np.isfinite(peak):
        raise ExcludedError(Reason.NOT_FINITE, f"{uri}: samples that are no numbers")
    if peak < 10 ** (silence_db / 20):
        at = f"from second {start_s:.0f} on" if start_s else "from its start"
        raise ExcludedError(Reason.SILENT, f"{uri}: no sample above {silence_db:g} dB {at}")
