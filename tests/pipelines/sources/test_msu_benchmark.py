from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.sources.base import SourceContext
from pipelines.sources.msu_benchmark import MsuBenchmark, MsuBenchmarkSettings
from schemas.errors import DataError, UsageError
from schemas.tables.tracks import UNKNOWN_ARTIST

Entry = dict[str, Any]
# Entries as the release's page shows them, and as its code writes them.
KVT: dict[str, Entry] = {
    "a_01": {"track_id": "a_01", "tag": ["whisper", "thin"], "artist": "iu", "title": "밤편지"},
    "a_02": {"track_id": "a_02", "tag": ["whisper"], "artist": "iu", "title": "밤편지"},
    "b_01": {"track_id": "b_01", "tag": ["husky", "husky"], "artist": "sistar", "title": "나 혼자"},
}
GTZAN: dict[str, Entry] = {
    "blues.00029.wav": {
        "artist_name": "Kelly Joe Phelps",
        "title": "The House Carpenter",
        "key": "minor d",
        "tempo": 126,
        "tag": "blues",
        "track_id": "blues.00029.wav",
    },
    "rock.00001.wav": {
        "artist_name": 0,
        "title": 0,
        "key": 0,
        "tempo": 100,
        "tag": "rock",
        "track_id": "rock.00001.wav",
    },
}
FMA: dict[str, Entry] = {
    "2": {
        "tag": "hip-hop",
        "title": "Food",
        "artist_name": "AWOL",
        "release": "AWOL - A Way Of Life",
        "year": "2009",
        "track_id": 2,
    }
}
Split = dict[str, list[Any]]


def split(train: list[Any], valid: list[Any], test: list[Any]) -> Split:
    return {"train_track": train, "valid_track": valid, "test_track": test}


def publish(folder: Path, dataset: str, entries: dict[str, Entry], parts: Split, prefix: str = "") -> Path:
    (folder / dataset).mkdir(parents=True, exist_ok=True)
    for name, content in (("annotation", entries), ("track_split", parts)):
        (folder / dataset / f"{prefix}{name}.json").write_text(json.dumps(content, indent=4), "utf-8")
    return folder


def source(context: SourceContext, folder: Path, dataset: str, **keys: Any) -> MsuBenchmark:
    settings = MsuBenchmarkSettings(kind="msu_benchmark", path=str(folder), dataset=dataset, **keys)
    return MsuBenchmark(settings, context)


def test_segments_of_one_song_are_one_recording(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "dataset", "kvt", KVT, split(["a_01", "a_02"], [], ["b_01"]))
    for path in (folder, folder / "kvt"):
        tables = source(context, path, "kvt", source="vocal").read()
        rows = {row["track_id"]: row for row in tables.tracks.to_pylist()}
        assert rows["a_01"]["recording_id"] == rows["a_02"]["recording_id"] != rows["b_01"]["recording_id"]
        assert (rows["a_01"]["artist_name"], rows["a_01"]["title"]) == ("iu", "밤편지")
        assert rows["a_01"]["audio_uri"] == "a_01.mp3"
        said = [(r["track_id"], r["source"], r["raw_tag"]) for r in tables.annotations.to_pylist()]
        assert said == [
            ("a_01", "vocal", "thin"),
            ("a_01", "vocal", "whisper"),
            ("a_02", "vocal", "whisper"),
            ("b_01", "vocal", "husky"),
        ]
        assert tables.published is not None
        assert [r["split"] for r in tables.published.to_pylist()] == ["train", "train", "test"]
    apart = source(context, folder, "kvt", clips_of_songs=False).read()
    assert len(set(apart.tracks.column("recording_id").to_pylist())) == 3


def test_one_tag_as_text_a_folder_in_the_split_and_nobody_as_zero(tmp_path: Path, context: SourceContext) -> None:
    parts = split(["blues/blues.00029.wav"], [], ["rock/rock.00001.wav", "rock/rock.00099.wav"])
    tables = source(context, publish(tmp_path / "dataset", "gtzan", GTZAN, parts), "gtzan").read()
    rows = {row["track_id"]: row for row in tables.tracks.to_pylist()}
    assert rows["rock.00001.wav"]["artist_id"] == UNKNOWN_ARTIST
    assert rows["rock.00001.wav"]["title"] is None
    assert [r["raw_tag"] for r in tables.annotations.to_pylist()] == ["blues", "rock"]
    assert tables.published is not None
    assert {r["track_id"]: r["split"] for r in tables.published.to_pylist()} == {
        "blues.00029.wav": "train",
        "rock.00001.wav": "test",
    }
    assert tables.notes == (
        "1 entries of gtzan/track_split.json are in no annotation, first 'rock/rock.00099.wav'",
    )


