"""From a score to notes and strokes: melody, accompaniment, bass and drums, bar by bar."""

from __future__ import annotations

import numpy as np

from pipelines.synthesis.accompaniment import BASS_STYLES, COMP_STYLES, shimmer, voicing
from pipelines.synthesis.percussion import PATTERNS, TAMBOURINE
from pipelines.synthesis.score import DENSE_FROM, MINIMAL_BELOW, Hit, Note, Score

STEPS_PER_BEAT = 4
STROKES = {"x": 1.0, "o": 0.5}
FILLED = frozenset({"hat", "ride", "shaker"})
"""Drums that a dense piece plays on every sixteenth, and a minimal one leaves out."""

SYNTHETIC_BASS = frozenset({"techno", "hip hop", "drum and bass", "chiptune", "ambient"})


def arrange(score: Score) -> tuple[list[Note], list[Hit]]:
    """Return the notes and the strokes of a piece, sorted by part and time, all beginning before its end."""
    beat = 60.0 / score.bpm
    bar = beat * score.beats_per_bar
    bars = int(np.ceil(score.seconds / bar))
    rng = np.random.default_rng(score.seed)
    notes: list[Note] = []
    hits: list[Hit] = []
    motifs = [_motif(score, rng) for _ in range(2)]
    for number in range(bars):
        degree = score.progression[number % len(score.progression)]
        start = number * bar
        # A A B A: enough return to be a tune, enough change to be heard out.
        motif = motifs[1 if number % 4 == 2 else 0]
        notes += _lead(score, motif, degree, start, beat, rng)
        # A minimal piece leaves every second bar to the lead, unless the chords are held.
        held = score.comp_style in ("pad", "drone")
        if number % 2 == 0 or held or score.density >= MINIMAL_BELOW:
            notes += _comp(score, degree, start, beat)
        notes += _bass(score, degree, start, beat)
        hits += _drums(score, start, beat, rng)
    end = score.seconds - 0.02
    return [note for note in notes if note.onset < end], [hit for hit in hits if hit.onset < end]


def _swung(score: Score, position: float) -> float:
    """Delay what falls on the second eighth of a beat; positions in quarter notes."""
    return position + (score.swing * 0.5 if position % 1 == 0.5 else 0.0)


def _motif(score: Score, rng: np.random.Generator) -> list[tuple[float, int, float]]:
    """Return a bar of melody: (position in quarter notes, scale degrees above the chord, gain)."""
    steps = np.arange(score.beats_per_bar * STEPS_PER_BEAT)
    weight = np.where(steps % 4 == 0, 1.0, np.where(steps % 2 == 0, 0.55, 0.18 if score.density > 0.55 else 0.0))
    # Counted by the second, not by the beat: a slow piece can be dense and a fast one minimal.
    wanted = (0.6 + 6.4 * score.density**1.4) * score.beats_per_bar * 60.0 / score.bpm
    count = int(np.clip(round(wanted), 1, np.count_nonzero(weight)))
    chosen = np.sort(rng.choice(steps, size=count, replace=False, p=weight / weight.sum()))
    degree = int(rng.choice((0, 2, 4)))
    motif = []
    for step in chosen:
        strong = step % 4 == 0
        degree = int(np.clip(degree + rng.integers(-2, 3), -3, 7))
        if strong:
            degree = min((0, 2, 4, 7, -3), key=lambda tone: (abs(tone - degree), tone))
        motif.append((step / STEPS_PER_BEAT, degree, 0.95 if strong else 0.75))
    return motif


def _lead(
    score: Score,
    motif: list[tuple[float, int, float]],
    degree: int,
    start: float,
    beat: float,
    rng: np.random.Generator,
) -> list[Note]:
    centre = {-1: 53, 0: 69, 1: 86}[score.register]
    ends = [position for position, _, _ in motif[1:]] + [float(score.beats_per_bar)]
    # Lively tunes in major bounce and are doubled at the octave, the others sing.
    held = 0.5 if score.lively else 0.97
    notes = []
    for (position, offset, gain), until in zip(motif, ends, strict=True):
        pitch = score.pitch(degree + offset)
        pitch += 12 * round((centre - pitch) / 12)
        onset = start + _swung(score, position) * beat
        length = max(0.09, (until - position) * beat * held)
        gain *= float(rng.uniform(0.85, 1.0))
        notes.append(Note(score.lead, onset, length, pitch, gain))
        if score.lively:
            notes.append(Note(score.lead, onset, length, pitch + 12, 0.75 * gain))
    return notes


def _comp(score: Score, degree: int, start: float, beat: float) -> list[Note]:
    if score.comp is None:
        return []
    chord = voicing(score, degree)
    played = COMP_STYLES[score.comp_style](score, chord)
    if score.density >= DENSE_FROM:
        played = played + shimmer(score, chord)
    return [
        Note(score.comp, start + _swung(score, position) * beat, max(0.08, length * beat), pitch, gain)
        for position, length, pitch, gain in played
    ]


def _bass(score: Score, degree: int, start: float, beat: float) -> list[Note]:
    if score.bass_style is None:
        return []
    root = 31 + (score.pitch(degree) - 31) % 12
    timbre = "sub" if score.genre in SYNTHETIC_BASS else "bass"
    return [
        Note(timbre, start + _swung(score, position) * beat, max(0.08, length * beat), pitch, gain)
        for position, length, pitch, gain in BASS_STYLES[score.bass_style](score, root)
    ]


def _drums(score: Score, start: float, beat: float, rng: np.random.Generator) -> list[Hit]:
    if score.pattern is None:
        return []
    hits = []
    lines = PATTERNS[score.pattern] + (TAMBOURINE if score.lively else ())
    for drum, line, level in lines:
        if drum in FILLED and score.density < MINIMAL_BELOW:
            continue
        for step, mark in enumerate(line[: score.beats_per_bar * STEPS_PER_BEAT]):
            between = mark == "-" and drum in FILLED and score.density >= DENSE_FROM
            if mark in STROKES or between:
                onset = start + _swung(score, step / STEPS_PER_BEAT) * beat
                hits.append(Hit(drum, onset, level * STROKES.get(mark, 0.6) * float(rng.uniform(0.85, 1.0))))
    return hits
