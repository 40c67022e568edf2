"""Objectives, one module each: `Settings` (the recipe's section) and `Objective` (a module of its parameters).

An objective is found by its module's name, so adding one is adding one file. It is called with embeddings of the
whole global batch and what is known of their pairs (`base.Pairs`); every rank computes the same scalar.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from schemas.manifest import Section
from train.kinds import Kinds


class ObjectiveModule(Protocol):
    """What a module of this package offers as an objective."""

    Settings: type[Section]
    Objective: Any


_KINDS = Kinds(
    __name__, key="objective", called="objective", usual="info_nce", helpers=("base", "gather", "negatives")
)


def known_objectives() -> list[str]:
    """The kinds that a recipe may name."""
    return _KINDS.known()


def objective_module(kind: str) -> ObjectiveModule:
    """The module of a kind; see `Kinds.module`."""
    module: ObjectiveModule = _KINDS.module(kind)
    return module


def objective_settings(section: Mapping[str, Any], where: str) -> Section:
    """The recipe's section, validated; see `Kinds.settings`."""
    return _KINDS.settings(section, where)
