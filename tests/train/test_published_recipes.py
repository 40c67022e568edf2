"""Every shipped recipe, at a size that a test can afford: it trains from a dataset directory and is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from schemas.errors import UsageError
from schemas.store import Store
from train import cli
from train.recipe import load_recipe, shipped_recipes
from train.tasks.text_audio.recipe import TextAudioRecipe

Clips = dict[str, list[npt.NDArray[np.float16]]]
TTMR = sorted(name for name in shipped_recipes() if name.startswith("ttmr"))
TINY = (
    "data.train=[train]",
    "data.crop_frames=32",
    "model.embedding=16",
    "model.audio.channels=[8, 8]",
    "model.audio.pools=[[2, 2], [2, 2]]",
    "model.audio.width=16",
    "model.audio.layers=1",
    "model.audio.heads=2",
    "model.audio.feed_forward=32",
    "training.batch_size=16",
    "training.epochs=2",
    "training.log_every=1",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that `tracklore build` wrote: the demo's music in small."""
    root = tmp_path_factory.mktemp("built") / "data"
    settings = ["source.artists=20", "source.tracks=80", "tags.min_tracks=8"]
    words = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-m", "tracklore", "build", "demo", *words, "--out", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def glove(tmp_path_factory: pytest.TempPathFactory, built: Path) -> str:
    """Vectors of the dataset's words, in GloVe's format."""
    rng = np.random.default_rng(0)
    said = pq.read_table(built / "labels.parquet", columns=["tags"])["tags"].combine_chunks().flatten().unique()
    words = ["the", *sorted({word for tag in said.to_pylist() for word in tag.split()})]
    lines = (" ".join((word, *(f"{value:.4f}" for value in rng.normal(size=12)))) for word in words)
    file = tmp_path_factory.mktemp("glove") / "glove.txt"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return str(file)


def recipe_of_ttmr(name: str, settings: Sequence[str] = ()) -> TextAudioRecipe:
    """A recipe of text and audio."""
    recipe = load_recipe(name, settings)
    assert isinstance(recipe, TextAudioRecipe)
    return recipe


def test_table_2_of_ttmr_has_ten_configurations() -> None:
    told = set()
    for name in TTMR:
        recipe = recipe_of_ttmr(name)
        text = recipe.model.text.kind
        assert recipe.training.batch_size == 64 and recipe.model.embedding == 128
        assert recipe.optimiser.lr == (5e-5 if text == "pretrained" else 1e-3)
        settings = recipe.objective.model_dump()
        assert settings.get("margin", 0.4) == 0.4 and settings.get("temperature", 0.2) == 0.2
        told.add((recipe.objective.kind, text, recipe.text.representation))
    drawn = ("tag", "sentence", "stochastic")
    assert told == {
        ("bce", "tags", "vocabulary"),
        *(("triplet", text, words) for text in ("glove", "pretrained") for words in drawn),
        *(("info_nce", "pretrained", words) for words in drawn),
    }
    assert len(TTMR) == 10


@pytest.mark.parametrize("name", TTMR)
def test_every_configuration_trains_on_what_build_wrote_and_is_measured(
    name: str, built: Path, tiny_bert: Path, glove: str, tmp_path: Path
) -> None:
    kind = recipe_of_ttmr(name).model.text.kind
    where = {"pretrained": [f"model.text.name={tiny_bert}"], "glove": [f"model.text.file={glove}"]}.get(kind, [])
    run = tmp_path / "run"
    cli.train(name, str(built), str(run), settings=[*TINY, *where])
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert len(rows) >= 4 and all(np.isfinite(row["loss"]) for row in rows)
    assert all(np.isfinite(row["valid_loss"]) for row in rows if row["valid_loss"] is not None)
    if kind != "tags":  # what the objective takes for untrue and is true is told, not hidden
        # A whole sentence is seldom true of another track.
        least = 0 if recipe_of_ttmr(name).text.representation == "sentence" else 0.1
        assert least <= rows[0]["false_negatives"] <= rows[0]["true_of_others"] < 16
    metrics = cli.evaluate(str(run))
    assert 0 <= metrics["tagging"]["roc_auc"] <= 1 and metrics["tagging"]["tags"] > 5
    assert 0 <= metrics["retrieval"]["recall_at_10"] <= 1


def test_the_encoder_of_ttmr_at_its_full_size_takes_steps(built: Path, tiny_bert: Path, tmp_path: Path) -> None:
    few = ["data.train=[valid]", "data.valid=[extra]", "training.epochs=1", "training.batch_size=4"]
    run = tmp_path / "run"
    where = f"model.text.name={tiny_bert}"
    cli.train(
        "ttmr", str(built), str(run), settings=[*few, where, "training.log_every=1", "training.patience=null"]
    )
    state = json.loads((run / "state.json").read_text())
    assert state["finished"] and state["step"] == state["train_tracks"] // 4 >= 1


def test_classification_learns_tags_and_answers_sentences_by_their_words(dataset: Path, tmp_path: Path) -> None:
    more = ["training.epochs=30", "optimiser.lr=0.005", "optimiser.warmup_epochs=1", "training.patience=null"]
    cli.train("ttmr_classification", str(dataset), str(tmp_path / "run"), settings=[*TINY, *more])
    metrics = cli.evaluate(str(tmp_path / "run"))
    assert metrics["tagging"]["roc_auc"] > 0.8
    assert metrics["retrieval"]["map_at_10"] > 2 * metrics["retrieval"]["chance_at_1"]
    assert cli.search(str(tmp_path / "run"), "piano", top=3)
    with pytest.raises(UsageError, match="knows no part of it"):
        cli.search(str(tmp_path / "run"), "a sentence")


