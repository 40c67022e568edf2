from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipelines.synthesis.lore import INSTRUMENTS
from pipelines.synthesis.mix import perform
from pipelines.synthesis.performances import compose_videos, film, pictures, shown
from pipelines.synthesis.score import SAMPLE_RATE
from schemas.store import Store
from schemas.tables import EXCLUSIONS, TRACKS, VIDEOS

Command = Callable[..., Any]
SMALL = ("source.artists=3", "source.tracks=6", "source.seconds=8", "tags.min_tracks=1", "features={}")


def build(command: Command, out: Path, *settings: str) -> Any:
    words = [word for setting in (*SMALL, *settings) for word in ("--set", setting)]
    return command("build", "demo_video", "--out", out, *words)


def test_music_videos_stay_and_the_three_that_are_none_leave(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert build(command, out).code == 0
    store = Store(str(out))
    rows = {row["track_id"]: row for row in VIDEOS.read(store).to_pylist()}
    assert {t for t, row in rows.items() if row["kind"] == "music_video"} == {f"demo-{n:04d}" for n in range(1, 7)}
    assert {row["id"]: row["reason"] for row in EXCLUSIONS.read(store).to_pylist()} == {
        kind: kind for kind in ("still_image", "lyric_video", "black_frames")
    }
    tracks = {row["track_id"]: row for row in TRACKS.read(store).to_pylist()}
    assert all((out / "videos" / tracks[track]["video_uri"]).is_file() for track in rows)
    before = {path.name: path.stat().st_mtime_ns for path in (out / "videos").iterdir()}
    (out / "videos" / "demo-0002.mp4").unlink()
    (out / "videos" / "mine.txt").write_text("not yours")
    again = build(command, out, "tags.min_tracks=2")
    assert again.code == 0 and "filming 1 pieces" in again.out + again.err
    after = {path.name: path.stat().st_mtime_ns for path in (out / "videos").iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"demo-0002.mp4"}
    assert build(command, out, "source.seed=1").code == 0
    assert (out / "videos" / "mine.txt").read_text() == "not yours"


def test_a_film_is_the_piece_with_its_sound_and_equal_bytes_each_time() -> None:
    score = compose_videos(3, 6, 0, 6.0).tracks[1].score
    made = []
    for _ in range(2):
        file = io.BytesIO()
        film(score, 5, file)
        made.append(file.getvalue())
    assert made[0] == made[1]
    with av.open(io.BytesIO(made[0]), "r") as container:
        sound = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
    expected = perform(score)
    assert len(expected) == 6 * SAMPLE_RATE
    np.testing.assert_allclose(sound[: len(expected)] / 32767, expected, atol=1e-4)


def test_what_is_shown_is_what_is_played() -> None:
    tracks = compose_videos(12, 60, 0, 6.0).tracks
    hues: dict[str, list[float]] = {}
    for number, track in enumerate(tracks):
        playing = shown(track.score)
        assert set(playing) <= set(INSTRUMENTS) & set(track.true_tags) or len(track.true_tags) == 8
        if len(playing) == 1:
            seen = np.stack(list(pictures(track.score, number))[::10]).astype(float)
            spread = seen.max(-1) - seen.min(-1)
            colour = seen[spread > 90].mean(0)
            hues.setdefault(playing[0], []).append(float(np.argmax(colour)))
    assert len(hues) >= 2
