"""Objectives, one module each: `Settings` (the recipe's section) and `Objective` (a module of its parameters).

An objective is found by its module's name, so adding one is adding one file. It is called with embeddings of the
whole global batch and what is known of their pairs (`base.Pairs`); every rank computes the same scalar.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Protocol

from schemas.errors import UsageError, suggest
from schemas.manifest import Section, validated

_HELPERS = frozenset({"base", "gather", "negatives"})


class ObjectiveModule(Protocol):
    """What a module of this package offers as an objective."""

    Settings: type[Section]
    Objective: Any


def known_objectives() -> list[str]:
    """The kinds that a recipe may name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _HELPERS)


def objective_module(kind: str) -> ObjectiveModule:
    """The module of a kind.

    Raises:
        UsageError: there is none of that name.
    """
    if kind not in known_objectives():
        raise UsageError(f"objective.kind: no objective {kind!r}{suggest(kind, known_objectives())}")
    module: Any = importlib.import_module(f"{__name__}.{kind}")
    return module  # type: ignore[no-any-return]


def objective_settings(section: Mapping[str, Any], where: str) -> Section:
    """Validate the recipe's section by the objective's own model.

    Raises:
        UsageError: an unknown kind or key, or a value out of bounds.
    """
    module = objective_module(str(section.get("kind", "info_nce")))
    return validated(module.Settings, dict(section), where, "objective")
