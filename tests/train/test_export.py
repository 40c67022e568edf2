"""A trained model by itself: what an export holds, and that one line opens it and hears what the run heard."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import yaml

import train
from schemas.errors import DataError, UsageError
from tests.conftest import Command
from train import cli
from train.data.dataset import Dataset
from train.evaluate.embed import Embedder
from train.run import Run

Vectors = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def unmeasured(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    """`trained`, whatever other tests have measured of it."""
    out = tmp_path_factory.mktemp("unmeasured") / "run"
    shutil.copytree(trained, out, ignore=shutil.ignore_patterns("metrics.json", "embeddings.parquet"))
    return out


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, unmeasured: Path) -> Path:
    """An export of `unmeasured`; read-only by agreement."""
    out = tmp_path_factory.mktemp("exported") / "model"
    cli.export(str(unmeasured), str(out))
    return out


def embeddings_of(run: Path, data: Path, tracks: list[str]) -> Vectors:
    """What the run itself makes of a dataset's shards."""
    return Embedder(Run.at(str(run))).tracks(Dataset(str(data)).reader("ttmr"), tracks)


def test_the_features_own_arrays_give_the_embeddings_of_the_run(
    exported: Path, unmeasured: Path, dataset: Path, clips: Mapping[str, list[npt.NDArray[np.float16]]]
) -> None:
    model = train.load(exported)
    single = [track for track in sorted(clips) if len(clips[track]) == 1]
    assert {len(clips[track][0]) % 32 for track in single} > {0}  # ends that only a crop aligned to them hears
    found = model.embed_audio([clips[track][0] for track in single])
    assert found.dtype == np.float32 and found.shape == (len(single), model.dimensions)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.allclose(found, embeddings_of(unmeasured, dataset, single), atol=1e-5)
    assert np.array_equal(train.load(unmeasured).embed_audio(clips[single[0]][0]), found[:1])
    said = model.embed_text(["piano", "calm drums"])
    assert said.dtype == np.float32 and np.allclose(np.linalg.norm(said, axis=1), 1, atol=1e-5)
    assert np.allclose(said, Embedder(Run.at(str(unmeasured))).texts(["piano", "calm drums"]), atol=1e-6)
    assert np.array_equal(model.embed_text("piano"), model.embed_text(["piano"]))
    assert model.embed_audio([]).shape == model.embed_text([]).shape == (0, model.dimensions)


def test_the_last_second_is_heard(exported: Path, clips: Mapping[str, list[npt.NDArray[np.float16]]]) -> None:
    model = train.load(exported)
    clip = clips["t000"][0][:70]
    changed = clip.copy()
    changed[-2:] += 40
    assert not np.allclose(model.embed_audio(clip), model.embed_audio(changed), atol=1e-3)


def test_an_export_is_a_directory_that_needs_nothing_else(exported: Path, unmeasured: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == [
        "README.md",
        "contents.json",
        "data.json",
        "model.safetensors",
        "recipe.json",
        "text_config.json",
        "tokenizer.json",
        "train_tags.json",
    ]
    alone = tmp_path / "moved" / "elsewhere"
    shutil.copytree(exported, alone)
    program = (
        "import sys, train\n"
        f"model = train.load({str(alone)!r})\n"
        "import numpy as np\n"
        "model.embed_audio(np.zeros((50, 16), np.float16)); model.embed_text(['calm'])\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}\n"
        "    & {'pipelines', 'lightning_fabric', 'tensorboard', 'apache_beam'}))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_equal_runs_give_equal_bytes_and_may_be_exported_again(
    exported: Path, unmeasured: Path, tmp_path: Path, command: Command
) -> None:
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    moved = tmp_path / "run"
    shutil.copytree(unmeasured, moved)
    recipe = json.loads((moved / "recipe.json").read_text())
    recipe["machine"] |= {"threads": 7, "readers": 5}  # equal but for the machine
    (moved / "recipe.json").write_text(json.dumps(recipe))
    (moved / "location.json").write_text('{"data": "/elsewhere", "from_run": null}')
    ran = command("export", moved, "--out", tmp_path / "second")
    assert ran.code == 0 and "train.load(" in ran.out
    assert {path.name: path.read_bytes() for path in (tmp_path / "second").iterdir()} == before
    (tmp_path / "second" / "contents.json").unlink()  # as a killed export leaves it
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert command("export", moved, "--out", "second").code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "second").iterdir()} == before


