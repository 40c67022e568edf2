"""The NRC VAD lexicon (Mohammad 2018): English words with their valence, arousal and dominance.

A word is a track here: its own artist, its own title, and three targets. `NRC-VAD-Lexicon.txt` (20,007 words, 0 to
1) or version 2.1 (words and phrases, −1 to 1), tab-separated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pipelines.sources.base import SourceTables
from pipelines.sources.published_files import PublishedFile, PublishedFiles
from pipelines.sources.row_buffer import RowBuffer
from schemas.reasons import Reason
from schemas.tables import ANNOTATIONS, EXCLUSIONS, TARGETS, TRACKS

DIMENSIONS = ("valence", "arousal", "dominance")
# The header of each version, in lower case, and the least of its scale; the most is 1.
_SCALES = {("word", *DIMENSIONS): 0.0, ("term", *DIMENSIONS): -1.0}


class NrcVad(PublishedFiles):
    """See the module."""

    VERSION = 1
    FILES: ClassVar[Mapping[str, PublishedFile]] = {
        "words": PublishedFile(
            ("NRC-VAD-Lexicon.txt", "NRC-VAD-Lexicon-v2.1.txt"), "the NRC VAD lexicon, 20,007 words, 0.5 MB"
        ),
    }

    def read(self) -> SourceTables:
        rows = RowBuffer()
        seen: set[str] = set()
        least = 0.0
        for number, line in self.lines("words"):
            cells = [cell.strip() for cell in line.split("\t")]
            if number == 1:
                header = tuple(cell.casefold() for cell in cells)
                if header not in _SCALES:
                    raise self.wrong("words", 1, "is not the published header, Word, Valence, Arousal, Dominance")
                least = _SCALES[header]
                continue
            if not line:
                continue
            if len(cells) != 1 + len(DIMENSIONS) or not cells[0]:
                raise self.wrong("words", number, f"{len(cells)} cells, and a word with three numbers is published")
            word = cells[0]
            values = [self.number("words", number, n, c) for n, c in zip(DIMENSIONS, cells[1:], strict=True)]
            if not all(least <= value <= 1 for value in values):
                raise self.wrong("words", number, f"{word!r} has a value outside of {least:g} to 1")
            if word in seen:
                rows.exclude(word, Reason.DUPLICATE_ID, f"line {number}")
                continue
            seen.add(word)
            rows.add(TRACKS, track_id=word, artist_id=word, title=word, recording_id=word)
            for name, value in zip(DIMENSIONS, values, strict=True):
                rows.add(TARGETS, track_id=word, name=name, value=value)
        return SourceTables(
            rows.table(TRACKS),
            ANNOTATIONS.empty(),
            rows.table(EXCLUSIONS),
            targets=rows.table(TARGETS),
            notes=(f"words are rated from {least:g} to 1; each is taken for an artist of its own",),
        )


SOURCE = NrcVad
