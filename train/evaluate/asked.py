"""What `tracklore evaluate` is asked to measure, beside what every task always measures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from schemas.errors import UsageError
from train.recipe import DataSection

S = TypeVar("S", bound=DataSection)


def unwatched(more: int, total: int) -> None:
    """Tell nobody how far it came."""
    del more, total


@dataclass(frozen=True)
class Asked:
    """What is asked.

    Attributes:
        probing: train probes on frozen embeddings as well.
        percents: of the train split's labelled tracks, on which probes are trained as well, for a curve of data
            efficiency; ascending.
        groups: tags that are averaged by themselves as well, by the group's name.
        scheme, fold: another split of the dataset than the recipe's.
        embedded, trained: told of tracks embedded and of probes trained: how many more, and how many in all.
    """

    probing: bool = False
    percents: tuple[float, ...] = ()
    groups: Mapping[str, Collection[str]] = field(default_factory=dict)
    scheme: str | None = None
    fold: int | None = None
    embedded: Callable[[int, int], None] = unwatched
    trained: Callable[[int, int], None] = unwatched

    def section(self, own: S) -> S:
        """The recipe's section `data`, with the split that is asked for."""
        asked = {"scheme": self.scheme, "fold": self.fold}
        return own.model_copy(update={key: value for key, value in asked.items() if value is not None})


def percents_of(text: str) -> tuple[float, ...]:
    """Percentages such as `5,10,20`, ascending, each once.

    Raises:
        UsageError: something else, or not above 0 and at most 100.
    """
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError as error:
        raise UsageError(f"--fractions {text}: give percentages, such as 5,10,20,50,80,100") from error
    for percent in found:
        if not 0 < percent <= 100:
            raise UsageError(f"--fractions {text}: {percent:g} is not above 0 and at most 100")
    return tuple(found)


def tags_of(file: str) -> tuple[str, tuple[str, ...]]:
    """The tags that a file names, one a line, under the file's own name without its ending.

    Raises:
        UsageError: no such file, no text, or no tags in it.
    """
    try:
        lines = Path(file).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"--tags {file}: cannot be read ({error})") from error
    tags = tuple(line.strip() for line in lines if line.strip())
    if not tags:
        raise UsageError(f"--tags {file}: names no tag; write one a line")
    return Path(file).stem, tags
