from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipelines.synthesis.videos import KINDS, encode_video, plan_video
from pipelines.videos.examine import examine
from pipelines.videos.scenes import apart, gradual_changes, longest_scene
from pipelines.videos.thumbnails import FOR_DECODING, Streams, streams_of, thumbnails

Made = Callable[..., Path]
SEEDS = 4
KEPT = ("music_video", "fades", "dissolves")
FPS, SIZE, SECONDS = 12, (160, 90), 42.0
# Of the small test videos four or six frames a second are looked at: a cut is found by the later of two around it.
NEAR_S = 0.5


def looked_at(path: Path, **filters: object) -> dict[str, object]:
    return examine({"audio": str(path), "video": str(path), "filter": filters, "max_duration_s": 900.0})


def matched(truth: Sequence[float], found: Sequence[float], near: float) -> int:
    """How many of the true cuts have a found one of their own within `near` seconds."""
    left, hits = list(found), 0
    for cut in truth:
        close = [one for one in left if abs(one - cut) <= near]
        if close:
            left.remove(min(close, key=lambda one: abs(one - cut)))
            hits += 1
    return hits


def test_what_stays_and_what_leaves_of_44_videos(made: Made) -> None:
    table: Counter[tuple[str, str]] = Counter()
    cuts = {kind: [0, 0, 0] for kind in (*KEPT, "long_scene")}
    for kind in KINDS:
        for seed in range(SEEDS):
            found = looked_at(made(kind, seed), frame_skip=1)
            table[kind, str(found["kind"])] += 1
            if kind in cuts:
                truth = plan_video(kind, seed, SECONDS, FPS, SIZE).cuts_s
                scenes = found["scenes"]
                assert isinstance(scenes, list)
                for place, count in enumerate((matched(truth, scenes[1:], NEAR_S), len(truth), len(scenes) - 1)):
                    cuts[kind][place] += count
    wanted = {(kind, "music_video" if kind in KEPT else kind): SEEDS for kind in KINDS}
    assert sum(table.values()) == 44
    assert dict(table) == wanted
    recall = {kind: hits / true for kind, (hits, true, _) in cuts.items()}
    precision = {kind: hits / found for kind, (hits, _, found) in cuts.items()}
    assert min(recall["music_video"], recall["long_scene"]) >= 0.98, recall
    assert min(precision["music_video"], precision["long_scene"]) >= 0.93, precision
    assert min(recall["fades"], recall["dissolves"]) >= 0.85, recall
    assert min(precision["fades"], precision["dissolves"]) >= 0.8, precision


def test_of_a_video_that_costs_too_much_parts_are_enough(tmp_path: Path) -> None:
    for kind, wanted in (
        ("music_video", "music_video"),
        ("long_scene", "long_scene"),
        ("slide_show", "slide_show"),
    ):
        path = tmp_path / f"{kind}.mp4"
        plan = plan_video(kind, 7, 60.0, FPS, SIZE)
        encode_video(plan, path, sound_codec="flac", keyframes_s=3.0)
        whole, parts = Streams(), Streams()
        every = list(thumbnails(path, 1, whole))
        share = 0.3
        some = list(thumbnails(path, 1, parts, max_cost=share / FOR_DECODING * streams_of(path).cost()))
        # A keyframe of each group of 3 s that is left out is looked at all the same.
        assert len(every) * share < len(some) < len(every) * (share + 0.2)
        assert any(gap for *_, gap in some) and not any(gap for *_, gap in every)
        assert parts.video_s == whole.video_s and parts.audio_s == whole.audio_s
        cost = share / FOR_DECODING * streams_of(path).cost()
        assert looked_at(path, frame_skip=1, max_cost=cost)["kind"] == wanted


def test_a_long_scene_is_told_with_its_place(made: Made) -> None:
    plan = plan_video("long_scene", 0, SECONDS, FPS, SIZE)
    starts = [0.0, *plan.cuts_s, SECONDS]
    longest = max(range(len(starts) - 1), key=lambda n: starts[n + 1] - starts[n])
    found = looked_at(made("long_scene"))
    assert found["longest_scene_s"] == pytest.approx(starts[longest + 1] - starts[longest], abs=2 * NEAR_S)
    told = str(found["detail"])
    second = float(told.split("second ")[1].split(" ")[0])
    assert second == pytest.approx(starts[longest], abs=NEAR_S) and "at most 30 s" in told
    assert looked_at(made("long_scene"), max_scene_s=36)["kind"] == "music_video"


