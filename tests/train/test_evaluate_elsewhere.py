"""A run measured on datasets that it was not trained on: unseen tags, shared artists, other features."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from schemas.receipt import read_receipt
from schemas.store import Store
from train import cli
from train.data.dataset import Dataset
from train.evaluate.embed import Embedder
from train.run import Run

Clips = dict[str, list[npt.NDArray[np.float16]]]
Tracks = list[dict[str, Any]]


@pytest.fixture
def run(trained: Path, tmp_path: Path, dataset: Path) -> Path:
    """A copy of the trained run, evaluated on its own dataset."""
    shutil.copytree(trained, tmp_path / "run")
    Run.at(str(tmp_path / "run")).remember_location(str(dataset))
    cli.evaluate(str(tmp_path / "run"), str(dataset))
    return tmp_path / "run"


@pytest.fixture
def other(make_dataset: Callable[..., Store], tracks: Tracks, clips: Clips, tmp_path: Path) -> Path:
    """The same sounds under other words: two tags spelt otherwise, one that was never seen; 5 tracks of train's."""
    words = {"piano": "PIANO", "guitar": "guitar", "drums": "coast"}
    test, train = [t for t in tracks if t["split"] == "test"], tracks[:5]
    chosen = [
        {
            **t,
            "track_id": t["track_id"] if t in train else f"o{t['track_id']}",
            "tags": sorted(words[tag] for tag in t["tags"] if tag in words),
            "split": "test",
            "caption": None,
        }
        for t in (*train, *test)
    ]
    sounds = {c["track_id"]: clips[t["track_id"]] for c, t in zip(chosen, (*train, *test), strict=True)}
    store = make_dataset(str(tmp_path / "other"), sorted(chosen, key=lambda t: t["track_id"]), sounds)
    return named(store, "other")


def named(store: Store, name: str) -> Path:
    receipt = read_receipt(store)
    assert receipt is not None
    receipt.model_copy(update={"name": name, "manifest": "1" * 64}).write(store)
    return Path(store.root)


def test_tags_are_told_by_whether_they_were_seen(run: Path, other: Path, command: Callable[..., Any]) -> None:
    own = json.loads((run / "metrics.json").read_text())
    ran = command("evaluate", run, "--data", other)
    assert (ran.code, ran.err) == (0, "")
    whole = json.loads((run / "metrics.json").read_text())
    found = whole.pop("elsewhere")["other"]
    assert whole == {key: value for key, value in own.items() if key != "elsewhere"}
    seen = {row["tag"]: row["seen"] for row in found["tagging"]["by_tag"]}
    assert seen == {"PIANO": True, "guitar": True, "coast": False}

    source = Dataset(str(other))
    tracks = [track for track, text in sorted(source.texts.items()) if text.tags]
    embedder = Embedder(Run.at(str(run)))
    audio = embedder.tracks(source.reader("ttmr"), tracks)
    for group, tags in (("seen in training", ["PIANO", "guitar"]), ("unseen in training", ["coast"])):
        labels = np.array([[tag in source.texts[track].tags for tag in tags] for track in tracks])
        scores = audio @ embedder.texts(tags).T
        part = found["tagging"]["by_group"][group]
        assert part["tags"] == len(tags)
        assert part["roc_auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
        assert part["pr_auc"] == pytest.approx(average_precision_score(labels, scores), abs=1e-6)
        assert part["intervals"]["roc_auc"][0] <= part["roc_auc"] <= part["intervals"]["roc_auc"][1]
    assert found["tagging"]["by_group"]["seen in training"]["roc_auc"] > 0.8
    assert "unseen in training" in ran.out


def test_artists_that_were_trained_on_are_told(run: Path, other: Path, command: Callable[..., Any]) -> None:
    ran = command("evaluate", run, "--data", other)
    found = json.loads((run / "metrics.json").read_text())["elsewhere"]["other"]
    assert found["trained_on"] == {"artists": 5, "tracks": 5, "first": [f"Artist of t00{n}" for n in range(5)]}
    assert (
        "5 of 30 tracks measured are by 5 artists that the run was trained on, such as Artist of t000." in ran.out
    )
    # Its own test split shares none.
    own = json.loads((run / "metrics.json").read_text())
    assert own["trained_on"] == {"artists": 0, "tracks": 0, "first": []}


def test_what_is_not_at_hand_is_not_guessed(run: Path, other: Path, tmp_path: Path) -> None:
    (run / "location.json").write_text(json.dumps({"data": str(tmp_path / "gone"), "from_run": None}))
    found = cli.evaluate(str(run), str(other))
    assert found["trained_on"] is None
    assert "Whether its artists were trained on is not known: the run's dataset is not at hand." in found["notes"]
    # Which tags were seen the run knows by itself.
    assert found["tagging"]["by_group"]["unseen in training"]["tags"] == 1


def test_another_feature_is_refused_by_the_key_that_differs(
    run: Path, other: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    known = json.loads((run / "data.json").read_text())
    known["feature_spec"]["hop"] = 512
    (run / "data.json").write_text(json.dumps(known))
    ran = command("evaluate", run, "--data", other)
    assert ran.code == 2 and ran.err.count("\n") == 1
    assert "its feature 'ttmr' has hop: 160, and" in ran.err and "was trained on 512" in ran.err


def test_other_weights_have_no_figures_yet(run: Path, other: Path, dataset: Path) -> None:
    cli.evaluate(str(run), str(other))
    from safetensors.numpy import load_file, save_file

    weights = load_file(str(run / "model.safetensors"))
    name = next(iter(sorted(weights)))
    save_file({**weights, name: weights[name] + np.float32(0.01)}, str(run / "model.safetensors"))
    assert cli.evaluate(str(run), str(dataset))["elsewhere"] == {}


def test_another_scheme_of_its_own_dataset_stands_beside(
    run: Path, dataset: Path, command: Callable[..., Any]
) -> None:
    ran = command("evaluate", run, "--scheme", "nobody")
    assert ran.code == 2 and "no scheme 'nobody'" in ran.err and "default/0" in ran.err


def test_tags_that_a_file_names_are_averaged_by_themselves(
    run: Path, tmp_path: Path, tracks: Tracks, command: Callable[..., Any]
) -> None:
    listed = tmp_path / "soft.txt"
    listed.write_text("Piano\n calm \nharp\n\n")
    ran = command("evaluate", run, "--tags", listed)
    assert (ran.code, ran.err) == (0, "") and "soft" in ran.out
    tagging = json.loads((run / "metrics.json").read_text())["tagging"]
    of_tag = {row["tag"]: row["roc_auc"] for row in tagging["by_tag"]}
    assert tagging["by_group"]["soft"]["tags"] == 2
    assert tagging["by_group"]["soft"]["roc_auc"] == pytest.approx((of_tag["piano"] + of_tag["calm"]) / 2)
    listed.write_text("\n")
    assert "names no tag" in command("evaluate", run, "--tags", listed).err


def test_large_vocabularies_have_their_top_50() -> None:
    from train.evaluate.figures import Groups

    tags = [f"tag {n}" for n in range(60)]
    found = Groups().columns(tags, [n // 2 for n in range(60)])
    assert found == {"top 50": list(range(10, 60))}
    assert Groups().columns(tags[:50], [1] * 50) == {}
