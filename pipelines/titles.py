"""A title is what is played, not how it was typed: titles that differ in spelling only are one."""

from __future__ import annotations

import re

from pipelines.words import tidy, words_of

_FEATURED = r"(?:feat(?:uring)?|ft)(?:\.\s*|\s+)"
_FEATURED_IN_BRACKETS = re.compile(rf"[(\[]\s*{_FEATURED}[^()\[\]]*[)\]]", re.IGNORECASE)
_FEATURED_AT_END = re.compile(rf"\s{_FEATURED}[^()\[\]]*$", re.IGNORECASE)
_FEATURED_BEFORE = re.compile(rf"\s{_FEATURED}[^()\[\]]*(?=[(\[])", re.IGNORECASE)
_INNERMOST = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
_AFTER_DASH = re.compile(r"\s[-–—]\s([^-–—]*)$")
# What a pressing adds to a title without being another recording, as live, remix, acoustic, demo and edit are.
_SAME_RECORDING = re.compile(
    r"(?:(?:\d{4} )?(?:digital |digitally )?remaster(?:ed)?(?: \d{4})?(?: album)?(?: version)?|"
    r"(?:original )?(?:album|lp) version|explicit(?: album)?(?: version)?|explicit content)"
)
_NOT_A_WORD = re.compile(r"[^0-9a-z]+")
_ASCII = str.maketrans({"'": "", "`": "", "&": " and "})


def title_key(title: str) -> str:
    """Return what is equal for every spelling of a title: case, accents, punctuation, `&`, who is featured, and
    words that name the same recording (`Album Version`, `2009 Remaster`).

    Version words (`live`, `remix`, `acoustic`) are kept: they name another recording. A title of signs alone
    keeps them; an empty one gives an empty key.
    """
    plain = title
    for pattern in (_FEATURED_IN_BRACKETS, _FEATURED_BEFORE, _FEATURED_AT_END):
        plain = pattern.sub(" ", plain) if "f" in plain or "F" in plain else plain
    while True:
        once = _AFTER_DASH.sub(_without_pressing, _INNERMOST.sub(_without_pressing, plain))
        if once == plain:
            break
        plain = once
    return _words(plain) or _words(title) or tidy(title)


def _without_pressing(match: re.Match[str]) -> str:
    return " " if _SAME_RECORDING.fullmatch(_words(match[1])) else match[0]


def _words(text: str) -> str:
    if text.isascii() and text.isprintable():  # most are, and there is little to do then
        return _NOT_A_WORD.sub(" ", text.lower().translate(_ASCII)).strip()
    return words_of(tidy(text).replace("&", " and "))
