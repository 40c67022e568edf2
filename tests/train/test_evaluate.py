"""Evaluate and search through their verbs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from schemas.errors import DataError, UsageError
from schemas.store import Store
from train import cli
from train.evaluate.embed import Embedder
from train.evaluate.search import best
from train.run import Run

Clips = dict[str, list[npt.NDArray[np.float16]]]
Tracks = list[dict[str, Any]]


@pytest.fixture(scope="module")
def metrics(trained: Path) -> dict[str, Any]:
    """What evaluate returned and wrote."""
    found = cli.evaluate(str(trained))
    assert json.loads((trained / "metrics.json").read_text()) == found
    return found


def test_the_model_tells_tags_apart_on_tracks_never_heard(metrics: dict[str, Any], tracks: Tracks) -> None:
    test = [t for t in tracks if t["split"] == "test"]
    tagging = metrics["tagging"]
    assert metrics["split"] == "test" and metrics["tracks"] == len(test) == tagging["tracks"]
    assert tagging["roc_auc"] > 0.8 and tagging["pr_auc"] > tagging["pr_auc_chance"] + 0.2
    assert tagging["tags"] == 6 and tagging["tags_without_positives"] == 0
    retrieval = metrics["retrieval"]
    distinct = len({t["caption"] for t in test})
    assert retrieval["pairs"] == distinct and retrieval["repeated_captions"] == len(test) - distinct
    assert retrieval["chance_at_10"] == pytest.approx(10 / distinct)
    assert retrieval["map_at_10"] > 2 * retrieval["chance_at_1"]
    assert retrieval["with_duplicates"]["recall_at_5"] >= retrieval["strict"]["recall_at_5"]


def test_figures_follow_from_the_embeddings(
    trained: Path, dataset: Path, metrics: dict[str, Any], tracks: Tracks
) -> None:
    from train.data.dataset import Dataset

    test = [t for t in tracks if t["split"] == "test"]
    embedder = Embedder(Run.at(str(trained)))
    audio = embedder.tracks(Dataset(str(dataset)).reader("ttmr"), [t["track_id"] for t in test])
    np.testing.assert_allclose(np.linalg.norm(audio, axis=1), 1, atol=1e-5)
    tags = sorted({tag for t in test for tag in t["tags"]})
    scores = audio @ embedder.texts(tags).T
    labels = np.array([[tag in t["tags"] for tag in tags] for t in test])
    assert metrics["tagging"]["roc_auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)


def test_a_track_is_the_mean_of_crops_to_its_last_frame(trained: Path, dataset: Path, clips: Clips) -> None:
    import torch

    from train.data.dataset import Dataset

    embedder = Embedder(Run.at(str(trained)))
    long = next(t for t, found in clips.items() if len(found) == 1 and len(found[0]) % 32 and len(found[0]) > 64)
    clip = clips[long][0]
    starts = [*range(0, len(clip) - 31, 32), len(clip) - 32]
    crops = torch.from_numpy(np.stack([clip[start : start + 32] for start in starts]))
    with torch.no_grad():
        expected = embedder.network.embed_audio(crops).mean(0).numpy()
    found = embedder.tracks(Dataset(str(dataset)).reader("ttmr"), [long])[0]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


def test_search_finds_what_the_words_say(trained: Path, dataset: Path, clips: Clips) -> None:
    rows = cli.search(str(trained), "Piano", top=8)
    assert [row["rank"] for row in rows] == list(range(1, 9))
    assert all(a["score"] >= b["score"] for a, b in pairwise(rows))
    assert sum("piano" in row["tags"] for row in rows) >= 6
    assert rows[0]["title"] == f"Title of {rows[0]['track_id']}"
    assert rows[0]["artist"] == f"Artist of {rows[0]['track_id']}"
    assert rows[0]["audio_uri"] == f"{rows[0]['track_id']}.flac"
    everything = cli.search(str(trained), "piano", top=10_000)
    assert {row["track_id"] for row in everything} == set(clips)
    only = cli.search(str(trained), "piano", top=10_000, split="test")
    assert {row["split"] for row in only} == {"test"}
    assert [r["track_id"] for r in only] == [r["track_id"] for r in everything if r["split"] == "test"]


def test_embeddings_are_kept_and_made_again_when_they_are_stale(
    trained: Path, dataset: Path, make_dataset: Callable[..., Store], tracks: Tracks, clips: Clips, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    first = cli.search(str(run), "calm", data=str(dataset))
    cache = run / "embeddings.parquet"
    before = cache.read_bytes()
    table = pq.read_table(cache)
    assert table.column("track_id").to_pylist() == sorted(clips)
    stamp = cache.stat().st_mtime_ns
    assert cli.search(str(run), "calm", data=str(dataset)) == first
    assert cache.stat().st_mtime_ns == stamp
    cache.write_bytes(before[:100])
    assert cli.search(str(run), "calm", data=str(dataset)) == first
    assert cache.read_bytes() == before
    fewer = make_dataset(str(tmp_path / "fewer"), tracks, {t: clips[t] for t in sorted(clips)[:20]})
    assert len(cli.search(str(run), "calm", data=fewer.root, top=99)) == 20


def test_a_run_and_its_data_may_move_together(trained: Path, dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "a" / "data")
    shutil.copytree(trained, tmp_path / "a" / "run")
    run = Run.at(str(tmp_path / "a" / "run"))
    run.remember_location(str(tmp_path / "a" / "data"))
    (tmp_path / "a").rename(tmp_path / "b")
    moved = Run.at(str(tmp_path / "b" / "run"))
    assert Path(moved.locate_data()) == tmp_path / "b" / "data"
    shutil.rmtree(tmp_path / "b" / "data")
    with pytest.raises(UsageError, match=r"its dataset is no longer at .*--data DIR"):
        cli.search(str(tmp_path / "b" / "run"), "calm")


def test_tags_together_are_one_search(trained: Path, dataset: Path) -> None:
    rows = cli.search(str(trained), tags=["piano", "drums"], top=5)
    assert rows == cli.search(str(trained), "piano, drums", top=5)
    assert all({"piano", "drums"} & set(row["tags"]) for row in rows)
    both = cli.search(str(trained), ["calm", "fast"], tags=["piano"], top=3)
    each = [cli.search(str(trained), query, top=3) for query in ("calm", "fast")]
    assert both[:6] == each[0] + each[1] and len(both) == 9


def test_a_sound_is_a_search(
    trained: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    from train.data.dataset import Dataset

    class Loaded:
        """Hears one track's clip in every file."""

        def embed_audio(self, file: str) -> npt.NDArray[np.float32]:
            assert file == "some.wav"
            return Embedder(Run.at(str(trained))).tracks(Dataset(str(dataset)).reader("ttmr"), ["t042"])

    monkeypatch.setattr("train.load", lambda directory: Loaded(), raising=False)
    ran = command("search", trained, "--audio", "some.wav", "--top", "2")
    assert ran.code == 0 and "some.wav" in ran.out and "Title of t042" in ran.out
    (first, second) = cli.search(str(trained), audio=["some.wav"], top=2)
    assert first["track_id"] == "t042" and first["score"] == pytest.approx(1, abs=1e-5) and second["score"] < 1


