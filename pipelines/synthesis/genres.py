"""Genres as recipes: what each leaves open, and within which bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.synthesis.score import Score

PROGRESSIONS = {
    "major": ((0, 4, 5, 3), (0, 3, 4, 3), (0, 5, 3, 4), (0, 3, 0, 4), (0, 2, 3, 4)),
    "minor": ((0, 5, 2, 6), (0, 3, 4, 0), (0, 5, 3, 4), (0, 6, 5, 6), (0, 3, 0, 6)),
}


@dataclass(frozen=True, slots=True)
class Genre:
    """Bounds and choices of one genre; a repeated choice is a likelier one.

    Attributes:
        bpm: lowest and highest tempo in quarter notes per minute.
        minor: probability of the minor mode.
        leads, comps: timbres; None stands for no accompaniment.
        styles: accompaniment styles.
        basses, patterns: bass styles and drum patterns; None stands for none.
        registers: -1 low, 0 middle, 1 high.
        density, echo, tone: lowest and highest value.
        beats_per_bar: 3 or 4.
        swing: as in `Score`.
        lofi: probability of a worn record.
    """

    bpm: tuple[float, float]
    minor: float
    leads: tuple[str, ...]
    comps: tuple[str | None, ...]
    styles: tuple[str, ...]
    basses: tuple[str | None, ...]
    patterns: tuple[str | None, ...]
    registers: tuple[int, ...] = (-1, 0, 0, 1)
    density: tuple[float, float] = (0.2, 0.8)
    echo: tuple[float, float] = (0.0, 0.2)
    tone: tuple[float, float] = (-0.3, 0.3)
    beats_per_bar: int = 4
    swing: float = 0.0
    lofi: float = 0.0


GENRES: dict[str, Genre] = {
    "ambient": Genre(
        bpm=(50, 84),
        minor=0.5,
        leads=("synthesizer", "bells", "flute", "piano", "organ", "harp"),
        comps=("synthesizer", "organ", "violin"),
        styles=("pad", "drone"),
        basses=(None, "long"),
        patterns=(None,),
        registers=(-1, 0, 1),
        density=(0.0, 0.35),
        echo=(0.5, 0.8),
    ),
    "techno": Genre(
        bpm=(122, 150),
        minor=0.7,
        leads=("synthesizer", "bells", "organ", "marimba"),
        comps=("synthesizer", "synthesizer", "marimba", "piano"),
        styles=("stab", "arpeggio"),
        basses=("offbeat", "offbeat", "eighths"),
        patterns=("four on the floor",),
        registers=(-1, 0, 1),
        density=(0.2, 1.0),
        echo=(0.0, 0.5),
    ),
    "folk": Genre(
        bpm=(66, 156),
        minor=0.4,
        leads=("flute", "violin", "harp", "guitar"),
        comps=("guitar", "guitar", "harp", "marimba"),
        styles=("strum", "strum", "arpeggio"),
        basses=(None, None, "halves"),
        patterns=(None, "hands"),
        density=(0.2, 0.9),
    ),
    "jazz": Genre(
        bpm=(84, 196),
        minor=0.5,
        leads=("trumpet", "trumpet", "piano", "flute", "guitar", "marimba"),
        comps=("piano", "piano", "guitar", "organ"),
        styles=("stab", "block"),
        basses=("walk",),
        patterns=("ride",),
        density=(0.3, 1.0),
        swing=0.33,
        lofi=0.15,
    ),
    "metal": Genre(
        bpm=(64, 186),
        minor=0.9,
        leads=("electric guitar", "electric guitar", "violin", "organ"),
        comps=("electric guitar",),
        styles=("riff",),
        basses=("eighths",),
        patterns=("double kick", "double kick", "doom"),
        registers=(-1, -1, 0, 1),
        density=(0.3, 1.0),
        tone=(-0.1, 0.5),
    ),
    "lullaby": Genre(
        bpm=(54, 80),
        minor=0.15,
        leads=("bells", "harp", "piano", "flute", "marimba"),
        comps=(None, "harp", "piano", "bells", "guitar"),
        styles=("arpeggio",),
        basses=(None,),
        patterns=(None,),
        registers=(0, 1, 1),
        density=(0.0, 0.45),
        echo=(0.0, 0.6),
    ),
    "waltz": Genre(
        bpm=(84, 176),
        minor=0.4,
        leads=("violin", "violin", "piano", "flute", "trumpet", "harp"),
        comps=("piano", "violin", "guitar", "organ"),
        styles=("oompah",),
        basses=(None, "long"),
        patterns=(None, None, "brushes in three"),
        density=(0.2, 0.8),
        beats_per_bar=3,
    ),
    "chiptune": Genre(
        bpm=(104, 176),
        minor=0.4,
        leads=("chip",),
        comps=("chip", "chip", "bells", "synthesizer"),
        styles=("arpeggio", "arpeggio", "stab"),
        basses=("eighths", "offbeat"),
        patterns=("chip", "chip", None),
        registers=(0, 1, 1),
        density=(0.3, 1.0),
        tone=(0.0, 0.5),
    ),
    "funk": Genre(
        bpm=(92, 126),
        minor=0.5,
        leads=("trumpet", "trumpet", "organ", "synthesizer", "electric guitar"),
        comps=("guitar", "guitar", "organ", "electric guitar"),
        styles=("stab",),
        basses=("slap",),
        patterns=("funk", "funk", "machine"),
        density=(0.4, 1.0),
    ),
    "hip hop": Genre(
        bpm=(72, 100),
        minor=0.75,
        leads=("piano", "bells", "flute", "trumpet", "synthesizer"),
        comps=("piano", "organ", "violin", "synthesizer", None),
        styles=("block", "arpeggio", "pad"),
        basses=("halves", "long"),
        patterns=("boom bap", "boom bap", "machine"),
        density=(0.1, 0.7),
        tone=(-0.6, 0.1),
        lofi=0.55,
    ),
    "drum and bass": Genre(
        bpm=(160, 178),
        minor=0.7,
        leads=("synthesizer", "piano", "bells", "flute"),
        comps=("synthesizer", "organ", "violin"),
        styles=("pad", "stab"),
        basses=("long", "halves"),
        patterns=("breakbeat",),
        density=(0.1, 0.8),
        echo=(0.0, 0.5),
    ),
    "classical": Genre(
        bpm=(58, 156),
        minor=0.5,
        leads=("violin", "violin", "flute", "piano", "harp", "trumpet"),
        comps=("piano", "piano", "harp", "organ", "violin", None),
        styles=("arpeggio", "block", "pad"),
        basses=(None,),
        patterns=(None,),
        density=(0.1, 1.0),
        echo=(0.0, 0.3),
    ),
}
"""The genres of the demo, in the order in which artists take them up."""


@dataclass(frozen=True, slots=True)
class Style:
    """An artist's habits: one or two genres, and the timbres taken whenever a genre allows."""

    genres: tuple[str, ...]
    favourites: tuple[str, ...]


