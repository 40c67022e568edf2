from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.errors import UsageError

LISTS = {
    "train": ["TREADPD128F933E680", "TROLQDY128F429F80F", "TRLGLKR128F428BDB6"],
    "valid": ["TRVMJKH12903CBE658"],
    "test": ["TRPPMVC128E078FD8F", "TREMFBS128F933E4E8"],
    "student": ["TRAAAAK128F9318786"],
}
TAGS = [f"tag {n}" for n in range(50)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The release's files: ids as text of 18 characters, labels as (tracks, 50) zeros and ones."""
    lines = ["clip_ids\tlength\tsplits"]
    for split, ids in LISTS.items():
        np.save(tmp_path / f"{split}_ids.npy", np.array(ids))
        lines += [f"{track}\t661500\t{split.upper()}" for track in ids]
        if split != "student":
            matrix = np.zeros((len(ids), 50))
            matrix[np.arange(len(ids)), np.arange(len(ids))] = 1
            matrix[0, 49] = 1
            np.save(tmp_path / f"{split}_binaries.npy", matrix)
    lines.append("TRNONEX128F9318786\t661500\tNONE")
    (tmp_path / "msd_splits.tsv").write_text("\n".join(lines) + "\n")
    np.save(tmp_path / "cals_tags.npy", np.array(TAGS))
    assert np.load(tmp_path / "train_ids.npy").dtype == "<U18"
    return tmp_path


def test_labels_and_split_are_read_as_released(folder: Path, read: Any, pairs: Any) -> None:
    tables = read("cals", folder)
    assert pairs(tables) == sorted(
        [
            ("TREADPD128F933E680", "tag 0"),
            ("TREADPD128F933E680", "tag 49"),
            ("TROLQDY128F429F80F", "tag 1"),
            ("TRLGLKR128F428BDB6", "tag 2"),
            ("TRVMJKH12903CBE658", "tag 0"),
            ("TRVMJKH12903CBE658", "tag 49"),
            ("TRPPMVC128E078FD8F", "tag 0"),
            ("TRPPMVC128E078FD8F", "tag 49"),
            ("TREMFBS128F933E4E8", "tag 1"),
        ]
    )
    expected = {track: split for split, ids in LISTS.items() for track in ids} | {"TRNONEX128F9318786": "none"}
    assert {row["track_id"]: row["split"] for row in tables.published.to_pylist()} == expected


def test_without_their_list_the_tags_are_those_of_the_release(folder: Path, read: Any, pairs: Any) -> None:
    (folder / "cals_tags.npy").unlink()
    found = {tag for _, tag in pairs(read("cals", folder))}
    assert found == {"rock", "pop", "indie", "progressive metal"}


def test_the_split_alone_opens_no_labels(folder: Path, read: Any) -> None:
    for path in folder.glob("*_binaries.npy"):
        path.write_bytes(b"broken")
    tables = read("cals", folder, labels=False)
    assert tables.published.num_rows == 8 and tables.annotations.num_rows == 0


def test_the_split_comes_from_the_lists_where_the_table_is_not_there(folder: Path, read: Any) -> None:
    (folder / "msd_splits.tsv").unlink()
    tables = read("cals", folder, labels=False)
    assert {row["track_id"]: row["split"] for row in tables.published.to_pylist()} == {
        track: split for split, ids in LISTS.items() for track in ids
    }
    assert any("msd_splits.tsv is not there" in note for note in tables.notes)
    for path in folder.iterdir():
        path.unlink()
    assert read("cals", folder, labels=False).published is None


def test_with_its_labels_the_split_must_be_there(folder: Path, read: Any) -> None:
    (folder / "msd_splits.tsv").unlink()
    with pytest.raises(UsageError, match=r"no msd_splits\.tsv .*minzwon/semi-supervised-music-tagging-transformer"):
        read("cals", folder)


def test_lists_that_say_another_split_are_counted(folder: Path, read: Any) -> None:
    np.save(folder / "student_ids.npy", np.array(["TRAAAAK128F9318786", "TRNONEX128F9318786"]))
    tables = read("cals", folder)
    assert any("1 tracks of student_ids.npy are not in student" in note for note in tables.notes)


def test_what_is_not_as_published_is_refused(folder: Path, read: Any) -> None:
    def refused(name: str, content: Any) -> str:
        before = (folder / name).read_bytes()
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            np.save(folder / name, content)
        with pytest.raises(UsageError) as raised:
            read("cals", folder)
        (folder / name).write_bytes(before)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert "2 x 50 cells, and 3 tracks x 50 tags" in refused("train_binaries.npy", np.zeros((2, 50)))
    assert "row 1 (TROLQDY128F429F80F)" in refused("train_binaries.npy", np.eye(3, 50) * [[1], [2], [1]])
    assert "train_ids.npy" in refused("train_ids.npy", np.zeros(3))
    assert "no .npy file" in refused("train_ids.npy", b"TREADPD128F933E680\n")
    table = (folder / "msd_splits.tsv").read_text()
    assert "line 2: 'TRIAN'" in refused("msd_splits.tsv", table.replace("TRAIN", "TRIAN", 1).encode())
    assert "'clip_ids'" in refused("msd_splits.tsv", table.replace("clip_ids", "track", 1).encode())
    twice = table + "TREADPD128F933E680\t661500\tTEST\n"
    assert "TREADPD128F933E680 is in train and again in test" in refused("msd_splits.tsv", twice.encode())


def test_a_hostile_array_is_refused_and_not_run(folder: Path, read: Any) -> None:
    trap = folder / "trap"
    header = b"\x93NUMPY\x01\x00"
    text = b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }".ljust(117) + b"\n"
    body = f"cposix\nsystem\n(S'touch {trap}'\ntR.".encode()
    for name in ("train_ids.npy", "test_binaries.npy", "cals_tags.npy"):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(header + len(text).to_bytes(2, "little") + text + body)
        with pytest.raises(UsageError, match=rf"{name}: .*posix\.system"):
            read("cals", folder)
        (folder / name).write_bytes(before)
    assert not trap.exists()
