"""What counts as sound: each defect by its reason, with figures that a person can check."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipelines.features.decode import ExcludedError
from pipelines.features.soundness import clipped_share, require_sound
from schemas.reasons import Reason

RATE = 8_000


def tone(seconds: float, amplitude: float = 0.5) -> npt.NDArray[np.float32]:
    return (amplitude * np.sin(2 * np.pi * 220 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def spoilt(at: npt.NDArray[np.bool_], by: float) -> npt.NDArray[np.float32]:
    return np.where(at, by, tone(2)).astype(np.float32)


def refused(samples: npt.NDArray[np.float32], **settings: float) -> ExcludedError | None:
    try:
        limits = {"min_s": 1.0, "silence_db": -70.0, "max_clipped": 0.5, **settings}
        require_sound(samples, RATE, "a/b.flac", 12.0, **limits)
    except ExcludedError as excluded:
        return excluded
    return None


@pytest.mark.parametrize(
    ("samples", "reason", "words"),
    [
        (tone(0.5), Reason.TOO_SHORT, ["0.50 s", "1 s"]),
        (np.zeros(0, np.float32), Reason.TOO_SHORT, ["0.00 s"]),
        (np.zeros(RATE * 2, np.float32), Reason.SILENT, ["-70 dB", "second 12"]),
        (tone(2, 3.0e-4), Reason.SILENT, ["-70 dB"]),
        (
            np.where(np.arange(RATE * 2) % 4000 == 7, np.nan, tone(2)).astype(np.float32),
            Reason.NOT_FINITE,
            ["4 of"],
        ),
        (
            np.where(np.arange(RATE * 2) == 7, -np.inf, tone(2)).astype(np.float32),
            Reason.NOT_FINITE,
            ["1 of 16000"],
        ),
        (np.clip(tone(2, 1000.0), -1, 1), Reason.CLIPPED, ["99.", "50.0%"]),
        (
            np.where(np.arange(RATE * 2) == 7, 1e30, tone(2)).astype(np.float32),
            Reason.NOT_FINITE,
            ["a sample of 1e+30"],
        ),
    ],
)
def test_each_defect_has_its_reason(samples: npt.NDArray[np.float32], reason: Reason, words: list[str]) -> None:
    excluded = refused(samples)
    assert excluded is not None and excluded.reason is reason
    assert excluded.detail.startswith("a/b.flac: ")
    for word in words:
        assert word in excluded.detail


def test_loud_music_is_kept_and_the_limit_is_a_setting() -> None:
    loud = np.clip(tone(2, 1.2), -1, 1)  # a third of a sine of 1.2 lies above 1
    assert clipped_share(loud) == pytest.approx(1 - 2 / np.pi * np.arcsin(1 / 1.2), abs=0.03)
    assert refused(loud) is None
    assert refused(loud, max_clipped=0.1) is not None
    assert refused(tone(2, 1.0)) is None
    require_sound(np.ones(RATE, np.float32), RATE, "x", 0.0, min_s=0, silence_db=-70, max_clipped=None)


def test_what_is_just_loud_enough_is_no_silence() -> None:
    assert refused(tone(2, 3.3e-4)) is None


def by_hand(samples: npt.NDArray[np.float32]) -> int:
    """Samples in runs of at least three, one at a time."""
    count = run = 0
    sides = [1 if x >= 0.99 else -1 if x <= -0.99 else 0 for x in samples.tolist()] + [0]
    for before, side in zip([0, *sides], sides, strict=False):
        if side != before:
            count += run if run >= 3 else 0
            run = 0
        run += side != 0
    return count


@given(arrays(np.float32, st.integers(1, 40), elements=st.sampled_from([0.0, 0.5, 0.98, 0.99, 1.0, -1.0, -0.99])))
def test_the_share_of_clipped_samples_is_what_counting_finds(samples: npt.NDArray[np.float32]) -> None:
    assert clipped_share(samples) == by_hand(samples) / len(samples)
