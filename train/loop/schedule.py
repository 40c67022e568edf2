"""The learning rate as a function of the step: linear warm-up, then a cosine."""

from __future__ import annotations

import math


def lr_factor(step: int, *, warmup: int, total: int, final: float) -> float:
    """What the base learning rate is multiplied by at a step, counted from 0.

    Rises linearly to 1 over `warmup` steps, then falls along half a cosine to `final` at the last of `total`.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - 1 - warmup))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
