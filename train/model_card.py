"""The model card: Markdown that says what a model hears, what it was trained on, how, and what it is worth."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from train.recipe import Recipe
from train.run import DATA, DATASET_CARD, METRICS, STATE, Run

CARD_FILE = "README.md"
_SPECIAL = re.compile(r"([\\`*_\[\]|~$#])")
_FIGURE = re.compile(r"(recall|chance)_at_\d+|map_at_\d+|median_rank|(roc|pr)_auc(_chance)?")
_IN_DETAIL = frozenset({"by_category", "by_tag", "intervals", "curves"})
_NOT_STATED = "not stated"


def model_card(run: Run, recipe: Recipe, parameters: int) -> str:
    """The card of a run. Equal runs give equal text."""
    data = run.read_json(DATA)
    front = {
        "library_name": "tracklore",
        "tags": ["music", "audio", "music-information-retrieval", recipe.task],
    }
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False).strip()}\n---",
        f"# {_plain(recipe.name)}",
        _plain(recipe.description),
        _use(recipe),
        f"## What it hears\n\n{_hears(data, recipe, parameters)}",
        f"## What it was trained on\n\n{_trained_on(run, data, recipe)}",
        f"## How\n\n```yaml\n{_recipe_text(recipe)}\n```",
        *_figures(run),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _use(recipe: Recipe) -> str:
    lines = [
        "import train",
        'model = train.load("THIS_FOLDER")',
        'model.embed_audio("song.mp3")  # unit vectors, float32 (1, D)',
    ]
    if hasattr(recipe, "text"):
        lines.append('model.embed_text(["calm piano"])  # of the same space: their dot product is the cosine')
    return "\n".join(("```python", *lines, "```"))


def _hears(data: Mapping[str, Any], recipe: Recipe, parameters: int) -> str:
    spec = data.get("feature_spec") or {}
    shape = ", ".join(str(n) for n in ("frames", *list(spec.get("shape", [-1]))[1:]))
    section: Any = recipe.data
    frames = getattr(section, "crop_frames", None) or getattr(section, "samples", None)
    hop_s = spec.get("hop_s")
    crop = f", in crops of {frames} frames" if frames else ""
    if frames and isinstance(hop_s, int | float):
        crop += f" ({frames * hop_s:.2f} s)"
    kind = ", ".join(str(spec[key]) for key in ("kind", "preset") if spec.get(key))
    rate = f", of sound at {spec['rate']:,} Hz" if isinstance(spec.get("rate"), int) else ""
    return (
        f"The feature {_code(data.get('feature'))} ({_plain(kind)}): {_plain(spec.get('dtype', ''))} ({shape})"
        f"{rate}{crop}; a longer sound is the mean of crops that cover all of it. Every parameter is in `{DATA}`. "
        f"The model has {parameters:,} parameters."
    )


def _trained_on(run: Run, data: Mapping[str, Any], recipe: Recipe) -> str:
    card, state = _told(run, DATASET_CARD), _told(run, STATE)
    title = card.get("title") or data.get("name")
    counts = ""
    if "train_tracks" in state:
        counts = (
            f": {state['train_tracks']:,} tracks to learn from, {state['valid_tracks']:,} to choose the weights by"
        )
    lines = [
        f"{_plain(title)} ({_code(data.get('name'))}, manifest {_code(str(data.get('manifest'))[:16])}), scheme "
        f"{_code(recipe.data.scheme)}, fold {recipe.data.fold}{counts}.",
        f"Licence of the dataset: {_plain(card.get('licence') or _NOT_STATED)}.",
    ]
    sources = [source for source in card.get("sources") or [] if isinstance(source, Mapping)]
    if sources:
        columns = (("name", ""), ("licence", _NOT_STATED), ("url", ""))
        lines.append("")
        lines += ["| made from | licence | where |", "| --- | --- | --- |"]
        lines += ["| " + " | ".join(_plain(s.get(key) or other) for key, other in columns) + " |" for s in sources]
    cited = [str(text) for text in (card.get("citation"), *(s.get("bibtex") for s in sources)) if text]
    if cited:
        lines += ["", _fenced("\n\n".join(dict.fromkeys(cited)))]
    return "\n".join(lines)


def _recipe_text(recipe: Recipe) -> str:
    return yaml.safe_dump(recipe.content(), sort_keys=False, allow_unicode=True, width=100).strip()


def _figures(run: Run) -> Iterator[str]:
    state, metrics = _told(run, STATE), _told(run, METRICS)
    if state.get("best_step") is not None:
        yield (
            f"The weights are those of step {state['best_step']:,} of {state['steps']:,}, whose loss on the "
            f"validation split was the least: {state['best_valid_loss']:.3f}."
        )
    rows = list(_measured(metrics, ()))
    if rows:
        table = ["| measured | value | 95 % interval over artists |", "| --- | ---: | ---: |"]
        table += [f"| {_plain(name)} | {value:.3f} | {within} |" for name, value, within in rows]
        of = f" on split {_code(metrics['split'])}" if "split" in metrics else ""
        yield f"## What it is worth{of}\n\n" + "\n".join(table)
    notes = [str(note) for note in metrics.get("notes") or []]
    if notes:
        yield "\n".join(f"- {_plain(note)}" for note in notes)


def _measured(section: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, float, str]]:
    """Name, value and interval of every figure, whatever task measured it."""
    known = section.get("intervals")
    intervals: Mapping[str, Any] = known if isinstance(known, Mapping) else {}
    for key, value in section.items():
        if isinstance(value, Mapping) and key not in _IN_DETAIL:
            yield from _measured(value, (*path, key))
        elif _FIGURE.fullmatch(key) and isinstance(value, int | float):
            within = intervals.get(key)
            shown = f"{within[0]:.3f} to {within[1]:.3f}" if isinstance(within, list) and len(within) == 2 else ""
            yield " ".join((*path, key)).replace("_", " "), float(value), shown


def _told(run: Run, name: str) -> dict[str, Any]:
    """A file that a run may lack."""
    return run.read_json(name) if run.store.exists(name) else {}


def _plain(text: object) -> str:
    """Text as Markdown that shows it: one line, nothing of it markup."""
    line = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", line)


def _code(text: object) -> str:
    return "`" + " ".join(str(text).split()).replace("`", "'").replace("|", "\\|") + "`"


def _fenced(text: str) -> str:
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