def test_titles_are_shown_as_text(
    trained: Path,
    make_dataset: Callable[..., Store],
    tracks: Tracks,
    clips: Clips,
    tmp_path: Path,
    command: Callable[..., Any],
) -> None:
    hostile = [{**track, "title": "\x1b]0;owned\x07[bold red]x[/bold red]"} for track in tracks]
    data = make_dataset(str(tmp_path / "data"), hostile, clips)
    ran = command("search", trained, "calm \x1b[2J", "--data", data.root, "--top", "1")
    assert ran.code == 0, ran.err
    assert "\x1b" not in ran.out and "\\x1b]0;owned\\x07[bold red]x[/bold red]" in ran.out


def test_a_search_for_nothing_is_refused(trained: Path, command: Callable[..., Any]) -> None:
    ran = command("search", trained)
    assert ran.code == 2 and "say what to look for: words, --tag or --audio" in ran.err
    assert "'日本': the run's vocabulary knows no part of it" in command("search", trained, "--tag", "日本").err


@given(scores=st.lists(st.integers(0, 4), min_size=1, max_size=30), top=st.integers(1, 35), seed=st.integers(0, 99))
def test_the_best_are_those_of_a_whole_sort(scores: list[int], top: int, seed: int) -> None:
    rows = np.flatnonzero(np.random.default_rng(seed).random(len(scores)) < 0.7)
    wanted = sorted(rows.tolist(), key=lambda row: (-scores[row], row))[:top]
    assert best(np.array(scores, float), rows, top) == wanted


@pytest.mark.parametrize(
    ("query", "options", "words"),
    [
        ("  ", {}, "the query is empty"),
        ("日本語", {}, "knows no part of it"),
        ("calm", {"top": 0}, "give at least 1"),
        ("calm", {"split": "tset"}, "--split tset: no track is in it; did you mean 'test'"),
    ],
)
def test_a_wrong_search_is_refused(trained: Path, query: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        cli.search(str(trained), query, **options)


def test_no_run_or_half_a_run_is_said(trained: Path, tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(UsageError, match=r"recipe\.json: is missing, so this is no trained run"):
        cli.evaluate(str(tmp_path), str(dataset))
    half = tmp_path / "half"
    shutil.copytree(trained, half)
    (half / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"model\.safetensors: is missing; .*--resume"):
        cli.evaluate(str(half), str(dataset))
    (half / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(DataError, match="is not this run's model"):
        cli.evaluate(str(half), str(dataset))


def test_without_tags_only_retrieval_is_measured_and_that_is_said(
    trained: Path, make_dataset: Callable[..., Store], tracks: Tracks, clips: Clips, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    bare = [{**t, "tags": []} for t in tracks]
    data = make_dataset(str(tmp_path / "data"), bare, clips)
    metrics = cli.evaluate(str(run), data.root)
    assert metrics["tagging"] is None and metrics["retrieval"]["pairs"] > 5
    assert metrics["notes"] == ["The test tracks have no tags, so tagging is not measured."]


def test_words_that_no_train_text_had_say_nothing_in_a_query(trained: Path) -> None:
    def found(query: str) -> list[tuple[str, float]]:
        return [(row["track_id"], row["score"]) for row in cli.search(str(trained), query, top=5)]

    assert found("a calm piano music, zzyzx") == found("calm piano ,")
    assert found("Calm") == found("calm") != found("piano")
