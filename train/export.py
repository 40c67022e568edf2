"""`tracklore export RUN`: a trained model by itself, which `train.load` opens without run, dataset or hub.

DIR/
  README.md            the model card
  contents.json        format, and the digest of every file below; written last: what has none is no whole export
  recipe.json          the recipe, without the machine that it ran on
  data.json            what it was trained on: name, digests, and the specification of what it hears
  model.safetensors    the best weights
  tokenizer.json, …    what else the task's network is made from

The files are named as in a run, so whatever measures a run measures an export. Equal runs give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from schemas.digests import canonical_json
from schemas.errors import DataError, UsageError
from schemas.store import Store
from train.loop.setup import kept_of, trained_network
from train.model_card import CARD_FILE, model_card
from train.run import DATA, MODEL, RECIPE, Run, json_text

CONTENTS = "contents.json"
FORMAT = 1


def export_run(run: Run, out: Store) -> list[str]:
    """Write a run's best weights and all that they need.

    Args:
        out: a new or empty folder, or an earlier export.

    Returns:
        the files that were written.

    Raises:
        UsageError: no trained run, or `out` holds something else.
        DataError: a file of the run is damaged.
    """
    recipe = run.recipe()
    network = trained_network(run, recipe)
    texts = {
        RECIPE: json_text({**recipe.content(), "description": recipe.description}),
        DATA: json_text(run.read_json(DATA)),
        **kept_of(run, recipe),
    }
    _require_ours(out, texts)
    out.remove(CONTENTS)
    for name, text in sorted(texts.items()):
        out.write_text(name, text)
    out.write_bytes(MODEL, run.store.read_bytes(MODEL))
    out.write_text(CARD_FILE, model_card(run, recipe, sum(p.numel() for p in network.parameters())))
    held = sorted((*texts, MODEL))
    content = {"format": FORMAT, "task": recipe.task, "files": {name: out.sha256(name) for name in held}}
    out.write_text(CONTENTS, canonical_json(content) + "\n")
    return sorted((*held, CARD_FILE, CONTENTS))


def check_export(run: Run) -> None:
    """Check that a directory is a whole export; a run is left to whoever opens it.

    Raises:
        UsageError: it is neither, or of another format.
        DataError: a file is missing or not the one that was exported.
    """
    store, where = run.store, f"{run.store.root}/{CONTENTS}"
    if not store.exists(CONTENTS):
        if not store.exists(RECIPE):
            raise UsageError(
                f"{store.root}: holds neither a trained run nor an exported model; make one with tracklore train "
                "and tracklore export"
            )
        return
    try:
        content: dict[str, Any] = json.loads(store.read_text(CONTENTS))
        version, files = content["format"], dict(content["files"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{where}: is damaged ({error}); export the run again") from error
    if version != FORMAT:
        raise UsageError(f"{where}: is of format {version}, and this version reads {FORMAT}; update Tracklore")
    for name, digest in sorted(files.items()):
        if store.size(name) is None or store.sha256(name) != digest:
            raise DataError(f"{store.root}/{name}: is missing or not what {CONTENTS} lists; export the run again")


def _require_ours(out: Store, names: Iterable[str]) -> None:
    there = {info.path for info in out.list()} if out.root_exists() else set()
    # One that was killed has no contents yet, but some files of an export and nothing else.
    if there and CONTENTS not in there and not (RECIPE in there and there <= {*names, MODEL, CARD_FILE}):
        raise UsageError(f"{out.root}: holds files and no export; give an empty or a new directory by --out")
