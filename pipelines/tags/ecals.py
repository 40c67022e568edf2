"""The normalisation of ECALS as released with it (Doh et al. 2023, seungheondoh/msd-subsets)."""

from __future__ import annotations

_DROPPED = ("'n'", "'", "(", ")")
_SPACES = ("/", "-")


def released_form(tag: str) -> str:
    """A tag as the released code writes it.

    Lower case; `'n'`, quotes and brackets are dropped; `/` and `-` become spaces; `&` becomes n, with the spaces
    around it gone; a word of one letter is joined to the next. The released code fails on a tag that ends in
    such a word (that is what its blacklist is for); here that word stays. It also takes only the last of
    several joined words from its place; here each.
    """
    text = tag.lower()
    for sign in _DROPPED:
        text = text.replace(sign, "")
    for sign in _SPACES:
        text = text.replace(sign, " ")
    text = text.replace(" & ", "n").replace("&", "n")
    words: list[str] = []
    letters = ""
    for word in text.split():
        letters += word
        if len(word) > 1:
            words.append(letters)
            letters = ""
    return " ".join([*words, letters] if letters else words)
