"""`tracklore build`: receipts that are equal wherever and however a dataset is built, and stages that stand."""

from __future__ import annotations

import fcntl
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from pipelines.show import console, show_funnel
from schemas.receipt import require_receipt
from schemas.store import Store
from schemas.tables import EXCLUSIONS, LABELS, SPLITS, TRACKS
from tests.pipelines.test_costs import figures, number

Command = Callable[..., Any]


def receipt(data: Path | str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Store(str(data)).read_text("receipt.json"))
    return found


def stamps(data: Path) -> dict[str, int]:
    return {info.path: int(info.stamp) for info in Store(str(data)).list() if info.path.endswith(".parquet")}


def test_planted_defects_are_excluded_each_by_its_reason_and_nothing_else_is(built: Path) -> None:
    rows = EXCLUSIONS.read(Store(str(built))).to_pylist()
    assert sorted((row["stage"], row["reason"]) for row in rows) == [
        ("features.ttmr", "silent"),
        ("features.ttmr", "too_short"),
        ("features.ttmr", "truncated"),
        ("source", "duplicate_recording"),
        ("source", "not_audio"),
    ]


def test_an_artist_written_in_two_ways_is_one(built: Path) -> None:
    tracks = TRACKS.read(Store(str(built))).to_pylist()
    assert len({track["artist_id"] for track in tracks}) == 6
    notes = receipt(built)["stages"]["source"]["notes"]
    assert any("is also written" in note for note in notes)


@pytest.mark.parametrize("workers", ["2", "3"])
def test_workers_do_not_change_a_byte(
    built: Path, tmp_path: Path, command: Command, small: Sequence[str], workers: str
) -> None:
    ran = command("build", "demo", "--out", tmp_path / "other", "--workers", workers, *small)
    assert ran.code == 0, ran.err
    assert (tmp_path / "other/receipt.json").read_bytes() == (built / "receipt.json").read_bytes()


def test_memory_store_gives_the_same_receipt(built: Path, command: Command, small: Sequence[str]) -> None:
    ran = command("build", "demo", "--out", "memory://somewhere/data", *small)
    assert ran.code == 0, ran.err
    assert Store("memory://somewhere/data").read_bytes("receipt.json") == (built / "receipt.json").read_bytes()
    assert command("verify", "memory://somewhere/data").code == 0


def test_bundles_that_the_engine_repeats_do_no_harm(
    built: Path, tmp_path: Path, command: Command, small: Sequence[str]
) -> None:
    flag = "--direct_runner_bundle_repeat=1"
    ran = command("build", "demo", "--out", tmp_path / "other", flag, *small)
    assert ran.code == 0, ran.err
    assert (tmp_path / "other/receipt.json").read_bytes() == (built / "receipt.json").read_bytes()


