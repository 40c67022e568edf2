"""Whom a name credits: `A feat. B` is by A and by B, when both also have tracks of their own.

A part counts only when it is the whole name of another artist: `Hall & Oates` stays one artist where nobody is
called Oates. What parts names surely (`feat.`, `vs`, `&`) credits every part that is an artist; what names also
hold by themselves (commas, `and`, `+`, `/`, `with`) credits them only when all of its parts are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from pipelines.sources.artists import artist_key
from pipelines.words import tidy

_FEATURED = re.compile(r"\s+[(\[]?\s*(?:feat(?:uring)?|ft)(?:\.\s*|\s+)", re.IGNORECASE)
_SURE = re.compile(r"\s+(?:vs|versus|&|meets|presents|pres)(?:\.\s*|\s+)|\s*＆\s*", re.IGNORECASE)
_WEAK = re.compile(r"\s*[,;/+]\s*|\s+(?:and|with|x|et|und|y|e|con|mit|avec)\s+", re.IGNORECASE)
_ANY = re.compile("|".join(part.pattern for part in (_FEATURED, _SURE, _WEAK)), re.IGNORECASE)
_IN_TITLE = re.compile(r"[(\[]\s*(?:feat(?:uring)?|ft)(?:\.\s*|\s+)([^)\]]+)[)\]]", re.IGNORECASE)
_CLOSING = re.compile(r"[)\]]+\s*$")

# Parts that many names end in. Somebody may be called so, and still is not whom they mean.
_GENERIC = re.compile(
    r"(?:(?:his|her|their|the|a|an|and|la|los|les|le|das|die|el|son|sein|seine|seinem|ihr) )*"
    r"(?:(?:big|new|royal|string|studio|dance|jazz|swing|chamber|symphony|philharmonic|vocal|rhythm|hot|concert) )*"
    r"(?:orchestra|orchestre|orchester|orquesta|orkester|philharmonic|symphony|ensemble|friends?|band|bands|group|"
    r"combo|duo|trio|quartet|quartett|quintet|quintett|sextet|septet|octet|choir|chorus|chor|coro|strings?|brass|"
    r"horns|company|co|crew|gang|boys|girls|others?|guests?|all stars?|allstars|family|familia|singers?|voices|"
    r"players|musicians|soloists|cast|original cast|ensemble cast|dj|mc|dr|jr|sr|unknown|anonymous|traditional|"
    r"more|many more|feat|special guests?)"
)
_NOBODY = frozenset(
    {
        "various artists", "various", "various artist", "va", "v a", "v a various", "various performers",
        "various composers", "varios artistas", "varios", "varios interpretes", "verschiedene",
        "verschiedene interpreten", "verschiedene kunstler", "diverse artiesten", "diverse interpreten",
        "diverse artister", "divers artistes", "artistes divers", "artisti vari", "autori vari",
        "aa vv", "aavv", "unknown", "unknown artist", "unknown artists", "no artist", "n a",
        "no name artist", "artist unknown", "artista desconocido", "unbekannter kunstler", "unbekannt",
        "various artists compilation", "original soundtrack",
    }
)  # fmt: skip


def is_nobody(name: str) -> bool:
    """Whether a name says that it is not known, or not one artist: `Various Artists`, `V.A.`, `[unknown]`."""
    key = artist_key(name)
    return not key or key in _NOBODY


def is_generic(name: str) -> bool:
    """Whether a part of a name is nobody's: `His Orchestra`, `Friends`, `Ensemble`."""
    key = artist_key(name)
    return len(key) < 2 or key in _NOBODY or _GENERIC.fullmatch(key) is not None


def members(name: str, known: Collection[str]) -> list[str]:
    """The artists whom a name credits beside being a name itself.

    Args:
        known: the keys (`artist_key`) of all whole names of the dataset.

    Returns:
        keys, sorted, each in `known` and none of them the whole name's own.
    """
    text = _CLOSING.sub("", tidy(name)) if _FEATURED.search(name) else tidy(name)
    if _ANY.search(text) is None:  # most names: nothing parts them
        return []
    found = _credited(text, known, whole=True)
    return sorted(found - {artist_key(name)})


def featured_in_title(title: str, known: Collection[str]) -> list[str]:
    """The artists whom a title credits in brackets, `(feat. B)`; keys, sorted."""
    found: set[str] = set()
    for match in _IN_TITLE.finditer(title):
        found |= _credited(tidy(match[1]), known, whole=False)
    return sorted(found)


def _credited(text: str, known: Collection[str], *, whole: bool) -> set[str]:
    """The keys in `known` that the text or its parts are; a part that is an artist is not parted further."""
    if not whole:
        key = artist_key(text)
        if is_generic(text):
            return set()
        if key in known:
            return {key}
    for separator, credits in ((_FEATURED, _each), (_SURE, _each), (_WEAK, _all_or_none)):
        parts = [part for part in separator.split(text) if part]
        if len(parts) > 1:
            return credits(parts, known)
    return set()


def _each(parts: list[str], known: Collection[str]) -> set[str]:
    return set().union(*(_credited(part, known, whole=False) for part in parts))


def _all_or_none(parts: list[str], known: Collection[str]) -> set[str]:
    named = [part for part in parts if not is_generic(part)]
    found = [_credited(part, known, whole=False) for part in named]
    return set().union(*found) if len(found) == len(parts) and all(found) else set()


_Credits = Callable[[list[str], Collection[str]], set[str]]
