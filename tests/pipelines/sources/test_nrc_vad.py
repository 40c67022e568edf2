from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.sources.base import SourceContext
from pipelines.sources.nrc_vad import NrcVad
from pipelines.sources.published_files import PublishedFilesSettings
from schemas.errors import UsageError

Command = Callable[..., Any]
HEADER = "Word\tValence\tArousal\tDominance"
WORDS = [f"word {n}\t0.{n:03d}\t0.500\t1.000" for n in range(30)] + ["null\t0.292\t0.185\t0.192"]


def publish(folder: Path, lines: list[str], name: str = "NRC-VAD-Lexicon.txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def source(context: SourceContext, folder: Path) -> NrcVad:
    return NrcVad(PublishedFilesSettings(kind="nrc_vad", path=str(folder)), context)


def test_the_lexicon_through_the_command(tmp_path: Path, command: Command) -> None:
    folder, out = publish(tmp_path / "vad", [HEADER, *WORDS]), tmp_path / "out"
    ran = command("build", "nrc_vad", "--set", f"source.path={folder}", "--out", out, "--only", "tags,splits")
    assert ran.code == 0, ran.err
    targets = {(r["track_id"], r["name"]): r["value"] for r in pq.read_table(out / "targets.parquet").to_pylist()}
    assert len(targets) == 31 * 3
    values = [targets["null", name] for name in ("valence", "arousal", "dominance")]
    assert values == [0.292, 0.185, 0.192]
    labels = {row["track_id"]: row for row in pq.read_table(out / "labels.parquet").to_pylist()}
    assert (labels["word 3"]["caption"], labels["word 3"]["tags"]) == ("word 3", [])
    splits = [row["split"] for row in pq.read_table(out / "splits.parquet").to_pylist()]
    assert [splits.count(name) for name in ("train", "valid", "test")] == [25, 3, 3]


def test_the_second_version_reads_on_its_own_scale(tmp_path: Path, context: SourceContext) -> None:
    lines = ["term\tvalence\tarousal\tdominance", "abandon\t-0.9\t0.1\t-0.4", "abandon\t0\t0\t0"]
    tables = source(context, publish(tmp_path, lines, "NRC-VAD-Lexicon-v2.1.txt")).read()
    assert tables.targets is not None
    assert tables.targets.column("value").to_pylist() == [0.1, -0.4, -0.9]
    assert [row["reason"] for row in tables.exclusions.to_pylist()] == ["duplicate_id"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("calm\t0.5\t0.5", "line 3: 3 cells"),
        ("calm\t0.5\thigh\t0.5", "line 3: arousal 'high' is no number"),
        ("calm\t0.5\t1.5\t0.5", "line 3: 'calm' has a value outside of 0 to 1"),
        ("calm\t-0.5\t0.5\t0.5", "line 3: 'calm' has a value outside of 0 to 1"),
        ("\t0.5\t0.5\t0.5", "line 3: 4 cells, and a word"),
    ],
)
def test_a_line_that_is_not_as_published_is_named(
    line: str, problem: str, tmp_path: Path, context: SourceContext
) -> None:
    with pytest.raises(UsageError, match=problem):
        source(context, publish(tmp_path, [HEADER, WORDS[0], line])).read()
    with pytest.raises(UsageError, match="line 1: is not the published header"):
        source(context, publish(tmp_path, ["word,v,a,d"])).read()
