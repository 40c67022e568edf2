from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.sources import folder as folder_source
from pipelines.sources import folder_metadata, probes
from pipelines.sources.base import SourceContext
from pipelines.sources.inventory import probe_files
from schemas.digests import digest_of
from schemas.errors import UsageError
from schemas.store import Store
from tests.pipelines.sources.folders import START, Play, by_id, excluded, read, said, source, tagged


def test_a_csv_goes_before_the_files_own_tags(play: Play, music: Path, context: SourceContext) -> None:
    for number in range(3):
        path = play(music / f"{number}.flac", pitch=300 + number)
        tagged(path, artist="File", title="File title", date="1999", genre="Rock")
    (music / "metadata.csv").write_bytes(
        "\ufeffpath,track_id,artist,album,title,year,genre,tags,licence\r\n"
        './0.flac,id0,"Csv, The","A ""b""",  New   title ,2001,Jazz/Blues; Soul,calm;sad; calm,CC BY\r\n'
        "\r\n"
        "1.flac,,,,,,,happy,\r\n".encode()
    )
    tables = read(context, music)
    rows = by_id(tables)
    assert set(rows) == {"id0", "1.flac", "2.flac"}
    first = rows["id0"]
    assert (first["artist_id"], first["artist_name"], first["album"]) == ("csv", "Csv, The", 'A "b"')
    assert (first["title"], first["year"], first["licence"]) == ("New title", 2001, "CC BY")
    assert (rows["1.flac"]["artist_name"], rows["1.flac"]["title"], rows["1.flac"]["year"]) == (
        "File",
        "File title",
        1999,
    )
    assert said(tables) == [
        ("1.flac", "genre", "Rock"),
        ("1.flac", "tags", "happy"),
        ("2.flac", "genre", "Rock"),
        ("id0", "genre", "Jazz/Blues"),
        ("id0", "genre", "Soul"),
        ("id0", "tags", "calm"),
        ("id0", "tags", "sad"),
    ]