def test_how_a_tag_is_written_changes_nothing_for_a_classifier(
    make_dataset: Callable[..., Store], tracks: list[dict[str, Any]], clips: Clips, tmp_path: Path
) -> None:
    """Case, and a letter with its mark apart (e and a combining acute)."""
    written = {"piano": "Cafe\u0301", "drums": "DRUMS"}
    other = [{**t, "tags": sorted(written.get(tag, tag) for tag in t["tags"])} for t in tracks]
    found = []
    for name, listed in (("plain", tracks), ("written", other)):
        data = make_dataset(str(tmp_path / name), listed, clips)
        cli.train("ttmr_classification", data.root, str(tmp_path / f"{name}-run"), settings=TINY)
        found.append(cli.evaluate(str(tmp_path / f"{name}-run")))
    assert not any("valid track" in note or "unknown" in note for note in found[1]["notes"])
    assert found[1]["tagging"]["tags"] == 6


def test_a_track_without_tags_is_no_example_of_having_none(
    make_dataset: Callable[..., Store], tracks: list[dict[str, Any]], clips: Clips, tmp_path: Path
) -> None:
    few = [{**t, "tags": t["tags"] if number % 3 else []} for number, t in enumerate(tracks)]
    data = make_dataset(str(tmp_path / "few"), few, clips)
    cli.train("ttmr_classification", data.root, str(tmp_path / "run"), settings=TINY)
    state = json.loads((tmp_path / "run" / "state.json").read_text())
    train = [t for t in few if t["split"] == "train" and t["track_id"] in clips]
    assert state["train_tracks"] == sum(bool(t["tags"]) for t in train) < len(train)
    none = make_dataset(str(tmp_path / "none"), [{**t, "tags": []} for t in tracks], clips)
    with pytest.raises(UsageError, match="0 distinct captions on 0 usable train tracks"):
        cli.train("ttmr_classification", none.root, str(tmp_path / "no-run"), settings=TINY)


def test_a_recipe_extends_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nextends: ttmr\ntext: {representation: tag}\n")
    (tmp_path / "more.yaml").write_text("name: more\nextends: mine.yaml\nobjective: {kind: siglip}\n")
    found, published = recipe_of_ttmr(str(tmp_path / "more.yaml")), recipe_of_ttmr("ttmr")
    assert (found.name, found.text.representation, found.text.max_length) == ("more", "tag", 64)
    # Another kind knows none of the keys that the published one set.
    assert found.objective.kind == "siglip" and found.model == published.model
    (tmp_path / "round.yaml").write_text("name: round\nextends: again.yaml\n")
    (tmp_path / "again.yaml").write_text("name: again\nextends: round.yaml\n")
    with pytest.raises(
        UsageError, match=r"extends itself: .*round\.yaml extends .*again\.yaml extends .*round\.yaml"
    ):
        load_recipe(str(tmp_path / "round.yaml"))
    (tmp_path / "self.yaml").write_text(f"name: self\nextends: ../{tmp_path.name}/self.yaml\n")
    with pytest.raises(UsageError, match="extends itself"):
        load_recipe(str(tmp_path / "self.yaml"))
    # A file may be called as the recipe that it extends, and is no base of those that come with Tracklore.
    (tmp_path / "ttmr").write_text("name: ttmr\nextends: ttmr\ndata: {train: [train]}\noptimiser: {kind: adamw}\n")
    found = recipe_of_ttmr(str(tmp_path / "ttmr"))
    assert (found.data.train, found.optimiser.kind, found.optimiser.lr) == (
        ("train",),
        "adamw",
        published.optimiser.lr,
    )
    with monkeypatch.context() as moved:
        moved.chdir(tmp_path)
        assert load_recipe("ttmr_classification").data.train == ("train", "extra")
    (tmp_path / "odd.yaml").write_text("name: odd\nextends: [ttmr]\n")
    with pytest.raises(UsageError, match="extends: is the name of a recipe"):
        load_recipe(str(tmp_path / "odd.yaml"))


def test_a_batch_in_chunks_is_the_batch(dataset: Path, small: tuple[str, ...], tmp_path: Path) -> None:
    """But for batch normalisation, which sees chunks: so the losses begin equal, and stay near."""
    losses = {}
    for name, chunk in (("whole", "null"), ("chunks", "5")):
        more = [
            *small,
            "training.epochs=2",
            "model.audio.dropout=0",
            "model.text.dropout=0",
            f"training.chunk={chunk}",
        ]
        cli.train("demo", str(dataset), str(tmp_path / name), settings=more)
        lines = (tmp_path / name / "history.jsonl").read_text().splitlines()
        losses[name] = [json.loads(line)["loss"] for line in lines]
    assert len(losses["chunks"]) == len(losses["whole"]) == 6
    np.testing.assert_allclose(losses["chunks"], losses["whole"], rtol=0.05)
    assert losses["chunks"] != losses["whole"]
