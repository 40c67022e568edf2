"""Spectrograms that were published as .npy files: Melon's, MTG-Jamendo's, or in a layout of one's own."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from pipelines.features.base import Feature, FeatureSettings
from pipelines.features.decode import ExcludedError
from pipelines.features.media import Media, MediaKind, MediaRef
from pipelines.features.presets import CUSTOM, MelPreset, preset_of
from pipelines.locations import store_at
from pipelines.sources.file_digests import digests_of
from schemas.errors import UsageError
from schemas.reasons import Reason
from schemas.shards import Clip, FeatureSpec
from schemas.store import OutsideStoreError, Store
from schemas.tables import TRACKS

# What a pattern may say of a track; the number is the digits at the end of its id.
FIELDS = ("track_id", "number", "thousand", "last_two", "stem")
# Melon's archives unpack into a folder a thousand songs, which people keep below one folder or beside each other.
LAYOUTS: Mapping[str, tuple[str, Sequence[str]]] = {
    "melon": (
        "melon",
        ("{thousand}/{number}.npy", "arena_mel/{thousand}/{number}.npy", "arena_mel_{thousand}/{number}.npy"),
    ),
    "mtg_jamendo": ("jamendo", ("{last_two}/{number}.npy", "melspecs/{last_two}/{number}.npy")),
}
_PROBED = 1000
_LONGEST_FRAMES = 10_000_000


class PrecomputedSettings(FeatureSettings):
    """The keys of a `precomputed` feature.

    Attributes:
        path: the folder of the files; it enters no digest.
        layout: whose files they are; `custom` needs `pattern`, and `preset` (or `mel`, as in `log_mel`) to say
            what the values are.
        pattern: the place of a track's file below `path`, such as {track_id}.npy. {number} is the digits at the end
            of the id, {thousand} a thousandth of it, {last_two} its last two digits, {stem} the track's audio path
            without its suffix.
        axes: how the arrays lie.
        min_frames: fewer frames are excluded as too_short.
    """

    path: str | None = None
    layout: Literal["melon", "mtg_jamendo", "custom"]
    pattern: str | None = None
    preset: str | None = None
    mel: MelPreset | None = None
    axes: Literal["mels_frames", "frames_mels"] = "mels_frames"
    min_frames: int = Field(default=1, ge=1)
    dtype: Literal["float16", "float32"] = "float16"

    @field_validator("pattern")
    @classmethod
    def _known_fields(cls, pattern: str | None) -> str | None:
        try:
            named = [] if pattern is None else list(string.Formatter().parse(pattern))
        except ValueError as error:
            raise ValueError(f"{pattern!r}: {error}") from error
        for _, name, form, conversion in named:
            if name is not None and (name not in FIELDS or form or conversion):
                raise ValueError(f"{{{name}}} is nothing that is known of a track ({', '.join(FIELDS)})")
        return pattern


class Precomputed(Feature):
    """One clip a track, (frames, mels): the published array, turned where its bands come first."""

    VERSION = 1
    Settings = PrecomputedSettings
    settings: PrecomputedSettings

    def __init__(self, name: str, settings: PrecomputedSettings) -> None:
        super().__init__(name, settings)
        self._mel, self._preset = _front_end(settings, f"features.{name}")
        self._patterns = _patterns(settings, f"features.{name}")

    def media(self, given: Media, base: str | None) -> Media:
        return PublishedSpectrograms(self.name, self.settings.path, base, self._patterns)

    def spec(self) -> FeatureSpec:
        content = {
            **self.settings.model_dump(mode="json", exclude={"splits", "path", "mel", "preset"}),
            **self._mel.values(),
            "preset": self._preset,
            "dtype": self.settings.dtype,
            "feature_version": self.VERSION,
            "hop_s": self._mel.hop / self._mel.rate,
            "unit": self._mel.unit,
        }
        return FeatureSpec(self.name, self.settings.dtype, (-1, self._mel.mels), content)

    def prepare(self) -> None:
        """NumPy is all that it takes."""

    def clips(self, media: Store, ref: MediaRef) -> list[Clip]:
        return [Clip(ref.track_id, 0, 0.0, self._values(media, ref.uri))]

    def _values(self, media: Store, path: str) -> npt.NDArray[Any]:
        try:
            if not media.inside(path):
                raise OutsideStoreError(path)
            with media.open(path) as stream:
                values = read_array(stream, path)
        except OutsideStoreError as error:
            raise ExcludedError(Reason.OUTSIDE_SOURCE, f"{path!r} leads out of the folder") from error
        except FileNotFoundError as error:
            raise ExcludedError(Reason.MISSING_FILE, f"{path} is not there") from error
        except OSError as error:
            raise ExcludedError(Reason.UNREADABLE, f"{path}: {error.strerror or error}") from error
        bands = self._mel.mels
        published = values if self.settings.axes == "frames_mels" else values.T
        if published.ndim != 2 or published.shape[1] != bands:
            axes = f"({bands}, frames)" if self.settings.axes == "mels_frames" else f"(frames, {bands})"
            raise ExcludedError(Reason.NOT_AUDIO, f"{path}: an array of shape {values.shape}, not {axes}")
        if len(published) < self.settings.min_frames:
            least = self.settings.min_frames
            raise ExcludedError(Reason.TOO_SHORT, f"{path}: {len(published)} frames; at least {least} are needed")
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(published, self.settings.dtype)
        if not np.isfinite(stored).all():
            raise ExcludedError(Reason.NOT_FINITE, f"{path}: values that are no {self.settings.dtype} numbers")
        return stored

    def clip_bytes(self) -> int:
        frames = self._mel.frames(30 * self._mel.rate)
        return frames * self._mel.mels * int(np.dtype(self.settings.dtype).itemsize)


def read_array(stream: BinaryIO, path: str) -> npt.NDArray[Any]:
    """Read a .npy file of floating-point numbers. Nothing in it is run, and no memory is taken on its word alone.

    Raises:
        ExcludedError: it is none, holds something else, or ends before its header says.
    """
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream, max_header_size=10_000)
    except (ValueError, EOFError) as error:
        raise ExcludedError(
            Reason.NOT_AUDIO, f"{path}: is no .npy file ({' '.join(str(error).split())})"
        ) from error
    if dtype.kind != "f" or dtype.itemsize > 8 or len(shape) != 2 or max(shape) > _LONGEST_FRAMES:
        raise ExcludedError(Reason.NOT_AUDIO, f"{path}: an array of {dtype}, shape {shape}, is no spectrogram")
    wanted = shape[0] * shape[1] * dtype.itemsize
    place = stream.tell()
    held = stream.seek(0, 2) - place
    if held < wanted:
        raise ExcludedError(Reason.TRUNCATED, f"{path}: {held:,} bytes of values, and the header says {wanted:,}")
    stream.seek(place)
    values = np.frombuffer(stream.read(wanted), dtype)
    return values.reshape(shape, order="F" if fortran else "C")


class PublishedSpectrograms(Media):
    """The files of tracks by a pattern, below a folder of their own."""

    after = ("source",)

    def __init__(self, feature: str, path: str | None, base: str | None, patterns: Sequence[str]) -> None:
        self._key, self._path, self._base, self._patterns = f"features.{feature}.path", path, base, patterns
        self.way_out = f"set {self._key} to the folder of the .npy files, or build with --only tags,splits"

    def store(self) -> Store | None:
        return None if self._path is None else store_at(self._path, self._base, self._key)

    def inputs(self, *, trust_stamps: bool) -> dict[str, str]:
        store = self.store()
        if store is None:
            return {}
        files = [info.path for info in store.list() if info.path.endswith(".npy") and store.inside(info.path)]
        return digests_of(store, files, trust_stamps=trust_stamps)

    def refs(self, out: Store, kind: MediaKind) -> tuple[list[MediaRef], list[str]]:
        """As `Media.refs`. Of several forms of a layout the first is taken by which a file is there.

        Raises:
            UsageError: there is none by any form.
        """
        table = TRACKS.read(out, ["track_id", "audio_uri"]).sort_by("track_id")
        pairs = list(zip(table.column("track_id").to_pylist(), table.column("audio_uri").to_pylist(), strict=True))
        known = [_fields(track, uri) for track, uri in pairs]
        pattern = self._pattern([fields for fields in known if fields])
        refs, without = [], []
        digests = self.inputs(trust_stamps=True)
        for (track, _), fields in zip(pairs, known, strict=True):
            try:
                path = pattern.format(**fields)
                refs.append(MediaRef(track, path, sha256=digests.get(path)))
            except KeyError:
                without.append(track)
        return refs, without

    def _pattern(self, known: Sequence[Mapping[str, Any]]) -> str:
        store = self.store()
        assert store is not None
        if len(self._patterns) == 1:
            return self._patterns[0]
        probed = known[:: max(1, len(known) // _PROBED)]
        first = ""
        for pattern in self._patterns:
            for fields in probed:
                try:
                    path = pattern.format(**fields)
                    if store.exists(path):
                        return pattern
                except (KeyError, OutsideStoreError):
                    continue
                first = first or path
        raise UsageError(f"{self._key}: {store.root} has no file such as {first or self._patterns[0]}")


def _fields(track_id: str, audio_uri: str | None) -> dict[str, Any]:
    """What a pattern may say of a track; what is not known of it is not there."""
    digits = track_id[len(track_id.rstrip("0123456789")) :]
    fields: dict[str, Any] = {"track_id": track_id}
    if digits.isascii() and digits:
        number = int(digits[:18])
        fields |= {"number": number, "thousand": number // 1000, "last_two": f"{number % 100:02d}"}
    if audio_uri:
        fields["stem"] = str(PurePosixPath(audio_uri).with_suffix(""))
    return fields


def _front_end(settings: PrecomputedSettings, key: str) -> tuple[MelPreset, str]:
    """What the values are, and its name."""
    if settings.layout != "custom":
        name = LAYOUTS[settings.layout][0]
        for given in ("preset", "mel", "pattern"):
            if getattr(settings, given) is not None:
                raise UsageError(f"{key}.{given}: the layout {settings.layout!r} says it all; write layout: custom")
    elif settings.mel is not None:
        if settings.preset not in (None, CUSTOM):
            raise UsageError(f"{key}.mel: the preset {settings.preset!r} says it all; leave one out")
        return settings.mel, CUSTOM
    elif settings.preset is None:
        raise UsageError(f"{key}.preset: is required with the layout custom: by which front end were they made?")
    else:
        name = settings.preset
    mel = preset_of(name, "log_mel", f"{key}.preset").mel
    assert mel is not None
    return mel, name


def _patterns(settings: PrecomputedSettings, key: str) -> Sequence[str]:
    if settings.layout != "custom":
        return LAYOUTS[settings.layout][1]
    if settings.pattern is None:
        raise UsageError(f"{key}.pattern: is required with the layout custom, such as {{track_id}}.npy")
    return (settings.pattern,)


FEATURE = Precomputed
