"""Training through its verb: it learns, it repeats, it goes on where it was killed, it says what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file

from schemas.errors import DataError, UsageError
from schemas.store import Store
from train import cli

Clips = dict[str, list[npt.NDArray[np.float16]]]
Tracks = list[dict[str, Any]]


def history(run: Path) -> list[dict[str, Any]]:
    """The rows of a run's history."""
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def state(run: Path) -> dict[str, Any]:
    """The run's state.json."""
    found: dict[str, Any] = json.loads((run / "state.json").read_text())
    return found


def test_a_run_learns_and_holds_what_it_needs(trained: Path) -> None:
    rows = history(trained)
    assert [row["step"] for row in rows] == list(range(1, 40 * 3 + 1))
    assert rows[-1]["loss"] < 0.85 * rows[0]["loss"]
    validated = [row["valid_loss"] for row in rows if row["valid_loss"] is not None]
    assert len(validated) == 40 and min(validated) < 0.85 * validated[0]
    assert rows[0]["temperature"] != rows[-1]["temperature"]
    found = state(trained)
    assert found["finished"] and found["best_valid_loss"] == min(validated)
    assert found["train_tracks"] == 58 and found["batch_size"] == 16
    assert found["notes"] == [
        "1 tracks of train have no clip and are left out.",
        "1 tracks of train have neither tags nor a caption.",
    ]
    for name in ("recipe.json", "data.json", "tokenizer.json", "model.safetensors", "checkpoints/last.safetensors"):
        assert (trained / name).stat().st_size > 0
    assert list((trained / "logs").iterdir())


def test_the_input_statistics_are_those_of_the_train_clips(trained: Path, tracks: Tracks, clips: Clips) -> None:
    values = [clips[t["track_id"]][0].ravel() for t in tracks if t["split"] == "train" and t["track_id"] in clips]
    usable = np.concatenate([v for v, t in zip(values, tracks, strict=False) if t["caption"]]).astype(np.float64)
    weights = load_file(trained / "model.safetensors")
    assert float(weights["audio.mean"]) == pytest.approx(usable.mean(), rel=1e-5)
    assert float(weights["audio.std"]) == pytest.approx(usable.std(), rel=1e-5)


