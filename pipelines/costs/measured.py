"""The measured costs, as `python -m benchmarks.costs` wrote them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

MEASURED_FILE = Path(__file__).with_name("measured.json")
PLAIN = "waveform"
"""The feature that costs hardly more than to decode; formats are compared by it."""

REFERENCE_FORMAT = "ogg"


@dataclass(frozen=True)
class Measured:
    """Slopes, and the machine that they were measured on.

    Attributes:
        date, machine: when and where.
        formats, features: `cpu_s_per_track`, `cpu_s_per_s` and bytes read, by suffix and by kind and preset.
        videos, clips, tracks, tables: figures by name, as the file has them.
        element_bytes: what a task's number takes in a shuffle.
    """

    date: str
    machine: str
    formats: dict[str, dict[str, float]]
    features: dict[str, dict[str, float]]
    videos: dict[str, float]
    clips: dict[str, float]
    tracks: dict[str, float]
    tables: dict[str, float]
    element_bytes: float


@cache
def measured() -> Measured:
    """The file's content."""
    found: dict[str, Any] = json.loads(MEASURED_FILE.read_text("utf-8"))
    return Measured(**found)
