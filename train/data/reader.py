"""The shard reader: random access to crops of clips, by memory maps here and by range reads elsewhere.

Only shards that the receipt lists are opened. A clip's tensor stands uncompressed at an offset that its shard's
footer gives, so a crop touches its own bytes and nothing is decoded.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.digests import stable_hash
from schemas.errors import DataError, fault_of_file
from schemas.receipt import FileEntry
from schemas.shards import FeatureSpec, ShardIndex, read_shard_index
from schemas.store import Store

Array = npt.NDArray[Any]


# Parts of a remote shard that lie so near are fetched as one: a request costs more than the bytes between them.
_GAP_BYTES = 1 << 16
_FOOTERS_AT_ONCE = 16


@dataclass(frozen=True)
class ClipRef:
    """Where a clip lies: `offset` is the byte of its first frame in shard number `shard`, `start_s` the second of
    the track's file at which it begins."""

    track_id: str
    segment: int
    shard: int
    offset: int
    frames: int
    start_s: float = 0.0


@dataclass(frozen=True)
class Crop:
    """A part of a clip: frames `start` to `start + frames`, which may reach beyond its end (see `read`)."""

    clip: ClipRef
    start: int
    frames: int


class ClipReader:
    """Random access to every clip of a feature.

    Attributes:
        spec: what the tensors are.
        clips: the clips of each track, in the order of their segments.
    """

    def __init__(self, store: Store, shards: Mapping[str, FileEntry]) -> None:
        """Read the shards' footers, and check each shard's size against the receipt; `Dataset.reader` has checked
        the bytes of those on this machine.

        Raises:
            DataError: a shard is missing, is not as long as the receipt says, or disagrees with the others.
        """
        self._store = store
        self._paths = sorted(shards)
        if not self._paths:
            raise DataError(f"{store.root}: the receipt lists no shard of this feature; run tracklore build")
        self._maps: dict[int, mmap.mmap] = {}
        clips: dict[str, list[ClipRef]] = {}
        specs: list[FeatureSpec] = []
        for number, index in enumerate(self._indices(shards)):
            path = self._paths[number]
            if specs and (index.spec.dtype, index.spec.shape) != (specs[0].dtype, specs[0].shape):
                raise DataError(f"{store.root}/{path}: its tensors are not those of {self._paths[0]}")
            specs.append(index.spec)
            for row, track in enumerate(index.track_ids):
                place = (int(index.segments[row]), number, int(index.offsets[row]), int(index.frames[row]))
                if place[3] > 0:
                    clips.setdefault(track, []).append(ClipRef(track, *place, float(index.starts[row])))
        self.spec = specs[0]
        self.clips = {track: sorted(refs, key=lambda ref: ref.segment) for track, refs in sorted(clips.items())}
        self._dtype = np.dtype(self.spec.dtype)
        self._local = store.is_local

    def _indices(self, shards: Mapping[str, FileEntry]) -> list[ShardIndex]:
        """Of every shard, in order. What is far away is asked for many at a time."""

        def one(path: str) -> ShardIndex:
            return self._checked_index(path, shards[path])

        if self._store.is_local:
            return [one(path) for path in self._paths]
        with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
            return list(pool.map(one, self._paths))

    def _checked_index(self, path: str, entry: FileEntry) -> ShardIndex:
        where = f"{self._store.root}/{path}"
        size = self._store.size(path)
        if size is not None and size != entry.bytes:
            raise DataError(
                f"{where}: has {size} bytes, and the receipt says {entry.bytes}; "
                "run tracklore build to make it again"
            )
        index = read_shard_index(self._store, path)
        ends = index.offsets + index.frames.astype(np.int64) * index.spec.row_bytes
        if len(index) and (int(index.offsets.min()) < 0 or int(ends.max()) > entry.bytes):
            raise DataError(f"{where}: a clip reaches beyond the file; run tracklore build --check")
        return index

    @property
    def frame_s(self) -> float:
        """Seconds from one frame to the next.

        Raises:
            DataError: the feature's specification does not say.
        """
        hop_s = self.spec.settings.get("hop_s")
        if not isinstance(hop_s, int | float) or not hop_s > 0:
            raise DataError(
                f"{self._store.root}: feature {self.spec.name!r} does not say how long a frame is (hop_s); "
                "build it again"
            )
        return float(hop_s)

    def __len__(self) -> int:
        return sum(len(refs) for refs in self.clips.values())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}

    def read(self, crops: Sequence[Crop], out: Array | None = None) -> Array:
        """Read crops of one length, (N, frames, …) in the feature's dtype.

        Where a crop reaches beyond the end of its clip, it is filled: samples with silence, all else with the
        lowest value of what was read, which for a log-mel is the floor of this very clip.

        Args:
            crops: all of the same `frames`.
            out: where to write, of that shape; a new array by default.

        Raises:
            DataError: a shard is gone or the store did not give its bytes.
        """
        if not crops:
            return np.empty((0, 0, *self.spec.shape[1:]), self._dtype)
        if out is None:
            out = np.empty((len(crops), crops[0].frames, *self.spec.shape[1:]), self._dtype)
        row_bytes = self.spec.row_bytes
        spans = []
        for crop in crops:
            length = min(crop.frames, crop.clip.frames - crop.start)
            if crop.start < 0 or length < 1:
                raise ValueError(f"{crop.clip.track_id}: no frame at {crop.start} of {crop.clip.frames}")
            spans.append((crop.clip.shard, crop.clip.offset + crop.start * row_bytes, length))
        parts: list[Array] = self._mapped(spans) if self._local else self._fetched(spans)
        for row, (_, _, length) in enumerate(spans):
            part = parts[row]
            out[row, :length] = part
            if length < crops[row].frames:
                out[row, length:] = 0 if self.spec.shape == (-1,) else part.min()
        return out

    def clip(self, ref: ClipRef) -> Array:
        """A whole clip, (frames, …)."""
        return np.asarray(self.read([Crop(ref, 0, ref.frames)])[0])

    def _mapped(self, spans: Sequence[tuple[int, int, int]]) -> list[Array]:
        width = self.spec.row_bytes // self._dtype.itemsize
        tail = self.spec.shape[1:]
        return [
            np.frombuffer(self._map(shard), self._dtype, frames * width, offset).reshape(frames, *tail)
            for shard, offset, frames in spans
        ]

    def _map(self, shard: int) -> mmap.mmap:
        found = self._maps.get(shard)
        if found is None:
            path = self._store.local_path(self._paths[shard])
            assert path is not None
            try:
                with path.open("rb") as stream:
                    found = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise DataError(f"{path}: cannot be mapped ({error}); run tracklore build") from error
            self._maps[shard] = found
        return found

    def _fetched(self, spans: Sequence[tuple[int, int, int]]) -> list[Array]:
        row_bytes, tail = self.spec.row_bytes, self.spec.shape[1:]
        wanted = [(shard, at, at + frames * row_bytes) for shard, at, frames in spans]
        merged, places = _merged(wanted)
        try:
            parts = self._store.read_ranges([(self._paths[shard], first, end) for shard, first, end in merged])
            return [
                np.frombuffer(parts[number], self._dtype, (end - first) // self._dtype.itemsize, offset).reshape(
                    -1, *tail
                )
                for (_, first, end), (number, offset) in zip(wanted, places, strict=True)
            ]
        except (OSError, ValueError) as error:
            why = fault_of_file(error)
            raise DataError(f"{self._store.root}/{self._paths[wanted[0][0]]}: cannot be read ({why})") from error


