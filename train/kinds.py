"""What a recipe names by its kind: one module of a package each, found by the module's name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import UsageError, suggest
from schemas.manifest import Section, validated


@dataclass(frozen=True)
class Kinds:
    """The kinds of a package; each module has `Settings`, a section of the recipe.

    Attributes:
        package: its name.
        key: the recipe's section, for errors.
        called: what one is, for errors.
        usual: the kind where the recipe names none.
        helpers: modules that are no kind.
        named_by: the recipe's key that names the kind, where it is not `kind` of the section.
    """

    package: str
    key: str
    called: str
    usual: str
    helpers: Collection[str]
    named_by: str | None = None

    def known(self) -> list[str]:
        """The kinds that a recipe may name, sorted."""
        path = importlib.import_module(self.package).__path__
        return sorted(module.name for module in pkgutil.iter_modules(path) if module.name not in self.helpers)

    def module(self, kind: str) -> Any:
        """The module of a kind.

        Raises:
            UsageError: there is none of that name.
        """
        if kind not in self.known():
            named_by = self.named_by or f"{self.key}.kind"
            raise UsageError(f"{named_by}: no {self.called} {kind!r}{suggest(kind, self.known())}")
        return importlib.import_module(f"{self.package}.{kind}")

    def settings(self, section: Mapping[str, Any], where: str) -> Section:
        """Validate the recipe's section by the kind's own model.

        Raises:
            UsageError: an unknown kind or key, or a value out of bounds.
        """
        model: type[Section] = self.module(str(section.get("kind", self.usual))).Settings
        return validated(model, dict(section), where, self.key)
