"""The studio: notes and strokes added up, the room, the tone, the record's wear, and a limiter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

from pipelines.synthesis.arrange import arrange
from pipelines.synthesis.percussion import stroke
from pipelines.synthesis.score import SAMPLE_RATE, Score
from pipelines.synthesis.timbres import tone

Samples = NDArray[np.float32]

ROOM = ((0.019, 0.16), (0.031, 0.13), (0.047, 0.10), (0.071, 0.07))
"""Early reflections: (seconds, gain)."""

LEVELS = {"lead": 0.85, "comp": 0.75, "bass": 0.75, "drums": 0.7}
FADE_S = 0.8


def perform(score: Score) -> Samples:
    """Play a score: float32 samples in [-1, 1], mono at `SAMPLE_RATE`, peak at `score.peak_db` dBFS."""
    count = round(score.seconds * SAMPLE_RATE)
    dry = np.zeros(count, dtype=np.float32)
    notes, hits = arrange(score)
    for note in notes:
        part = "lead" if note.timbre == score.lead else "bass" if note.timbre in ("bass", "sub") else "comp"
        _add(dry, note.onset, tone(note.timbre, note.pitch, note.seconds), note.gain * LEVELS[part])
    _room(dry, score)
    # Drums stay out of the echo, which would blur the beat, and in front of the room.
    for hit in hits:
        _add(dry, hit.onset, stroke(hit.drum), hit.gain * LEVELS["drums"])
    mixed = _tilt(dry, score.tone)
    if score.lofi:
        mixed = _worn(mixed, score.seed)
    return _limit(mixed, score.peak_db)


def _add(mix: Samples, onset: float, sound: Samples, gain: float) -> None:
    start = round(onset * SAMPLE_RATE)
    stop = min(len(mix), start + len(sound))
    if stop > start:
        mix[start:stop] += np.float32(gain) * sound[: stop - start]


def _room(mix: Samples, score: Score) -> None:
    """Add early reflections and, for a wet score, echoes by the dotted eighth."""
    taps = list(ROOM)
    if score.echo > 0.3:
        delay = min(0.75 * 60.0 / score.bpm, 0.45)
        taps += [(delay * (k + 1), 0.62 * score.echo ** (k + 1)) for k in range(5)]
    dry = mix.copy()
    for seconds, gain in taps:
        shift = round(seconds * SAMPLE_RATE)
        if shift < len(mix):
            mix[shift:] += np.float32(gain) * dry[:-shift]


def _tilt(mix: Samples, tone_: float) -> Samples:
    """Raise one side of 1.2 kHz by up to 7 dB, lower the other as much."""
    if tone_ == 0:
        return mix
    a = np.float32(1 - np.exp(-2 * np.pi * 1200 / SAMPLE_RATE))
    low: Samples = lfilter(np.array([a], dtype=np.float32), np.array([1, a - 1], dtype=np.float32), mix).astype(
        np.float32
    )
    gain = np.float32(10 ** (7 * tone_ / 20))
    return low / gain + (mix - low) * gain


def _worn(mix: Samples, seed: int) -> Samples:
    """Narrow the band to 90–3,200 Hz and add hiss and crackle."""
    band = butter(2, (90, 3200), "bandpass", fs=SAMPLE_RATE, output="sos").astype(np.float32)
    out: Samples = sosfilt(band, mix).astype(np.float32)
    rng = np.random.default_rng((seed, 1))
    level = np.float32(np.sqrt(np.mean(np.square(out))) + 1e-6)
    out += rng.standard_normal(len(out), dtype=np.float32) * level * np.float32(0.05)
    clicks = rng.integers(0, len(out), size=max(1, 14 * len(out) // SAMPLE_RATE))
    out[clicks] += (rng.uniform(-1, 1, size=len(clicks)) * 2.5).astype(np.float32) * level
    return out


def _limit(mix: Samples, peak_db: float) -> Samples:
    """Round off the highest peaks, fade both ends and set the level."""
    level = np.float32(np.sqrt(np.mean(np.square(mix))))
    if level > 0:
        ceiling = np.float32(6) * level
        mix = np.tanh(mix / ceiling) * ceiling
    head = min(len(mix), round(0.004 * SAMPLE_RATE))
    tail = min(len(mix), round(FADE_S * SAMPLE_RATE))
    mix[:head] *= np.linspace(0, 1, head, dtype=np.float32)
    mix[len(mix) - tail :] *= np.linspace(1, 0, tail, dtype=np.float32) ** 2
    peak = np.float32(np.abs(mix).max(initial=0))
    if peak > 0:
        mix *= np.float32(10 ** (peak_db / 20)) / peak
    return mix
