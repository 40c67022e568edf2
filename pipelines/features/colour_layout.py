"""Which colours a video shows and where, second by second: what pictures tell without any trained model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipelines.features.base import Feature, FeatureSettings
from pipelines.features.media import MediaKind, MediaRef
from pipelines.features.segments import Segments
from pipelines.features.video_seconds import Images, VideoSeconds
from schemas.shards import Clip, FeatureSpec
from schemas.store import Store


class ColourLayoutSettings(FeatureSettings):
    """The keys of a `colour_layout` feature.

    Attributes:
        fps: frames a second that are looked at.
        shades: parts of each of red, green and blue; their cube is the histogram.
        rows, columns: of the cells whose mean colours are told.
        segments: which seconds of a track are kept, and in which segments of whole seconds.
    """

    fps: int = Field(default=5, ge=1, le=60)
    shades: int = Field(default=4, ge=2, le=8)
    rows: int = Field(default=4, ge=1, le=32)
    columns: int = Field(default=4, ge=1, le=32)
    segments: Segments = Segments(span_s=120.0, count=8, segment_s=15.0)


class ColourLayout(Feature):
    """float16 (seconds, shades³ + 3 · rows · columns): the square roots of the histogram's shares, then each cell's
    mean red, green and blue in 0 to 1; the mean over the frames that are shown at n, n + 1/fps, … of second n."""

    VERSION = 1
    Settings = ColourLayoutSettings
    MEDIA: ClassVar[MediaKind] = "video"
    settings: ColourLayoutSettings

    def __init__(self, name: str, settings: ColourLayoutSettings) -> None:
        super().__init__(name, settings)
        self._frames = VideoSeconds.of(name, settings.segments, settings.fps)

    @property
    def _width(self) -> int:
        return self.settings.shades**3 + 3 * self.settings.rows * self.settings.columns

    def spec(self) -> FeatureSpec:
        settings = self.settings.model_dump(mode="json", exclude={"splits"})
        content = {**settings, "feature_version": self.VERSION, "hop_s": 1.0, "unit": "share", "range": [0.0, 1.0]}
        return FeatureSpec(self.name, "float16", (-1, self._width), content)

    def prepare(self) -> None:
        import av  # noqa: F401 - what is missing is missed here, not at the first track

    def clips(self, media: Store, ref: MediaRef) -> list[Clip]:
        found = self._frames.clips(media, ref, self._told)
        return [replace(clip, data=self._by_second(clip.data)) for clip in found]

    def _by_second(self, told: npt.NDArray[Any]) -> npt.NDArray[np.float16]:
        means: npt.NDArray[np.float16] = (
            told.reshape(-1, self.settings.fps, told.shape[1]).mean(axis=1).astype(np.float16)
        )
        return means

    def _told(self, picture: Images) -> npt.NDArray[np.float32]:
        """One frame's numbers, float32 (width,)."""
        shades, rows, columns = self.settings.shades, self.settings.rows, self.settings.columns
        shade = picture.astype(np.int64) * shades // 256
        cube = (shade[..., 0] * shades + shade[..., 1]) * shades + shade[..., 2]
        shares = np.bincount(cube.ravel(), minlength=shades**3) / cube.size
        parts = [np.array_split(band, columns, axis=1) for band in np.array_split(picture, rows, axis=0)]
        cells = np.array([[cell.mean(axis=(0, 1)) for cell in band] for band in parts]) / 255
        return np.concatenate([np.sqrt(shares), cells.ravel()]).astype(np.float32)

    def kept(self) -> Segments:
        return self.settings.segments

    def clip_bytes(self) -> int:
        count, _ = self.settings.segments.usual
        return count * self._frames.seconds * self._width * 2


FEATURE = ColourLayout