def test_the_card_says_what_it_is(exported: Path, unmeasured: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(unmeasured, run)
    card = {
        "title": "Six <sounds>",
        "licence": "CC-BY 4.0",
        "sources": [{"name": "Half | of it", "licence": "CC BY-NC 4.0", "url": "https://example.org"}],
    }
    (run / "dataset_card.json").write_text(json.dumps(card))
    metrics = {
        "split": "test",
        "retrieval": {"recall_at_10": 0.5, "pairs": 25, "intervals": {"recall_at_10": [0.4, 0.61]}},
        "tagging": {"roc_auc": 0.75, "pr_auc": None, "by_category": {"mood": {"roc_auc": 0.1}}, "intervals": {}},
        "notes": ["One thing to know."],
    }
    (run / "metrics.json").write_text(json.dumps(metrics))
    cli.export(str(run), str(tmp_path / "model"))
    text = (tmp_path / "model" / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["library_name"] == "tracklore" and "text_audio" in front["tags"]
    for words in (
        "# demo",
        'train.load("THIS_FOLDER")',
        "Six &lt;sounds&gt;",
        "58 tracks to learn from",
        "Licence of the dataset: CC-BY 4.0.",
        "| Half \\| of it | CC BY-NC 4.0 | https://example.org |",
        "| retrieval recall at 10 | 0.500 | 0.400 to 0.610 |",
        "| tagging roc auc | 0.750 |  |",
        "- One thing to know.",
        "in crops of 32 frames",
    ):
        assert words in text, words
    assert "0.100" not in text
    recipe = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert recipe["training"]["batch_size"] == 16 and "machine" not in recipe
    bare = (exported / "README.md").read_text()
    assert "What it is worth" not in bare and "Licence of the dataset: not stated." in bare


def test_what_is_damaged_or_foreign_is_one_line(exported: Path, unmeasured: Path, tmp_path: Path) -> None:
    def refused(where: Path, kind: type[Exception], words: str) -> None:
        with pytest.raises(kind, match=words) as caught:
            train.load(where)
        assert len(str(caught.value).splitlines()) == 1

    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "notes.txt").write_text("mine")
    for foreign in (tmp_path / "nowhere", tmp_path / "thesis"):
        refused(foreign, UsageError, "holds neither a trained run nor an exported model")
    for name in ("model.safetensors", "recipe.json", "data.json", "tokenizer.json"):
        for damage in ("flipped", "gone"):
            broken = tmp_path / f"{name}-{damage}"
            shutil.copytree(exported, broken)
            content = bytearray((broken / name).read_bytes())
            content[len(content) // 2] ^= 1
            (broken / name).write_bytes(content) if damage == "flipped" else (broken / name).unlink()
            refused(broken, DataError, rf"{name}: is missing or not what contents\.json lists")
    for text, kind, words in (
        ("[", DataError, "is damaged"),
        ("{}", DataError, "is damaged"),
        ('{"format": 2, "files": {}}', UsageError, "update Tracklore"),
    ):
        (tmp_path / "nowhere").mkdir(exist_ok=True)
        (tmp_path / "nowhere" / "contents.json").write_text(text)
        refused(tmp_path / "nowhere", kind, words)
    run = tmp_path / "run"
    shutil.copytree(unmeasured, run)
    (run / "model.safetensors").unlink()
    refused(run, DataError, "model.safetensors: is missing")
    (run / "recipe.json").write_text("{")
    refused(run, DataError, "recipe.json: is damaged")


def test_an_export_goes_where_nothing_else_is(
    exported: Path, unmeasured: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "README.md").write_text("mine")
    ran = command("export", unmeasured, "--out", tmp_path)
    assert ran.code == 2 and "holds files and no export" in ran.err
    assert (tmp_path / "README.md").read_text() == "mine"
    ran = command("export", unmeasured, "--out", unmeasured)
    assert ran.code == 2 and "holds files and no export" in ran.err
    ran = command("export", tmp_path / "nowhere", "--out", tmp_path / "x")
    assert ran.code == 2 and "is no trained run" in ran.err and not (tmp_path / "x").exists()


def test_arrays_that_are_not_the_features_are_refused(exported: Path) -> None:
    model = train.load(exported)
    for array in (np.zeros((50, 17)), np.zeros(50), np.zeros((0, 16)), np.zeros((2, 50, 16))):
        with pytest.raises(
            UsageError, match=r"the feature 'ttmr' is \(frames, 16\); with samples, give their rate"
        ):
            model.embed_audio(array)
    with pytest.raises(DataError, match="sound 1 holds values that are not finite"):
        model.embed_audio([np.zeros((50, 16)), np.full((50, 16), np.nan)])
    # The feature of this dataset was computed by nothing that is known.
    with pytest.raises(UsageError, match="give the feature's own arrays"):
        model.embed_audio("song.wav")


def test_an_export_is_measured_as_the_run_is(
    exported: Path, unmeasured: Path, dataset: Path, tmp_path: Path
) -> None:
    run, model = tmp_path / "run", tmp_path / "model"
    shutil.copytree(unmeasured, run)
    shutil.copytree(exported, model)
    of_model, of_run = (cli.evaluate(str(place), str(dataset)) for place in (model, run))
    # Whose artists a model has met, its dataset says, and an export knows of none.
    for found in (of_model, of_run):
        del found["trained_on"], found["notes"]
    assert of_model == of_run
    assert train.load(model).dimensions == 16
