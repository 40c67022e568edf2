"""What a benchmark says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """One comparison; higher is better on both sides.

    Attributes:
        name: what is measured.
        peer: whom it is measured against; a limit, or `budget`, where there is no peer.
        ours, theirs: medians, in `unit`.
        goal: the ratio that is asked for.
        unit: of `ours` and `theirs`.
    """

    name: str
    peer: str
    ours: float
    theirs: float
    goal: float
    unit: str

    @property
    def ratio(self) -> float:
        """Ours over theirs: above 1 ours is better."""
        return self.ours / self.theirs

    def row(self) -> dict[str, Any]:
        """As `results.json` holds it."""
        return {**asdict(self), "ratio": self.ratio}
