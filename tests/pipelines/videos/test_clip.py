from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch
import yaml

from pipelines.features.base import feature_of
from pipelines.features.clip import ClipFeature
from pipelines.features.decode import ExcludedError, Window, decode
from pipelines.features.media import MediaRef
from pipelines.features.video_frames import VideoFrames
from pipelines.synthesis.videos import encode_video, plan_video, read_clock, read_tone, with_clock
from schemas.errors import UsageError
from schemas.manifest import FeatureSection
from schemas.store import Store

Made = Callable[..., Path]
FPS, SECONDS = 25, 40.0


@pytest.fixture(scope="session")
def clocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one video whose frames and sound carry their own time, in one file and in two."""
    folder = tmp_path_factory.mktemp("clocked")
    plan = with_clock(plan_video("music_video", 9, SECONDS, FPS, (320, 180)))
    encode_video(plan, folder / "one.mp4")
    encode_video(plan, folder / "pictures.mp4", streams="video", codec="mpeg4")
    encode_video(plan, folder / "sound.webm", streams="audio")
    return folder


def clip_of(small_clip: Path, **keys: Any) -> ClipFeature:
    section = FeatureSection.model_validate({"kind": "clip", "path": str(small_clip), **keys})
    found = feature_of("clip", section, "test")
    assert isinstance(found, ClipFeature)
    found.prepare()
    return found


def decoded(path: Path) -> tuple[list[float], list[npt.NDArray[np.uint8]]]:
    """Every frame of a video with its second, by decoding all of it."""
    times, pictures = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            times.append(float(frame.time or 0.0))
            pictures.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
    return times, pictures


@pytest.mark.parametrize("name", ["one.mp4", "pictures.mp4"])
@pytest.mark.parametrize("first", [0.0, 13.37, 20.0, 33.96])
def test_the_frame_of_each_second_is_the_one_that_is_shown_then(name: str, first: float, clocked: Path) -> None:
    seconds = first + np.arange(0, 30) / 5
    with VideoFrames(Store(str(clocked)), name) as frames:
        numbers = [read_clock(picture) for picture in frames.at(seconds)]
    assert numbers == [int(second * FPS + 1e-6) for second in seconds]


def test_segments_of_pictures_are_those_of_the_sound_to_the_frame(
    clocked: Path, small_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feature = clip_of(small_clip, segments={"span_s": 30, "count": 2, "segment_s": 15})
    shown: list[int] = []

    def seen(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        shown.append(read_clock(picture))
        return np.zeros((32, 32, 3), np.uint8)

    monkeypatch.setattr(feature, "_seen", seen)
    ref = MediaRef("t", "one.mp4", 0.0, 39.5)
    clips = feature.clips(Store(str(clocked)), ref)
    assert [(clip.segment, clip.start_s) for clip in clips] == [(0, 4.75), (1, 19.75)]
    for sound in ("one.mp4", "sound.webm"):
        for clip in clips:
            numbers = shown[clip.segment * 75 : clip.segment * 75 + 75]
            window = Window(15.0, "start", clip.start_s, clip.start_s + 15.0)
            samples, start_s = decode(Store(str(clocked)), sound, window, 16_000)
            assert start_s == pytest.approx(clip.start_s, abs=1e-4) and len(samples) == 15 * 16_000
            for second in range(15):
                # What is heard in the middle of the second, and the frame that is shown at its start.
                heard = read_tone(samples[second * 16_000 : (second + 1) * 16_000].astype(np.float64), 16_000)
                shown_s = numbers[second * 5] / FPS
                assert heard - 0.5 == pytest.approx(clip.start_s + second, abs=0.02)
                assert 0 <= clip.start_s + second - shown_s < 1 / FPS + 1e-6


def test_vectors_are_those_of_transformers_on_frames_decoded_otherwise(clocked: Path, small_clip: Path) -> None:
    from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

    feature = clip_of(small_clip, segments={"span_s": 30, "count": 2, "segment_s": 15})
    store = Store(str(clocked))
    refs = [MediaRef("a", "one.mp4", 0.0, 40.0), MediaRef("b", "pictures.mp4", 0.0, 33.0)]
    finished = feature.finish([feature.clips(store, ref) for ref in refs])
    model = CLIPVisionModelWithProjection.from_pretrained(small_clip)
    model.train(False)
    processor = CLIPImageProcessorPil.from_pretrained(small_clip)
    for ref, clips, starts in zip(refs, finished, [(5.0, 20.0), (1.5, 16.5)], strict=True):
        times, pictures = decoded(clocked / ref.uri)
        assert [clip.start_s for clip in clips] == list(starts)
        for clip in clips:
            assert clip.track_id == ref.track_id and clip.data.shape == (15, 512) and clip.data.dtype == np.float16
            for second in (0, 7, 14):
                wanted = [clip.start_s + second + n / 5 for n in range(5)]
                shown = [pictures[max(i for i, t in enumerate(times) if t <= at + 1e-4)] for at in wanted]
                with torch.inference_mode():
                    pixels = processor(shown, return_tensors="pt")["pixel_values"]
                    expected = model(pixel_values=pixels).image_embeds.mean(dim=0).numpy()
                np.testing.assert_allclose(clip.data[second].astype(np.float32), expected, rtol=2e-3, atol=2e-3)


def test_one_video_s_vectors_do_not_depend_on_who_is_beside_it(clocked: Path, small_clip: Path) -> None:
    feature = clip_of(small_clip, segments={"span_s": 30, "count": 1, "segment_s": 15})
    store = Store(str(clocked))
    refs = [MediaRef(name, "one.mp4", 0.0, end) for name, end in (("a", 40.0), ("b", 30.0), ("c", 21.0))]
    clips = [feature.clips(store, ref) for ref in refs]
    together = feature.finish(clips)
    for track, found in zip(clips, together, strict=True):
        (alone,) = feature.finish([track])
        np.testing.assert_allclose(found[0].data.astype(float), alone[0].data.astype(float), rtol=2e-3, atol=2e-3)
    assert feature.finish([]) == []


def test_a_video_that_ends_early_or_is_too_short_is_excluded(clocked: Path, small_clip: Path) -> None:
    feature = clip_of(small_clip)
    store = Store(str(clocked))
    with pytest.raises(ExcludedError, match=r"too_short: one\.mp4: 14\.00 s; a segment has 15 s"):
        feature.clips(store, MediaRef("t", "one.mp4", 0.0, 14.0))
    with pytest.raises(ExcludedError, match=r"truncated: one\.mp4: the pictures end at 40\.00 s"):
        feature.clips(store, MediaRef("t", "one.mp4", 0.0, 60.0))
    with pytest.raises(ExcludedError, match="no_video_stream"):
        feature.clips(store, MediaRef("t", "sound.webm"))
    with pytest.raises(ExcludedError, match="missing_file"):
        feature.clips(store, MediaRef("t", "none.mp4"))


def test_the_specification_says_what_the_model_is_and_not_where_it_lies(small_clip: Path) -> None:
    here = clip_of(small_clip).spec()
    assert here.shape == (-1, 512) and here.dtype == "float16" and here.settings["fps"] == 5
    assert str(small_clip) not in str(here.settings)
    hub = feature_of("clip", FeatureSection(kind="clip"), "test").spec()
    assert hub.settings["model"] == "openai/clip-vit-base-patch32"
    assert len(hub.settings["revision"]) == 40 and here.settings["model"] != hub.settings["model"]


@pytest.mark.parametrize("damage", ["cut", "header", "empty"])
def test_damaged_weights_are_found_before_a_frame_is_decoded(damage: str, tmp_path: Path, small_clip: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small_clip, folder)
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes({"cut": content[:-1000], "header": b"\xff" * 8 + content[8:], "empty": b""}[damage])
    with pytest.raises(UsageError, match=r"features\.clip\.path: .*model\.safetensors is damaged") as told:
        clip_of(folder)
    assert "\n" not in str(told.value)


def test_a_path_starts_at_the_manifest_s_folder(
    tmp_path: Path, command: Callable[..., Any], small_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes, elsewhere = tmp_path / "recipes", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (recipes / "videos").mkdir(parents=True)
    shutil.copytree(small_clip, recipes / "model")
    encode_video(plan_video("music_video", 1, 42.0, 12, (160, 90)), recipes / "videos/aaaaaaaaaaa.mp4")
    recipe = yaml.safe_load((Path(__file__).parents[3] / "manifests/music_videos.yaml").read_text("utf-8"))
    recipe["source"]["path"], recipe["videos"]["local"] = "lists", "videos"
    recipe["features"]["clip"]["path"] = "model"
    (recipes / "mine.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
    lists = recipes / "lists"
    lists.mkdir()
    (lists / "youtube_video_ids_00_206947.txt").write_text(
        f"\n# new artist:\tOne\t{0:022d}\n\naaaaaaaaaaa\n", "utf-8"
    )
    monkeypatch.chdir(elsewhere)
    words = ("build", recipes / "mine.yaml", "--out", tmp_path / "out", "--only", "features.clip")
    ran = command(*words)
    assert ran.code == 0, ran.err
    assert list((tmp_path / "out/features/clip").iterdir())
    assert str(recipes) not in (tmp_path / "out/receipt.json").read_text("utf-8")
    assert "make" not in command(*words, "--set", f"features.clip.path={small_clip}", "--dry-run").out


def test_a_model_that_cannot_be_used_is_named(tmp_path: Path, small_clip: Path) -> None:
    with pytest.raises(UsageError, match=r"features\.clip\.dimensions: the model's vectors have 512, not 768"):
        clip_of(small_clip, dimensions=768)
    with pytest.raises(UsageError, match=r"features\.clip\.path: .* has no config\.json"):
        clip_of(tmp_path).spec()
    for segments, told in (({"segment_s": 2.5}, "2.5 is no whole number"), ({}, "is not given")):
        with pytest.raises(UsageError, match=rf"features\.clip\.segments\.segment_s: {told}"):
            feature_of("clip", FeatureSection.model_validate({"kind": "clip", "segments": segments}), "test")
    with pytest.raises(UsageError, match=r"features\.clip\.revision"):
        feature_of("clip", FeatureSection.model_validate({"kind": "clip", "revision": "main"}), "test")
