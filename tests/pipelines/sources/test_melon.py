from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.sources.base import SourceContext
from pipelines.sources.melon import Melon, MelonSettings
from schemas.errors import UsageError

Command = Callable[..., Any]
GENRES = {
    "GN0100": "발라드", "GN0101": "세부장르전체", "GN0105": "2000년대-", "GN0200": "댄스", "GN0201": "세부장르전체",
}  # fmt: skip


def song(number: Any, **changes: Any) -> dict[str, Any]:
    """As published: the keys are in this order."""
    return {
        "song_gn_dtl_gnr_basket": ["GN0101", "GN0105"],
        "issue_date": "20140512",
        "album_name": "불후의 명곡",
        "album_id": 2255639,
        "artist_id_basket": [2727],
        "song_name": f"feeling {number}",
        "song_gn_gnr_basket": ["GN0100"],
        "artist_name_basket": ["휘성"],
        "id": number,
        **changes,
    }


SONGS = [
    song(0),
    song(1, artist_id_basket=[29966, 2727], artist_name_basket=["정승환", "휘성"], issue_date="00000000"),
    song(2, song_gn_gnr_basket=["GN0200"], song_gn_dtl_gnr_basket=["GN0201"], artist_id_basket=[3361],
         artist_name_basket=["Elvis"], album_name=None),
    song(3, song_gn_gnr_basket=[], song_gn_dtl_gnr_basket=[], artist_id_basket=[], artist_name_basket=[]),
    song(4, song_gn_gnr_basket=["GN9000"], song_gn_dtl_gnr_basket=[], artist_id_basket=[7], song_name="",
         artist_name_basket=["Seven"], issue_date="20190000"),
]  # fmt: skip


def playlist(number: int, songs: list[Any], **changes: Any) -> dict[str, Any]:
    return {"tags": ["락"], "id": number, "plylst_title": "여행같은 음악", "songs": songs, "like_cnt": 71,
            "updt_date": "2013-12-19 18:36:19.000", **changes}  # fmt: skip


def publish(folder: Path, songs: Any = SONGS, train: Any = None, **others: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    train = [playlist(61281, [2, 0, 2, 99]), playlist(10532, [1])] if train is None else train
    for name, content in {"song_meta": songs, "train": train, "genre_gn_all": GENRES, **others}.items():
        (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return folder


def source(context: SourceContext, folder: Path, **keys: Any) -> Melon:
    return Melon(MelonSettings(kind="melon", path=str(folder), **keys), context)


def test_the_published_files_through_the_command(tmp_path: Path, command: Command) -> None:
    # Two songs a split at the least, by other artists.
    more = [song(n, artist_id_basket=[n], artist_name_basket=[f"Artist {n}"]) for n in range(10, 40)]
    folder, out = publish(tmp_path / "melon", [*SONGS, *more]), tmp_path / "out"
    where = ("--set", f"source.path={folder}", "--out", out)
    ran = command("build", "melon", *where, "--only", "tags,splits")
    assert ran.code == 0, ran.err
    tracks = {row["track_id"]: row for row in pq.read_table(out / "tracks.parquet").to_pylist()}
    first, duet = tracks["0"], tracks["1"]
    assert (first["artist_id"], first["artist_name"], first["collaborators"]) == ("2727", "휘성", None)
    assert (first["album"], first["title"], first["year"]) == ("불후의 명곡", "feeling 0", 2014)
    assert (duet["artist_id"], duet["artist_name"], duet["collaborators"]) == ("29966", "정승환", ["2727"])
    assert (duet["year"], tracks["4"]["year"], tracks["4"]["title"]) == (None, 2019, None)
    assert tracks["2"]["album"] == "2255639"
    assert tracks["3"]["artist_id"] == "unknown-artist"
    tags = {row["track_id"]: row["tags"] for row in pq.read_table(out / "labels.parquet").to_pylist()}
    assert tags["0"] == ["2000년대-", "발라드", "세부장르전체 (발라드)"]
    assert tags["2"] == ["댄스", "세부장르전체 (댄스)"]
    assert (tags["3"], tags["4"]) == ([], ["GN9000"])
    groups = {row["raw_tag"]: row for row in pq.read_table(out / "taxonomy.parquet").to_pylist()}
    assert groups["2000년대-"]["parent"] == "발라드"
    assert (groups["발라드"]["parent"], groups["발라드"]["category"]) == (None, "genre")
    held = pq.read_table(out / "interactions.parquet").to_pylist()
    assert [(row["group_id"], row["track_id"], row["kind"], row["count"]) for row in held] == [
        ("10532", "1", "playlist", 1),
        ("61281", "0", "playlist", 1),
        ("61281", "2", "playlist", 1),
    ]
    receipt = (out / "receipt.json").read_text("utf-8")
    assert "2 playlists hold 3 songs" in receipt
    assert "1 songs of playlists are not in song_meta.json" in receipt
    assert "1 songs have several artists" in receipt
    splits = pq.read_table(out / "splits.parquet").to_pylist()
    assert {row["scheme"] for row in splits} == {"default", "published"}
    drawn = Counter(row["split"] for row in splits if row["scheme"] == "published")
    assert drawn == {"train": round(0.8 * 35), "valid": round(0.9 * 35) - 28, "test": 35 - round(0.9 * 35)}
    assert "whoever the artist" in receipt
    assert command("verify", out).code == 0


def test_codes_instead_of_names_and_playlists_published_in_part(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(
        tmp_path / "m",
        [*SONGS, song(2, song_name="again")],
        val=[playlist(118598, [1, 2])],
        test=[playlist(70107, [])],
    )
    tables = source(context, folder, genres="codes").read()
    assert set(tables.annotations.column("raw_tag").to_pylist()) == {
        "GN0100", "GN0101", "GN0105", "GN0200", "GN0201", "GN9000"
    }  # fmt: skip
    assert tables.taxonomy is not None
    parents = {row["raw_tag"]: row["parent"] for row in tables.taxonomy.to_pylist()}
    assert (parents["GN0105"], parents["GN0100"]) == ("GN0100", None)
    assert tables.interactions is not None
    assert set(tables.interactions.column("group_id").to_pylist()) == {"61281", "10532", "118598"}
    assert [(row["id"], row["reason"]) for row in tables.exclusions.to_pylist()] == [("2", "duplicate_id")]
    assert tables.published is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"songs": [song(0), song("1")]}, r"song_meta\.json: item 2: id is '1', not a whole number"),
        ({"songs": [song(0, artist_id_basket=5)]}, r"item 1: artist_id_basket is 5, not a list of int"),
        ({"songs": [song(0, song_gn_gnr_basket=[None])]}, r"song_gn_gnr_basket is \[None\], not a list of str"),
        ({"songs": [song(0, song_name=3)]}, r"song_name is 3, not text"),
        ({"songs": {"0": song(0)}}, r"song_meta\.json: does not start as a JSON array"),
        ({"train": [playlist(1, ["0"])]}, r"train\.json: item 1: songs is \['0'\], not a list of int"),
        ({"genre_gn_all": []}, r"genre_gn_all\.json: is no JSON object of names by code"),
    ],
)
def test_what_is_not_as_published_is_named(
    changes: dict[str, Any], message: str, tmp_path: Path, context: SourceContext
) -> None:
    with pytest.raises(UsageError, match=message):
        source(context, publish(tmp_path / "m", **changes)).read()


def test_a_missing_file_says_where_it_is_from(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "m")
    (folder / "train.json").unlink()
    with pytest.raises(UsageError, match=r"has no train\.json.*115,071 playlists"):
        source(context, folder)
