"""A run directory: what a training leaves behind, and needs no dataset or hub to be used again.

RUN/
  recipe.json          the recipe as resolved
  data.json            which dataset: name, digests, the feature's specification; nothing of where it lies
  location.json        where the dataset lay, as given on the command line; part of no digest
  dataset_card.json    what the dataset says of itself: title, licence, and its sources' names and licences
  environment.json     the versions, commit and machine it was trained on, from which step on; in no digest
  tokenizer.json       the text vocabulary
  text_config.json     the text encoder's architecture
  model.safetensors    the best weights so far, with the input's mean and standard deviation
  best/step-00001000.safetensors   the weights of the best validations, where the recipe keeps some
  checkpoints/last.safetensors   everything that --resume needs
  history.jsonl        a row a logged step: epoch, step, loss, lr, valid_loss, the objective's figures
  state.json           how far it came, the best step, notes
  train_tags.json      the tags of the tracks trained on
  metrics.json         what evaluate measured, on this dataset and on others
  space.parquet        where the test split's audio, captions and tags lie in the joint space
  report.html          a page about the run
  embeddings.parquet   a cache of search
  logs/                TensorBoard, with the speed
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.digests import canonical_json
from schemas.errors import DataError, UsageError
from schemas.receipt import require_receipt
from schemas.store import Store
from train.recipe import Recipe, first_difference, recipe_of

RECIPE, DATA, LOCATION = "recipe.json", "data.json", "location.json"
DATASET_CARD, ENVIRONMENT = "dataset_card.json", "environment.json"
TOKENIZER, TEXT_CONFIG, MODEL = "tokenizer.json", "text_config.json", "model.safetensors"
BEST = "best"
LAST, HISTORY, STATE = "checkpoints/last.safetensors", "history.jsonl", "state.json"
METRICS, EMBEDDINGS, LOGS = "metrics.json", "embeddings.parquet", "logs"
TRAIN_TAGS, SPACE, REPORT = "train_tags.json", "space.parquet", "report.html"


@dataclass(frozen=True)
class Run:
    """A run directory."""

    store: Store

    @classmethod
    def at(cls, root: str) -> Run:
        """The run in a directory, which need not be there yet."""
        return cls(Store(root))

    def read_json(self, path: str) -> dict[str, Any]:
        """One of the run's JSON files.

        Raises:
            UsageError: there is no such file, so no run, or not a trained one.
            DataError: it is damaged.
        """
        where = f"{self.store.root}/{path}"
        try:
            content = json.loads(self.store.read_text(path))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(
                f"{where}: is missing, so this is no trained run; make one with tracklore train"
            ) from error
        except ValueError as error:
            raise DataError(f"{where}: is damaged ({error}); train again into another directory") from error
        if not isinstance(content, dict):
            raise DataError(f"{where}: is damaged (no mapping); train again into another directory")
        return content

    def write_json(self, path: str, content: dict[str, Any]) -> None:
        """Write one of the run's JSON files."""
        self.store.write_text(path, json_text(content))

    def recipe(self) -> Recipe:
        """The recipe that made the run."""
        return recipe_of(self.read_json(RECIPE), f"{self.store.root}/{RECIPE}")

    def remember_location(self, data: str) -> None:
        """Keep where the data lies: as given, and for local folders also as seen from the run."""
        seen = None
        if Store(data).is_local and self.store.is_local:
            seen = Path(
                os.path.relpath(Path(data).resolve(), Path(self.store.full("x")).parent.resolve())
            ).as_posix()
        self.write_json(LOCATION, {"data": data, "from_run": seen})

    def remember_card(self, data: str) -> None:
        """Keep what the dataset says of itself, for the model's card: licences above all."""
        card = require_receipt(Store(data)).recipe.get("card")
        self.write_json(DATASET_CARD, card if isinstance(card, dict) else {})

    def remember_environment(self, step: int, found: dict[str, Any]) -> None:
        """Keep on what the training runs from a step on; a run that goes on elsewhere has several."""
        known = self.read_json(ENVIRONMENT)["environments"] if self.store.exists(ENVIRONMENT) else []
        if not known or {**known[-1], "from_step": step} != {**found, "from_step": step}:
            self.write_json(ENVIRONMENT, {"environments": [*known, {**found, "from_step": step}]})

    def locate_data(self) -> str:
        """Where the dataset is now: beside the run as it was, or else where the command line said.

        Raises:
            UsageError: at neither place.
        """
        location = self.read_json(LOCATION)
        candidates = [str(location.get("data"))]
        if location.get("from_run") and self.store.is_local:
            beside = Path(self.store.full("x")).parent / str(location["from_run"])
            candidates.insert(0, os.path.normpath(beside))
        for candidate in candidates:
            if Store(candidate).exists("receipt.json"):
                return candidate
        raise UsageError(
            f"{self.store.root}: its dataset is no longer at {candidates[-1]}; say where by --data DIR"
        )

    def check(self, recipe: Recipe, identity: dict[str, Any], *, resume: bool) -> None:
        """Check that the directory is free for, or belongs to, a recipe and a dataset; writes nothing.

        Raises:
            UsageError: it holds something else, or a run of other keys, or a run and no --resume.
        """
        where = self.store.root
        if not self.store.exists(RECIPE):
            if self.store.root_exists() and self.store.list():
                raise UsageError(f"{where}: holds files and no run; give an empty or a new directory by --out")
            return
        here = self.recipe().content()
        changed = first_difference(here, recipe.content())
        if changed:
            key, old, new = changed
            raise UsageError(
                f"{where}: holds a run with {key}: {_short(old)}, and this recipe says {_short(new)}; "
                "use the same recipe or another --out"
            )
        if self.store.exists(DATA):
            # What is learnt from is what must be equal; a manifest may change without changing it.
            was, now = (
                {k: v for k, v in found.items() if k != "manifest"} for found in (self.read_json(DATA), identity)
            )
            changed = first_difference(was, now)
            if changed:
                key, old, new = changed
                raise UsageError(
                    f"{where}: holds a run on other data ({key}: {_short(old)}, now {_short(new)}); "
                    "give another --out"
                )
        if not resume:
            raise UsageError(f"{where}: holds a run already; go on with it by --resume, or give another --out")

    def claim(self, recipe: Recipe, identity: dict[str, Any]) -> None:
        """Make the directory a run of a recipe on a dataset."""
        self.write_json(RECIPE, recipe.model_dump(mode="json"))
        self.write_json(DATA, identity)


def json_text(content: dict[str, Any]) -> str:
    """JSON for people and programs: sorted, indented."""
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _short(value: Any) -> str:
    text = canonical_json(value)
    return text if len(text) <= 40 else text[:18] + "…" + text[-18:]
