from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.errors import UsageError
from schemas.tables import PUBLISHED

# The first and last of the published list, which writes some tags in capitals; filler between them.
TAGS = ["rock", "pop", "Hip-Hop", *(f"tag {n}" for n in range(44)), "sad", "House", "happy"]


def vector(*tags: str) -> list[int]:
    return [int(tag in tags) for tag in TAGS]


VECTORS = {
    "TRAAAAK128F9318786": vector("rock", "sad"),
    "TRAAAAW128F429D538": vector("Hip-Hop"),
    "TRAADIN128F931D672": vector("happy", "pop"),
    "TRAAAQN128F9353BA0": vector("House"),
}
TRAIN, TEST = ["TRAAAAK128F9318786", "TRAAAAW128F429D538"], ["TRAADIN128F931D672"]


@pytest.fixture
def folder(tmp_path: Path, formats: Any) -> Path:
    (tmp_path / "50tagList.txt").write_text("".join(f"{tag}\n" for tag in TAGS))
    (tmp_path / "msd_id_to_tag_vector.cP").write_bytes(formats.python2_vectors(VECTORS))
    (tmp_path / "filtered_list_train.cP").write_bytes(formats.python2_ids(TRAIN))
    (tmp_path / "filtered_list_test.cP").write_bytes(formats.python2_ids(TEST))
    return tmp_path


def test_vectors_and_lists_are_read_as_python_2_wrote_them(folder: Path, read: Any, pairs: Any) -> None:
    tables = read("lastfm50", folder)
    assert pairs(tables) == [
        ("TRAAAAK128F9318786", "rock"),
        ("TRAAAAK128F9318786", "sad"),
        ("TRAAAAW128F429D538", "Hip-Hop"),
        ("TRAADIN128F931D672", "happy"),
        ("TRAADIN128F931D672", "pop"),
    ]
    assert tables.published.schema.equals(PUBLISHED.schema)
    assert {row["track_id"]: row["split"] for row in tables.published.to_pylist()} == {
        **dict.fromkeys(TRAIN, "train"),
        **dict.fromkeys(TEST, "test"),
    }
    assert any("1 with a vector are in no list" in note for note in tables.notes)


def test_vectors_of_later_pickles_read_alike(folder: Path, read: Any, pairs: Any) -> None:
    expected = pairs(read("lastfm50", folder))
    for protocol in (0, 2, 4):
        for shape in ((50, 1), (50,), None):
            made = {
                track: cells if shape is None else np.array(cells, np.float32).reshape(shape)
                for track, cells in VECTORS.items()
            }
            (folder / "msd_id_to_tag_vector.cP").write_bytes(pickle.dumps(made, protocol))
            assert pairs(read("lastfm50", folder)) == expected


def test_the_first_201680_of_train_are_train_and_the_rest_valid(folder: Path, read: Any, formats: Any) -> None:
    ids = [f"TR{n:016d}" for n in range(213_454)]
    (folder / "filtered_list_train.cP").write_bytes(formats.python2_ids(ids))
    published = read("lastfm50", folder, labels=False).published
    splits = dict(zip(published.column("track_id").to_pylist(), published.column("split").to_pylist(), strict=True))
    assert [splits[ids[n]] for n in (0, 201_679, 201_680, 213_453)] == ["train", "train", "valid", "valid"]
    assert list(splits.values()).count("valid") == 11_774  # as the release counts


def test_a_list_of_valid_that_lies_apart_is_taken(folder: Path, read: Any, formats: Any) -> None:
    (folder / "filtered_list_valid.cP").write_bytes(formats.python2_ids(["TRAAAQN128F9353BA0"]))
    published = read("lastfm50", folder).published
    assert {row["split"] for row in published.to_pylist()} == {"train", "valid", "test"}


def test_it_lies_where_the_releases_put_it(folder: Path, read: Any, pairs: Any) -> None:
    expected = pairs(read("lastfm50", folder))
    for name in ("lastfm_annotation", "MSD_split"):
        inner = folder / "other" / name
        inner.mkdir(parents=True)
        for file in [path for path in folder.iterdir() if path.is_file()]:
            (inner / file.name).write_bytes(file.read_bytes())
        assert pairs(read("lastfm50", inner.parent)) == expected
        for file in inner.iterdir():
            file.unlink()


def test_what_is_not_as_published_is_refused_in_one_line(folder: Path, read: Any, formats: Any) -> None:
    def refused(name: str, content: bytes) -> str:
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        with pytest.raises(UsageError) as raised:
            read("lastfm50", folder)
        (folder / name).write_bytes(before)
        message = str(raised.value)
        assert name in message and "\n" not in message
        return message

    assert "49 tags" in refused("50tagList.txt", "".join(f"{tag}\n" for tag in TAGS[:49]).encode())
    assert "again" in refused("filtered_list_train.cP", formats.python2_ids([*TRAIN, TRAIN[0]]))
    short = {**VECTORS, TRAIN[0]: [1, 0]}
    assert TRAIN[0] in refused("msd_id_to_tag_vector.cP", formats.python2_vectors(short))
    two = {**VECTORS, TRAIN[0]: [2] * 50}
    assert TRAIN[0] in refused("msd_id_to_tag_vector.cP", pickle.dumps(two, 0))
    assert "pickle" in refused("filtered_list_train.cP", b"TRAAAAK128F9318786\n")


def test_a_listed_track_without_a_vector_is_named(folder: Path, read: Any, formats: Any) -> None:
    (folder / "filtered_list_test.cP").write_bytes(formats.python2_ids(["TRZZZZZ128F0000000"]))
    with pytest.raises(UsageError, match=r"msd_id_to_tag_vector\.cP: 1 listed tracks have no vector \(TRZZZZZ128F"):
        read("lastfm50", folder)


def test_a_hostile_pickle_is_refused_and_not_run(folder: Path, read: Any) -> None:
    trap = folder / "trap"
    hostile = f"(lp1\ncposix\nsystem\n(S'touch {trap}'\ntRa.".encode()
    for name in ("filtered_list_train.cP", "msd_id_to_tag_vector.cP"):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(hostile)
        with pytest.raises(UsageError, match=rf"{name}: .*posix\.system") as raised:
            read("lastfm50", folder)
        assert "\n" not in str(raised.value)
        (folder / name).write_bytes(before)
    assert not trap.exists()
