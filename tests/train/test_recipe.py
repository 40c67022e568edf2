"""Recipes: the shipped ones, and what is said of a wrong one."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from schemas.errors import UsageError
from train.recipe import first_difference, load_recipe, shipped_recipes
from train.tasks.text_audio.recipe import TextAudioRecipe

ROOT = Path(__file__).resolve().parents[2]


def recipe_of_ttmr(name: str, settings: Sequence[str] = ()) -> TextAudioRecipe:
    """A recipe of text and audio."""
    recipe = load_recipe(name, settings)
    assert isinstance(recipe, TextAudioRecipe)
    return recipe


def test_shipped_recipes_load_by_bare_name_and_by_path() -> None:
    assert {"demo", "ttmr"} <= set(shipped_recipes())
    for name in shipped_recipes():
        assert load_recipe(name).name == name
        assert load_recipe(str(ROOT / "train" / "recipes" / f"{name}.yaml")) == load_recipe(name)


def test_ttmr_is_the_published_configuration() -> None:
    recipe = recipe_of_ttmr("ttmr")
    assert (recipe.training.batch_size, recipe.training.epochs, recipe.training.patience) == (64, 100, 20)
    assert (recipe.optimiser.lr, recipe.optimiser.warmup_epochs) == (5e-5, 10)
    assert recipe.objective.model_dump()["temperature"] == 0.2
    assert (recipe.text.representation, recipe.text.max_length) == ("stochastic", 64)
    assert recipe.model.text.model_dump()["name"] == "bert-base-uncased"


def test_settings_override() -> None:
    recipe = recipe_of_ttmr(
        "ttmr", ["model.text.name=/models/bert", "objective.temperature=0.1", "data.train=[train]"]
    )
    assert recipe.model.text.model_dump()["name"] == "/models/bert"
    assert recipe.objective.model_dump()["temperature"] == 0.1
    assert recipe.data.train == ("train",)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["training.epoch=3"], r"demo\.yaml: training\.epoch: unknown key; did you mean 'epochs'"),
        (["training.epochs=0"], r"training\.epochs: .*greater than or equal to 1"),
        (["model.audio.heads=3"], r"model\.audio: width 128 does not divide over 3 heads"),
        (["model.audio.channels=[8]"], r"1 channels and 3 pools"),
        (["objective.temperature=-1"], r"objective\.temperature: .*greater than 0"),
        (["task=text_audios"], r"task: no task 'text_audios'; did you mean 'text_audio'"),
        (["objective.kind=triplets"], r"no objective 'triplets'; did you mean 'triplet'"),
        (["objective.kind=triplet"], r"objective\.temperature: unknown key"),
        (["model.text.kind=glov"], r"no text encoder 'glov'; did you mean 'glove'"),
        (["model.text.heads=3"], r"model\.text: width 64 does not divide over 3 heads"),
        (["data.test=[train]"], r"split 'train' stands in two"),
        (["data"], r"--set data: write"),
    ],
)
def test_a_wrong_key_is_named(settings: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        load_recipe("demo", settings)
    assert len(str(caught.value).splitlines()) <= 2


def test_an_unknown_recipe_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such recipe; give a path, or one of: demo, demo_video"):
        load_recipe("demoo")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(UsageError, match="a recipe is a mapping"):
        load_recipe(str(tmp_path / "list.yaml"))


def test_the_machine_is_no_part_of_the_result() -> None:
    one, other = load_recipe("demo"), load_recipe("demo", ["machine.devices=1", "machine.threads=2"])
    assert first_difference(one.content(), other.content()) is None
    changed = load_recipe("demo", ["optimiser.lr=0.5"])
    assert first_difference(one.content(), changed.content()) == ("optimiser.lr", one.optimiser.lr, 0.5)


def test_importing_the_verbs_imports_no_torch() -> None:
    heavy = ("torch", "pyarrow", "numpy", "transformers")
    program = f"import sys, train.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_trainer_never_imports_the_pipelines_but_to_hear_a_file() -> None:
    for path in sorted({*(ROOT / "train").rglob("*.py")} - {ROOT / "train/hear.py"}):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in {"pipelines", "tracklore"} for name in names), path