def test_killed_and_resumed_is_never_stopped(dataset: Path, tmp_path: Path, small: tuple[str, ...]) -> None:
    settings = [*small, "training.epochs=60", "training.checkpoint_every=4", "machine.threads=1"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    program = (
        f"from train import cli; cli.train('demo', {str(dataset)!r}, {{!r}}, resume=True, settings={settings!r})"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    running = subprocess.Popen([sys.executable, "-c", program.format(str(cut))], env=environment)
    deadline = time.monotonic() + 120
    while not (cut / "state.json").exists() or state(cut)["step"] < 30:
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    reached = state(cut)["step"]
    assert 30 <= reached < 180 and not state(cut)["finished"]
    for place in (cut, whole):
        cli.train("demo", str(dataset), str(place), resume=True, settings=settings)
    for name in (
        "history.jsonl",
        "model.safetensors",
        "checkpoints/last.safetensors",
        "state.json",
        "tokenizer.json",
    ):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    assert state(whole)["step"] == 180
    before = (cut / "checkpoints/last.safetensors").stat().st_mtime_ns
    cli.train("demo", str(dataset), str(cut), resume=True, settings=settings)
    assert (cut / "checkpoints/last.safetensors").stat().st_mtime_ns == before


def test_two_processes_train_as_one(dataset: Path, tmp_path: Path, small: tuple[str, ...]) -> None:
    settings = [*small, "training.epochs=2", "model.audio.dropout=0.3", "model.text.dropout=0.3"]
    for devices in (1, 2):
        here = [*settings, f"machine.devices={devices}", "machine.accelerator=cpu", "machine.threads=1"]
        cli.train("demo", str(dataset), str(tmp_path / str(devices)), settings=here)
    one, two = history(tmp_path / "1"), history(tmp_path / "2")
    assert len(one) == len(two) == 6
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert b[key] == (value if value is None else pytest.approx(value, rel=2e-3)), key


def test_early_stopping_keeps_the_best(dataset: Path, tmp_path: Path, small: tuple[str, ...]) -> None:
    settings = [*small, "training.epochs=50", "training.patience=2", "optimiser.lr=0.3", "optimiser.clip_norm=null"]
    cli.train("demo", str(dataset), str(tmp_path / "run"), settings=settings)
    found = state(tmp_path / "run")
    validated = [(r["valid_loss"], r["step"]) for r in history(tmp_path / "run") if r["valid_loss"] is not None]
    assert found["finished"] and found["step"] < found["steps"]
    assert min(validated)[1] == found["best_step"] == found["step"] - 2 * 3


def test_without_a_valid_split_it_trains_and_says_so(
    make_dataset: Callable[..., Store],
    tracks: Tracks,
    clips: Clips,
    tmp_path: Path,
    small: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    bare = [{**t, "split": "train", "tags": [], "caption": f"song {i}"} for i, t in enumerate(tracks[:10])]
    data = make_dataset(str(tmp_path / "data"), bare, {t["track_id"]: clips[t["track_id"]] for t in bare})
    run = tmp_path / "run"
    cli.train("demo", data.root, str(run), settings=[*small, "training.epochs=2"])
    assert "no early stopping" in capsys.readouterr().out
    assert state(run)["best_step"] is None and state(run)["batch_size"] == 10
    assert (run / "model.safetensors").exists()
    with pytest.raises(UsageError, match="no track in split test has a clip"):
        cli.evaluate(str(run))
    assert {row["track_id"] for row in cli.search(str(run), "song 3", top=99)} == {t["track_id"] for t in bare}


def test_a_loss_that_is_not_finite_names_the_track(
    make_dataset: Callable[..., Store], tracks: Tracks, clips: Clips, tmp_path: Path, small: tuple[str, ...]
) -> None:
    broken = dict(clips)
    broken["t007"] = [np.full_like(clips["t007"][0], np.nan)]
    data = make_dataset(str(tmp_path / "data"), tracks, broken)
    with pytest.raises(DataError, match=r"t007.*not finite"):
        cli.train("demo", data.root, str(tmp_path / "run"), settings=[*small, "training.epochs=2"])
    from train.tasks.text_audio import material

    with pytest.MonkeyPatch.context() as patch:  # as if the statistics had not met the broken clip
        patch.setattr(material, "mean_and_std", lambda *args, **kwargs: (-60.0, 10.0))
        with pytest.raises(DataError, match=r"the loss is nan: values that are not finite in t007$"):
            cli.train("demo", data.root, str(tmp_path / "again"), settings=[*small, "training.epochs=2"])


def test_a_directory_belongs_to_one_recipe_and_one_dataset(
    trained: Path,
    dataset: Path,
    make_dataset: Callable[..., Store],
    tracks: Tracks,
    clips: Clips,
    tmp_path: Path,
    learns: tuple[str, ...],
) -> None:
    with pytest.raises(UsageError, match="holds a run already; go on with it by --resume"):
        cli.train("demo", str(dataset), str(trained), settings=learns)
    with pytest.raises(UsageError, match=r"training\.batch_size: 16, and this recipe says 8"):
        cli.train("demo", str(dataset), str(trained), resume=True, settings=[*learns, "training.batch_size=8"])
    other = make_dataset(str(tmp_path / "other"), tracks[:60], clips)
    with pytest.raises(UsageError, match=r"other data \(labels: "):
        cli.train("demo", other.root, str(trained), resume=True, settings=learns)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="holds files and no run"):
        cli.train("demo", str(dataset), str(tmp_path / "mine"), settings=learns)


def test_what_a_dataset_lacks_is_said_with_the_way_out(
    make_dataset: Callable[..., Store],
    tracks: Tracks,
    clips: Clips,
    dataset: Path,
    tmp_path: Path,
    small: tuple[str, ...],
) -> None:
    def refused(root: str, words: str, *more: str) -> None:
        with pytest.raises(UsageError, match=words) as caught:
            cli.train("demo", root, str(tmp_path / "run"), settings=[*small, *more])
        assert len(str(caught.value).splitlines()) == 1
        assert not (tmp_path / "run").exists()

    refused(str(tmp_path / "nowhere"), "no receipt.json here")
    refused(str(dataset), r"no feature 'mtt'; known: ttmr; add features\.mtt to its manifest", "data.feature=mtt")
    refused(str(dataset), "no track in split extra", "data.train=[extra]")
    refused(str(dataset), r"no scheme 'published' .*default/0", "data.scheme=published")
    unlisted = make_dataset(str(tmp_path / "unlisted"), tracks, clips, tables=("tracks", "splits"))
    refused(unlisted.root, r"has no labels\.parquet; run tracklore build")
    alike = [{**t, "tags": ["piano"], "caption": "piano"} for t in tracks]
    same = make_dataset(str(tmp_path / "alike"), alike, clips)
    refused(same.root, "1 distinct captions on 59 usable train tracks; contrastive training needs at least 2")
    refused(str(dataset), "pooling leaves", "data.crop_frames=16", "model.audio.input_pool=[1, 16]")


def test_the_same_recipe_gives_the_same_bytes_wherever_the_data_lies(
    dataset: Path, tmp_path: Path, small: tuple[str, ...]
) -> None:
    here, there = Store(str(dataset)), Store("memory://train-test")
    for info in here.list():
        there.write_bytes(info.path, here.read_bytes(info.path))
    for name, root, readers in (("a", here.root, 1), ("b", there.root, 3)):
        settings = [*small, "training.epochs=2", "data.crops=2", f"machine.readers={readers}", "machine.threads=1"]
        cli.train("demo", root, str(tmp_path / name), settings=settings)
    for file in ("model.safetensors", "history.jsonl", "data.json", "tokenizer.json", "state.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
