"""Where one scene becomes the next: PySceneDetect's detectors of cuts, and beside them dissolves and fades."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode, HashDetector, HistogramDetector

from schemas.manifest import VideoFilterSection

_DETECTORS: dict[str, tuple[Callable[..., Any], str]] = {
    "content": (ContentDetector, "threshold"),
    "adaptive": (AdaptiveDetector, "adaptive_threshold"),
    "histogram": (HistogramDetector, "threshold"),
    "hash": (HashDetector, "threshold"),
}
SPAN_S = 1.6
_NEAR_S = 6.0
_CELLS = (9, 16)
_LEAST_CHANGE = 15.0
_TIMES_USUAL = 1.7
_MIXED = 0.3
_ONE_STEP = 0.65
_COLOURS = 6
_ALIKE = 0.45
_DARK = 0.35

Signature = npt.NDArray[np.float32]


class SceneFinder:
    """Takes the frames of a video in order, and says where its scenes start."""

    def __init__(self, settings: VideoFilterSection, fps: float) -> None:
        self._settings = settings
        self._fps = float(max(1.0, fps))
        cls, key = _DETECTORS[settings.detector]
        keys: dict[str, Any] = {} if settings.threshold is None else {key: settings.threshold}
        self._new_detector: Callable[[], Any] = partial(cls, min_scene_len=float(settings.min_scene_s), **keys)
        self._detector = self._new_detector()
        self._last: FrameTimecode | None = None
        self._picture: npt.NDArray[np.uint8] | None = None
        self._cuts: list[float] = []
        self._gradual: list[float] = []
        self._times: list[float] = []
        self._signatures: list[Signature] = []

    def take(self, second: float, picture: npt.NDArray[np.uint8], gap: bool = False) -> None:
        """Look at the next frame: BGR uint8 (72, 128, 3).

        Args:
            gap: whether some were left out before it. Then only colours are compared, as places may have moved.
        """
        if gap and self._last is not None and self._picture is not None:
            before, apart_s = self._last.seconds, second - self._last.seconds
            self._end_run()
            if colours_alike(self._picture, picture) < _ALIKE:
                self._cuts.append(before + apart_s / 2)
            self._detector = self._new_detector()
        self._picture = picture
        self._last = FrameTimecode(float(max(0.0, second)), self._fps)
        self._cuts += [cut.seconds for cut in self._detector.process_frame(self._last, picture)]
        if self._settings.gradual:
            self._times.append(second)
            self._signatures.append(signature(picture))

    def starts(self) -> list[float]:
        """Seconds at which scenes start, 0 the first; called when every frame was taken."""
        self._end_run()
        found = self._gradual
        # What a detector of cuts saw of a gradual change is a part of it.
        cuts = [cut for cut in self._cuts if cut > 0 and all(abs(cut - change) > SPAN_S / 2 for change in found)]
        cuts = sorted({round(cut, 6) for cut in [*cuts, *found]})
        return [0.0, *apart(cuts, self._settings.min_scene_s)]

    def _end_run(self) -> None:
        """What the frames that follow one another hold beside what was found at once."""
        if self._last is not None:
            self._cuts += [cut.seconds for cut in self._detector.post_process(self._last)]
        if len(self._times) > 2:
            self._gradual += gradual_changes(np.array(self._times), np.stack(self._signatures))
        self._times, self._signatures = [], []


def colours_alike(left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8]) -> float:
    """Share of the pixels of two frames that have a pixel of nearly the same colour in the other: 0 to 1."""
    counts = [np.bincount(_coarse(picture), minlength=_COLOURS**3) for picture in (left, right)]
    return float(np.minimum(*counts).sum() / counts[0].sum())


def _coarse(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    levels = picture.reshape(-1, 3).astype(np.int64) * _COLOURS // 256
    coarse: npt.NDArray[np.int64] = levels @ np.array([1, _COLOURS, _COLOURS * _COLOURS])
    return coarse


def signature(picture: npt.NDArray[np.uint8]) -> Signature:
    """Mean colours of 9 x 16 cells: what moves within a cell leaves them as they are."""
    rows, columns = _CELLS
    height, width = picture.shape[:2]
    cells = picture.reshape(rows, height // rows, columns, width // columns, 3)
    means: Signature = cells.mean(axis=(1, 3), dtype=np.float32)
    return means


def gradual_changes(times: npt.NDArray[np.float64], signatures: npt.NDArray[np.float32]) -> list[float]:
    """The middles of dissolves and fades, seconds.

    A window of 1.6 s holds one when its ends differ more than those of most windows near by, no single step makes
    most of the difference (as a cut does), and its middle is either the mean of its ends (a dissolve; a moving
    camera gives other pictures) or dark beside both (a fade).

    Args:
        times, signatures: (frames,) and (frames, 9, 16, 3).
    """
    opening = np.searchsorted(times, times - SPAN_S)
    middle = np.searchsorted(times, times - SPAN_S / 2)
    change = _distance(signatures, signatures[opening])
    steps = np.concatenate([[0.0], _distance(signatures[1:], signatures[:-1])])
    largest = np.array([steps[first + 1 : last + 1].max(initial=0.0) for last, first in enumerate(opening)])
    light = signatures.mean(axis=(1, 2, 3))
    ends = np.minimum(light, light[opening])
    faded = (light[middle] < _DARK * ends) & (ends > 2 * _LEAST_CHANGE)
    smooth = (times - times[0] >= SPAN_S) & (largest <= _ONE_STEP * np.maximum(change, np.where(faded, ends, 0.0)))
    mixed = _distance(signatures[middle], (signatures + signatures[opening]) / np.float32(2)) / np.maximum(
        change, 1e-6
    )
    candidate = smooth & (((change >= _LEAST_CHANGE) & (mixed < _MIXED)) | faded)
    # Of the windows over one fade the darkest in the middle lies best; of those over a dissolve the most changed.
    strength = np.where(faded, 512 - light[middle], change)
    found: list[float] = []
    taken = -np.inf
    for place in np.flatnonzero(candidate):
        if times[place] <= taken:
            continue
        near = np.flatnonzero(candidate & (times >= times[place]) & (times <= times[place] + SPAN_S))
        best = near[strength[near] >= strength[near].max() - 1e-3]
        last = int(best[len(best) // 2])
        around = smooth & (np.abs(times - times[last]) <= _NEAR_S) & (np.abs(times - times[last]) > SPAN_S / 2)
        usual = float(np.median(change[around])) if around.any() else 0.0
        if faded[last] or change[last] >= _TIMES_USUAL * usual:
            found.append(float(times[middle[last]]))
            taken = times[last] + SPAN_S / 2
    return found


def _distance(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Mean absolute difference, frame by frame."""
    mean: npt.NDArray[np.float32] = np.abs(left - right).mean(axis=(1, 2, 3))
    return mean


def apart(cuts: Iterable[float], least: float) -> list[float]:
    """Sorted cuts without those that follow another within `least` seconds."""
    kept: list[float] = []
    for cut in cuts:
        if cut >= least and (not kept or cut - kept[-1] >= least):
            kept.append(cut)
    return kept


def longest_scene(starts: list[float], end: float) -> tuple[float, float]:
    """Where the longest scene starts, and how long it is; the first of equals."""
    lengths = np.diff([*starts, max(end, starts[-1])])
    place = int(lengths.argmax())
    return starts[place], float(lengths[place])
