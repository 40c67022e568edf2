"""A recipe: one YAML a configuration of training, as strict models. Unknown keys are refused by name."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.errors import UsageError
from schemas.manifest import Name, Section, parse_yaml, validated, with_settings

SplitNames = Annotated[tuple[Name, ...], Field(min_length=1)]


class DataSection(Section):
    """What the recipe needs of a dataset; any that has it will do. Tasks add the features that they need."""

    scheme: str = Field(default="default", description="of splits.parquet")
    fold: int = Field(default=0, ge=0)
    train: SplitNames = ("train",)
    valid: SplitNames = ("valid",)
    test: SplitNames = ("test",)

    @model_validator(mode="after")
    def _apart(self) -> DataSection:
        seen: set[str] = set()
        for name in (*self.train, *self.valid, *self.test):
            if name in seen:
                raise ValueError(f"split {name!r} stands in two of train, valid and test")
            seen.add(name)
        return self


class ObjectiveSection(BaseModel):
    """The objective. `kind` names the module that knows the other keys."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = "info_nce"


class OptimiserSection(Section):
    """The optimiser and its schedule: linear warm-up, then a cosine down to `final_lr_ratio`."""

    kind: Literal["adam", "adamw"] = "adam"
    lr: float = Field(default=5e-5, gt=0)
    weight_decay: float = Field(default=0.0, ge=0, description="on matrices only")
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float | None = Field(default=None, gt=0, description="of the gradient; null for none")
    warmup_epochs: float = Field(default=10, ge=0)
    final_lr_ratio: float = Field(default=0.0, ge=0, le=1)


class TrainingSection(Section):
    """How long, in what portions, and when to stop."""

    batch_size: int = Field(default=64, ge=2, description="tracks a step over all devices together")
    epochs: int = Field(default=100, ge=1)
    chunk: int | None = Field(
        default=None, ge=1, description="tracks that a device embeds at once, where not all fit; null for all"
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="decay of a moving average of the weights, which is what is validated and kept; null for none",
    )
    validate_every: int = Field(default=1, ge=1, description="epochs")
    select_by: str = Field(
        default="loss", description="which validation is the best: the least loss, or the most of a task's figure"
    )
    keep_best: int = Field(default=0, ge=0, description="the weights of so many best validations stay, in best/")
    patience: int | None = Field(default=20, ge=1, description="validations without a better one; null for never")
    log_every: int = Field(default=50, ge=1, description="steps")
    checkpoint_every: int = Field(default=500, ge=1, description="steps")
    seed: int = Field(default=0, ge=0)


class MachineSection(Section):
    """Where it runs. Enters no digest, and may change when a run is resumed."""

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int | Literal["auto"] = Field(default="auto", description="auto: every GPU, or one CPU process")
    precision: Literal["auto", "32-true", "bf16-mixed"] = Field(
        default="auto", description="auto: bf16-mixed on CUDA, else 32-true"
    )
    threads: int | None = Field(default=None, ge=1, description="of PyTorch; null for every core")
    readers: int = Field(default=2, ge=1, description="threads that read ahead")
    ahead: int = Field(default=4, ge=1, description="batches read ahead")
    compile: bool = Field(default=False, description="compile the encoders; the first steps then take minutes")
    wandb: str | None = Field(default=None, description="a project of W&B that the history is sent to")


class Recipe(Section):
    """One configuration of training, as far as all tasks share it; each task's own has more keys.

    `data` and `training` are redefined by tasks that know more keys there.
    """

    name: Name
    description: str = ""
    task: Name = "text_audio"
    data: DataSection = DataSection()
    objective: ObjectiveSection = ObjectiveSection()
    optimiser: OptimiserSection = OptimiserSection()
    training: TrainingSection = TrainingSection()
    machine: MachineSection = MachineSection()

    def content(self) -> dict[str, Any]:
        """What decides the result: everything but the machine."""
        return self.model_dump(mode="json", exclude={"machine", "description"})

    def resolved(self, where: str) -> Self:
        """With every section validated by the kind that it names, and every default filled in.

        Raises:
            UsageError: an unknown kind or key, or a value out of bounds.
        """
        from train.objectives import objective_settings

        objective = objective_settings(self.objective.model_dump(), where)
        return self.model_copy(update={"objective": ObjectiveSection.model_validate(objective.model_dump())})