def _merged(
    wanted: Sequence[tuple[int, int, int]],
) -> tuple[list[tuple[int, int, int]], list[tuple[int, int]]]:
    """Ranges (shard, first byte, byte after the last) with those joined that overlap or nearly touch.

    Returns:
        the ranges to fetch, and for each wanted one which of them holds it, and from which of its bytes on.
    """
    merged: list[tuple[int, int, int]] = []
    places: list[tuple[int, int]] = [(0, 0)] * len(wanted)
    for item in sorted(range(len(wanted)), key=wanted.__getitem__):
        shard, first, end = wanted[item]
        if merged and merged[-1][0] == shard and first <= merged[-1][2] + _GAP_BYTES:
            merged[-1] = (shard, merged[-1][1], max(merged[-1][2], end))
        else:
            merged.append((shard, first, end))
        places[item] = (len(merged) - 1, first - merged[-1][1])
    return merged, places


def random_crop(clips: Sequence[ClipRef], frames: int, *, seed: int, epoch: int, number: int = 0) -> Crop:
    """Where a track is cropped in an epoch: a pure function of (seed, epoch, track, number of the crop).

    Uniform over the segments and then over the starts; a clip shorter than `frames` is taken from its start.
    """
    draw = stable_hash(f"{epoch}\x00{clips[0].track_id}\x00crop\x00{number}", seed)
    draw, segment = divmod(draw, len(clips))
    clip = clips[segment]
    return Crop(clip, draw % max(1, clip.frames - frames + 1), frames)


def centre_crop(clips: Sequence[ClipRef], frames: int) -> Crop:
    """The middle of the track's middle clip: what validation hears, every time."""
    clip = clips[len(clips) // 2]
    return Crop(clip, max(0, clip.frames - frames) // 2, frames)


def covering_crops(clip: ClipRef, frames: int, *, overlap: float = 0.0) -> list[Crop]:
    """Crops that together hold every frame of a clip, the last one aligned to its end.

    Args:
        overlap: the part of a crop that the next one begins in, 0 to less than 1.
    """
    if clip.frames <= frames:
        return [Crop(clip, 0, frames)]
    step = max(1, round(frames * (1 - overlap)))
    starts = list(range(0, clip.frames - frames + 1, step))
    if starts[-1] + frames < clip.frames:
        starts.append(clip.frames - frames)
    return [Crop(clip, start, frames) for start in starts]