def test_a_build_that_stands_does_nothing_and_loads_no_beam(data: Path, small: Sequence[str]) -> None:
    before = stamps(data)
    script = (
        "import sys, tracklore\n"
        f"tracklore.main(['build', 'demo', '--out', {str(data)!r}, *{list(small)!r}])\n"
        "heavy = {'apache_beam', 'torch', 'pandas', 'numba', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    # The first build in another place looks at every file once; what it saw is remembered.
    subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    assert stamps(data) == before


@pytest.mark.parametrize(
    ("setting", "rerun"),
    [
        ("splits.seed=1", {"splits"}),
        ("tags.max_tags_per_track=30", {"tags", "splits"}),
        ("captions.order=sorted", {"tags", "splits"}),
        ("features.ttmr.min_s=2.5", {"features.ttmr"}),
        ("pairs.count=2", {"splits"}),
    ],
)
def test_a_changed_key_runs_the_stages_behind_it_only(
    data: Path, command: Command, small: Sequence[str], setting: str, rerun: set[str]
) -> None:
    before, shards = receipt(data)["stages"], stamps(data)
    ran = command("build", "demo", "--out", data, *small, "--set", setting)
    assert ran.code == 0, ran.err
    after = receipt(data)["stages"]
    changed = {name for name in after if name != "exclusions" and after[name]["digest"] != before[name]["digest"]}
    assert changed == rerun
    kept = {path for name in set(after) - rerun - {"exclusions"} for path in after[name]["files"]}
    assert {path: stamps(data)[path] for path in kept} == {path: shards[path] for path in kept}


def test_a_lost_shard_comes_back_alone_with_the_same_bytes(
    tmp_path: Path, command: Command, small: Sequence[str]
) -> None:
    data = tmp_path / "data"
    many = [*small[:2], "--set", "source.tracks=200", *small[4:], "--set", "features.ttmr.segments.span_s=3"]
    assert command("build", "demo", "--out", data, *many).code == 0
    shards = sorted((data / "features/ttmr").iterdir())
    assert len(shards) == 2
    bytes_before, times, whole = shards[0].read_bytes(), stamps(data), (data / "receipt.json").read_bytes()
    shards[0].unlink()
    plan = command("build", "demo", "--out", data, *many, "--dry-run")
    assert "mend" in plan.out and shards[0].name in plan.out.replace("\n", "")
    kept = shards[1].rename(tmp_path / "kept")
    both = command("build", "demo", "--out", data, *many, "--dry-run")
    kept.rename(shards[1])
    one, two = (figures(ran.out)["features.ttmr"] for ran in (plan, both))
    assert number(two[2]) == pytest.approx(2 * number(one[2]), abs=0.002)  # GB written, in thousandths
    assert number(two[2]) > 0.01
    assert (one[4], two[4]) == ("1", "2")
    assert command("build", "demo", "--out", data, *many).code == 0
    assert shards[0].read_bytes() == bytes_before
    assert (data / "receipt.json").read_bytes() == whole
    other = shards[1].relative_to(data).as_posix()
    assert stamps(data)[other] == times[other]


def test_a_flipped_bit_is_named_by_verify_and_mended_by_check(
    data: Path, command: Command, small: Sequence[str]
) -> None:
    shard = next((data / "features/ttmr").iterdir())
    good = shard.read_bytes()
    shard.write_bytes(good[:5000] + bytes([good[5000] ^ 1]) + good[5001:])
    found = command("verify", data)
    assert found.code == 1 and shard.name in found.out
    assert command("build", "demo", "--out", data, *small, "--check").code == 0
    assert shard.read_bytes() == good
    assert command("verify", data).code == 0


@pytest.mark.parametrize("table", ["labels.parquet", "splits.parquet", "exclusions.parquet", "tracks.parquet"])
def test_a_lost_table_comes_back_with_the_same_bytes(
    data: Path, command: Command, small: Sequence[str], table: str
) -> None:
    good, whole = (data / table).read_bytes(), (data / "receipt.json").read_bytes()
    (data / table).unlink()
    assert command("verify", data).code == 1
    assert command("build", "demo", "--out", data, *small).code == 0
    assert (data / table).read_bytes() == good
    assert (data / "receipt.json").read_bytes() == whole


def test_dry_run_tells_the_plan_and_writes_nothing(tmp_path: Path, command: Command, small: Sequence[str]) -> None:
    ran = command("build", "demo", "--out", tmp_path / "data", *small, "--dry-run")
    assert ran.code == 0
    assert not (tmp_path / "data").exists()
    for word in ("source", "tags", "splits", "features.ttmr", "17 tracks", "shards", "MB"):
        assert word in ran.out


def test_only_some_stages_and_the_rest_later(
    built: Path, tmp_path: Path, command: Command, small: Sequence[str]
) -> None:
    data = tmp_path / "data"
    assert command("build", "demo", "--out", data, "--only", "tags,splits", *small).code == 0
    assert not (data / "features").exists()
    assert set(receipt(data)["stages"]) == {"source", "tags", "splits", "exclusions"}
    assert command("build", "demo", "--out", data, *small).code == 0
    assert (data / "receipt.json").read_bytes() == (built / "receipt.json").read_bytes()


def test_features_come_without_tags_and_splits(tmp_path: Path, command: Command, small: Sequence[str]) -> None:
    data = tmp_path / "data"
    assert command("build", "demo", "--out", data, "--only", "features", *small).code == 0
    assert set(receipt(data)["stages"]) == {"source", "features.ttmr", "exclusions"}


def test_killed_at_five_random_moments_it_ends_in_the_same_receipt(
    built: Path, tmp_path: Path, small: Sequence[str]
) -> None:
    data = tmp_path / "data"
    words = [sys.executable, "-m", "tracklore", "build", "demo", "--out", str(data), "--workers", "2", *small]
    started = time.monotonic()
    draws = random.Random(20230516)
    killed = 0
    for _ in range(5):
        # Moments spread over what one build takes here; later ones find more already done.
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=draws.uniform(0.5, 9.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed >= 1, f"no build lasted long enough to be killed ({time.monotonic() - started:.0f} s)"
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (data / "receipt.json").read_bytes() == (built / "receipt.json").read_bytes()
    assert not [path for path in data.rglob("*") if "_tmp-" in path.name or path.name == ".work"]


@pytest.mark.parametrize("label", ["source", "features.ttmr", "of an earlier version"])
def test_what_a_build_left_that_was_killed_as_it_tidied_up_goes(
    data: Path, command: Command, small: Sequence[str], label: str
) -> None:
    (data / ".work" / label).mkdir(parents=True)
    (data / ".work" / label / "tasks.parquet").write_bytes(b"")
    ran = command("build", "demo", "--out", data, *small)
    assert ran.code == 0, ran.err
    assert not (data / ".work").exists()


def test_the_funnel_is_told_in_the_order_of_the_stages(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_funnel(console(), require_receipt(Store(str(built))))
    told = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines() if ": " in line]
    assert list(dict.fromkeys(told)) == ["source", "tags", "splits", "features.ttmr"]
    assert told.count("source") > 2  # its steps, and its notes


def test_a_feature_without_a_clip_says_why(tmp_path: Path, command: Command) -> None:
    music = tmp_path / "music"
    music.mkdir()
    for track in range(3):
        samples = 0.3 * np.sin(np.arange(8_000) * (0.05 + 0.01 * track))
        soundfile.write(music / f"{track}.flac", samples, 16_000)
    ran = command("build", "folder", "--set", f"source.path={music}", "--out", tmp_path / "data")
    assert ran.code == 0, ran.err
    assert "features.ttmr: no track gave a clip: 3 too_short" in ran.out.replace("\n", " ")


def test_a_leak_in_the_default_split_fails_the_audit(data: Path, command: Command) -> None:
    store = Store(str(data))
    artists = {row["track_id"]: row["artist_id"] for row in TRACKS.read(store).to_pylist()}
    rows = SPLITS.read(store).to_pylist()
    assert command("audit", data).code == 0
    victim = next(row for row in rows if row["split"] == "train")
    victim["split"] = "test"
    SPLITS.write(store, SPLITS.from_rows(rows))
    ran = command("audit", data)
    assert ran.code == 1
    assert artists[victim["track_id"]] in ran.out
    assert len(ran.err.strip().splitlines()) == 1


def test_labels_are_the_truth_of_the_composition(built: Path) -> None:
    from pipelines.synthesis import compose

    truth = {track.track_id: set(track.true_tags) for track in compose(6, 12).tracks}
    labels = {row["track_id"]: set(row["tags"]) for row in LABELS.read(Store(str(built))).to_pylist()}
    said = {track: {tag.replace("lo-fi", "lo fi") for tag in tags} for track, tags in labels.items()}
    hits = sum(len(said[track] & truth[track]) for track in said)
    assert hits / sum(len(tags) for tags in said.values()) > 0.95
    assert hits / sum(len(truth[track]) for track in said) > 0.95


def test_a_lost_shard_stays_missed_until_it_is_made_again(
    data: Path, command: Command, small: Sequence[str]
) -> None:
    whole = (data / "receipt.json").read_bytes()
    shard = next((data / "features/ttmr").iterdir())
    good = shard.read_bytes()
    shard.unlink()
    assert command("build", "demo", "--out", data, *small, "--only", "tags").code == 0
    missed = command("verify", data)
    assert missed.code == 1 and shard.name in missed.out
    assert command("build", "demo", "--out", data, *small).code == 0
    assert shard.read_bytes() == good
    assert (data / "receipt.json").read_bytes() == whole


def test_a_dry_run_of_another_corpus_leaves_the_music_alone(
    data: Path, command: Command, small: Sequence[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in sorted(data.rglob("*"))}
    ran = command("build", "demo", "--out", data, *small, "--set", "source.tracks=20", "--dry-run")
    assert ran.code == 0 and "made from something else" in ran.out.replace("\n", " ")
    assert {path: path.stat().st_mtime_ns for path in sorted(data.rglob("*"))} == before


def test_another_corpus_replaces_the_old_music_and_no_file_of_the_users(
    data: Path, command: Command, small: Sequence[str]
) -> None:
    mine = data / "music/mine.flac"
    mine.write_bytes((next((data / "music").rglob("*.flac"))).read_bytes())
    assert command("build", "demo", "--out", data, *small, "--set", "source.seed=3", "--only", "source").code == 0
    assert mine.exists()


def test_a_leak_fails_again_when_everything_stands(data: Path, command: Command, small: Sequence[str]) -> None:
    audited = json.loads((data / "audit.json").read_text())
    audited["schemes"][0]["shared"]["artists"]["count"] = 1
    (data / "audit.json").write_text(json.dumps(audited))
    (data / "leaks.parquet").write_bytes(b"where the leak is listed")
    assert command("build", "demo", "--out", data, *small).code == 1


@pytest.mark.parametrize("view", ["audit.json", "report.html", "README.md", "metadata.json"])
def test_a_lost_view_is_drawn_again(data: Path, command: Command, small: Sequence[str], view: str) -> None:
    good = (data / view).read_bytes()
    (data / view).unlink()
    assert command("build", "demo", "--out", data, *small).code == 0
    assert (data / view).read_bytes() == good


def test_exclusions_and_receipt_that_disagree_are_reconciled(
    data: Path, command: Command, small: Sequence[str]
) -> None:
    store = Store(str(data))
    rows = EXCLUSIONS.read(store)
    meta = EXCLUSIONS.meta(store)
    extra = [{"id": "x", "stage": "features.other", "reason": "silent", "detail": None}]
    whole = (data / "receipt.json").read_bytes()
    EXCLUSIONS.write(store, pa.concat_tables([rows, EXCLUSIONS.from_rows(extra)]), {"stages": meta["stages"]})
    assert command("build", "demo", "--out", data, *small).code == 0
    assert command("verify", data).code == 0
    assert (data / "receipt.json").read_bytes() == whole


def test_two_builds_at_once_do_not_meet(data: Path, command: Command, small: Sequence[str]) -> None:
    with (data / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        ran = command("build", "demo", "--out", data, *small)
    assert ran.code == 2 and "another build" in ran.err


def test_workers_in_other_processes_give_the_same_receipt(
    built: Path, tmp_path: Path, command: Command, small: Sequence[str]
) -> None:
    flag = "--direct_running_mode=multi_processing"
    ran = command("build", "demo", "--out", tmp_path / "other", flag, "--workers", "2", *small)
    assert ran.code == 0, ran.err
    assert (tmp_path / "other/receipt.json").read_bytes() == (built / "receipt.json").read_bytes()
    refused = command("build", "demo", "--out", "memory://unseen/data", flag, *small)
    assert refused.code == 2 and "cannot see this store" in refused.err


def test_a_dataset_without_its_receipt_is_taken_up_again(
    data: Path, command: Command, small: Sequence[str]
) -> None:
    whole, before = (data / "receipt.json").read_bytes(), stamps(data)
    (data / "receipt.json").unlink()
    assert command("build", "demo", "--out", data, *small).code == 0
    assert (data / "receipt.json").read_bytes() == whole
    shards = {path for path in before if path.startswith("features/")}
    assert {path: stamps(data)[path] for path in shards} == {path: before[path] for path in shards}
