"""A few clips as pictures: which ones, read from the shards, and drawn with axes in seconds, Hz and dB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from pipelines.report.contents import Contents, FeatureInfo
from schemas.coded import places
from schemas.digests import stable_bytes
from schemas.errors import DataError
from schemas.page.drawing import WIDTH_IN, colour, draw
from schemas.page.words import one_line
from schemas.shards import FeatureSpec, ShardIndex, read_shard_index, shard_of, shard_path
from schemas.store import Store

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 6
_SEED = 20
_AT_ONCE = 5_000
_SHARDS_READ = 12
_COLUMNS = 420
_LEVELS = 64
_TICK_APART = 0.09
_TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000)


@dataclass(frozen=True)
class ShownClip:
    """One picture and what stands below it."""

    svg: Markup
    track_id: str
    title: str
    artist: str
    split: str
    tags: Sequence[str]
    caption: str


@dataclass(frozen=True)
class Sample:
    """One track as its labels describe it; `data` (frames, …) is its first clip."""

    track: Mapping[str, Any]
    start_s: float
    data: npt.NDArray[Any]


def sampled_ids(contents: Contents) -> Iterator[Mapping[str, Any]]:
    """Every track in an order that depends on nothing but the ids, tracks of an artist seen before last, and
    tracks without tags after those with."""
    tracks, labels, splits = contents.tracks, contents.labels, contents.splits
    ids, artists = tracks.column("track_id").combine_chunks(), tracks.column("artist_id").combine_chunks()
    label_of = places(ids, labels.column("track_id").combine_chunks())
    split_of = places(ids, splits.column("track_id").combine_chunks())
    tagged = pc.greater(pc.list_value_length(labels.column("tags").combine_chunks()), 0).take(label_of)
    tagged = pc.fill_null(tagged, False)

    def described(row: int) -> Mapping[str, Any]:
        label, split = label_of[row].as_py(), split_of[row].as_py()
        names = ("track_id", "artist_id", "artist_name", "title")
        return {
            **{name: tracks.column(name)[row].as_py() for name in names},
            "tags": [] if label is None else labels.column("tags")[label].as_py(),
            "caption": (None if label is None else labels.column("caption")[label].as_py()) or "",
            "split": "" if split is None else splits.column("split")[split].as_py(),
        }

    seen: set[str] = set()
    later = []
    # Of many tracks a few thousand are put in order first, those without tags after those with: readers want a few.
    with_tags = tagged.to_numpy(zero_copy_only=False)
    for rows in (*_thinned(np.flatnonzero(with_tags)), *_thinned(np.flatnonzero(~with_tags))):
        named = zip(ids.take(pa.array(rows)).to_pylist(), rows.tolist(), strict=True)
        for _, _, row in sorted((stable_bytes(name, _SEED), name, row) for name, row in named):
            artist = artists[row].as_py()
            if artist in seen:
                later.append(row)
            else:
                seen.add(artist)
                yield described(row)
    yield from (described(row) for row in later)


def _thinned(rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows an equal step apart, about as many as are put in order at once, and the others."""
    step = max(1, len(rows) // _AT_ONCE)
    first = np.arange(len(rows)) % step == 0
    return rows[first], rows[~first]


def sample_clips(out: Store, contents: Contents, info: FeatureInfo) -> list[Sample]:
    """Read the clips to be shown; opens at most a dozen shards.

    Raises:
        DataError: a shard is damaged or cut off.
    """
    listed, count = set(info.paths), len(info.paths)
    count = contents.receipt.shards or count
    indexes: dict[str, ShardIndex] = {}
    found: list[Sample] = []
    for track in sampled_ids(contents):
        if len(found) == SHOWN:
            break
        path = shard_path(info.spec.name, shard_of(track["track_id"], count), count)
        if path not in listed or (path not in indexes and len(indexes) == _SHARDS_READ):
            continue
        if path not in indexes:
            indexes[path] = read_shard_index(out, path)
        index = indexes[path]
        if track["track_id"] in index.track_ids:
            row = index.track_ids.index(track["track_id"])
            found.append(Sample(track, float(index.starts[row]), _read(out, index, row)))
    return found


def _read(out: Store, index: ShardIndex, row: int) -> npt.NDArray[Any]:
    size = int(index.frames[row]) * index.spec.row_bytes
    with out.open(index.path) as stream:
        stream.seek(int(index.offsets[row]))
        raw = stream.read(size)
    if len(raw) != size:
        raise DataError(f"{out.root}/{index.path}: is cut off; run tracklore build --check to make it again")
    return np.frombuffer(raw, index.spec.dtype).reshape((-1, *index.spec.shape[1:]))


def draw_clips(info: FeatureInfo, samples: Sequence[Sample]) -> list[ShownClip]:
    """Draw clips on one scale of colours, so that they compare; bits show nothing."""
    drawable = [sample for sample in samples if sample.data.size and sample.data.ndim <= 2]
    if not drawable or info.spec.settings.get("unit") == "bits":
        return []
    limits = _limits(drawable)
    return [
        ShownClip(
            draw(
                f"clip-{info.spec.name}-{place}",
                (WIDTH_IN * 0.49, 1.85),
                lambda figure, sample=sample: _paint(figure, info.spec, sample, limits),  # type: ignore[misc]
                f"{info.spec.name} of {one_line(sample.track['title'] or sample.track['track_id'])}",
                layout=None,
            ),
            sample.track["track_id"],
            one_line(sample.track["title"] or sample.track["track_id"]),
            one_line(sample.track["artist_name"] or sample.track["artist_id"]),
            sample.track["split"],
            sample.track["tags"],
            sample.track["caption"],
        )
        for place, sample in enumerate(drawable)
    ]


def _limits(samples: Sequence[Sample]) -> tuple[float, float]:
    values = np.concatenate([sample.data.ravel()[:: max(1, sample.data.size // 50_000)] for sample in samples])
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, [2, 99.8]))
    return low, high if high > low else low + 1.0


def _paint(figure: Figure, spec: FeatureSpec, sample: Sample, limits: tuple[float, float]) -> None:
    axes = figure.add_axes((0.125, 0.24, 0.735, 0.74))
    hop_s = _number(spec.settings, "hop_s")
    rate = _number(spec.settings, "rate")
    step = hop_s or (1 / rate if sample.data.ndim == 1 and rate else None)
    start = sample.start_s if step else 0.0
    end = start + len(sample.data) * (step or 1.0)
    axes.set_xlabel("time in the recording (s)" if step else "frame")
    axes.tick_params(labelcolor=colour("muted"))
    if sample.data.ndim == 1:
        _waveform(axes, sample.data, start, end)
        return
    means = _pooled(sample.data.astype(np.float32))
    import matplotlib as mpl

    image = axes.imshow(
        means.T,
        origin="lower",
        aspect="auto",
        interpolation="none",
        extent=(start, end, -0.5, means.shape[1] - 0.5),
        vmin=limits[0],
        vmax=limits[1],
        cmap=mpl.colormaps["magma"].resampled(_LEVELS),
    )
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    ticks = mel_ticks(spec) if spec.settings.get("kind") == "log_mel" else []
    if ticks:
        axes.set_yticks([place for place, _ in ticks], [f"{hz:,}" for _, hz in ticks])
        axes.set_ylabel("frequency (Hz)")
    else:
        axes.set_ylabel("dimension")
    bar = figure.colorbar(image, cax=figure.add_axes((0.872, 0.24, 0.02, 0.74)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelcolor=colour("muted"), labelsize=7.5)
    bar.set_label(str(spec.settings.get("unit") or "value"))


def _waveform(axes: Axes, data: npt.NDArray[Any], start: float, end: float) -> None:
    """The envelope: lowest and highest sample of every column."""
    parts = [part for part in np.array_split(data.astype(np.float64), min(_COLUMNS, len(data))) if len(part)]
    at = np.linspace(start, end, len(parts))
    axes.fill_between(at, [p.min() for p in parts], [p.max() for p in parts], color=colour("line"), linewidth=0)
    axes.set_xlim(start, end)
    axes.set_ylabel("sample")


def _pooled(data: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Means of neighbouring frames, at most so many as the picture has columns: (columns, bands)."""
    columns = min(_COLUMNS, len(data))
    edges = np.linspace(0, len(data), columns + 1).astype(int)
    sums = np.add.reduceat(data, edges[:-1], axis=0)
    return (sums / np.diff(edges)[:, None]).astype(np.float32)


def mel_ticks(spec: FeatureSpec) -> list[tuple[float, int]]:
    """Where round frequencies lie among a mel filterbank's bands: (band from 0, Hz).

    The centres of M bands are the inner M of M + 2 points evenly spaced on the scale from `f_min` to `f_max`
    (0 to half the rate). Empty when the specification does not say enough.
    """
    rate = _number(spec.settings, "rate")
    if not rate or len(spec.shape) != 2:
        return []
    slaney = spec.settings.get("mel_scale") == "slaney"
    low = _mel(_number(spec.settings, "f_min") or 0.0, slaney=slaney)
    high = _mel(_number(spec.settings, "f_max") or rate / 2, slaney=slaney)
    bands = spec.shape[1]
    places = [((_mel(hz, slaney=slaney) - low) / (high - low) * (bands + 1) - 1, hz) for hz in _TICKS_HZ]
    kept: list[tuple[float, int]] = []
    for place, hz in reversed(places):  # from the top, where they stand apart
        if 0 <= place <= bands - 0.5 and (not kept or kept[-1][0] - place >= bands * _TICK_APART):
            kept.append((place, hz))
    return kept[::-1]


def _mel(hz: float, *, slaney: bool) -> float:
    """Hz in mel: O'Shaughnessy's formula as HTK writes it, or Slaney's, linear below 1 kHz."""
    if not slaney:
        return 2595.0 * float(np.log10(1.0 + hz / 700.0))
    return hz * 3 / 200 if hz < 1000 else 15.0 + 27.0 * float(np.log(hz / 1000.0) / np.log(6.4))


def _number(settings: Mapping[str, Any], key: str) -> float | None:
    value = settings.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
