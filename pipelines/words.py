"""Text as words: what every comparison of names and of tags does first. Nothing here knows what a tag is."""

from __future__ import annotations

import re
import unicodedata

_APOSTROPHES = re.compile(r"[’‘`´ʼ＇]")
# Marks that a person leaves out when typing: of Latin, Greek and Cyrillic letters, and the points of Hebrew and
# Arabic. The vowel signs of Indic scripts and the voicing marks of kana are letters in all but name.
_ACCENTS = re.compile(r"[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]")
_INVISIBLE = frozenset({"Cf", "Cc"})
_SELECTORS = re.compile(r"[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_NO_PLAIN_LETTER = re.compile(r"[^a-z0-9]+")


def tidy(text: str) -> str:
    """Lower case, compatible forms made one (NFKC), straight apostrophes, one space between words, nothing
    invisible. Punctuation and accents are kept. Tidying what is tidy changes nothing."""
    if text.isascii() and text.isprintable():
        return " ".join(text.replace("`", "'").lower().split())
    while True:
        once = _APOSTROPHES.sub("'", _SELECTORS.sub("", text))
        once = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", once).casefold())
        once = "".join(c for c in once if c.isspace() or unicodedata.category(c) not in _INVISIBLE)
        once = " ".join(once.split())
        if once == text:
            return text
        text = once


def without_accents(text: str) -> str:
    """The text without the marks that a person leaves out when typing."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text)))


def words_of(text: str) -> str:
    """Letters and digits without accents; whatever lies between them is one space. Apostrophes part nothing."""
    text = text.replace("'", "")
    if text.isascii() and text.islower():
        return _NO_PLAIN_LETTER.sub(" ", text).strip()
    kept: list[str] = []
    for sign in without_accents(text):
        on_letter = bool(kept) and kept[-1] != " " and unicodedata.category(sign) in ("Mn", "Mc")
        kept.append(sign if sign.isalnum() or on_letter else " ")
    return " ".join("".join(kept).split())
