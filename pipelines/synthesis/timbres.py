"""Instruments: one function a timbre, from a frequency and a length to samples.

Sustained tones read a band-limited single cycle at a (vibrating) phase; struck and plucked ones add partials that
decay at their own rates. Partials stay below `CEILING_HZ`, so nothing aliases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipelines.synthesis.score import SAMPLE_RATE

Samples = NDArray[np.float32]

CEILING_HZ = 9_500.0
CYCLE = 2_048
LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds for which tones are kept; a note takes the next longer one and ends it with its own release."""


def frequency_of(pitch: int) -> float:
    """Return the frequency in Hz of a MIDI pitch (69 is A4, 440 Hz), equal temperament."""
    return float(440.0 * 2.0 ** ((pitch - 69) / 12))


def _float32(wave: NDArray[np.float64]) -> Samples:
    return wave.astype(np.float32)


def _time(seconds: float) -> NDArray[np.float64]:
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _cycle(frequency: float, gains: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Samples:
    """Return one period, `CYCLE` samples; `gains` maps harmonic numbers 1, 2, … to amplitudes."""
    count = max(1, min(40, int(CEILING_HZ / frequency)))
    k = np.arange(1, count + 1, dtype=np.float64)
    spectrum = np.zeros(CYCLE // 2 + 1, dtype=np.complex128)
    # Quadratic phases spread the harmonics over the period: the same colour with a lower crest.
    spectrum[1 : count + 1] = gains(k) * np.exp(-1j * np.pi * k * k / count)
    wave = np.fft.irfft(spectrum)
    return _float32(wave / np.abs(wave).max())


def _read(cycle: Samples, phase: NDArray[np.float64]) -> Samples:
    """Read a cycle at a phase given in periods."""
    index = (phase * CYCLE).astype(np.int64) & (CYCLE - 1)
    read: Samples = cycle[index]
    return read


def _phase(
    frequency: float, t: NDArray[np.float64], vibrato_hz: float = 0.0, cents: float = 0.0
) -> NDArray[np.float64]:
    """Return the running phase in periods; the vibrato sets in over the first 0.3 s."""
    if not cents:
        return frequency * t
    swing = frequency * (2.0 ** (cents / 1200) - 1) / (2 * np.pi * vibrato_hz)
    onset = np.minimum(t / 0.3, 1.0)
    phase: NDArray[np.float64] = frequency * t + swing * onset * (1 - np.cos(2 * np.pi * vibrato_hz * t))
    return phase


def _attack(t: NDArray[np.float64], seconds: float) -> Samples:
    return _float32(np.minimum(t / seconds, 1.0))


def _formants(hz: NDArray[np.float64], peaks: Sequence[tuple[float, float, float]]) -> NDArray[np.float64]:
    """Return the gain at `hz` of resonances (centre in Hz, width in octaves, gain)."""
    gain = np.ones_like(hz)
    for centre, width, height in peaks:
        gain = gain + height * np.exp(-((np.log2(hz / centre) / width) ** 2))
    return gain


def _partials(t: NDArray[np.float64], rows: Sequence[tuple[float, float, float]]) -> Samples:
    """Add decaying sines; a row is (frequency in Hz, amplitude, decay in nepers a second)."""
    out = np.zeros(len(t), dtype=np.float32)
    time = t.astype(np.float32)
    for hz, amplitude, decay in rows:
        if hz > CEILING_HZ:
            continue
        # 60 dB down is silence: the rest of a fast partial is not computed.
        n = min(len(t), int(7.0 / decay * SAMPLE_RATE) + 1)
        turns = ((hz * t[:n]) % 1.0).astype(np.float32)
        out[:n] += (
            np.float32(amplitude) * np.exp(np.float32(-decay) * time[:n]) * np.sin(np.float32(2 * np.pi) * turns)
        )
    return out


def _noise(count: int, seed: int) -> Samples:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def piano(hz: float, seconds: float) -> Samples:
    """Struck strings: stretched partials, high ones gone first, a short hammer knock."""
    t = _time(min(seconds, 3.0))
    rows = [
        (
            k * hz * (1 + 0.0004 * k * k) ** 0.5,
            k**-1.1 * abs(np.sin(np.pi * k / 8)) + 0.02,
            0.9 + hz / 500 + 0.55 * k,
        )
        for k in range(1, 13)
    ]
    out = _partials(t, rows) * _attack(t, 0.003)
    knock = _noise(min(len(t), 400), 11)
    out[: len(knock)] += 0.06 * knock * np.linspace(1, 0, len(knock), dtype=np.float32) ** 2
    return out


def guitar(hz: float, seconds: float) -> Samples:
    """A plucked steel string near the bridge: bright comb of partials, body resonances, nail noise."""
    t = _time(min(seconds, 2.0))
    rows = []
    for k in range(1, 19):
        body = float(_formants(np.array([k * hz]), ((200.0, 0.5, 1.0), (420.0, 0.4, 0.8), (3200.0, 0.6, 2.2)))[0])
        rows.append((k * hz, body * k**-0.9 * abs(np.sin(0.13 * np.pi * k)), 2.2 + 0.45 * k + hz / 400))
    out = _partials(t, rows) * _attack(t, 0.0015)
    nail = np.diff(_noise(min(len(t), 500), 12), prepend=np.float32(0))
    out[: len(nail)] += 0.16 * nail * np.linspace(1, 0, len(nail), dtype=np.float32) ** 3
    return out


def harp(hz: float, seconds: float) -> Samples:
    """A string plucked in its middle: odd partials, soft and long."""
    t = _time(min(seconds, 3.0))
    rows = [(k * hz, k**-2.0 * (1.0 if k % 2 else 0.25), 0.8 + 0.9 * (k - 1) + hz / 900) for k in range(1, 8)]
    return _partials(t, rows) * _attack(t, 0.008)


def marimba(hz: float, seconds: float) -> Samples:
    """A wooden bar over a tube: partials at 1, 3.9 and 9.2, dry and short."""
    t = _time(min(seconds, 1.0))
    out = _partials(t, ((hz, 1.0, 7.0 + hz / 250), (3.93 * hz, 0.45, 22.0), (9.2 * hz, 0.22, 45.0)))
    knock = _noise(min(len(t), 250), 13)
    out[: len(knock)] += 0.18 * knock * np.linspace(1, 0, len(knock), dtype=np.float32) ** 2
    return out * _attack(t, 0.0015)


def bells(hz: float, seconds: float) -> Samples:
    """A cast bell: inharmonic partials with a minor third, ringing on."""
    t = _time(min(seconds, 4.0))
    table = (
        (1.0, 0.5, 0.9),
        (2.0, 0.8, 1.2),
        (2.4, 0.5, 1.5),
        (3.0, 0.35, 1.9),
        (4.0, 0.6, 2.1),
        (5.43, 0.45, 2.8),
    )
    upper = ((6.8, 0.35, 3.6), (8.2, 0.25, 4.5), (10.9, 0.2, 6.0))
    return _partials(t, [(r * hz, a, d) for r, a, d in table + upper]) * _attack(t, 0.002)


def organ(hz: float, seconds: float) -> Samples:
    """Pipes: a few even drawbars, no decay, a rotor that turns 6.6 times a second."""
    t = _time(seconds)
    bars = {1: 1.0, 2: 0.9, 3: 0.55, 4: 0.7, 6: 0.4, 8: 0.5, 12: 0.2, 16: 0.25}
    cycle = _cycle(hz, lambda k: np.array([bars.get(int(n), 0.0) for n in k]))
    tremulant = (1 + 0.35 * np.sin(2 * np.pi * 6.6 * t)).astype(np.float32)
    return _read(cycle, _phase(hz, t, 6.6, 12.0)) * _attack(t, 0.012) * tremulant


def flute(hz: float, seconds: float) -> Samples:
    """Almost a sine, with breath around it and a vibrato of loudness."""
    t = _time(seconds)
    cycle = _cycle(hz, lambda k: np.where(k == 1, 1.0, 0.28 * 3.2 ** -(k - 2.0)))
    tremolo = (1 + 0.2 * np.minimum(t / 0.25, 1) * np.sin(2 * np.pi * 5.1 * t)).astype(np.float32)
    breath = _noise(len(t), 14)
    breath = breath - np.concatenate(([np.float32(0)], breath[:-1])) * np.float32(0.7)
    chiff = (0.035 + 0.12 * np.exp(-t / 0.03)).astype(np.float32)
    return (_read(cycle, _phase(hz, t, 5.1, 9.0)) * tremolo + breath * chiff) * _attack(t, 0.05)


def violin(hz: float, seconds: float) -> Samples:
    """A bowed string: a full saw through the body's resonances, wide vibrato, slow onset."""
    t = _time(seconds)
    peaks = ((480.0, 0.35, 1.2), (1100.0, 0.35, 0.8), (2700.0, 0.4, 2.4))
    cycle = _cycle(hz, lambda k: k**-1.0 * _formants(k * hz, peaks) * np.where(k * hz > 5500, 0.35, 1.0))
    return _read(cycle, _phase(hz, t, 5.9, 32.0)) * _attack(t, 0.09)


def trumpet(hz: float, seconds: float) -> Samples:
    """Brass: the louder the brighter, so each note opens; a strong band around 1.3 kHz."""
    t = _time(seconds)
    soft = _cycle(hz, lambda k: k**-2.0)
    peaks = ((1300.0, 0.7, 5.0),)
    loud = _cycle(hz, lambda k: k**-0.75 * _formants(k * hz, peaks) * np.where(k * hz > 4500, 0.25, 1.0))
    opening = (np.minimum(t / 0.06, 1) * (0.75 + 0.25 * np.exp(-t / 0.15))).astype(np.float32)
    phase = _phase(hz, t, 5.2, 7.0)
    return (_read(soft, phase) * (1 - opening) + _read(loud, phase) * opening) * _attack(t, 0.025)


def synthesizer(hz: float, seconds: float) -> Samples:
    """Three detuned saws whose filter closes slowly: the sound of a polyphonic analogue."""
    t = _time(seconds)
    bright = _cycle(hz, lambda k: k**-0.8)
    dull = _cycle(hz, lambda k: k**-1.0 / (1 + (k * hz / 900) ** 3))
    opening = (0.3 + 0.7 * np.exp(-t / 0.35)).astype(np.float32)
    out = np.zeros(len(t), dtype=np.float32)
    for cents, start in ((-8.0, 0.0), (0.0, 0.31), (9.0, 0.67)):
        phase = _phase(hz * 2.0 ** (cents / 1200), t) + start
        out += _read(bright, phase) * opening + _read(dull, phase) * (1 - opening)
    return out * _attack(t, 0.006)


def chip(hz: float, seconds: float) -> Samples:
    """A pulse wave of duty 1/4, as an early sound chip makes it."""
    t = _time(seconds)
    cycle = _cycle(hz, lambda k: np.abs(np.sin(np.pi * k / 4)) / k)
    return _read(cycle, _phase(hz, t, 7.0, 10.0)) * _attack(t, 0.002)


def electric_guitar(hz: float, seconds: float) -> Samples:
    """An overdriven string: clipped, compressed, with a cabinet that ends at 5 kHz."""
    t = _time(seconds)
    cycle = _cycle(hz, lambda k: k**-0.35 / (1 + (k * hz / 4200) ** 6) * _formants(k * hz, ((2300.0, 0.6, 1.5),)))
    twin = _read(cycle, _phase(hz, t)) + _read(cycle, _phase(hz * 1.004, t) + 0.4)
    pick = (1 + 1.5 * np.exp(-t / 0.05)).astype(np.float32)
    driven: Samples = np.tanh(1.8 * twin * pick * np.exp(-0.35 * t).astype(np.float32))
    return driven * _attack(t, 0.002)


def bass(hz: float, seconds: float) -> Samples:
    """A plucked bass guitar: low partials, the upper ones only at the pluck."""
    t = _time(min(seconds, 2.0))
    rows = [(k * hz, k**-0.8, 1.3 + 1.6 * (k - 1)) for k in range(1, 11)]
    return _partials(t, rows) * _attack(t, 0.004)


def sub(hz: float, seconds: float) -> Samples:
    """A synthetic bass: a rounded sine that keeps its level."""
    t = _time(seconds)
    cycle = _cycle(hz, lambda k: np.where(k == 1, 1.0, 0.5 * k**-1.6) * (k < 7))
    return _read(cycle, _phase(hz, t)) * _attack(t, 0.008)


TIMBRES: dict[str, tuple[Callable[[float, float], Samples], float, float]] = {
    "piano": (piano, 1.3, 0.08),
    "guitar": (guitar, 0.95, 0.06),
    "harp": (harp, 1.0, 0.3),
    "marimba": (marimba, 1.5, 0.2),
    "bells": (bells, 0.95, 0.5),
    "organ": (organ, 0.85, 0.05),
    "flute": (flute, 0.75, 0.06),
    "violin": (violin, 0.6, 0.1),
    "trumpet": (trumpet, 0.6, 0.05),
    "synthesizer": (synthesizer, 0.6, 0.05),
    "chip": (chip, 0.4, 0.01),
    "electric guitar": (electric_guitar, 0.45, 0.02),
    "bass": (bass, 0.9, 0.03),
    "sub": (sub, 0.7, 0.03),
}
"""Timbre: (function, loudness that makes it sit with the others, release in seconds)."""


@lru_cache(maxsize=768)
def _tone(timbre: str, pitch: int, seconds: float) -> Samples:
    function, loudness, _ = TIMBRES[timbre]
    out = function(frequency_of(pitch), seconds)
    out *= np.float32(loudness / max(float(np.abs(out).max()), 1e-9))
    out.flags.writeable = False
    return out


@lru_cache(maxsize=256)
def _ramp(count: int) -> Samples:
    ramp = _float32(0.5 + 0.5 * np.cos(np.linspace(0, np.pi, count)))
    ramp.flags.writeable = False
    return ramp


def tone(timbre: str, pitch: int, seconds: float) -> Samples:
    """Return a note, float32, its release added to `seconds`; it starts and ends at zero.

    Raises:
        KeyError: an unknown timbre.
    """
    release = TIMBRES[timbre][2]
    wanted = min(seconds + release, LENGTHS[-1])
    kept = _tone(timbre, pitch, next(length for length in LENGTHS if length >= wanted))
    out = kept[: round(wanted * SAMPLE_RATE)].copy()
    tail = min(len(out), max(64, round(release * SAMPLE_RATE)))
    out[-tail:] *= _ramp(tail)
    return out