def draw_score(style: Style, seed: int) -> Score:
    """Draw a piece in a style; the same style and seed give the same piece."""
    rng = np.random.default_rng(seed)
    name = style.genres[0] if len(style.genres) == 1 or rng.random() < 0.65 else style.genres[1]
    genre = GENRES[name]
    mode = "minor" if rng.random() < genre.minor else "major"
    # Evenly on a logarithmic scale, as tempi are perceived.
    bpm = float(np.exp(rng.uniform(np.log(genre.bpm[0]), np.log(genre.bpm[1]))))
    density = float(rng.uniform(*genre.density))
    register = int(rng.choice(genre.registers))
    lively = mode == "major" and bpm >= 100
    tone = (
        float(rng.uniform(*genre.tone)) + 0.25 * register + (0.45 if lively else 0.1 if mode == "major" else -0.2)
    )
    patterns = genre.patterns
    return Score(
        genre=name,
        bpm=round(bpm, 1),
        beats_per_bar=genre.beats_per_bar,
        root=int(rng.integers(45, 57)),
        mode=mode,
        progression=PROGRESSIONS[mode][int(rng.integers(len(PROGRESSIONS[mode])))],
        lead=str(_favour(genre.leads, style.favourites, rng)),
        comp=_favour(genre.comps, style.favourites, rng),
        comp_style=genre.styles[int(rng.integers(len(genre.styles)))],
        bass_style=genre.basses[int(rng.integers(len(genre.basses)))],
        pattern=patterns[int(rng.integers(len(patterns)))],
        register=register,
        density=round(density, 3),
        swing=genre.swing,
        echo=round(float(rng.uniform(*genre.echo)), 3),
        tone=round(float(np.clip(tone, -1, 1)), 3),
        lofi=bool(rng.random() < genre.lofi),
        seconds=round(float(rng.uniform(20.0, 40.0)), 2),
        peak_db=round(float(rng.uniform(-6.0, -1.0)), 2),
        seed=int(rng.integers(2**62)),
    )


def _favour(choices: tuple[str | None, ...], favourites: tuple[str, ...], rng: np.random.Generator) -> str | None:
    """Choose a timbre; half of the time among the artist's favourites, where the genre has them."""
    known = [choice for choice in choices if choice in favourites]
    pool = known if known and rng.random() < 0.5 else list(choices)
    return pool[int(rng.integers(len(pool)))]
