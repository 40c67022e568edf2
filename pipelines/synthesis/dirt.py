"""How people type: every clean tag's variants, and the annotations that a track gets from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.synthesis.lore import CATEGORIES

CLEAN_SHARE = 0.65
"""The share of annotations that are typed in the clean form."""

NOISE_SHARE = 0.08
"""The share of tracks with a tag that says nothing of the music, and of those with a mistaken one."""

MISTAKEN_BELOW = 5.0
"""Scores of mistaken tags lie below it, all others at or above `TRUE_FROM`."""

TRUE_FROM = 20.0

NOISE_TAGS = ("seen live", "favourites", "albums I own", "my music", "awesome", "check out", "spotify")


@dataclass(frozen=True, slots=True)
class Forms:
    """Variants of one tag by the kind of rule that leads back.

    Attributes:
        spellings: case, Unicode, punctuation, spaces, plural, `music`/`song(s)`: rules find these.
        misspellings: one or two edits away, in words of seven letters or more.
        synonyms: other words; only a list finds these.
    """

    spellings: tuple[str, ...]
    misspellings: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()


FORMS: dict[str, Forms] = {
    "ambient": Forms(("Ambient", "ambient music"), ("ambiant",)),
    "techno": Forms(("Techno", "TECHNO", "techno music")),
    "folk": Forms(("Folk", "folk music", "folk songs")),
    "jazz": Forms(("Jazz", "jazz music", "JAZZ", "jazz!")),
    "metal": Forms(("Metal", "METAL", "metal music"), (), ("heavy metal",)),
    "lullaby": Forms(("Lullaby", "lullabies", "Lullabies"), ("lulaby",), ("cradle song",)),
    "waltz": Forms(("Waltz", "waltzes", "waltz music")),
    "chiptune": Forms(("Chiptune", "chip tune", "chip-tune", "chiptunes"), (), ("8-bit",)),
    "funk": Forms(("Funk", "funk music", "FUNK")),
    "hip hop": Forms(("Hip-Hop", "hip-hop", "hiphop", "Hip Hop", "hip hop music")),
    "drum and bass": Forms(("Drum & Bass", "drum'n'bass", "drum n bass", "Drum and Bass"), (), ("dnb", "d&b")),
    "classical": Forms(("Classical", "classical music", "Classical Music"), ("clasical",)),
    "electronic": Forms(("Electronic", "electronic music"), ("electornic", "eletronic"), ("electronica",)),
    "piano": Forms(("Piano", "pianos", "piano music")),
    "guitar": Forms(("Guitar", "guitars", "Guitars", "guitar music")),
    "harp": Forms(("Harp", "harps", "harp music")),
    "marimba": Forms(("Marimba", "marimbas"), ("marimaba",)),
    "bells": Forms(("Bells", "bell", "BELLS")),
    "organ": Forms(("Organ", "organs", "ｏｒｇａｎ")),
    "flute": Forms(("Flute", "flutes", "ﬂute")),
    "violin": Forms(("Violin", "violins", "Violins"), (), ("fiddle",)),
    "trumpet": Forms(("Trumpet", "trumpets"), ("trumpett",)),
    "synthesizer": Forms(("Synthesizer", "synthesizers"), ("sythesizer",), ("synth", "synthesiser")),
    "electric guitar": Forms(("Electric Guitar", "electric guitars", "electric-guitar"), ("eletric guitar",)),
    "bass": Forms(("Bass", "BASS", "bass.")),
    "drums": Forms(("Drums", "drum", "DRUMS")),
    "percussion": Forms(("Percussion", "percussions"), ("percusion",)),
    "acoustic": Forms(("Acoustic", "acoustic music"), ("accoustic",)),
    "happy": Forms(("Happy", "happy music", "happy songs", "happy!")),
    "sad": Forms(("Sad", "sad songs", "sad music")),
    "calm": Forms(("Calm", "calm music", "CALM")),
    "energetic": Forms(("Energetic", "energetic music"), ("energtic",)),
    "dark": Forms(("Dark", "DARK", "dark music")),
    "dreamy": Forms(("Dreamy", "dreamy music", "dreamy songs")),
    "slow": Forms(("Slow", "slow songs", "slow music")),
    "fast": Forms(("Fast", "FAST", "fast music")),
    "lo fi": Forms(("Lo-Fi", "lo-fi", "lofi", "LoFi")),
    "80s": Forms(("80's", "80s music", "'80s"), (), ("eighties", "1980s")),
    "dance": Forms(("Dance", "dance music", "DANCE")),
    "sleep": Forms(("Sleep", "sleep music", "SLEEP"), (), ("sleeping",)),
    "deep": Forms(("Deep", "DEEP", "deep music")),
    "bright": Forms(("Bright", "BRIGHT", "bright music")),
    "minimal": Forms(("Minimal", "minimal music"), ("minimall",), ("minimalist",)),
    "dense": Forms(("Dense", "DENSE", "dense music")),
}

DIRT: dict[str, tuple[str, ...]] = {
    tag: forms.spellings + forms.misspellings + forms.synonyms for tag, forms in FORMS.items()
}
"""Clean tag: all its variants, the likelier first. No variant belongs to two tags."""


def dirty(
    tags: tuple[str, ...], artist_name: str | None, rng: np.random.Generator
) -> tuple[tuple[str, float], ...]:
    """Return annotations as people type them: (raw tag, score in 1, …, 100), the highest score first.

    Every clean tag comes in one form at least, a few in two. Some tracks get a tag that says nothing of the music,
    and some a mistaken one, whose score is below `MISTAKEN_BELOW`.

    Args:
        tags: the clean tags.
        artist_name: a name to be typed as a tag, or None.
        rng: where the choices come from.
    """
    typed: dict[str, float] = {}
    for tag in tags:
        typed[_form(tag, rng)] = float(rng.integers(int(TRUE_FROM), 101))
        if rng.random() < 0.05:
            typed.setdefault(_variant(tag, rng), float(rng.integers(int(TRUE_FROM), 60)))
    if rng.random() < NOISE_SHARE:
        typed[NOISE_TAGS[int(rng.integers(len(NOISE_TAGS)))]] = float(rng.integers(int(TRUE_FROM), 101))
    if rng.random() < NOISE_SHARE:
        others = sorted(set(CATEGORIES) - set(tags))
        typed.setdefault(others[int(rng.integers(len(others)))], float(rng.integers(1, int(MISTAKEN_BELOW))))
    if artist_name is not None:
        typed[artist_name] = float(rng.integers(int(TRUE_FROM), 101))
    return tuple(sorted(typed.items(), key=lambda item: (-item[1], item[0])))


def _form(tag: str, rng: np.random.Generator) -> str:
    return tag if rng.random() < CLEAN_SHARE else _variant(tag, rng)


def _variant(tag: str, rng: np.random.Generator) -> str:
    variants = DIRT[tag]
    weight = 1.0 / np.arange(1, len(variants) + 1)
    return variants[int(rng.choice(len(variants), p=weight / weight.sum()))]
