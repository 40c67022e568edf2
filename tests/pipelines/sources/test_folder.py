from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile

from pipelines.engine import Engine
from pipelines.sources import folder as folder_source
from pipelines.sources import folder_metadata, probes
from pipelines.sources.base import SourceContext
from pipelines.sources.folder import Folder, FolderSettings
from schemas.digests import digest_of
from schemas.errors import UsageError
from schemas.store import Store
from schemas.tables import ANNOTATIONS, TRACKS
from tests.pipelines.sources.folders import Play, by_id, excluded, read, said, source, tagged


def test_every_kind_of_audio_is_read_wherever_it_lies(play: Play, music: Path, context: SourceContext) -> None:
    names = ["a.mp3", "x/b.FLAC", "x/y/c.ogg", "d.oga", "e.opus", "f.wav", "g é [live] '\".m4a"]
    for number, name in enumerate(names):
        play(music / name, 0.3, 200 + 40 * number)
    for other in ("cover.jpg", "notes.txt", "x/list.m3u", "song.mp3.part", "mp3"):
        (music / other).write_bytes(b"no music")
    found = source(context, music)
    assert found.expected_tracks() == len(names)
    tables = found.read()
    assert {row["audio_uri"] for row in tables.tracks.to_pylist()} == set(names) == set(by_id(tables))
    assert tables.tracks.schema.equals(TRACKS.schema)
    assert ANNOTATIONS.conform(tables.annotations).num_rows == 0
    assert tables.exclusions.num_rows == 0
    for row in tables.tracks.to_pylist():
        assert row["audio_sha256"] == Store(str(music)).sha256(row["audio_uri"])
        assert row["duration_s"] == pytest.approx(0.3, abs=0.15)
        assert row["title"] == Path(row["audio_uri"]).stem


def test_what_the_files_own_tags_say(play: Play, music: Path, context: SourceContext) -> None:
    for number, (folder, artist) in enumerate([("x", "The Band"), ("y", "band"), ("z", "The Band")]):
        path = play(music / folder / "a.flac", pitch=300 + number)
        tagged(path, artist=artist, album="Alb", title=f"T{number}", date="1970-05", genre="Rock; Folk/Pop")
    tables = read(context, music)
    rows = by_id(tables)
    assert {row["artist_id"] for row in rows.values()} == {"band"}
    assert {row["artist_name"] for row in rows.values()} == {"The Band"}
    assert (rows["x/a.flac"]["album"], rows["x/a.flac"]["title"], rows["x/a.flac"]["year"]) == ("Alb", "T0", 1970)
    assert [row[1:] for row in said(tables)[:3]] == [("genre", "Folk"), ("genre", "Pop"), ("genre", "Rock")]
    assert tables.notes == ("artist 'The Band' is also written 'band': taken as one",)


def test_without_an_artist_the_first_folder_is_it_and_the_root_is_unknown(
    play: Play, music: Path, context: SourceContext
) -> None:
    for number, name in enumerate(["Björk/Debut/a.flac", "bjork/b.flac", "c.flac", "d.wav", "e.flac", "q/f.flac"]):
        play(music / name, pitch=300 + number)
    tagged(music / "e.flac", artist="Björk")
    tagged(music / "q/f.flac", artist="Unknown Artist")
    tables = read(context, music)
    rows = by_id(tables)
    ids = {path: row["artist_id"] for path, row in rows.items()}
    assert ids == {
        "Björk/Debut/a.flac": "bjork",
        "bjork/b.flac": "bjork",
        "c.flac": "unknown-artist",
        "d.wav": "unknown-artist",
        "e.flac": "bjork",
        "q/f.flac": "q",
    }
    assert rows["c.flac"]["artist_name"] is None
    assert "3 tracks have no artist tag: the first folder of their path was taken as artist" in tables.notes
    assert any(note.startswith("2 tracks have no artist at all") for note in tables.notes)


def test_a_folder_that_cannot_be_is_told_with_the_key(music: Path, context: SourceContext) -> None:
    with pytest.raises(UsageError, match=r"source\.path: is required; set it with --set source\.path=DIR"):
        Folder(FolderSettings(kind="folder"), context)
    with pytest.raises(UsageError, match=r"source\.path: .*nowhere is no folder"):
        source(context, music / "nowhere")
    (music / "a.txt").write_text("x")
    with pytest.raises(UsageError, match=r"source\.path: .* holds no audio \(aac, aif, .*flac, .*mp3, .*wma\)"):
        read(context, music)
    with pytest.raises(UsageError, match=r"source\.metadata: .*m\.csv is not there"):
        read(context, music, metadata="m.csv")


def test_what_is_no_audio_leaves_with_its_reason(play: Play, music: Path, context: SourceContext) -> None:
    play(music / "good.flac")
    (music / "zero.mp3").write_bytes(b"")
    (music / "text.mp3").write_text("no music" * 99)
    (music / "metadata.csv").write_text("path,track_id\nzero.mp3,z1\n")
    found = excluded(read(context, music))
    assert found["z1"] == ("not_audio", "the file has zero bytes")
    assert found["text.mp3"][0] == "not_audio"
    assert len(found) == 2


