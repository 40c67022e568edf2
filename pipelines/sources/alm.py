"""Alm's affect sentences of children's stories (Alm 2008): the sentences whose four labels agree.

`path` holds the folders Grimms, HCAndersen and Potter as their archives unpack, with `agree-sent/STORY.agree` in
each; a line is `SentID@AffectiveLabelCode@Sentence`. The published split is the thesis' (Won 5.3.4), by author:
Grimm and Andersen train, Potter valid and test. Its halves of Potter are not published: here a story is in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from pipelines.sources.base import SourceTables
from pipelines.sources.published_files import PublishedFile, PublishedFiles
from pipelines.sources.row_buffer import RowBuffer
from schemas.digests import stable_hash
from schemas.errors import UsageError
from schemas.reasons import Reason
from schemas.tables import ANNOTATIONS, CAPTIONS, EXCLUSIONS, PUBLISHED, TRACKS

AUTHORS = {"Grimms": "Brothers Grimm", "HCAndersen": "H. C. Andersen", "Potter": "Beatrix Potter"}
HELD_OUT = "Potter"
EMOTIONS = {"2": "angry", "3": "fearful", "4": "happy", "6": "sad", "7": "surprised"}
_FOLDER = "agree-sent"
_ENDING = ".agree"


class Alm(PublishedFiles):
    """See the module."""

    VERSION = 1

    def files(self) -> Mapping[str, PublishedFile]:
        found: dict[str, PublishedFile] = {}
        for author in AUTHORS:
            listed = [info.path for info in self.store.list(author)] if self.store.exists(author) else []
            stories = [path for path in listed if _is_story(path)]
            if not stories:
                raise UsageError(
                    f"source.path: {self.store.root} has no {author}/{_FOLDER}/*{_ENDING}; unpack {author}.tar.gz "
                    f"of Alm's affect data there"
                )
            found.update({path: PublishedFile((path,)) for path in stories})
        return found

    def read(self) -> SourceTables:
        rows = RowBuffer()
        counts: dict[str, int] = {}
        for path in self.files():
            author, story = path.split("/")[0], PurePosixPath(path).stem
            for number, line in self.lines(path):
                if not line.strip():
                    continue
                sentence_id, _, rest = line.partition("@")
                code, at, sentence = rest.partition("@")
                emotion = EMOTIONS.get(code.strip())
                if not at or emotion is None or not sentence_id.strip().isdigit() or not sentence.strip():
                    problem = f"line {number}: is not SentID@code@sentence with a code of {', '.join(EMOTIONS)}"
                    rows.exclude(f"{path}:{number}", Reason.INVALID_ROW, problem)
                    continue
                track = f"{author}/{story}/{sentence_id.strip()}"
                if track in counts:
                    rows.exclude(track, Reason.DUPLICATE_ID, f"{path}: line {number}")
                    continue
                counts[track] = number
                rows.add(
                    TRACKS,
                    track_id=track,
                    artist_id=author,
                    artist_name=AUTHORS[author],
                    album=story,
                    recording_id=track,
                )
                rows.add(CAPTIONS, track_id=track, number=0, source="agree-sent", caption=sentence.strip())
                rows.add(ANNOTATIONS, track_id=track, source="mood", raw_tag=emotion, score=None)
                rows.add(PUBLISHED, scheme="published", track_id=track, split=_split_of(author, story))
        return SourceTables(
            rows.table(TRACKS),
            rows.table(ANNOTATIONS),
            rows.table(EXCLUSIONS),
            published=rows.table(PUBLISHED),
            captions=rows.table(CAPTIONS),
            notes=("Potter's stories are halved into valid and test by their names: the paper's are unknown",),
        )


def _is_story(path: str) -> bool:
    pure = PurePosixPath(path)
    return pure.suffix == _ENDING and pure.parent.name == _FOLDER


def _split_of(author: str, story: str) -> str:
    if author != HELD_OUT:
        return "train"
    return "valid" if stable_hash(story) % 2 else "test"


SOURCE = Alm