def test_ids_that_are_numbers(tmp_path: Path, context: SourceContext) -> None:
    tables = source(context, publish(tmp_path / "dataset", "fma", FMA, split([2], [], [])), "fma").read()
    (row,) = tables.tracks.to_pylist()
    assert (row["track_id"], row["album"], row["year"]) == ("2", "AWOL - A Way Of Life", 2009)
    assert tables.published is not None
    assert tables.published.num_rows == 1


def test_files_with_a_prefix_and_no_artists(tmp_path: Path, context: SourceContext) -> None:
    entries: dict[str, Entry] = {
        f"track_{n:07d}": {"track_id": f"track_{n:07d}", "path": f"{n:02d}/{n}.mp3", "tag": ["rock"]}
        for n in (1, 2)
    }
    prefix = "autotagging_genre_"
    folder = publish(tmp_path / "dataset", "mtg", entries, split(list(entries), [], []), prefix)
    tables = source(context, folder, "mtg", prefix=prefix).read()
    assert tables.tracks.column("audio_uri").to_pylist() == ["01/1.mp3", "02/2.mp3"]
    assert tables.tracks.column("artist_id").to_pylist() == ["track_0000001", "track_0000002"]
    assert tables.notes == ("no artists are published: each recording counts as an artist of its own",)


def test_the_split_that_lists_places_is_refused(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "dataset", "mtat", KVT, split([], [], []), "won2020_")
    with pytest.raises(UsageError, match=r"won2020 lists places in an array, not clips; .*magnatagatune"):
        source(context, folder, "mtat", prefix="won2020_")


def test_what_is_not_as_published_is_named(tmp_path: Path, context: SourceContext) -> None:
    whole = split(["a_01"], [], [])
    cases: list[tuple[Any, Any, str]] = [
        ([], whole, r"annotation\.json: is no JSON object"),
        ({"a": 1}, whole, r"annotation\.json: 'a': is no object"),
        ({"a": {"tag": 3}}, whole, r"annotation\.json: 'a': tag is 3, and text or a list of text"),
        ({"a": {"tag": [""]}}, whole, r"annotation\.json: 'a': tag is \[''\]"),
        (KVT, {"train": []}, r"track_split\.json: not an object of train_track, valid_track, test_track"),
        (KVT, whole | {"test_track": "a_01"}, r"track_split\.json: test_track: is no list"),
        (KVT, whole | {"test_track": [None]}, r"track_split\.json: test_track: entry 1 is None"),
    ]
    for entries, parts, message in cases:
        folder = publish(tmp_path / "dataset", "kvt", entries, parts)
        with pytest.raises(UsageError, match=message):
            source(context, folder, "kvt").read()


def test_text_that_no_file_can_hold_is_told(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "dataset", "kvt", {"a": KVT["a_01"] | {"title": "\ud800"}}, split([], [], []))
    with pytest.raises(DataError, match=r"tracks\.title: a value does not fit its column"):
        source(context, folder, "kvt").read()


def test_a_track_of_two_splits_is_refused(tmp_path: Path, context: SourceContext) -> None:
    folder = publish(tmp_path / "dataset", "kvt", KVT, split(["a_01"], [], ["a_01"]))
    with pytest.raises(DataError, match=r"test_track: entry 1: 'a_01' is in test, and in train too"):
        source(context, folder, "kvt").read()


def test_the_recipe_of_kvt_builds_and_tells_of_the_leaks(tmp_path: Path, audited: Callable[..., Any]) -> None:
    tags = ("whisper", "husky", "thin")
    entries: dict[str, Entry] = {}
    parts = split([], [], [])
    for number in range(60):
        track_id = f"song{number // 2}_{number % 2}"
        entry = {"artist": f"singer {number // 2 % 15}", "title": f"song {number // 2}"}
        entries[track_id] = {"track_id": track_id, "tag": [tags[number // 2 % 3]], **entry}
        singer = number // 2 % 15
        parts["train_track" if singer < 9 else "valid_track" if singer < 12 else "test_track"].append(track_id)
    # A segment of a song of train, and another song of a singer of train, are tested on.
    entries["more_0"] = {"track_id": "more_0", "tag": ["thin"], "artist": "singer 0", "title": "song 0"}
    entries["more_1"] = {"track_id": "more_1", "tag": ["thin"], "artist": "singer 1", "title": "another"}
    parts["test_track"] += ["more_0", "more_1"]
    found = audited("kvt", publish(tmp_path / "dataset", "kvt", entries, parts))
    assert (found.shared("default", "artists"), found.shared("default", "recordings")) == (0, 0)
    assert (found.shared("published", "artists"), found.shared("published", "recordings")) == (2, 1)
    assert found.strict == 1
