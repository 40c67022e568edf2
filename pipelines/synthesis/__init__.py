"""The demo corpus: music composed from a few numbers, so that what is said of it is true and can be heard.

    corpus = compose(artists=60, tracks=480, seed=0)
    for track in corpus.tracks:
        write(track.path, encode(track))

Everything is a pure function of the arguments of `compose`. `encode` may run in any number of threads or processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.synthesis.corpus import DEFECTS, Corpus, DemoTrack, compose
from pipelines.synthesis.dirt import DIRT
from pipelines.synthesis.lore import CATEGORIES
from pipelines.synthesis.score import SAMPLE_RATE, Score

if TYPE_CHECKING:
    from pipelines.synthesis.files import encode, render


def __getattr__(name: str) -> Any:
    """Load what makes sound when it is asked for: a corpus is composed in no time, its players take a second."""
    if name in ("encode", "render"):
        from pipelines.synthesis import files

        return getattr(files, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "CATEGORIES",
    "DEFECTS",
    "DIRT",
    "SAMPLE_RATE",
    "Corpus",
    "DemoTrack",
    "Score",
    "compose",
    "encode",
    "render",
]
