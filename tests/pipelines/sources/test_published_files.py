"""What is remembered of files is what they held."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, cast

import pyarrow as pa
import pytest

from pipelines.cache import Remembered
from pipelines.sources.base import SourceContext, SourceTables
from pipelines.sources.published_files import PublishedFile, PublishedFiles, PublishedFilesSettings
from schemas.errors import UsageError


@pytest.mark.parametrize("times_kept", [False, True])
def test_tables_of_a_file_that_was_replaced_meanwhile_are_not_kept(
    times_kept: bool, tmp_path: Path, context: SourceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKLORE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "files"
    folder.mkdir()
    path = folder / "words.txt"

    class Words(PublishedFiles):
        FILES: ClassVar = {"words": PublishedFile(("words.txt",))}

        def read(self) -> SourceTables:
            raise AssertionError("is not asked for")

    def words() -> Words:
        return Words(PublishedFilesSettings(kind="words", path=str(folder)), context)

    def said(source: Words) -> list[str]:
        def read() -> Remembered:
            return Remembered({"words": pa.table({"word": [line for _, line in source.lines("words")]})})

        found = source.remembered("words", 1, ["words"], ["words"], read)
        return cast(list[str], found.tables["words"].column("word").to_pylist())

    path.write_text("one\n")
    source, status = words(), path.stat()
    source.inputs()
    path.write_text("two\n")
    if times_kept:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        source = words()
    assert said(source) == ["two"]
    path.write_text("one\n")
    assert said(words()) == ["one"]


def test_a_quote_that_nobody_closes_does_not_take_the_rest_of_a_table(
    tmp_path: Path, context: SourceContext
) -> None:
    (tmp_path / "t.csv").write_text('id,word\n1,"a\nb"\n2,"the rest\n3,lost\n')

    class Words(PublishedFiles):
        FILES: ClassVar = {"words": PublishedFile(("t.csv",))}

        def read(self) -> SourceTables:
            raise AssertionError("is not asked for")

    words = Words(PublishedFilesSettings(kind="words", path=str(tmp_path)), context)
    with pytest.raises(UsageError, match=r"t\.csv: line 4: a quoted cell does not end"):
        list(words.rows("words", ",", ["id", "word"]))
    (tmp_path / "t.csv").write_text('id,word,"more\n1,a,b\n2,c,d\n')
    with pytest.raises(UsageError, match=r"t\.csv: line 1: a quoted cell does not end"):
        list(words.rows("words", ",", ["id", "word"]))
