"""VCMR's three stages from what `tracklore build` wrote: each goes on from the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from schemas.errors import UsageError
from train import cli
from train.data.batches import Batch
from train.data.dataset import Dataset
from train.data.order import EpochOrder
from train.loop.setup import trained_network
from train.recipe import load_recipe, shipped_recipes
from train.run import Run
from train.tasks import task_module
from train.tasks.audio_video import Scenes

Command = Callable[..., Any]
SECONDS = 16
SEGMENTS = "{span_s: 16, count: 2, segment_s: 8}"
CHANNELS = "model.audio.channels=[4, 4, 4, 4, 4, 4, 4, 8, 8]"
TINY = (CHANNELS, "model.audio.width=8", "training.batch_size=4", "training.epochs=2", "training.log_every=1")
VIDEO = ("data.video=pictures", "model.video.width=8", "model.embedding=8")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of a few generated music videos, as long as VCMR's published crop needs."""
    import tracklore

    root = tmp_path_factory.mktemp("videos") / "data"
    settings = (
        *("source.artists=4", "source.tracks=12", f"source.seconds={SECONDS}", "tags.min_tracks=2"),
        *("splits.ratios={train: 0.5, valid: 0.25, test: 0.25}", f"features.waveform.segments={SEGMENTS}"),
        f"features.pictures.segments={SEGMENTS}",
    )
    words = [word for setting in settings for word in ("--set", setting)]
    try:
        tracklore.main(["build", "demo_video", "--out", str(root), *words])
    except SystemExit as end:
        assert not end.code
    return root


def trained(recipe: str, data: Path, out: Path, *settings: str, resume: bool = False) -> Path:
    """A run of a recipe, small."""
    cli.train(recipe, str(data), str(out), resume=resume, settings=[*TINY, *settings])
    return out


