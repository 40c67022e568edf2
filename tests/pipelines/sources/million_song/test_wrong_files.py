"""Files that are not as published, or not there, are named."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.sources.base import SourceContext, source_class
from pipelines.sources.million_song import MillionSong, MillionSongSettings
from schemas.errors import UsageError
from schemas.manifest import SourceSection
from tests.pipelines.sources.million_song.files import (
    SAID,
    Folder,
    Read,
    row,
    track,
)


def break_database(name: str, *statements: str) -> Callable[[Folder], None]:
    def act(folder: Folder) -> None:
        with sqlite3.connect(folder.path / name) as database:
            for statement in statements:
                database.execute(statement)
        database.close()

    return act


def cut(name: str) -> Callable[[Folder], None]:
    def act(folder: Folder) -> None:
        content = (folder.path / name).read_bytes()
        folder.write(name, content[:512] + b"\xff" * (len(content) - 512))

    return act


WRONG: list[tuple[Callable[[Folder], Any], str]] = [
    (lambda f: f.write("track_metadata.db", "<html>404"), r"track_metadata\.db: is no SQLite file"),
    (lambda f: f.write("lastfm_tags.db", b""), r"lastfm_tags\.db: is no SQLite file"),
    (lambda f: f.write("lastfm_tags.db", b"SQLite format 3\x00"), r"lastfm_tags\.db: cannot be read as SQLite"),
    (cut("track_metadata.db"), r"track_metadata\.db: cannot be read as SQLite"),
    (cut("lastfm_tags.db"), r"lastfm_tags\.db: cannot be read as SQLite"),
    (
        break_database("track_metadata.db", "ALTER TABLE songs RENAME TO tracks"),
        r"track_metadata\.db: has no table 'songs'; is it the published file\?",
    ),
    (
        break_database("track_metadata.db", "ALTER TABLE songs RENAME COLUMN artist_mbid TO mbid"),
        r"track_metadata\.db: table 'songs' has no column 'artist_mbid' \(it has .*mbid",
    ),
    (
        break_database("track_metadata.db", "UPDATE songs SET duration = 'long' WHERE rowid = 4"),
        r"table 'songs', column 'duration', row 4: 'long' is not a number",
    ),
    (
        break_database("track_metadata.db", "UPDATE songs SET year = 1999.5 WHERE rowid = 2"),
        r"table 'songs', column 'year', row 2: 1999\.5 is not a whole number",
    ),
    (
        break_database("track_metadata.db", "UPDATE songs SET title = x'e9' WHERE rowid = 3"),
        r"table 'songs', column 'title', row 3: '\\\\xe9' is not text",
    ),
    (
        break_database("track_metadata.db", "UPDATE songs SET track_id = NULL WHERE rowid = 3"),
        r"table 'songs', column 'track_id', row 3: is empty",
    ),
    (
        break_database("track_metadata.db", "UPDATE songs SET song_id = '' WHERE rowid = 5"),
        r"table 'songs', column 'song_id', row 5: is empty",
    ),
    (
        break_database(
            "track_metadata.db",
            "CREATE TABLE copy AS SELECT * FROM songs",
            "DROP TABLE songs",
            "ALTER TABLE copy RENAME TO songs",
            "INSERT INTO songs SELECT * FROM songs WHERE rowid = 2",
        ),
        rf"track_metadata\.db: has the track '{track(1)}' twice",
    ),
    (break_database("lastfm_tags.db", "DROP TABLE tids"), r"lastfm_tags\.db: has no table 'tids'"),
    (
        break_database("lastfm_tags.db", "ALTER TABLE tid_tag RENAME COLUMN val TO score"),
        r"lastfm_tags\.db: table 'tid_tag' has no column 'val'",
    ),
    (
        break_database("lastfm_tags.db", "UPDATE tid_tag SET val = 'much' WHERE rowid = 2"),
        r"lastfm_tags\.db: table 'tid_tag', column 'val', row 2: is no number",
    ),
    (
        break_database("lastfm_tags.db", "UPDATE tid_tag SET tid = NULL WHERE rowid = 6"),
        r"lastfm_tags\.db: table 'tid_tag', column 'tid', row 6: is no number",
    ),
    (
        break_database("lastfm_tags.db", "UPDATE tags SET tag = NULL WHERE rowid = 1"),
        r"lastfm_tags\.db: table 'tags', column 'tag', row 1: is empty",
    ),
]


@pytest.mark.parametrize(("harm", "message"), WRONG)
def test_a_database_that_is_not_as_published_is_named(
    harm: Callable[[Folder], Any], message: str, folder: Folder, read: Read
) -> None:
    folder.metadata(row(n) for n in range(6)).lastfm(SAID)
    harm(folder)
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(UsageError, match=message) as caught:
        read()
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "has no track_id and tags"),
        ('{"track_id": "TR", "tags": {}}', "has no track_id and tags"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ('{"track_id": "TR", "tags": [["rock"]]}', r"tags: \['rock'\] is not written \[tag, score\]"),
        ('{"track_id": "TR", "tags": [["rock", "nan"]]}', "is not written"),
        ('{"track_id": "TR", "tags": [["rock", true]]}', "is not written"),
        (f'{{"track_id": "{track(1)}", "tags": []}}', "has a file before this one"),
    ],
)
def test_a_json_file_that_is_not_as_published_is_named(
    content: str, message: str, folder: Folder, read: Read
) -> None:
    folder.metadata(row(n) for n in range(6)).json(SAID)
    (folder.path / "lastfm_test" / "Z.json").write_text(content)
    with pytest.raises(UsageError, match=rf"lastfm_test/Z\.json: .*{message}"):
        read()
    folder.zipped()
    with pytest.raises(UsageError, match=rf"lastfm_test\.zip: lastfm_test/Z\.json: .*{message}"):
        read()


def test_a_zip_file_that_is_none_is_named(folder: Folder, read: Read) -> None:
    folder.metadata(row(n) for n in range(6)).json(SAID).zipped()
    folder.write("lastfm_train.zip", (folder.path / "lastfm_train.zip").read_bytes()[:-30])
    with pytest.raises(UsageError, match=r"lastfm_train\.zip: is no zip file that can be read"):
        read()


def test_a_missing_file_is_named_with_where_it_is_from(folder: Folder, read: Read) -> None:
    with pytest.raises(
        UsageError, match=r"has no track_metadata\.db \(nor .*unique_tracks\.txt.*\); the Million Song"
    ):
        read()
    folder.metadata([row(0)])
    with pytest.raises(UsageError, match=r"has no lastfm_tags\.db \(nor lastfm_train.*\); the Last\.fm dataset of"):
        read()
    folder.lastfm({track(0): [("rock", 1)]})
    with pytest.raises(UsageError, match=r"has no train_triplets\.txt; the Echo Nest Taste Profile .*about 3 GB"):
        read(listening=True)
    folder.write("train_triplets.txt", "")
    with pytest.raises(UsageError, match=r"has no sid_mismatches\.txt .*songs matched to wrong tracks"):
        read(listening=True)
    with pytest.raises(UsageError, match=r"has no MSD_id_to_7D_id\.pkl .*music_dataset_split"):
        read(tracks="with_audio")
    with pytest.raises(UsageError, match=r"source\.path: is required; .*lastfm_train"):
        MillionSong(MillionSongSettings(kind="million_song"), SourceContext(*[None] * 4))  # type: ignore[arg-type]


def test_settings_that_cannot_be_are_named_by_their_key(folder: Folder, read: Read) -> None:
    folder.metadata([row(0)])
    with pytest.raises(UsageError, match=r"source\.labels: no labels 'lastfn'; did you mean 'lastfm'\?"):
        read(labels=("lastfn",))
    with pytest.raises(UsageError, match=r"source\.split: no labels 'calls'"):
        read(split="calls")
    with pytest.raises(UsageError, match=r"source\.labels: 'lastfm' stands twice"):
        read(labels=("lastfm", "lastfm"))
    with pytest.raises(UsageError, match=r"source\.labels: names none"):
        read(labels=())
    with pytest.raises(
        UsageError, match=r"m\.yaml: source\.tracks: Input should be 'all', 'annotated' or 'with_aud"
    ):
        source_class(SourceSection.model_validate({"kind": "million_song", "tracks": "some"}), "m.yaml")
    cls, settings = source_class(
        SourceSection.model_validate({"kind": "million_song", "labels": ["lastfm"], "split": None}), "m.yaml"
    )
    assert cls is MillionSong
    assert isinstance(settings, MillionSongSettings)