def test_a_csv_may_have_another_name_and_names_files_that_are_not_there(
    play: Play, music: Path, context: SourceContext
) -> None:
    play(music / "a.flac")
    (music / "sub").mkdir()
    (music / "sub/m.csv").write_text("path,track_id\na.flac,a\nb.flac,b\n../../etc/passwd.mp3,\n/etc/c.mp3,c\n")
    tables = read(context, music, metadata="sub/m.csv")
    assert set(by_id(tables)) == {"a"}
    assert excluded(tables) == {
        "b": ("missing_file", f"sub/m.csv names 'b.flac'{START}"),
        "../../etc/passwd.mp3": ("missing_file", f"sub/m.csv names '../../etc/passwd.mp3'{START}"),
        "c": ("missing_file", f"sub/m.csv names '/etc/c.mp3'{START}"),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"artist\nx\n", "has no column 'path'; its columns: artist"),
        (b"", "has no column 'path'"),
        (b"path,artits\na.flac,x\n", r"unknown column 'artits'; did you mean 'artist'\?"),
        (b"path,artist,artist\na.flac,x,y\n", "column 'artist' stands twice"),
        (b"path,artist\na.flac,x\n./a.flac,y\n", "row 3: 'a.flac' stands twice"),
        (b"path,artist\na.flac,x,y\n", "row 2: 3 cells for 2 columns"),
        (b"path,artist\na.flac\n", "row 2: 1 cells for 2 columns"),
        (b"path,artist\n,x\n", "row 2: has no path"),
        (b"path,year\na.flac,99\n", r"metadata\.csv: row 2: year '99' is not four digits"),
        (b"path,year\na.flac,\xd9\xa1\xd9\xa9\xd9\xa9\xd9\xa9\n", "is not four digits"),
        (b"path,artist\na.flac,\xff\n", r"is no CSV in UTF-8 \(row 2\)"),
        (b"path,artist\n" + b"".join(b"%d.flac,x\n" % n for n in range(9_999)) + b"a,\xe9\n", r"\(row 10001\)"),
        (b"path,\xe9\n", r"is no CSV in UTF-8 \(row 1\)"),
        (b'path,artist\na.flac,"x\n', r"is no CSV in UTF-8 \(row 2: unexpected end of data\)"),
        (b'path,artist\na.flac,x\n\nb.flac,"y"z\n', r"is no CSV in UTF-8 \(row 4: "),
        (b'path,"artist\n', r"is no CSV in UTF-8 \(row 1: "),
        (
            b"path\n/x/a.flac\nA.flac\n",
            r"none of its paths is that of an audio file here, such as '/x/a.flac'; .* 'a.flac'",
        ),
    ],
)
def test_a_csv_that_is_wrong_names_its_row(
    content: bytes, message: str, play: Play, music: Path, context: SourceContext
) -> None:
    play(music / "a.flac")
    (music / "metadata.csv").write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read(context, music)
    assert "\n" not in str(caught.value)
    assert "metadata.csv" in str(caught.value)


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,artits\na.flac,x\n", "unknown column 'artits'"),
        ("path,year\na.flac,99\n", "is not four digits"),
        ("path\nb.flac\n", "none of its paths"),
    ],
)
def test_a_csv_that_is_wrong_is_told_before_files_are_looked_at(
    play: Play,
    music: Path,
    tmp_path: Path,
    context: SourceContext,
    monkeypatch: pytest.MonkeyPatch,
    dry_run: bool,
    content: str,
    message: str,
) -> None:
    play(music / "a.flac")
    (music / "metadata.csv").write_text(content)
    monkeypatch.setenv("TRACKLORE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match=message):
        source(dataclasses.replace(context, dry_run=dry_run), music).inputs()
    assert not (tmp_path / "cache").exists()


def test_of_a_recording_the_file_that_the_csv_describes_is_kept(
    play: Play, music: Path, context: SourceContext
) -> None:
    path = play(music / "x/b.flac")
    shutil.copyfile(path, music / "x/a.flac")
    (music / "metadata.csv").write_text("path,artist,tags\nx/b.flac,The X,calm\n")
    tables = read(context, music)
    assert excluded(tables) == {"x/a.flac": ("duplicate_recording", "the same sound as x/b.flac")}
    assert said(tables) == [("x/b.flac", "tags", "calm")]
    assert not tables.notes  # of the file that has no row nothing is left
    (music / "metadata.csv").write_text("path\nout.flac\n")
    (music / "out.flac").symlink_to("/etc/passwd")
    tagged(path, artist="The X")
    assert excluded(read(context, music))["x/a.flac"] == ("duplicate_recording", "the same sound as x/b.flac")
    assert "1 tracks have no row in metadata.csv" in read(context, music).notes


def test_a_track_without_an_artist_is_of_the_one_artist_of_its_folder(
    play: Play, music: Path, context: SourceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    artists = {
        "one/a": ("The First", "first"),
        "one/b": ("First", "first"),
        "one/c/d": ("", "first"),
        "two/a": ("Second", "second"),
        "two/b": ("Third", "third"),
        "two/c": ("", "two"),
        "e": ("Fourth", "fourth"),
        "three/a": ("", "three"),
        "Various/a": ("Queen", "queen"),
        "Various/b": ("", "queen"),
        "Various/c": ("Various Artists", "various-artists"),
        "VA/a": ("", "va"),
        "Rock/a": ("Abba", "abba"),
        "Rock/b": ("", "abba"),
        "rock/a": ("Queen", "queen"),
        "rock/b": ("", "queen"),
        "f": ("Rock", "rock"),
    }
    for number, name in enumerate(artists):
        play(music / f"{name}.flac", pitch=300 + 20 * number)
    rows = "".join(f"{name}.flac,{artist}\n" for name, (artist, _) in artists.items())
    (music / "metadata.csv").write_text(f"path,artist\n{rows}")
    for rows_at_once in (50_000, 2):
        for module in (folder_source, folder_metadata, probes):
            monkeypatch.setattr(module, "ROWS_AT_ONCE", rows_at_once)
        tables = read(context, music)
        found = {row["audio_uri"].removesuffix(".flac"): row for row in tables.tracks.to_pylist()}
        assert {name: row["artist_id"] for name, row in found.items()} == {
            n: key for n, (_, key) in artists.items()
        }
        assert (found["one/c/d"]["artist_name"], found["Various/b"]["artist_name"]) == ("First", "Queen")
        assert any(note.startswith("3 tracks have no artist tag: the first folder") for note in tables.notes)


def test_years_as_pandas_writes_them_are_read(play: Play, music: Path, context: SourceContext) -> None:
    for number in range(2):
        play(music / f"{number}.flac", pitch=300 + number)
    (music / "metadata.csv").write_bytes(b"path,artist,year\n0.flac,x,2004.0\n1.flac,y,nan\n")
    rows = {row["artist_name"]: row["year"] for row in by_id(read(context, music)).values()}
    assert rows == {"x": 2004, "y": None}


@pytest.mark.parametrize("rows", [2, 50_000])
def test_a_row_that_names_a_path_again_is_told_by_its_number(
    rows: int, play: Play, music: Path, context: SourceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(music / "a.flac")
    monkeypatch.setattr(folder_metadata, "ROWS_AT_ONCE", rows)
    lines = "".join(f"{name}.flac,x\n" for name in "abcdebxa")
    (music / "metadata.csv").write_text(f"path,artist\n\n{lines}")
    with pytest.raises(UsageError, match=r"metadata\.csv: row 8: 'b\.flac' stands twice"):
        read(context, music)


def test_what_is_read_after_the_look_is_digested_after_it(
    play: Play, music: Path, context: SourceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(music / "a.flac")
    metadata = music / "metadata.csv"
    metadata.write_text("path,artist\na.flac,Before\n")
    look = probe_files

    def slow(*given: Any, **keys: Any) -> Any:
        found = look(*given, **keys)
        metadata.write_text("path,artist\na.flac,After\n")
        return found

    monkeypatch.setattr(folder_source, "probe_files", slow)
    found = source(context, music)
    told = found.inputs()
    assert by_id(found.read())["a.flac"]["artist_name"] == "After"
    assert told["metadata.csv"] == Store(str(music)).sha256("metadata.csv")


def test_a_metadata_file_with_a_name_of_music_has_its_content_as_digest(
    play: Play, music: Path, context: SourceContext
) -> None:
    play(music / "a.flac")
    (music / "m.mp3").write_text("path,artist\na.flac,x\n")
    for given in (context, dataclasses.replace(context, dry_run=True)):
        found = source(given, music, metadata="m.mp3")
        assert found.inputs()["m.mp3"] == Store(str(music)).sha256("m.mp3")
        assert found.inputs_digest() == digest_of(found.inputs())
