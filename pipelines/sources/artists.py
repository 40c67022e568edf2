"""An artist is who made it, not how it was typed: names that differ in spelling only are one artist."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

from pipelines.words import tidy, words_of
from schemas.tables.tracks import UNKNOWN_ARTIST

_ARTICLE_LAST = re.compile(r"^(.*), (the|a|an)$")
_ARTICLE_FIRST = re.compile(r"^the (?=\S)")
# Letters that Unicode does not take apart into a base and a mark.
_FOLDED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})


@lru_cache(maxsize=1 << 18)
def artist_key(name: str) -> str:
    """Return what is equal for every spelling of a name: case, accents, width, punctuation, `The`.

    A name of signs alone (`!!!`) keeps them. An empty name gives an empty key.
    """
    if name.isascii() and name.replace(" ", "").isalnum():  # most names: nothing in them to take away
        simple = " ".join(name.lower().split())
        return simple.removeprefix("the ")
    text = tidy(name)
    plain = _ARTICLE_LAST.sub(r"\2 \1", text.translate(_FOLDED)).replace("&", " and ")
    return _ARTICLE_FIRST.sub("", words_of(plain)) or text


def artist_id(name: str) -> str:
    """The id made from a name, when the source has none of its own."""
    return artist_key(name).replace(" ", "-") or UNKNOWN_ARTIST


def common_names(written: Mapping[tuple[str, str], int]) -> tuple[dict[str, str], list[str]]:
    """From how many tracks have each (artist id, name as written), choose each artist's name.

    Returns:
        the most common spelling by id (ties go to the first in order), and a line for each artist that is
        written in more than one way.
    """
    spellings: dict[str, Counter[str]] = {}
    for (key, name), count in written.items():
        spellings.setdefault(key, Counter())[name] += count
    chosen = {key: min(counts, key=lambda n: (-counts[n], n)) for key, counts in spellings.items()}
    return chosen, joined_spellings(spellings, chosen)


def joined_spellings(spellings: Mapping[str, Counter[str]], chosen: Mapping[str, str]) -> list[str]:
    """A line for each artist that is written in more than one way."""
    lines = []
    for key in sorted(spellings):
        others = sorted(set(spellings[key]) - {chosen[key]})
        if others:
            lines.append(f"artist {chosen[key]!r} is also written {', '.join(map(repr, others))}: taken as one")
    return lines
