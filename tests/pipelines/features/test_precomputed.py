"""Published spectrograms: Melon's and MTG-Jamendo's layouts through the command, and what is broken in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.features.base import feature_of
from pipelines.features.decode import ExcludedError
from pipelines.features.media import MediaRef
from schemas.errors import UsageError
from schemas.manifest import FeatureSection
from schemas.reasons import Reason
from schemas.shards import read_shard_index
from schemas.store import Store

Command = Callable[..., Any]


def mel(number: int, bands: int = 48, frames: int = 50) -> np.ndarray[Any, Any]:
    return np.random.default_rng(number).uniform(-100, 10, (bands, frames)).astype(np.float32)


def melon(folder: Path, songs: int = 12) -> Path:
    """As Kakao Arena publishes it: ids from 0 on."""
    folder.mkdir()
    listed = [
        {
            "song_gn_dtl_gnr_basket": [], "issue_date": "20140512", "album_name": "a", "album_id": 1,
            "artist_id_basket": [number // 2], "song_name": f"s{number}", "song_gn_gnr_basket": ["GN0100"],
            "artist_name_basket": [f"artist {number // 2}"], "id": 995 + number,
        }
        for number in range(songs)
    ]  # fmt: skip
    content = {"song_meta": listed, "train": [], "genre_gn_all": {"GN0100": "발라드"}}
    for name, value in content.items():
        (folder / f"{name}.json").write_text(json.dumps(value), "utf-8")
    return folder


def tensors(out: Path, name: str = "mel") -> dict[str, np.ndarray[Any, Any]]:
    found = {}
    for path in sorted((out / "features" / name).glob("*.parquet")):
        spec = read_shard_index(Store(str(out)), str(path.relative_to(out))).spec
        for row in pq.read_table(path).to_pylist():
            found[row["track_id"]] = np.frombuffer(row["data"], spec.dtype).reshape(spec.shape)
    return found


@pytest.mark.parametrize("form", ["{k}/{n}.npy", "arena_mel/{k}/{n}.npy", "arena_mel_{k}/{n}.npy"])
def test_melons_spectrograms_enter_the_shards(tmp_path: Path, command: Command, form: str) -> None:
    source, spectrograms = melon(tmp_path / "melon"), tmp_path / "mels"
    for number in range(995, 1007):
        path = spectrograms / form.format(k=number // 1000, n=number)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, mel(number))
    folder = spectrograms / form.format(k=0, n=0).rpartition("/0.npy")[0]
    np.save(folder / "997.npy", mel(997, bands=47))
    np.save(folder / "998.npy", np.array([{"a": 1}], object), allow_pickle=True)
    (folder / "999.npy").unlink()
    words = ("build", "melon", "--set", f"source.path={source}", "--out", tmp_path / "out")
    ran = command(*words, "--set", f"features.mel.path={spectrograms}")
    assert ran.code == 0, ran.err
    found = tensors(tmp_path / "out")
    assert set(found) == {str(n) for n in range(995, 1007)} - {"997", "998", "999"}
    assert np.array_equal(found["1003"], mel(1003).T.astype(np.float16))
    excluded = pq.read_table(tmp_path / "out/exclusions.parquet").to_pylist()
    reasons = {row["id"]: row["reason"] for row in excluded if row["stage"] == "features.mel"}
    assert reasons == {"997": "not_audio", "998": "not_audio", "999": "missing_file"}


def test_without_the_folder_the_way_out_is_one_line_and_where_it_lies_is_in_no_digest(
    tmp_path: Path, command: Command
) -> None:
    source, out = melon(tmp_path / "melon"), tmp_path / "out"
    words = ("build", "melon", "--set", f"source.path={source}", "--out", out)
    ran = command(*words)
    assert ran.code == 2
    assert "features.mel.path" in ran.err and "--only tags,splits" in ran.err and ran.err.count("\n") == 1
    empty = tmp_path / "empty"
    empty.mkdir()
    ran = command(*words, "--set", f"features.mel.path={empty}")
    assert ran.code == 2 and "has no file such as 1/1000.npy" in ran.err.splitlines()[-1]
    assert command(*words, "--only", "tags,splits").code == 0
    receipts = []
    for name in ("a", "b"):
        (tmp_path / name / "0").mkdir(parents=True)
        np.save(tmp_path / name / "0/995.npy", mel(995))
        assert command(*words, "--set", f"features.mel.path={tmp_path / name}").code == 0
        receipts.append((out / "receipt.json").read_bytes())
    assert receipts[0] == receipts[1]
    assert str(tmp_path).encode() not in receipts[0]


def feature(**settings: Any) -> Any:
    return feature_of("mel", FeatureSection.model_validate({"kind": "precomputed", **settings}), "test")


def test_mtg_jamendos_lie_by_the_last_two_digits_of_the_id(tmp_path: Path) -> None:
    from pipelines.features.precomputed import _fields

    made = feature(layout="mtg_jamendo")
    assert made.spec().shape == (-1, 96)
    assert {
        "rate": 12_000,
        "mels": 96,
        "multiplier": 20.0,
        "mel_scale": "slaney",
    }.items() <= made.spec().settings.items()
    known = _fields("track_1428305", "05/1428305.mp3")
    assert next(pattern.format(**known) for pattern in made._patterns) == "05/1428305.npy"
    (tmp_path / "05").mkdir()
    np.save(tmp_path / "05/1428305.npy", mel(1, bands=96, frames=200))
    clip = made.clips(Store(str(tmp_path)), MediaRef("track_1428305", "05/1428305.npy"))[0]
    assert clip.data.shape == (200, 96) and clip.data.dtype == np.float16


CUSTOM = {"layout": "custom", "preset": "melon", "pattern": "{track_id}.npy"}


def test_a_layout_of_ones_own(tmp_path: Path) -> None:
    values = mel(1).T
    np.save(tmp_path / "a.npy", np.asfortranarray(values))
    made = feature(**CUSTOM, axes="frames_mels", dtype="float32")
    assert np.array_equal(made.clips(Store(str(tmp_path)), MediaRef("a", "a.npy"))[0].data, values)


def write_header(path: Path, shape: tuple[int, ...], content: bytes) -> None:
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
        stream.write(content)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda p: p.write_bytes(b""), Reason.NOT_AUDIO),
        (lambda p: p.write_bytes(b"ID3\x04 no array"), Reason.NOT_AUDIO),
        (lambda p: p.write_bytes(b"\x93NUMPY\x09\x00"), Reason.NOT_AUDIO),
        (lambda p: np.save(p, np.full((48, 9), np.nan, np.float32)), Reason.NOT_FINITE),
        (lambda p: np.save(p, np.full((48, 9), 1e6, np.float32)), Reason.NOT_FINITE),
        (lambda p: np.save(p, np.zeros((48, 9), np.int16)), Reason.NOT_AUDIO),
        (lambda p: np.save(p, np.zeros((1, 48, 9), np.float32)), Reason.NOT_AUDIO),
        (lambda p: np.save(p, np.zeros((48, 0), np.float32)), Reason.TOO_SHORT),
        (lambda p: write_header(p, (48, 100), bytes(48 * 99 * 4)), Reason.TRUNCATED),
        (lambda p: write_header(p, (48, 9_000_000), bytes(9)), Reason.TRUNCATED),
        (lambda p: write_header(p, (48, 10**15), bytes(9)), Reason.NOT_AUDIO),
        (lambda p: p.symlink_to("/etc/hostname"), Reason.OUTSIDE_SOURCE),
        (lambda p: p.mkdir(), Reason.UNREADABLE),
        (lambda p: None, Reason.MISSING_FILE),
    ],
)
def test_what_is_broken_is_told_apart(tmp_path: Path, broken: Any, reason: Reason) -> None:
    broken(tmp_path / "a.npy")
    with pytest.raises(ExcludedError) as raised:
        feature(**CUSTOM).clips(Store(str(tmp_path)), MediaRef("a", "a.npy"))
    assert raised.value.reason is reason
    assert "a.npy" in raised.value.detail


def test_an_id_leads_nowhere_out_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ExcludedError) as raised:
        feature(**CUSTOM).clips(Store(str(tmp_path / "in")), MediaRef("../a", "../a.npy"))
    assert raised.value.reason is Reason.OUTSIDE_SOURCE


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"layout": "melonn"}, r"features\.mel\.layout"),
        ({"layout": "custom", "preset": "melon"}, r"features\.mel\.pattern.*required"),
        ({"layout": "custom", "pattern": "{track_id}.npy"}, r"features\.mel\.preset.*required"),
        ({**CUSTOM, "pattern": "{track_id.__class__}.npy"}, r"features\.mel\.pattern.*track_id"),
        ({**CUSTOM, "pattern": "{0}.npy"}, r"features\.mel\.pattern.*track_id"),
        ({**CUSTOM, "pattern": "{track_id"}, r"features\.mel\.pattern"),
        ({"layout": "melon", "pattern": "{track_id}.npy"}, r"features\.mel\.pattern.*layout: custom"),
    ],
)
def test_what_cannot_be_is_named_by_its_key(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        feature(**settings)


def test_other_arrays_under_the_same_names_are_another_input(tmp_path: Path, command: Command) -> None:
    source, out = melon(tmp_path / "melon"), tmp_path / "out"
    for folder, seed in (("a", 0), ("b", 0), ("c", 50)):
        for number in range(995, 1007):
            path = tmp_path / folder / f"{number // 1000}/{number}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, mel(number + seed))
    (tmp_path / "a/1/1003.npy").unlink()
    words = ("build", "melon", "--set", f"source.path={source}", "--out", out)
    assert command(*words, "--set", f"features.mel.path={tmp_path / 'a'}").code == 0
    assert set(tensors(out)) == {str(n) for n in range(995, 1007)} - {"1003"}
    # What was missing is there: the same arrays elsewhere, and one more.
    assert command(*words, "--set", f"features.mel.path={tmp_path / 'b'}").code == 0
    assert set(tensors(out)) == {str(n) for n in range(995, 1007)}
    first = (out / "receipt.json").read_bytes()
    assert "everything stands" in command(*words, "--set", f"features.mel.path={tmp_path / 'b'}").out
    assert command(*words, "--set", f"features.mel.path={tmp_path / 'c'}").code == 0
    assert np.array_equal(tensors(out)["1003"], mel(1053).T.astype(np.float16))
    assert (out / "receipt.json").read_bytes() != first
