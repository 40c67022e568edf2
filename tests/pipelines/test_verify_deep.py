"""`tracklore verify --deep`: what the checksums cannot see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.stage import written
from schemas.digests import digest_of
from schemas.receipt import Receipt, StageEntry
from schemas.shards import Clip, FeatureSpec, shard_of, shard_path, writing_shard
from schemas.store import Store
from schemas.tables import EXCLUSIONS, SPLITS, TRACKS

Command = Callable[..., Any]
SPEC = FeatureSpec("mel", "float16", (-1, 4), {"kind": "log_mel", "hop_s": 0.01, "range": [-100.0, 100.0]})
SHARDS = 2
TRACK_IDS = [f"t{number}" for number in range(6)]


def frames(value: float = 1.0) -> npt.NDArray[np.float16]:
    return np.full((30, 4), value, np.float16)


def whole() -> dict[str, list[Clip]]:
    """A shard's worth of right clips: two segments of each track."""
    return {track: [Clip(track, n, 10.0 * n, frames()) for n in range(2)] for track in TRACK_IDS}


def write(
    root: Path,
    clips: dict[str, list[Clip]],
    *,
    excluded: dict[str, str] | None = None,
    spec: FeatureSpec = SPEC,
    section: dict[str, Any] | None = None,
    elsewhere: str | None = None,
) -> Path:
    """A dataset whose receipt is right about every byte. `elsewhere` names a track to put in the other shard."""
    store = Store(str(root))
    rows = [
        {"track_id": t, "artist_id": t, "recording_id": t, "audio_uri": f"{t}.flac", "duration_s": 40.0}
        for t in TRACK_IDS
    ]
    TRACKS.write(store, TRACKS.from_rows(rows))
    left = [
        {"id": track, "stage": stage, "reason": "silent", "detail": None}
        for track, stage in (excluded or {}).items()
    ]
    EXCLUSIONS.write(store, EXCLUSIONS.from_rows(left))
    parts = [
        {"scheme": "default", "fold": 0, "track_id": t, "split": "test" if t in ("t0", "t1") else "train"}
        for t in TRACK_IDS
    ]
    SPLITS.write(store, SPLITS.from_rows(parts))
    tables = {"tracks.parquet": len(rows), "exclusions.parquet": len(left), "splits.parquet": len(parts)}
    shards = {}
    for number in range(SHARDS):
        path = shard_path("mel", number, SHARDS)
        held = [
            c for t, listed in clips.items() if (shard_of(t, SHARDS) ^ (t == elsewhere)) == number for c in listed
        ]
        with writing_shard(store, path, spec, {}) as writer:
            for clip in held:
                writer.append(clip)
        shards[path] = len(held)
    stages = {
        name: StageEntry(version=1, digest=digest_of(1), files=written(store, files))
        for name, files in (("source", tables), ("features.mel", shards))
    }
    recipe = {"features": {"mel": section or {}}}
    Receipt(name="x", manifest=digest_of(1), recipe=recipe, shards=SHARDS, stages=stages).write(store)
    return root


def test_what_is_right_is_exit_0(tmp_path: Path, command: Command) -> None:
    ran = command("verify", write(tmp_path / "d", whole()), "--deep")
    assert (ran.code, ran.err) == (0, "")


def broken(track: str = "t3", **changes: Any) -> dict[str, list[Clip]]:
    clips = whole()
    first, second = clips[track]
    values = {"segment": 1, "start_s": 10.0, "data": second.data, **changes}
    clips[track] = [first, Clip(track, values["segment"], values["start_s"], values["data"])]
    return clips


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (broken(data=np.where(np.arange(120).reshape(30, 4) < 3, np.nan, 1).astype(np.float16)),
         "track t3, segment 1: 3 of 120 values are not finite"),
        (broken(data=frames(np.inf)), "track t3, segment 1: 120 of 120 values are not finite"),
        (broken(data=frames(-120)), "track t3, segment 1: values from -120 to -120, outside -100 to 100"),
        (broken(data=np.zeros((0, 4), np.float16)), "track t3, segment 1: no frame"),
        (broken(start_s=55.0), "track t3, segment 1: begins at second 55 of 40"),
        (broken(start_s=-1.0), "track t3, segment 1: begins at second -1 of 40"),
        (broken(segment=2), "track t3: segments [0, 2] do not count from 0"),
        (broken(segment=0), "track t3: segment 0 stands twice"),
        ({**whole(), "stranger": [Clip("stranger", 0, 0.0, frames())]},
         "track stranger, segment 0: is not in tracks.parquet"),
        ({t: c for t, c in whole().items() if t not in ("t2", "t4")},
         "features.mel: 2 tracks are in no shard and not in exclusions.parquet: t2, t4"),
    ],
)  # fmt: skip
def test_what_checksums_cannot_see_is_named(
    clips: dict[str, list[Clip]], message: str, tmp_path: Path, command: Command
) -> None:
    directory = write(tmp_path / "d", clips)
    assert command("verify", directory).code == 0
    ran = command("verify", directory, "--deep")
    assert ran.code == 1
    assert [line for line in ran.out.splitlines() if line.strip()] == [
        line for line in ran.out.splitlines() if line.endswith(message)
    ]
    assert message in ran.out


def test_a_track_in_a_wrong_shard_is_named(tmp_path: Path, command: Command) -> None:
    ran = command("verify", write(tmp_path / "d", whole(), elsewhere="t5"), "--deep")
    assert ran.code == 1
    assert f"track t5: belongs in shard {shard_of('t5', SHARDS)} of 2" in ran.out


def test_a_track_that_left_is_not_missed_and_one_that_did_both_is_told(tmp_path: Path, command: Command) -> None:
    clips = {track: listed for track, listed in whole().items() if track not in ("t2", "t4")}
    gone = {"t2": "features.mel", "t4": "videos"}
    assert command("verify", write(tmp_path / "a", clips, excluded=gone), "--deep").code == 0
    # Another feature's exclusion says nothing of this one.
    ran = command("verify", write(tmp_path / "b", clips, excluded={**gone, "t2": "features.clip"}), "--deep")
    assert (ran.code, "1 tracks are in no shard" in ran.out) == (1, True)
    ran = command("verify", write(tmp_path / "c", whole(), excluded={"t1": "features.mel"}), "--deep")
    assert (ran.code, "1 tracks are in a shard and in exclusions.parquet: t1" in ran.out) == (1, True)


def test_a_feature_of_one_split_need_not_have_the_others(tmp_path: Path, command: Command) -> None:
    clips = {track: listed for track, listed in whole().items() if track in ("t0", "t1")}
    assert command("verify", write(tmp_path / "a", clips, section={"splits": ["test"]}), "--deep").code == 0
    assert command("verify", write(tmp_path / "b", clips, section={"splits": ["train"]}), "--deep").code == 1


def test_integers_have_a_range_too(tmp_path: Path, command: Command) -> None:
    spec = FeatureSpec("mel", "int16", (-1, 4), {"hop_s": 0.01, "range": [-100, 100]})
    clips = {track: [Clip(track, 0, 0.0, np.full((5, 4), 7, np.int16))] for track in TRACK_IDS}
    assert command("verify", write(tmp_path / "a", clips, spec=spec), "--deep").code == 0
    clips["t0"] = [Clip("t0", 0, 0.0, np.full((5, 4), 101, np.int16))]
    ran = command("verify", write(tmp_path / "b", clips, spec=spec), "--deep")
    assert (ran.code, "values from 101 to 101, outside -100 to 100" in ran.out) == (1, True)
