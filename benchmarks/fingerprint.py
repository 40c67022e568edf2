"""Fingerprints on real music coded anew: what is found, what is found wrongly, what it costs, and a million tracks.

Each of some pieces is cut to 100 seconds and written again as people's libraries hold it: other codecs, another
level, trimmed at its ends, and all of that. Every file is then matched with every other; wrong is any pair of two
pieces, or of two parts of one piece that share no second (which a piece made of loops may still repeat). A change
of speed by 1 % is the known limit of these fingerprints and is measured, too.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from av.audio.stream import AudioStream
from rich.console import Console

from benchmarks.music import WORK, real_music
from benchmarks.result import Result
from pipelines.features.base import Feature, feature_of
from pipelines.features.decode import ExcludedError
from pipelines.features.fingerprint import HOP_S, Fingerprint
from pipelines.features.media import MediaRef
from pipelines.features.quiet import quiet_decoders
from pipelines.recordings.match import Matches, match
from schemas.manifest import FeatureSection
from schemas.store import Store

PIECES = 24
SECONDS = 100
MILLION = 1_000_000
SCALES = (10_000, 20_000, 40_000)
LIMIT = "speed 1 % up"
LOUD = "12 dB up, clipped"
# What is no aim, and what has lost its waveform.
GOALS = {LIMIT: 0.0, LOUD: 0.9}
Sound = npt.NDArray[np.float32]
Change = Callable[[Sound, int], tuple[Sound, int]]


def level(decibels: float) -> Change:
    return lambda sound, rate: (sound * np.float32(10 ** (decibels / 20)), rate)


def trimmed(start_s: float, end_s: float) -> Change:
    return lambda sound, rate: (sound[int(start_s * rate) : len(sound) - int(end_s * rate)], rate)


def resampled(to: int) -> Change:
    return lambda sound, rate: (soxr.resample(sound, rate, to).astype(np.float32), to)


def together(*changes: Change) -> Change:
    def all_of(sound: Sound, rate: int) -> tuple[Sound, int]:
        for change in changes:
            sound, rate = change(sound, rate)
        return sound, rate

    return all_of


def coded(path: Path, codec: str, bit_rate: int, sound: Sound, rate: int) -> None:
    """Write by FFmpeg's encoder."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        assert isinstance(stream, AudioStream)
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


# Name, what is done to the sound, suffix, codec and bits a second (None for FLAC).
VARIANTS: Sequence[tuple[str, Change, str, tuple[str, int] | None]] = (
    ("as it is", level(0), "flac", None),
    ("MP3 64 kbit/s", level(0), "mp3", ("libmp3lame", 64_000)),
    ("AAC 96 kbit/s", level(0), "m4a", ("aac", 96_000)),
    ("Opus 48 kbit/s", resampled(48_000), "opus", ("libopus", 48_000)),
    ("22.05 kHz", resampled(22_050), "flac", None),
    ("12 dB down", level(-12), "flac", None),
    (LOUD, level(12), "flac", None),
    ("3.7 s off the start", trimmed(3.7, 0), "flac", None),
    ("8 s off the end", trimmed(0, 8), "flac", None),
    ("MP3, both ends off, 12 dB down", together(trimmed(3.7, 8), level(-12)), "mp3", ("libmp3lame", 64_000)),
    (LIMIT, lambda sound, rate: (soxr.resample(sound, 101, 100).astype(np.float32), rate), "flac", None),
    ("another part", trimmed(0, 0), "flac", None),
)
OTHER_PART = len(VARIANTS) - 1


def run() -> list[Result]:
    """Recall by kind of copy, precision, cost, and the slope of matching."""
    folder = written(WORK / "fingerprint")
    paths = sorted(path.name for path in folder.iterdir())
    feature = feature_of("fp", FeatureSection(kind="fingerprint"), "benchmark")
    assert isinstance(feature, Fingerprint)
    prints, cpu = fingerprints(feature, folder, paths)
    starts = np.cumsum([0, *map(len, prints)]).astype(np.int64)
    settings = feature.settings
    found = match(
        np.concatenate(prints),
        starts,
        max_error=settings.max_error,
        min_overlap=round(settings.min_overlap_s / HOP_S),
    )
    pieces = np.array([int(path.split("-")[0]) for path in paths])
    kinds = np.array([int(path.split("-")[1].partition(".")[0]) for path in paths])
    results = recalls(found, pieces, kinds)
    of_two = pieces[found.one] != pieces[found.other]
    elsewhere = ~of_two & ((kinds[found.one] == OTHER_PART) != (kinds[found.other] == OTHER_PART))
    for name, wrong, goal in (("of one piece", of_two, 0.999), ("of the same seconds of it", elsewhere, 0.98)):
        share = 100 * (1 - float(wrong.mean()))
        results.append(Result(f"precision: pairs found that are {name}", "all right", share, 100, goal, "%"))
    mel = feature_of("mel", FeatureSection.model_validate({"kind": "log_mel", "preset": "ttmr"}), "benchmark")
    as_they_are = [path for path, kind in zip(paths, kinds.tolist(), strict=True) if kind == 0]
    cpu_of(mel, folder, as_they_are[:1])  # imports
    mel_cpu, own_cpu = cpu_of(mel, folder, as_they_are), cpu_of(feature, folder, as_they_are)
    # Twice the seconds are decoded, and resampled from further.
    results.append(
        Result(
            "fingerprint of 60 s of FLAC", "ttmr's log-mel of 30 s", 1 / own_cpu, 1 / mel_cpu, 0.4, "tracks/s CPU"
        )
    )
    console = Console()
    size = float(np.mean([print_.nbytes for print_ in prints]))
    console.print(f"  {1000 * cpu:.0f} ms CPU and {size:,.0f} bytes a track, all codecs")
    results.append(slope(prints, console))
    return results


