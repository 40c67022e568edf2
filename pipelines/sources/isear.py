"""ISEAR (Scherer and Wallbott 1994): situations in which 1,096 people felt one of seven emotions, in their words.

`isear.csv` as it is in circulation: 7,666 rows, cells parted by `|` and one empty cell at the end of each line.
Nothing is quoted: where an answer has quotation marks its lines are cells of their own, and other line ends are a
lone `á`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, cast

from pipelines.sources.base import SourceTables
from pipelines.sources.published_files import PublishedFile, PublishedFiles
from pipelines.sources.random_split import RandomSplitSettings
from pipelines.sources.row_buffer import RowBuffer
from schemas.reasons import Reason
from schemas.tables import ANNOTATIONS, CAPTIONS, EXCLUSIONS, TRACKS

EMOTIONS = ("joy", "fear", "anger", "sadness", "disgust", "shame", "guilt")
_HEADER = (
    "ID|CITY|COUN|SUBJ|SEX|AGE|RELI|PRAC|FOCC|MOCC|FIEL|EMOT|WHEN|LONG|INTS|ERGO|TROPHO|TEMPER|EXPRES|MOVE|EXP1|EXP2|"
    "EXP10|PARAL|CON|EXPC|PLEA|PLAN|FAIR|CAUS|COPING|MORL|SELF|RELA|VERBAL|NEUTRO|Field1|Field3|Field2|MYKEY|SIT|STATE|"
)
_COLUMNS = _HEADER.split("|")
_LINE_END = re.compile(r"(?:^|\s)á(?=\s|$)")


class Isear(PublishedFiles):
    """See the module."""

    VERSION = 1
    Settings = RandomSplitSettings
    FILES: ClassVar[Mapping[str, PublishedFile]] = {
        "answers": PublishedFile(("isear.csv", "Isear.csv"), "7,666 rows, 1.7 MB, parted by |"),
    }

    def read(self) -> SourceTables:
        rows = RowBuffer()
        place = {name: number for number, name in enumerate(_COLUMNS)}
        first, behind = place["SIT"], len(_COLUMNS) - place["STATE"]
        seen: set[str] = set()
        for number, line in self.lines("answers"):
            if number == 1:
                if line != _HEADER:
                    raise self.wrong("answers", 1, "is not the published header, ID|CITY|COUN|…|MYKEY|SIT|STATE|")
                continue
            if not line:
                continue
            cells = line.split("|")
            where = f"{self.path('answers')}:{number}"
            if len(cells) < len(_COLUMNS):
                problem = f"line {number}: {len(cells)} cells, and {len(_COLUMNS)} are published"
                rows.exclude(where, Reason.INVALID_ROW, problem)
                continue
            answer, person, emotion = cells[place["MYKEY"]], cells[place["ID"]], cells[place["Field1"]]
            said = sentence_of(cells[first : len(cells) - behind])
            if not answer or not person or emotion not in EMOTIONS or not said:
                problem = f"line {number}: has no MYKEY, ID, one of the seven emotions in Field1, or SIT"
                rows.exclude(where, Reason.INVALID_ROW, problem)
                continue
            if answer in seen:
                rows.exclude(answer, Reason.DUPLICATE_ID, f"line {number}")
                continue
            seen.add(answer)
            rows.add(TRACKS, track_id=answer, artist_id=f"person-{person}", recording_id=answer)
            rows.add(CAPTIONS, track_id=answer, number=0, source="SIT", caption=said)
            rows.add(ANNOTATIONS, track_id=answer, source="mood", raw_tag=emotion, score=None)
        notes = ["the one who answered is the artist: no person is in two splits of the scheme default"]
        published, told = cast(RandomSplitSettings, self.settings).drawn(seen)
        return SourceTables(
            rows.table(TRACKS),
            rows.table(ANNOTATIONS),
            rows.table(EXCLUSIONS),
            published=published,
            captions=rows.table(CAPTIONS),
            notes=(*notes, *told),
        )


def sentence_of(cells: list[str]) -> str:
    """An answer as its author wrote it: line ends are spaces, and quotation marks are what they were."""
    text = " ".join(_LINE_END.sub(" ", " ".join(cells)).split())
    marked = "\\" in text
    text = text.replace('\\"', '"').replace("\\", '"')
    # An answer with quotation marks was quoted as a whole, and the quote at its end was left.
    if marked and text.endswith('"') and text.count('"') % 2:
        text = text[:-1].rstrip()
    return text


SOURCE = Isear
