from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.features.base import feature_of
from pipelines.features.colour_layout import ColourLayout
from pipelines.features.decode import ExcludedError
from pipelines.features.media import MediaRef
from pipelines.synthesis.videos import write_video
from schemas.errors import UsageError
from schemas.manifest import FeatureSection
from schemas.store import Store

FPS, SIZE = 10, (64, 32)


def feature(**keys: Any) -> ColourLayout:
    segments = {"span_s": 6, "count": 2, "segment_s": 3}
    section = FeatureSection.model_validate({"kind": "colour_layout", "segments": segments, **keys})
    found = feature_of("pictures", section, "test")
    assert isinstance(found, ColourLayout)
    found.prepare()
    return found


def test_colours_and_places_are_told_second_by_second(tmp_path: Path) -> None:
    pictures = []
    for number in range(6 * FPS):
        picture = np.full((SIZE[1], SIZE[0], 3), 40, np.uint8)
        if number // FPS >= 2:  # from second 2 on the left half is red
            picture[:, : SIZE[0] // 2] = (230, 20, 20)
        pictures.append(picture)
    write_video(tmp_path / "a.mp4", pictures=pictures, size=SIZE, fps=FPS, samples=None, rate=16_000)
    made = feature(rows=1, columns=2)
    clips = made.clips(Store(str(tmp_path)), MediaRef("a", "a.mp4"))
    assert [(clip.segment, clip.start_s, clip.data.shape) for clip in clips] == [
        (0, 0.0, (3, 70)),
        (1, 3.0, (3, 70)),
    ]
    assert made.spec().shape == (-1, 70) and clips[0].data.dtype == np.float16
    seconds = np.concatenate([clip.data for clip in clips]).astype(float)
    np.testing.assert_allclose((seconds[:, :64] ** 2).sum(1), 1, atol=5e-3)
    red, dark = 3 * 16, 0
    np.testing.assert_allclose(seconds[:2, dark], 1, atol=0.02)
    np.testing.assert_allclose(seconds[2:, [dark, red]] ** 2, 0.5, atol=0.04)
    expected = np.array([40] * 6) / 255
    np.testing.assert_allclose(seconds[:2, 64:], np.tile(expected, (2, 1)), atol=0.02)
    np.testing.assert_allclose(seconds[2:, 64:67], np.tile([0.9, 0.08, 0.08], (4, 1)), atol=0.04)
    np.testing.assert_allclose(seconds[2:, 67:], np.tile(expected[:3], (4, 1)), atol=0.04)


def test_a_video_shorter_than_a_segment_leaves_and_parts_of_seconds_are_refused(tmp_path: Path) -> None:
    pictures = [np.zeros((SIZE[1], SIZE[0], 3), np.uint8)] * (2 * FPS)
    write_video(tmp_path / "a.mp4", pictures=pictures, size=SIZE, fps=FPS, samples=None, rate=16_000)
    with pytest.raises(ExcludedError, match=r"a.mp4: 2.00 s; a segment has 3 s"):
        feature().clips(Store(str(tmp_path)), MediaRef("a", "a.mp4"))
    with pytest.raises(UsageError, match=r"features\.pictures\.segments\.segment_s: 2\.5 is no whole number"):
        feature(segments={"span_s": 5, "count": 2, "segment_s": 2.5})
