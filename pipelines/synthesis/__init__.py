"""The demo corpus: music composed from a few numbers, so that what is said of it is true and can be heard.

    corpus = compose(artists=60, tracks=480, seed=0)
    for track in corpus.tracks:
        write(track.path, encode(track))

Everything is a pure function of the arguments of `compose`. `encode` may run in any number of threads or processes.
"""

from __future__ import annotations

from pipelines.synthesis.corpus import DEFECTS, Corpus, DemoTrack, compose
from pipelines.synthesis.dirt import DIRT
from pipelines.synthesis.files import encode, render
from pipelines.synthesis.lore import CATEGORIES
from pipelines.synthesis.score import SAMPLE_RATE, Score

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