def shipped_recipes() -> list[str]:
    """Bare names of the recipes that come with Tracklore."""
    folder = importlib.resources.files("train.recipes")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def recipe_text(name: str, beside: Path | None = None) -> tuple[str, str, Path | None]:
    """Find a recipe by path or bare name; return (text, where, its file or None if shipped).

    Args:
        beside: the file of a recipe that names this one; its own folder is looked in first.

    Raises:
        UsageError: neither a file nor a shipped name.
    """
    for path in ([] if beside is None else [beside.parent / name]) + [Path(name)]:
        try:
            if path.is_file():
                return path.read_text("utf-8"), str(path), path.resolve()
        except (OSError, ValueError) as error:
            raise UsageError(f"{name!r}: cannot be read ({error})") from error
    return _shipped(name)


def _shipped(name: str) -> tuple[str, str, None]:
    bare = re.fullmatch(r"(?:train/recipes/)?([A-Za-z0-9_-]+)(?:\.yaml)?", name)
    if bare and bare[1] in shipped_recipes():
        shipped = importlib.resources.files("train.recipes").joinpath(f"{bare[1]}.yaml")
        return shipped.read_text("utf-8"), f"{bare[1]}.yaml", None
    raise UsageError(f"{name}: no such recipe; give a path, or one of: {', '.join(shipped_recipes())}")


def load_recipe(name: str, settings: Iterable[str] = ()) -> Recipe:
    """Load a recipe by path or bare name, with `--set` applied.

    Raises:
        UsageError: not found, not YAML, a key that is not known or a value out of bounds.
    """
    text, where, file = recipe_text(name)
    return recipe_of(with_settings(_content(text, where, file), settings), where)


def _content(text: str, where: str, file: Path | None, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """A recipe's keys over those of the recipe that it `extends`.

    A file names files beside it before recipes that come with Tracklore; the latter name each other alone, whatever
    files there are.
    """
    content = parse_yaml(text, where)
    if not isinstance(content, dict):
        raise UsageError(f"{where}: a recipe is a mapping of keys, such as name: and data:")
    base = content.pop("extends", None)
    if base is None:
        return content
    if not isinstance(base, str):
        raise UsageError(f"{where}: extends: is the name of a recipe, not {base!r}")
    known = (*above, str(file or where))
    found, found_where, found_file = _shipped(base) if file is None else recipe_text(base, file)
    if found_file is not None and found_file == file and base in shipped_recipes():
        found, found_where, found_file = _shipped(
            base
        )  # a file of that name extends the one that it is named after
    if str(found_file or found_where) in known:
        told = " extends ".join((*known, str(found_file or found_where)))
        raise UsageError(f"{where}: extends itself: {told}")
    below = _content(found, found_where, found_file, known)
    below.pop("description", None)
    return _over(below, content)


# Of these the kind says which other keys there are: another kind begins anew.
_KINDS = frozenset({"objective", "text", "audio"})


def _over(base: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in content.items():
        below = base.get(key)
        merged[key] = value
        if isinstance(below, dict) and isinstance(value, dict):
            anew = key in _KINDS and value.get("kind", below.get("kind")) != below.get("kind")
            merged[key] = value if anew else _over(below, value)
    return merged


def recipe_of(content: Mapping[str, Any], where: str) -> Recipe:
    """Validate a recipe by its task's model, the sections that name a kind included, and fill in every default."""
    from train.tasks import USUAL, task_module

    return validated(task_module(str(content.get("task", USUAL))).RECIPE, content, where).resolved(where)


def first_difference(old: Any, new: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first key (dotted, in sorted order) under which two parsed JSON values differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(set(old) | set(new)):
            found = first_difference(old.get(name), new.get(name), f"{key}.{name}" if key else name)
            if found:
                return found
        return None
    return None if old == new else (key, old, new)
