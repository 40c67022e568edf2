"""metrics.json: all that was measured of a run's weights, on its own dataset and on others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.errors import TrackloreError
from schemas.tables.splits import DEFAULT_SCHEME
from train.run import DATA, METRICS, MODEL, Run

_COSTLY = ("probes", "data_efficiency")


def is_own(run: Run, found: Mapping[str, Any]) -> bool:
    """Whether something was measured on the dataset, in the scheme and the fold, that the run was trained on."""
    known, section, data = run.read_json(DATA), run.recipe().data, found["data"]
    split = (found.get("scheme", section.scheme), found.get("fold", section.fold))
    return (data["name"], data["manifest"], *split) == (
        known.get("name"),
        known.get("manifest"),
        section.scheme,
        section.fold,
    )


def record(run: Run, found: dict[str, Any]) -> dict[str, Any]:
    """Write what was measured into metrics.json, and return the file's content.

    What was measured on the run's own dataset and split is the file; what on others, stands under `elsewhere` by
    the dataset's name and, where it is not the default, the scheme and fold. Other figures of the same weights
    stay: those of other datasets, and probes that were not trained again.
    """
    model = run.store.sha256(MODEL)
    before = _before(run, model)
    if not is_own(run, found):
        content = {**before, "model": model}
        content["elsewhere"] = {**content.get("elsewhere", {}), _name(found): found}
    else:
        same = (before.get("data"), before.get("split")) == (found["data"], found["split"])
        kept = {key: before[key] for key in _COSTLY if same and key in before}
        content = {**kept, **found, "model": model, "elsewhere": before.get("elsewhere", {})}
    run.write_json(METRICS, content)
    return content


def _name(found: Mapping[str, Any]) -> str:
    scheme, fold = found.get("scheme", DEFAULT_SCHEME), found.get("fold", 0)
    return str(found["data"]["name"]) + ("" if (scheme, fold) == (DEFAULT_SCHEME, 0) else f" ({scheme}/{fold})")


def _before(run: Run, model: str) -> dict[str, Any]:
    if not run.store.exists(METRICS):
        return {}
    try:
        before = run.read_json(METRICS)
    except TrackloreError:
        return {}  # a damaged file is made again
    return before if before.get("model") == model and isinstance(before.get("elsewhere"), dict) else {}
