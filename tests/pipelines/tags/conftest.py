from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipelines.tags.normalise import Normaliser
from pipelines.tags.rules import TagRules, load_rules


@pytest.fixture(scope="session")
def normaliser() -> Normaliser:
    """With the shipped rules."""
    return Normaliser(load_rules("msd500"))


@pytest.fixture(scope="session")
def ruled() -> Callable[..., Normaliser]:
    """With rules of one's own."""

    def make(**rules: Any) -> Normaliser:
        return Normaliser(TagRules.model_validate(rules))

    return make
