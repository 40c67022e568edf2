"""A folder with the files of the Million Song Dataset, small and as published."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pipelines.sources.base import SourceTables
from schemas.tables import (
    ANNOTATIONS,
)

Read = Callable[..., SourceTables]

# As in the published database.
SONGS = (
    "CREATE TABLE songs (track_id text PRIMARY KEY, title text, song_id text, release text, artist_id text, "
    "artist_mbid text, artist_name text, duration real, artist_familiarity real, artist_hotttnesss real, year int, "
    "track_7digitalid int, shs_perf int, shs_work int)"
)
LASTFM = (
    "CREATE TABLE tids (tid TEXT)",
    "CREATE TABLE tags (tag TEXT)",
    "CREATE TABLE tid_tag (tid INT, tag INT, val FLOAT, FOREIGN KEY(tag) REFERENCES tags(ROWID), "
    "FOREIGN KEY(tid) REFERENCES tids(ROWID))",
    "CREATE INDEX idx_tid_tag_tid ON tid_tag ('tid')",
)


USERS = [f"{n:040x}" for n in range(5)]


def track(number: int) -> str:
    return f"TRAA{number:05d}128F426A0"


def song(number: int) -> str:
    return f"SOAA{number:05d}12A8C1330"


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "track_id": track(number),
        "title": f"Title {number}",
        "song_id": song(number),
        "release": f"Release {number // 3}",
        "artist_id": f"ARAA{number // 2:05d}87B98A",
        "artist_mbid": f"{number // 2:08x}-5b14-4f7d-9f5d-0a0a0a0a0a0a",
        "artist_name": f"Artist {number // 2}",
        "duration": 100.5 + number,
        "artist_familiarity": 0.5,
        "artist_hotttnesss": 0.4,
        "year": 1990 + number % 10,
        "track_7digitalid": 1000 + number,
        "shs_perf": -1,
        "shs_work": 0,
        **changes,
    }


class Folder:
    """Writes the published files into one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def metadata(self, rows: Iterable[dict[str, Any]]) -> Folder:
        with sqlite3.connect(self.path / "track_metadata.db") as database:
            database.execute(SONGS)
            listed = list(rows)
            names = ", ".join(listed[0])
            marks = ", ".join("?" * len(listed[0]))
            database.executemany(
                f"INSERT INTO songs ({names}) VALUES ({marks})", [tuple(r.values()) for r in listed]
            )
        database.close()
        return self

    def lastfm(self, said: dict[str, list[tuple[str, float]]], more: Iterable[tuple[Any, Any, Any]] = ()) -> Folder:
        tags = list(dict.fromkeys(tag for tags in said.values() for tag, _ in tags))
        with sqlite3.connect(self.path / "lastfm_tags.db") as database:
            for statement in LASTFM:
                database.execute(statement)
            database.executemany("INSERT INTO tids VALUES (?)", [(t,) for t in said])
            database.executemany("INSERT INTO tags VALUES (?)", [(t,) for t in tags])
            rows: list[tuple[Any, Any, Any]] = [
                (place, tags.index(tag) + 1, float(score))
                for place, listed in enumerate(said.values(), start=1)
                for tag, score in listed
            ]
            database.executemany("INSERT INTO tid_tag VALUES (?, ?, ?)", [*rows, *more])
        database.close()
        return self

    def json(self, said: dict[str, list[tuple[str, float]]], parts: Sequence[str] = ("train", "test")) -> Folder:
        for part in parts:
            (self.path / f"lastfm_{part}").mkdir()
        for place, (name, tags) in enumerate(said.items()):
            part = parts[place % len(parts)]
            path = self.path / f"lastfm_{part}" / name[2] / name[3] / name[4] / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = {
                "artist": "An Artist",
                "timestamp": "2011-08-02 20:13:25.674526",
                "similars": [[track(7), 0.96]],
                "tags": [[tag, f"{score:g}"] for tag, score in tags],
                "track_id": name,
                "title": "A Title",
            }
            path.write_text(json.dumps(content))
        return self

    def zipped(self) -> Folder:
        for part in ("train", "test"):
            folder = self.path / f"lastfm_{part}"
            with zipfile.ZipFile(self.path / f"lastfm_{part}.zip", "w") as archive:
                for path in sorted(folder.rglob("*.json"), reverse=True):
                    archive.write(path, path.relative_to(self.path))
                    path.unlink()
                archive.writestr(f"__MACOSX/lastfm_{part}/._x.json", b"\x00")
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir()
            folder.rmdir()
        return self

    def taste(
        self,
        triplets: Iterable[tuple[str, str, int]],
        tracks: dict[str, list[str]] | None = None,
        wrong: Iterable[tuple[str, str]] = (),
    ) -> Folder:
        lines = "".join(f"{user}\t{of}\t{count}\n" for user, of, count in triplets)
        (self.path / "train_triplets.txt").write_text(lines)
        if tracks is not None:
            lines = "".join("\t".join([of, *listed]) + "\n" for of, listed in tracks.items())
            (self.path / "taste_profile_song_to_tracks.txt").write_text(lines)
        lines = "".join(
            f"ERROR: <{of} {t}> Jimmy Reed  -  The Sun  !=  Slim Harpo  -  I Got Love\n" for of, t in wrong
        )
        (self.path / "sid_mismatches.txt").write_text(lines)
        return self

    def write(self, name: str, content: str | bytes) -> Folder:
        (self.path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def audio(self, digital: Any, paths: Any) -> Folder:
        return self.write("MSD_id_to_7D_id.pkl", digital).write("7D_id_to_path.pkl", paths)


SAID: dict[str, list[tuple[str, float]]] = {
    track(4): [("rock", 100), ("seen live", 40), ("Rock", 20)],
    track(1): [("Hip-Hop", 100), ("80s", 0)],
    track(3): [("Zäune", 7), ("rock", 55.5)],
}


def labelled(tables: SourceTables) -> list[tuple[str, str, str, float | None]]:
    rows = ANNOTATIONS.conform(tables.annotations).to_pylist()
    return [(r["track_id"], r["source"], r["raw_tag"], r["score"]) for r in rows]


EXPECTED = [
    (track(1), "lastfm", "80s", 0.0),
    (track(1), "lastfm", "Hip-Hop", 100.0),
    (track(3), "lastfm", "Zäune", 7.0),
    (track(3), "lastfm", "rock", 55.5),
    (track(4), "lastfm", "Rock", 20.0),
    (track(4), "lastfm", "rock", 100.0),
    (track(4), "lastfm", "seen live", 40.0),
]
