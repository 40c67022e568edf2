"""Accompaniment and bass: how a chord that lasts one bar is played."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipelines.synthesis.score import DENSE_FROM, Score

Played = tuple[float, float, int, float]
"""A note inside its bar: onset and length in quarter notes, MIDI pitch, gain."""

CompStyle = Callable[[Score, Sequence[int]], list[Played]]
BassStyle = Callable[[Score, int], list[Played]]


def _near(pitch: int, low: int) -> int:
    """Move a pitch by octaves into `low`, …, `low` + 11."""
    return low + (pitch - low) % 12


def voicing(score: Score, degree: int) -> list[int]:
    """Return the chord on a degree, close position, ascending, about the register's accompaniment octave."""
    low = {-1: 45, 0: 54, 1: 64}[score.register]
    steps = (0, 2, 4, 6) if score.genre == "jazz" else (0, 2, 4)
    return sorted(_near(score.pitch(degree + step), low) for step in steps)


def _pad(score: Score, chord: Sequence[int]) -> list[Played]:
    return [(0.0, float(score.beats_per_bar), pitch, 0.5) for pitch in chord]


def _drone(score: Score, chord: Sequence[int]) -> list[Played]:
    root = _near(score.root, min(chord) - 6)
    return [(0.0, float(score.beats_per_bar), pitch, 0.5) for pitch in (root, root + 7, root + 12)]


def _block(score: Score, chord: Sequence[int]) -> list[Played]:
    step = 0.5 if score.density >= DENSE_FROM else 1.0 if score.density > 0.4 else 2.0
    onsets = [step * i for i in range(int(score.beats_per_bar / step))] or [0.0]
    return [(onset, step * 0.8, pitch, 0.5) for onset in onsets for pitch in chord]


def _arpeggio(score: Score, chord: Sequence[int]) -> list[Played]:
    step = 0.25 if score.density > 0.7 else 0.5 if score.density > 0.3 else 1.0
    ladder = [*chord, chord[0] + 12, *reversed(chord[1:])]
    count = int(score.beats_per_bar / step)
    return [(i * step, step * 1.6, ladder[i % len(ladder)], 0.6) for i in range(count)]


def _strum(score: Score, chord: Sequence[int]) -> list[Played]:
    strings = [chord[0] - 12, *chord, chord[0] + 12]
    strokes = (0.0, 1.0, 1.5, 2.5, 3.0, 3.5) if score.density > 0.35 else (0.0, 2.0, 3.0)
    out = []
    for onset in strokes:
        if onset < score.beats_per_bar:
            down = onset == int(onset)
            order = strings if down else strings[::-1]
            out += [(onset + 0.02 * i, 0.9, pitch, 0.42 if down else 0.3) for i, pitch in enumerate(order)]
    return out


def _oompah(score: Score, chord: Sequence[int]) -> list[Played]:
    out = [(0.0, 0.8, chord[0] - 12, 0.8)]
    return out + [(float(beat), 0.45, pitch, 0.45) for beat in range(1, score.beats_per_bar) for pitch in chord]


def _riff(score: Score, chord: Sequence[int]) -> list[Played]:
    root = _near(chord[0], 38 if score.register < 1 else 45)
    step = 0.5 if score.density > 0.45 else 1.0
    out = []
    for i in range(int(score.beats_per_bar / step)):
        held = i % 8 in (0, 3, 6)
        out += [(i * step, step * (0.95 if held else 0.35), root + fifth, 0.6) for fifth in (0, 7, 12)]
    return out


def _stab(score: Score, chord: Sequence[int]) -> list[Played]:
    onsets = (0.5, 1.5, 1.75, 2.5, 3.25) if score.density > 0.5 else (0.5, 1.5, 2.5)
    return [(onset, 0.2, pitch, 0.6) for onset in onsets if onset < score.beats_per_bar for pitch in chord]


def shimmer(score: Score, chord: Sequence[int]) -> list[Played]:
    """Return the layer that a dense piece adds: the chord broken into sixteenths an octave up."""
    return [(0.25 * i, 0.22, chord[i % len(chord)] + 12, 0.45) for i in range(4 * score.beats_per_bar)]


COMP_STYLES: dict[str, CompStyle] = {
    "pad": _pad,
    "drone": _drone,
    "block": _block,
    "arpeggio": _arpeggio,
    "strum": _strum,
    "oompah": _oompah,
    "riff": _riff,
    "stab": _stab,
}
"""How a chord of MIDI pitches is spread over its bar."""


def _long(score: Score, root: int) -> list[Played]:
    return [(0.0, score.beats_per_bar * 0.95, root, 0.9)]


def _halves(score: Score, root: int) -> list[Played]:
    return [(0.0, 1.6, root, 0.9), (2.0, 1.6, root + 7 if root < 36 else root - 5, 0.8)][: score.beats_per_bar - 2]


def _eighths(score: Score, root: int) -> list[Played]:
    return [(0.5 * i, 0.42, root, 0.85) for i in range(2 * score.beats_per_bar)]


def _offbeat(score: Score, root: int) -> list[Played]:
    return [(i + 0.5, 0.4, root, 0.9) for i in range(score.beats_per_bar)]


def _walk(score: Score, root: int) -> list[Played]:
    return [(float(i), 0.9, root + step, 0.85) for i, step in enumerate((0, 4, 7, 9)[: score.beats_per_bar])]


def _slap(score: Score, root: int) -> list[Played]:
    steps = (
        (0.0, 0, 0.4),
        (0.75, 0, 0.2),
        (1.0, 12, 0.15),
        (1.75, 10, 0.2),
        (2.5, 0, 0.3),
        (3.0, 12, 0.15),
        (3.5, 7, 0.3),
    )
    return [(onset, length, root + step, 0.9) for onset, step, length in steps if onset < score.beats_per_bar]


BASS_STYLES: dict[str, BassStyle] = {
    "long": _long,
    "halves": _halves,
    "eighths": _eighths,
    "offbeat": _offbeat,
    "walk": _walk,
    "slap": _slap,
}
"""How the bass plays a chord's root (MIDI pitch) in its bar."""
