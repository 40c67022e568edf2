"""What is no music video, told apart by what moves: still pictures, slides, lyrics and darkness.

Everything is measured on grey frames of 128 x 72. From one frame to the next a pixel has changed when it differs by
more than 16 of 255; a cell of 8 x 8 has when a tenth of it did. A step is *static* when fewer than 0.2 % of the
pixels have changed. Steps that are not, one behind the other, are one *event*: of the whole picture when any of its
steps changes at least 45 % of the cells, else of a part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.manifest import VideoFilterSection
from schemas.reasons import Reason

_CHANGED, _CELL = 16, 8
_CELL_SHARE, _STATIC_SHARE, _WHOLE_SHARE = 0.1, 0.002, 0.45
_BLACK = 32
_LIT_SHARE = 0.002
_FEWEST_LINES = 3


@dataclass(frozen=True)
class Motion:
    """How a video moves.

    Attributes:
        static_share: of the steps.
        black_share: of the frames; black is a frame with fewer than 0.2 % of its pixels above 32 of 255.
        whole_events, part_events: changes of the whole picture, and of parts of it.
    """

    static_share: float
    black_share: float
    whole_events: int
    part_events: int


class MotionMeter:
    """Takes the frames of a video in order, and says how it moves."""

    def __init__(self) -> None:
        self._before: npt.NDArray[np.int16] | None = None
        self._frames = self._black = self._steps = self._static = 0
        self._whole = self._part = 0
        self._largest = 0.0  # share of cells that changed in the event that is going on; 0 when none is

    def take(self, picture: npt.NDArray[np.uint8], gap: bool = False) -> None:
        """Look at the next frame: BGR uint8 (72, 128, 3).

        Args:
            gap: whether some were left out before it, so that it is no step from the last.
        """
        grey = picture.max(axis=2).astype(np.int16)
        if gap:
            self._end_event()
            self._before = None
        self._frames += 1
        self._black += int((grey > _BLACK).mean() < _LIT_SHARE)
        if self._before is not None:
            self._step(np.abs(grey - self._before) > _CHANGED)
        self._before = grey

    def _step(self, changed: npt.NDArray[np.bool_]) -> None:
        self._steps += 1
        if changed.mean() < _STATIC_SHARE:
            self._static += 1
            self._end_event()
            return
        height, width = changed.shape
        cells = changed.reshape(height // _CELL, _CELL, width // _CELL, _CELL).mean(axis=(1, 3))
        self._largest = max(self._largest, float((cells >= _CELL_SHARE).mean()), 1e-9)

    def _end_event(self) -> None:
        self._whole += self._largest >= _WHOLE_SHARE
        self._part += 0 < self._largest < _WHOLE_SHARE
        self._largest = 0.0

    def motion(self) -> Motion:
        """What was measured; called when every frame was taken."""
        self._end_event()
        return Motion(
            self._static / max(1, self._steps), self._black / max(1, self._frames), self._whole, self._part
        )


def no_music_video(motion: Motion, settings: VideoFilterSection) -> tuple[Reason, str] | None:
    """Why a video is none by how it moves, and what was measured; None when it may be one."""
    if motion.black_share > settings.max_black_share:
        return Reason.BLACK_FRAMES, f"{motion.black_share:.0%} of the frames are black"
    if motion.static_share <= settings.max_static_share:
        return None
    still = f"nothing moves in {motion.static_share:.0%} of the steps"
    if motion.part_events >= _FEWEST_LINES and motion.part_events > motion.whole_events:
        return Reason.LYRIC_VIDEO, f"{still}, and {motion.part_events} times a part of the picture changes at once"
    if motion.whole_events:
        return Reason.SLIDE_SHOW, f"{still}, and {motion.whole_events} times the whole picture changes"
    return Reason.STILL_IMAGE, still