def written(folder: Path) -> Path:
    """The variants of each piece, as PIECE-VARIANT.SUFFIX; made once."""
    if (folder / ".written").exists():
        return folder / "music"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "music").mkdir(parents=True)
    music = [path for path in real_music() if soundfile.info(path).duration >= 2 * SECONDS + 10]
    for piece, path in enumerate(music[:: max(1, len(music) // PIECES)][:PIECES]):
        with soundfile.SoundFile(path) as file:
            sound, rate = file.read(SECONDS * file.samplerate, dtype="float32", always_2d=True), file.samplerate
            file.seek(file.frames - SECONDS * file.samplerate)
            other = file.read(dtype="float32", always_2d=True)
        for kind, (_, change, suffix, codec) in enumerate(VARIANTS):
            stereo = np.repeat(sound, 2, axis=1)[:, :2] if sound.shape[1] == 1 else sound[:, :2]
            changed, new_rate = (other, rate) if kind == OTHER_PART else change(stereo, rate)
            name = folder / "music" / f"{piece:02d}-{kind:02d}.{suffix}"
            if codec is None:
                soundfile.write(name, np.clip(changed, -1, 1), new_rate)
            else:
                coded(name, *codec, changed, new_rate)
    (folder / ".written").touch()
    return folder / "music"


def fingerprints(
    feature: Feature, folder: Path, paths: Sequence[str]
) -> tuple[list[npt.NDArray[np.uint32]], float]:
    """The fingerprint of each file, and seconds of CPU for one."""
    feature.prepare()
    store = Store(str(folder))
    begun = time.process_time()
    with quiet_decoders():
        found = [_of_one(feature, store, path) for path in paths]
    return found, (time.process_time() - begun) / len(paths)


def _of_one(feature: Feature, store: Store, path: str) -> npt.NDArray[np.uint32]:
    try:
        return feature.clips(store, MediaRef(path, path))[0].data
    except ExcludedError:  # clipped beyond use: it counts as not found
        return np.empty(0, np.uint32)


def cpu_of(feature: Feature, folder: Path, paths: Sequence[str]) -> float:
    """Seconds of CPU a track."""
    return fingerprints(feature, folder, paths)[1]


def recalls(found: Matches, pieces: npt.NDArray[np.int64], kinds: npt.NDArray[np.int64]) -> list[Result]:
    """For each kind of copy, how many are found to be the piece as it is."""
    original = {int(piece): place for place, piece in enumerate(pieces) if kinds[place] == 0}
    pairs = set(zip(found.one.tolist(), found.other.tolist(), strict=True))
    results = []
    for kind, (name, *_) in enumerate(VARIANTS):
        if kind in (0, OTHER_PART):
            continue
        copies = np.flatnonzero(kinds == kind).tolist()
        hits = sum(tuple(sorted((copy, original[int(pieces[copy])]))) in pairs for copy in copies)
        goal = GOALS.get(name, 0.99)
        results.append(Result(f"recall: {name}", "all found", 100 * hits / len(copies), 100, goal, "%"))
    return results


def slope(prints: Sequence[npt.NDArray[np.uint32]], console: Console) -> Result:
    """Time of matching for growing numbers of tracks that are none of each other, and what it says of a million.

    The tracks are frames of the real ones in runs of 32, drawn at random and blurred, so that hashes have nearly
    the distribution of music.
    """
    draws = np.random.default_rng(0)
    pool = np.concatenate(prints)
    frames = int(np.median([len(print_) for print_ in prints]))
    seconds = []
    for tracks in SCALES:
        places = draws.integers(0, len(pool) - 32, (tracks, frames // 32))
        hashes = pool[(places[:, :, None] + np.arange(32)).ravel()]
        for _ in range(3):  # one bit in ten, roughly
            hashes = hashes ^ (np.uint32(1) << draws.integers(0, 32, len(hashes)).astype(np.uint32))
        starts = np.arange(tracks + 1, dtype=np.int64) * (frames // 32 * 32)
        begun = time.process_time()
        match(hashes, starts, max_error=0.25, min_overlap=86)
        seconds.append(time.process_time() - begun)
        console.print(f"  {tracks:,} tracks matched in {seconds[-1]:.1f} s of CPU")
    power = float(np.log(seconds[-1] / seconds[0]) / np.log(SCALES[-1] / SCALES[0]))
    hours = seconds[-1] * (MILLION / SCALES[-1]) ** power / 3600
    held = MILLION * frames * 4 / 1e9
    console.print(
        f"  time grows with the power {power:.2f}: a million tracks take {hours:.1f} h of one core; {held:.1f} GB "
        "of fingerprints, which a build holds in scratch on a disk while they are matched"
    )
    return Result("a million tracks matched, one core, by the slope", "a day", 24 / hours, 1, 1.0, "a day")