def test_a_folder_of_which_nothing_can_be_read_tells_of_all(music: Path, context: SourceContext) -> None:
    (music / "out.mp3").symlink_to("/etc/passwd")
    (music / "metadata.csv").write_text("path\na.mp3\n")
    assert {key: reason for key, (reason, _) in excluded(read(context, music)).items()} == {
        "out.mp3": "outside_source",
        "a.mp3": "missing_file",
    }
    (music / "text.mp3").write_text("no music")
    (music / "metadata.csv").unlink()
    tables = read(context, music)
    assert len(excluded(tables)) == 2
    assert tables.tracks.num_rows == tables.annotations.num_rows == 0
    assert source(context, music).expected_tracks() == 2


def test_links_are_followed_inside_only(play: Play, music: Path, tmp_path: Path, context: SourceContext) -> None:
    outside = play(tmp_path / "outside" / "far.flac", pitch=700)
    play(music / "own.flac")
    (music / "link.flac").symlink_to(music / "own.flac")
    (music / "out.flac").symlink_to(outside)
    (music / "out.mp3").symlink_to("/etc/passwd")
    (music / "folder").symlink_to(outside.parent)
    (music / "gone.flac").symlink_to(music / "nothing.flac")
    (music / "loop.flac").symlink_to(music / "loop.flac")
    tables = read(context, music)
    assert set(by_id(tables)) == {"link.flac"}
    found = excluded(tables)
    assert {path: reason for path, (reason, _) in found.items()} == {
        "own.flac": "duplicate_recording",
        "out.flac": "outside_source",
        "out.mp3": "outside_source",
        "folder": "outside_source",
        "gone.flac": "missing_file",
        "loop.flac": "unreadable",
    }
    assert "a link to a folder" in found["folder"][1]


def test_names_that_are_no_utf8_leave_readably(play: Play, music: Path, context: SourceContext) -> None:
    path = play(music / "a.flac")
    shutil.copy(os.fsencode(path), os.fsencode(music) + b"/b\xff.flac")
    tables = read(context, music)
    assert set(by_id(tables)) == {"a.flac"}
    assert excluded(tables) == {"b\\udcff.flac": ("unreadable", "the file's name is not UTF-8; rename it")}


def test_copies_of_a_recording_leave_unless_they_are_asked_for(
    play: Play, music: Path, context: SourceContext
) -> None:
    for name in ("b.flac", "a.flac", "c/c.flac"):
        tagged(play(music / name), title=name)
    tables = read(context, music)
    assert set(by_id(tables)) == {"a.flac"}
    reason = ("duplicate_recording", "the same sound as a.flac")
    assert excluded(tables) == dict.fromkeys(("b.flac", "c/c.flac"), reason)
    kept = by_id(read(context, music, keep_duplicates=True))
    assert set(kept) == {"a.flac", "b.flac", "c/c.flac"}
    assert len({row["recording_id"] for row in kept.values()}) == 1


def test_a_track_whose_id_is_taken_says_nothing_of_the_other(
    play: Play, music: Path, context: SourceContext
) -> None:
    tagged(play(music / "a.flac", pitch=300), genre="Rock")
    tagged(play(music / "b.flac", pitch=400), genre="Polka")
    (music / "metadata.csv").write_text("path,track_id\na.flac,same\nb.flac,same\n")
    tables = read(context, music)
    assert by_id(tables)["same"]["audio_uri"] == "a.flac"
    assert said(tables) == [("same", "genre", "Rock")]
    assert excluded(tables) == {"same": ("duplicate_id", "b.flac")}


def test_inputs_know_content_and_names_but_neither_time_nor_place(
    play: Play, music: Path, tmp_path: Path, context: SourceContext
) -> None:
    outside = play(tmp_path / "far.flac", pitch=800)
    play(music / "a.flac")
    play(music / "x/b.mp3", pitch=500)
    (music / "out.flac").symlink_to(outside)
    (music / "metadata.csv").write_text("path,artist\na.flac,x\n")
    before = source(context, music).inputs()
    os.utime(outside, (1, 1))
    for path in (music / "a.flac", music / "metadata.csv"):
        os.utime(path, (2, 2))
    other = tmp_path / "other place"
    shutil.copytree(music, other, symlinks=True)
    assert source(context, music).inputs() == before
    assert source(context, other).inputs() == before
    assert digest_of(before)

    (music / "metadata.csv").write_text("path,artist\na.flac,y\n")
    changed = source(context, music).inputs()
    assert {path for path in before if before[path] != changed[path]} == {"metadata.csv"}
    play(music / "a.flac", pitch=450)
    assert {path for path in before if changed[path] != source(context, music).inputs()[path]} == {"a.flac"}
    (music / "x/b.mp3").rename(music / "c.mp3")
    assert set(source(context, music).inputs()) == {"a.flac", "c.mp3", "out.flac", "metadata.csv"}