@pytest.fixture(scope="module")
def listened(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the first stage."""
    return trained("vcmr_audio", videos, tmp_path_factory.mktemp("runs") / "one", "model.embedding=8")


@pytest.fixture(scope="module")
def watched(videos: Path, listened: Path) -> Path:
    """A run of the second stage."""
    return trained("vcmr_video", videos, listened.parent / "two", f"start.run={listened}", *VIDEO)


def sha256(run: Path) -> str:
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def encoder(run: Path) -> dict[str, Any]:
    weights = load_file(run / "model.safetensors")
    return {name: weight for name, weight in weights.items() if name.startswith("audio.")}


def as_json(run: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / name).read_text())
    return found


def test_the_published_numbers_stand_in_the_recipes() -> None:
    published = ("vcmr_audio", "vcmr_video", "vcmr_tagging", "vcmr_audio_tagging")
    assert {*published, "vcmr_supervised"} == {name for name in shipped_recipes() if name.startswith("vcmr")}
    for name in published:
        recipe: Any = load_recipe(name)
        assert recipe.data.samples == 98_415
        assert (recipe.optimiser.kind, recipe.optimiser.lr, recipe.optimiser.weight_decay) == ("adam", 1e-3, 1e-6)
        assert recipe.training.epochs == 50 and recipe.training.batch_size == (64 if name == "vcmr_audio" else 128)
        if "tagging" not in name:
            assert recipe.objective.model_dump() == {"kind": "nt_xent", "temperature": 0.1}
            assert recipe.model.embedding == 128
    first: Any = load_recipe("vcmr_audio")
    told = {one.kind: one.model_dump()["probability"] for one in first.augmentations}
    assert list(told.items()) == [
        *(("polarity", 0.8), ("noise", 0.01), ("gain", 0.3), ("filters", 0.8), ("delay", 0.3)),
        *(("pitch", 0.6), ("reverb", 0.6)),
    ]
    second: Any = load_recipe("vcmr_video")
    assert second.start.frozen == 4 and second.model.video.layers == 2 and second.model.video.width == 512
    third: Any = load_recipe("vcmr_tagging")
    assert third.start.frozen == "all" and third.data.overlap == 0.5


def test_each_stage_starts_from_the_one_before_and_what_is_frozen_stays_bit_equal(
    videos: Path, listened: Path, watched: Path, tmp_path: Path
) -> None:
    assert as_json(listened, "data.json").get("start") is None
    assert as_json(watched, "data.json")["start"] == sha256(listened)
    before, after = encoder(listened), encoder(watched)
    frozen = tuple(f"audio.blocks.{number}." for number in range(4))
    learnt = []
    for name, weight in before.items():
        if name.startswith(frozen):
            assert np.array_equal(weight, after[name]), name
        else:
            learnt.append(not np.array_equal(weight, after[name]))
    assert sum(learnt) > 0.9 * len(learnt) and len(learnt) > 30
    for recipe, start in (("vcmr_tagging", watched), ("vcmr_audio_tagging", listened)):
        run = trained(recipe, videos, tmp_path / recipe, f"start.run={start}")
        assert as_json(run, "data.json")["start"] == sha256(start)
        told = encoder(run)
        assert told and all(np.array_equal(weight, told[name]) for name, weight in encoder(start).items())
        metrics = cli.evaluate(str(run))
        assert metrics["tagging"]["tracks"] == metrics["tracks"] >= 2 and 0 <= metrics["tagging"]["roc_auc"] <= 1


def test_the_demo_in_small_goes_the_same_way(videos: Path, tmp_path: Path) -> None:
    few = ("training.epochs=1", "training.batch_size=4", "training.log_every=1")
    runs = [tmp_path / name for name in ("one", "two", "three")]
    for recipe, run, before in zip(
        ("demo_video_audio", "demo_video", "demo_video_tagging"), runs, (None, *runs[:2]), strict=True
    ):
        start = () if before is None else (f"start.run={before}",)
        cli.train(recipe, str(videos), str(run), settings=[*few, *start])
    vectors = np.concatenate(seen_in_train(videos)).astype(np.float64)
    weights = load_file(runs[1] / "model.safetensors")
    np.testing.assert_allclose(weights["video.mean"], vectors.mean(0), atol=1e-5)
    spread = vectors.std(0)
    np.testing.assert_allclose(weights["video.std"], np.where(spread < 1e-6, 1, spread), atol=1e-5)
    assert np.array_equal(encoder(runs[1])["audio.blocks.7.0.weight"], encoder(runs[2])["audio.blocks.7.0.weight"])


def seen_in_train(videos: Path) -> list[Any]:
    dataset = Dataset(str(videos))
    reader, splits = dataset.reader("pictures"), dataset.split_of("default", 0)
    return [reader.clip(clip) for t, clips in reader.clips.items() if splits.get(t) == "train" for clip in clips]


def test_a_supervised_encoder_learns_all_of_itself(videos: Path, tmp_path: Path) -> None:
    run = trained("vcmr_supervised", videos, tmp_path / "run", "training.epochs=1")
    again = trained("vcmr_supervised", videos, tmp_path / "more", "training.epochs=2")
    assert as_json(run, "data.json")["start"] is None
    changed = [not np.array_equal(weight, encoder(again)[name]) for name, weight in encoder(run).items()]
    assert all(changed)


def test_a_cut_off_stage_goes_on_to_the_same_weights(
    videos: Path, listened: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (f"start.run={listened}", *VIDEO, "training.epochs=3", "training.checkpoint_every=1")
    whole = trained("vcmr_video", videos, tmp_path / "whole", *settings)
    made = Scenes.training

    def cut_off(self: Scenes, order: EpochOrder, epoch: int, step: int) -> Batch:
        if (epoch, step) == (1, 1):
            raise RuntimeError("the power is off")
        return made(self, order, epoch, step)

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="the power is off"):
        patched.setattr(Scenes, "training", cut_off)
        trained("vcmr_video", videos, tmp_path / "cut", *settings)
    assert 0 < as_json(tmp_path / "cut", "state.json")["step"] < as_json(whole, "state.json")["step"]
    moved = listened.parent / "elsewhere"
    moved.symlink_to(listened)
    # Where the first stage lies says nothing; that it is the same one is checked.
    settings = (f"start.run={moved}", *settings[1:])
    cut = trained("vcmr_video", videos, tmp_path / "cut", *settings, resume=True)
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (cut / "history.jsonl").read_bytes() == (whole / "history.jsonl").read_bytes()
    with pytest.raises(UsageError, match="start"):
        trained("vcmr_video", videos, tmp_path / "cut", f"start.run={whole}", *settings[1:], resume=True)


@pytest.mark.parametrize("samples", [49_152, 59_049, 78_732])
def test_the_lengths_of_the_ablation_by_one_setting(samples: int, videos: Path, tmp_path: Path) -> None:
    channels = () if samples != 49_152 else ("model.audio.channels=[4, 4, 4, 4, 4, 8, 8]",)
    one = trained(
        "vcmr_audio", videos, tmp_path / "one", f"data.samples={samples}", "training.epochs=1", "augmentations=[]",
        *channels,
    )  # fmt: skip
    two = trained(
        "vcmr_video", videos, tmp_path / "two", f"data.samples={samples}", "training.epochs=1", f"start.run={one}",
        *VIDEO, *channels,
    )  # fmt: skip
    # 3.07, 3.69 and 4.92 s to the nearest second of pictures.
    states = load_file(two / "model.safetensors")["video.joined.weight"].shape[1]
    assert states == round(samples / 16_000) * 112


def test_what_is_heard_and_what_is_seen_are_of_one_moment(videos: Path, listened: Path) -> None:
    recipe = load_recipe("vcmr_video", [*TINY, *VIDEO, f"start.run={listened}", "data.samples=59049"])
    material = task_module("audio_video").opened(str(videos), recipe)
    batches, _ = material.batches({})
    order = EpochOrder(len(material.train_tracks), 4, 0)
    reader = {name: Dataset(str(videos)).reader(name) for name in ("waveform", "pictures")}
    starts = set()
    for step in range(order.steps):
        batch = batches.training(order, 3, step)
        for row, track in enumerate(batch.track_ids):
            heard, seen = batch.tensors["waves"][row], batch.tensors["seconds"][row]
            assert heard.shape == (59_049,) and seen.shape == (4, 112)
            found = []
            for sound, pictures in zip(
                reader["waveform"].clips[track], reader["pictures"].clips[track], strict=True
            ):
                samples, vectors = (reader["waveform"].clip(sound), reader["pictures"].clip(pictures))
                found += [
                    (sound.start_s + second, np.array_equal(vectors[second : second + 4], seen))
                    for second in range(SECONDS // 2 - 3)
                    if np.array_equal(samples[second * 16_000 :][:59_049], heard)
                ]
            assert found and any(same for _, same in found)
            starts |= {start for start, _ in found}
    assert len(starts) > 4


def test_views_are_two_crops_of_one_segment_and_follow_from_the_epoch(videos: Path) -> None:
    recipe: Any = load_recipe("vcmr_audio", [*TINY, "data.samples=59049"])
    material = task_module("audio_views").opened(str(videos), recipe)
    assert len(material.train_tracks) == 2 * len(set(material.train_tracks))
    batches, _ = material.batches({})
    order = EpochOrder(len(material.train_tracks), 4, 0)
    first, again, later = (batches.training(order, epoch, 0) for epoch in (1, 1, 2))
    assert all(np.array_equal(first.tensors[name], again.tensors[name]) for name in first.tensors)
    assert first.tensors["views"].shape == (4, 2, 59_049) and first.tensors["views"].dtype == np.int16
    assert not np.array_equal(first.tensors["numbers"], later.tensors["numbers"])
    assert len({first.tensors["numbers"][row, view].tobytes() for row in range(4) for view in (0, 1)}) == 8
    reader = Dataset(str(videos)).reader("waveform")
    for row, track in enumerate(first.track_ids):
        a, b = first.tensors["views"][row]
        assert not np.array_equal(a, b)
        clips = [reader.clip(clip).tobytes() for clip in reader.clips[track]]
        assert any(a.tobytes() in clip and b.tobytes() in clip for clip in clips)


def test_two_segments_of_a_track_are_told_of_and_left_out_where_asked(videos: Path) -> None:
    found = {}
    for name, masked in (("published", "[]"), ("masked", "[recording]")):
        recipe: Any = load_recipe("vcmr_audio", [*TINY, "data.samples=59049", f"training.masked={masked}"])
        material = task_module("audio_views").opened(str(videos), recipe)
        batches, _ = material.batches({})
        count = len(material.train_tracks)
        found[name] = batches.training(EpochOrder(count, count, 0), 0, 0)
    batch = found["published"]
    same = np.array([[a == b for b in batch.track_ids] for a in batch.track_ids])
    np.fill_diagonal(same, False)
    assert batch.figures == {"same_recording": 1.0, "false_negatives": 1.0} and not batch.tensors["ignored"].any()
    assert found["masked"].figures == {"same_recording": 1.0, "false_negatives": 0.0}
    assert np.array_equal(found["masked"].tensors["ignored"], same)


def test_a_whole_track_is_tagged_by_crops_that_overlap_by_half_and_reach_its_end(
    videos: Path, listened: Path, tmp_path: Path
) -> None:
    run = trained("vcmr_audio_tagging", videos, tmp_path / "run", f"start.run={listened}", "training.epochs=1")
    metrics = cli.evaluate(str(run))
    dataset, tags = Dataset(str(videos)), as_json(run, "train_tags.json")["tags"]
    network: Any = trained_network(Run.at(str(run)), Run.at(str(run)).recipe()).eval()
    reader, splits = dataset.reader("waveform"), dataset.split_of("default", 0)
    tracks = sorted(t for t in reader.clips if splits.get(t) == "test" and dataset.texts[t].tags)
    scores = []
    for track in tracks:
        crops = []
        for clip in reader.clips[track]:
            samples = reader.clip(clip)
            assert len(samples) == 8 * 16_000
            # 8 s: from 0, from the end of the room for a crop, and what lies half a crop on in between.
            crops += [samples[:98_415], samples[-98_415:]]
        with torch.no_grad():
            scores.append(network.logits(torch.from_numpy(np.stack(crops))).sigmoid().mean(0).numpy())
    labels = np.array([[tag in dataset.texts[track].tags for tag in tags] for track in tracks])
    from sklearn.metrics import roc_auc_score

    usable = [n for n in range(len(tags)) if 0 < labels[:, n].sum() < len(tracks)]
    expected = np.mean([roc_auc_score(labels[:, n], np.array(scores)[:, n]) for n in usable])
    assert metrics["tagging"]["tags"] == len(usable) > 3
    assert metrics["tagging"]["roc_auc"] == pytest.approx(expected, abs=0.02)


def test_encoders_are_measured_by_what_finds_what(videos: Path, listened: Path, watched: Path) -> None:
    for run in (listened, watched):
        found = cli.evaluate(str(run))["crops"]
        assert found["pairs"] == as_json(run, "metrics.json")["tracks"] >= 2
        assert 0 <= found["recall_at_1"] <= found["recall_at_5"] <= 1


def test_what_is_wrong_is_one_line(videos: Path, listened: Path, tmp_path: Path) -> None:
    def refused(match: str, recipe: str, *settings: str) -> None:
        with pytest.raises(UsageError, match=match):
            trained(recipe, videos, tmp_path / "run", *settings)
        assert not (tmp_path / "run").exists()

    refused(r"no feature 'clip'.*add features.clip to its manifest", "vcmr_video", f"start.run={listened}")
    refused("start.run: is required", "vcmr_video", *VIDEO)
    refused("start.run: .*nowhere has no model.safetensors", "vcmr_tagging", f"start.run={tmp_path / 'nowhere'}")
    other = "model.audio.channels=[4, 4, 4, 4, 4, 4, 4, 8, 16]"
    refused(
        r"another audio encoder \(audio|another audio encoder \(blocks",
        "vcmr_tagging",
        f"start.run={listened}",
        other,
    )
    refused("start.frozen: 40, and the audio encoder has 11 blocks", "vcmr_video", f"start.run={listened}", *VIDEO,
            "start.frozen=40")  # fmt: skip
    refused("crops of 60,000 samples need first, pool and channels", "vcmr_supervised", "data.samples=60000",
            "model.audio.channels=null")  # fmt: skip
    refused("objective.kind is 'triplet'; tags are told one by one", "vcmr_supervised", "objective={kind: triplet}")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "model.safetensors").write_bytes(b"nothing")
    refused("start.run: .*model.safetensors cannot be read", "vcmr_tagging", f"start.run={damaged}")