def test_every_frame_can_be_looked_at_and_cuts_are_then_exact(made: Made) -> None:
    plan = plan_video("music_video", 1, SECONDS, FPS, SIZE)
    scenes = looked_at(made("music_video", 1), frame_skip=0)["scenes"]
    assert isinstance(scenes, list)
    assert matched(plan.cuts_s, scenes[1:], 1.01 / FPS) == len(plan.cuts_s) == len(scenes) - 1


@pytest.mark.parametrize("detector", ["adaptive", "histogram", "hash"])
def test_the_other_detectors_find_the_cuts_too(detector: str, made: Made) -> None:
    plan = plan_video("music_video", 2, SECONDS, FPS, SIZE)
    scenes = looked_at(made("music_video", 2), detector=detector, frame_skip=0)["scenes"]
    assert isinstance(scenes, list)
    assert matched(plan.cuts_s, scenes[1:], NEAR_S) >= 0.8 * len(plan.cuts_s)


def test_a_threshold_that_nothing_reaches_finds_no_cut(made: Made) -> None:
    found = looked_at(made("music_video"), threshold=250.0, gradual=False)
    assert found["scenes"] == [0.0] and found["kind"] == "long_scene"


def test_files_that_are_no_videos(tmp_path: Path, made: Made) -> None:
    empty, words, cut = tmp_path / "empty.mp4", tmp_path / "words.mp4", tmp_path / "cut.mp4"
    empty.write_bytes(b"")
    words.write_text("only words\n" * 100, "utf-8")
    whole = made("music_video").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    assert (looked_at(empty)["kind"], looked_at(empty)["detail"]) == (
        "not_video",
        "no decoder knows the file: zero bytes",
    )
    assert looked_at(words)["kind"] == "not_video"
    # The index of an MP4 lies at its end: without it no decoder knows what it is.
    assert looked_at(cut)["kind"] == "not_video"


def test_a_file_that_breaks_off_is_truncated(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.mkv", tmp_path / "cut.mkv"
    encode_video(plan_video("music_video", 5, 30.0, FPS, SIZE), whole)
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    assert looked_at(whole)["kind"] == "music_video"
    found = looked_at(cut)
    assert found["kind"] == "truncated" and "of 30." in str(found["detail"])


def test_sound_and_pictures_in_files_of_their_own(tmp_path: Path) -> None:
    plan = plan_video("music_video", 5, 20.0, FPS, SIZE)
    sound, pictures = tmp_path / "a.webm", tmp_path / "v.mp4"
    encode_video(plan, sound, streams="audio")
    encode_video(plan, pictures, streams="video")
    request = {"filter": {}, "max_duration_s": 900.0}
    both = examine({**request, "audio": str(sound), "video": str(pictures)})
    assert both["kind"] == "music_video" and both["duration_s"] == pytest.approx(20.0, abs=0.1)
    assert examine({**request, "audio": None, "video": str(pictures)})["kind"] == "no_audio_stream"
    assert examine({**request, "audio": str(sound), "video": None})["kind"] == "no_video_stream"
    assert (
        examine({**request, "audio": str(sound), "video": str(pictures), "max_duration_s": 10})["kind"]
        == "too_long"
    )


def test_a_dissolve_is_found_and_a_moving_camera_is_none() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(0, 20, 0.125)
    before, after = rng.uniform(0, 255, (2, 9, 16, 3))
    through = np.clip((times - 9.5) / 1.0, 0, 1)[:, None, None, None]
    noise = rng.normal(0, 1, (len(times), 9, 16, 3))
    dissolve = (before * (1 - through) + after * through + noise).astype(np.float32)
    assert gradual_changes(times, dissolve) == pytest.approx([10.0], abs=0.25)
    wide = rng.uniform(0, 255, (9, 400, 3))
    panned = np.stack([wide[:, n : n + 16] for n in range(len(times))]).astype(np.float32)
    assert gradual_changes(times, panned) == []
    cut = np.where(times[:, None, None, None] < 10, before, after).astype(np.float32)
    assert gradual_changes(times, cut) == []
    dark = np.abs(np.clip((times - 10) / 0.7, -1, 1))[:, None, None, None]
    fade = (np.where(times[:, None, None, None] < 10, before, after) * dark).astype(np.float32)
    assert gradual_changes(times, fade) == pytest.approx([10.0], abs=0.25)


def test_scenes_are_counted_to_the_end() -> None:
    assert longest_scene([0.0, 5.0, 7.0], 40.0) == (7.0, 33.0)
    assert longest_scene([0.0], 3.0) == (0.0, 3.0)
    assert apart([0.2, 1.0, 1.3, 2.0], 0.5) == [1.0, 2.0]
