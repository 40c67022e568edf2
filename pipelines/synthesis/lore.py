"""What is truly said of a piece: clean tags, each a rule over the score."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.synthesis.score import DENSE_FROM, MINIMAL_BELOW, Score

MAX_TAGS = 8

ELECTRONIC = frozenset({"ambient", "techno", "chiptune", "drum and bass"})
INSTRUMENT_OF = {"chip": "synthesizer"}
"""Timbres whose tag is another word than their name."""

INSTRUMENTS = (
    "piano",
    "guitar",
    "harp",
    "marimba",
    "bells",
    "organ",
    "flute",
    "violin",
    "trumpet",
    "synthesizer",
    "electric guitar",
)
GENRE_TAGS = (
    "ambient",
    "techno",
    "folk",
    "jazz",
    "metal",
    "lullaby",
    "waltz",
    "chiptune",
    "funk",
    "hip hop",
    "drum and bass",
    "classical",
)


def _timbres(score: Score) -> frozenset[str]:
    names = [score.lead] if score.comp is None else [score.lead, score.comp]
    return frozenset(INSTRUMENT_OF.get(name, name) for name in names)


def _kit(score: Score) -> bool:
    return score.pattern is not None and not score.pattern.startswith("hands")


def _genre(name: str) -> Callable[[Score], bool]:
    return lambda score: score.genre == name


def _instrument(name: str) -> Callable[[Score], bool]:
    return lambda score: name in _timbres(score)


def _acoustic(score: Score) -> bool:
    plugged = {"synthesizer", "electric guitar"}
    return score.genre in ("folk", "classical", "waltz") and not plugged & _timbres(score)


def _happy(score: Score) -> bool:
    return score.lively and score.register >= 0 and score.genre != "metal"


def _sad(score: Score) -> bool:
    return score.mode == "minor" and score.bpm < 100 and not _kit(score) and score.register <= 0


def _calm(score: Score) -> bool:
    return score.bpm < 96 and score.pattern is None and score.density < 0.33


def _energetic(score: Score) -> bool:
    return score.bpm >= 120 and score.density >= 0.55 and _kit(score)


def _dark(score: Score) -> bool:
    return score.mode == "minor" and score.register == -1


def _sleep(score: Score) -> bool:
    return score.bpm < 66 and score.pattern is None and score.register >= 0


RULES: tuple[tuple[str, str, Callable[[Score], bool]], ...] = (
    *((name, "genre", _genre(name)) for name in GENRE_TAGS),
    *((name, "instrument", _instrument(name)) for name in INSTRUMENTS),
    ("electronic", "genre", lambda s: s.genre in ELECTRONIC and "synthesizer" in _timbres(s)),
    ("happy", "mood", _happy),
    ("sad", "mood", _sad),
    ("calm", "mood", _calm),
    ("energetic", "mood", _energetic),
    ("dark", "mood", _dark),
    ("dreamy", "mood", lambda s: s.echo >= 0.45),
    ("slow", "tempo", lambda s: s.bpm < 70),
    ("fast", "tempo", lambda s: s.bpm >= 146),
    ("minimal", "character", lambda s: s.density < MINIMAL_BELOW),
    ("dense", "character", lambda s: s.density >= DENSE_FROM),
    ("deep", "character", lambda s: s.register == -1),
    ("bright", "character", lambda s: s.register == 1),
    ("lo fi", "character", lambda s: s.lofi),
    ("percussion", "instrument", lambda s: s.pattern is not None and s.pattern.startswith("hands")),
    ("drums", "instrument", _kit),
    ("bass", "instrument", lambda s: s.bass_style in ("slap", "offbeat")),
    ("acoustic", "character", _acoustic),
    ("80s", "decade", lambda s: s.pattern in ("machine", "chip") or s.genre == "chiptune"),
    ("dance", "activity", lambda s: s.pattern in ("four on the floor", "funk")),
    ("sleep", "activity", _sleep),
)
"""Clean tag, its category, and when it is true. A track keeps the first `MAX_TAGS` true ones."""

CATEGORIES: dict[str, str] = {tag: category for tag, category, _ in RULES}


def true_tags(score: Score) -> tuple[str, ...]:
    """Return the clean tags of a piece, sorted: two to eight (three to eight in the demo's own corpus)."""
    return tuple(sorted([tag for tag, _, rule in RULES if rule(score)][:MAX_TAGS]))