def test_a_probe_is_remembered_until_the_file_changes(play: Play, music: Path, context: SourceContext) -> None:
    path = play(music / "a.flac")
    stamp = path.stat()
    before = source(context, music).inputs()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert source(context, music).inputs() == before
    careful = dataclasses.replace(context, trust_stamps=False)
    assert source(careful, music).inputs() != before
    os.utime(path, ns=(1, 1))
    assert source(context, music).inputs() == source(careful, music).inputs()


def test_workers_change_nothing(play: Play, music: Path, context: SourceContext) -> None:
    for number in range(12):
        play(music / f"{number % 3}" / f"{number}.wav", 0.1, 200 + 10 * number)
    one = read(dataclasses.replace(context, trust_stamps=False), music)
    two = read(dataclasses.replace(context, trust_stamps=False, engine=Engine(workers=4)), music)
    assert one.tracks.equals(two.tracks)
    assert one.notes == two.notes


def test_how_many_rows_are_held_at_once_changes_nothing(
    play: Play, music: Path, context: SourceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        path = play(music / f"{'é' * (number % 3)}x/{number}.flac", 0.1, 200 + 10 * (number // 2))
        tagged(path, **({"artist": "A", "genre": "Rock/Pop"} if number % 3 else {"title": "T"}))
    (music / "bad.mp3").write_text("no music")
    (music / "misnamed.mp3").write_bytes((music / "x/0.flac").read_bytes())
    (music / "metadata.csv").write_text(
        "path,track_id,artist,year,tags\nx/6.flac,six,Á,2001,a;b\nx/3.flac,,B,,\nnone.flac,,,,\nx/0.flac,z,,,c\n"
    )
    whole = read(dataclasses.replace(context, trust_stamps=False), music)
    for module in (folder_source, folder_metadata, probes):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
    for trusted in (False, True):
        parts = read(dataclasses.replace(context, trust_stamps=trusted), music)
        assert parts.tracks.equals(whole.tracks)
        assert said(parts) == said(whole)
        assert parts.exclusions.equals(whole.exclusions)
        assert parts.notes == whole.notes
    assert said(whole) == [
        ("six", "tags", "a"),
        ("six", "tags", "b"),
        ("z", "tags", "c"),
        ("éx/4.flac", "genre", "Pop"),
        ("éx/4.flac", "genre", "Rock"),
    ]
    assert {row["track_id"]: row["artist_name"] for row in whole.tracks.to_pylist()} == {
        "six": "A",  # as most of its tracks write it
        "x/3.flac": "B",
        "z": "x",
        "éx/4.flac": "A",
    }


def test_names_that_are_not_the_content_are_told_by_path_whatever_their_case(
    play: Play, music: Path, context: SourceContext
) -> None:
    for name, content in {"B.WAV": "x.flac", "a.MP3": "y.wav", "c.flac": "z.flac", "d.FLAC": "u.flac"}.items():
        play(music / content, pitch=300 + ord(name[0])).rename(music / name)
    notes = read(context, music).notes
    assert "2 files are read as what they are, not as what their names say: B.WAV is FLAC, a.MP3 is WAV" in notes


def test_two_keys_of_one_path_are_one_file(play: Play, music: Path, context: SourceContext) -> None:
    store = Store("memory://two-keys")
    file, root = play(music / "a.mp3"), store.full("a.mp3").removesuffix("a.mp3")
    fs = fsspec.filesystem("memory")
    for key in ("a.mp3", "/a.mp3"):
        fs.store[f"/{root.strip('/')}/{key}"] = MemoryFile(fs, key, file.read_bytes())
    assert [info.path for info in store.list()] == ["a.mp3", "a.mp3"]
    tables = Folder(FolderSettings(kind="folder", path=store.root), context).read()
    assert set(by_id(tables)) == {"a.mp3"}
    assert tables.exclusions.num_rows == 0


def test_the_digest_of_the_inputs_is_theirs(play: Play, music: Path, context: SourceContext) -> None:
    for name in ("a.flac", "metadata.flac", "z/é.mp3"):
        play(music / name)
    (music / "broken.mp3").write_bytes(b"")
    (music / "metadata.csv").write_text("path\na.flac\n")
    (music / "out.flac").symlink_to("/etc/passwd")
    (music / os.fsdecode(b"m\xff.mp3")).write_bytes(b"x")
    found = source(context, music)
    assert len(found.inputs()) == 7
    assert found.inputs_digest() == digest_of(found.inputs())


def test_a_relative_path_starts_from_the_manifest(play: Play, music: Path, context: SourceContext) -> None:
    play(music / "a.flac")
    beside = dataclasses.replace(context, base=str(music.parent))
    assert set(by_id(read(beside, Path("music")))) == {"a.flac"}


def test_music_in_memory_reads_as_on_disk(play: Play, music: Path, context: SourceContext) -> None:
    tagged(play(music / "x/a.flac"), artist="A", genre="Rock")
    play(music / "b.mp3", pitch=500)
    memory = Store("memory://folder-source")
    for name in ("x/a.flac", "b.mp3"):
        memory.write_bytes(name, (music / name).read_bytes())
    settings = FolderSettings(kind="folder", path=memory.root)
    found = Folder(settings, context)
    here = source(context, music)
    assert found.inputs() == here.inputs()
    assert found.read().tracks.equals(here.read().tracks)
