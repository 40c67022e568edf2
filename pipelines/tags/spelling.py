"""Slips of the pen: a rare word that is one slip away from a much more common one is that word.

Words are judged first, for a misspelt word is misspelt in every tag that it stands in; then whole tags, for what is
too short or too near to other words to be judged alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from pipelines.tags.normalise import Normaliser

SHORTEST = 7
SHORTEST_KNOWN = 6
SHORTEST_IN_CONTEXT = 3
SHORTEST_KEY = 8
LONG = 10
LONGEST_TAG = 4

# How many times more common the right form must be, by what happened to the wrong one.
_TIMES = {"doubled": 5, "swapped": 5, "left out": 5, "put in": 5, "vowel": 5, "sound": 5, "beside": 8, "two": 10}
# A word that the rules write themselves may be as rare as the slip of it; any other must be commoner still, for
# both may be words.
_TRUST = 5
_DOUBT = 4
_VOWELS = frozenset("aeiouy")
_SOUNDS = frozenset({frozenset("ck"), frozenset("sz"), frozenset("sc"), frozenset("vw"), frozenset("jg")})
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
# The key that lies beside the one that was meant, in its row.
_BESIDE = {key: row[max(0, at - 1) : at + 2] for row in _ROWS for at, key in enumerate(row)}
_SOUND = str.maketrans({"k": "c", "q": "c", "z": "s", "y": "i", **dict.fromkeys("aeiou", "a")} | {"y": "a"})
# A last letter tells forms of a word apart (electronic, electronica); these are merely forgotten.
_FORGOTTEN = frozenset("tldgck")


def slip(wrong: str, right: str) -> str | None:
    """What turned `right` into `wrong`, or None when it takes more than a slip.

    The first letter is never wrong. The last is only ever doubled, swapped or forgotten: a change there makes
    another form of the word.
    """
    if wrong == right or not wrong or not right or wrong[0] != right[0] or abs(len(wrong) - len(right)) > 1:
        return None
    start = next(
        (i for i, (a, b) in enumerate(zip(wrong, right, strict=False)) if a != b), min(len(wrong), len(right))
    )
    if len(wrong) == len(right):
        if wrong[start + 1 :] == right[start + 1 :]:
            if start == len(right) - 1:
                return None
            a, b = wrong[start], right[start]
            if a in _VOWELS and b in _VOWELS:
                return "vowel"
            if frozenset((a, b)) in _SOUNDS:
                return "sound"
            return "beside" if b in _BESIDE.get(a, "") else None
        if wrong[start] == right[start + 1] and wrong[start + 1] == right[start]:
            return "swapped" if wrong[start + 2 :] == right[start + 2 :] else None
        return None
    long, short = (wrong, right) if len(wrong) > len(right) else (right, wrong)
    if long[start + 1 :] != short[start:]:
        return None
    if long[start] == long[start - 1]:
        return "doubled" if long[-2:] != "ss" else None
    if long is wrong:
        return None if start == len(long) - 1 else "put in"
    return "left out" if start < len(long) - 1 or long[-1] in _FORGOTTEN else None


def sound_of(word: str) -> str:
    """Equal for words that sound much alike: vowels are one, doubled letters too, ph is f, ch and k are c."""
    plain = word.replace("ph", "f").replace("ch", "c").replace("ck", "c").translate(_SOUND)
    return "".join(sign for number, sign in enumerate(plain) if number == 0 or plain[number - 1] != sign)


class _Near:
    """Finds the words that are a slip away from a word."""

    def __init__(self, rights: Iterable[str], by_sound: bool = False) -> None:
        self._sounds = by_sound
        # Several words are one text with spaces: there are as many entries as letters, and most have one word.
        self._by_less: dict[str, str] = {}
        self._by_sound: dict[str, list[str]] = defaultdict(list)
        by_less = self._by_less
        for right in sorted(rights):
            for less in _one_less(right):
                others = by_less.get(less)
                by_less[less] = right if others is None else f"{others} {right}"
            if by_sound and len(right) >= LONG:
                self._by_sound[sound_of(right)].append(right)

    def of(self, wrong: str) -> Iterator[tuple[str, str]]:
        """(right, what happened)."""
        seen = set()
        by_less = self._by_less
        for less in _one_less(wrong):
            if less not in by_less:
                continue
            for right in by_less[less].split():
                if right not in seen:
                    seen.add(right)
                    how = slip(wrong, right)
                    if how is not None:
                        yield right, how
        if self._sounds and len(wrong) >= LONG - 1:
            for right in self._by_sound.get(sound_of(wrong), ()):
                if right not in seen and _two_slips(wrong, right):
                    yield right, "two"


def _one_less(word: str) -> list[str]:
    """The word, and the word without each of its letters but the first."""
    cut = [word[:at] + word[at + 1 :] for at in range(1, len(word)) if word[at] != word[at - 1]]
    return [word, *cut]


def _two_slips(wrong: str, right: str) -> bool:
    """Whether two words that sound alike differ by two letters within, and end alike."""
    if wrong[:2] != right[:2] or wrong[-1] != right[-1] or abs(len(wrong) - len(right)) > 2:
        return False
    row = list(range(len(right) + 1))
    for i, a in enumerate(wrong, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1] <= 2


def misspelt_words(weights: Mapping[str, int], normaliser: Normaliser) -> dict[str, str]:
    """Find words that are a slip away from a much more common one.

    Args:
        weights: how common each word is, over all tags that it stands in.

    Returns:
        from the misspelt word to the right one. A word that the rules use is never wrong; digits are never
        edited; two words of a `distinct` line stay apart, also where a third lies between them.
    """
    known, trusted = normaliser.known_words, normaliser.trusted_words
    rights = {
        word: weight * _TRUST if word in trusted else weight // _DOUBT
        for word, weight in weights.items()
        if _spellable(word) and len(word) >= (SHORTEST_KNOWN if word in trusted else SHORTEST)
    }
    least = min(_TIMES.values())
    near = _Near((word for word, weight in rights.items() if weight >= least), by_sound=True)
    found = {}
    for wrong in sorted(weights):
        if len(wrong) < SHORTEST_KNOWN - 1 or wrong in known or not _spellable(wrong):
            continue
        if normaliser.is_curated(wrong):
            continue
        weight = weights[wrong]
        fitting = [
            right
            for right, how in near.of(wrong)
            if rights[right] >= _TIMES[how] * weight and not _same_but_plural(wrong, right)
        ]
        fitting = [right for right in fitting if not normaliser.kept_apart(wrong, right)]
        if fitting:
            found[wrong] = min(fitting, key=lambda right: (-rights[right], right))
    return _ends(found, weights, normaliser)


def misspelt_keys(
    groups: Mapping[str, tuple[str, int]], weights: Mapping[str, int], normaliser: Normaliser
) -> dict[str, str]:
    """Find groups that are a slip away from a much more common one, where a word alone could not be judged.

    Args:
        groups: by key the words and the tracks of a group.
        weights: how common each word is.

    Returns:
        from the misspelt key to the right one. In tags of several words one word may be wrong, when it is rare
        beside the right one; a tag of one word is held against all keys, for a space may be missing.
    """
    known, trusted, curated = normaliser.known_words, normaliser.trusted_words, normaliser.categories
    least = min(_TIMES.values())
    near_words = _Near(
        word
        for word, weight in weights.items()
        if weight * (_TRUST if word in trusted else 1) >= least * _DOUBT
        and len(word) >= SHORTEST_IN_CONTEXT
        and _spellable(word)
    )
    near_cache: dict[str, list[tuple[str, str]]] = {}

    def near_word(word: str) -> list[tuple[str, str]]:
        if word not in near_cache:
            near_cache[word] = [
                (right, how)
                for right, how in near_words.of(word)
                if weights[right] * (_TRUST if right in trusted else 1)
                >= _TIMES[how] * _DOUBT * weights.get(word, 1)
                and not normaliser.kept_apart(word, right)
                and not _same_but_plural(word, right)
            ]
        return near_cache[word]

    right_keys = {
        key: _trusted(key, total, normaliser) for key, (_, total) in groups.items() if len(key) >= SHORTEST_KEY - 1
    }
    near_keys = _Near(key for key, t in right_keys.items() if t >= least and _spellable(key))
    found = {}
    for wrong in sorted(groups):
        words, total = groups[wrong]
        if len(wrong) < SHORTEST_KEY - 1 or wrong in curated or normaliser.name_of(wrong) or not _spellable(wrong):
            continue
        fitting: list[str] = []
        tokens = words.split()
        if 1 < len(tokens) <= LONGEST_TAG:
            for at, word in enumerate(tokens):
                if len(word) < SHORTEST_IN_CONTEXT or word in known or not _spellable(word):
                    continue
                for right, how in near_word(word):
                    _, key = normaliser.words_and_key(" ".join([*tokens[:at], right, *tokens[at + 1 :]]))
                    if right_keys.get(key, 0) >= _TIMES[how] * total:
                        fitting.append(key)
        elif len(tokens) == 1 and words not in known:
            fitting = [key for key, how in near_keys.of(wrong) if right_keys[key] >= _TIMES[how] * total]
        fitting = [key for key in fitting if key != wrong and not normaliser.kept_apart(wrong, key)]
        if fitting:
            found[wrong] = min(fitting, key=lambda key: (-right_keys[key], key))
    return _ends(found, {key: total for key, (_, total) in groups.items()}, normaliser)


def _trusted(key: str, total: int, normaliser: Normaliser) -> int:
    return total * _TRUST if key in normaliser.categories or normaliser.name_of(key) else total // _DOUBT


def _spellable(word: str) -> bool:
    return word.isalpha()


def _same_but_plural(one: str, other: str) -> bool:
    """Whether the two are a word and what the rules say is no plural of it (blue and blues)."""
    return abs(len(one) - len(other)) == 1 and sorted((one, other), key=len)[0] + "s" in (one, other)


def _ends(found: Mapping[str, str], totals: Mapping[str, int], normaliser: Normaliser) -> dict[str, str]:
    """Follow each chain to its end; what is kept apart does not meet there.

    The right form of a misspelling may itself be one. The more common comes first, so its end is known.
    """
    joined: dict[str, str] = {}
    groups: dict[str, list[str]] = defaultdict(list)
    for wrong in sorted(found, key=lambda word: (-totals[word], word)):
        right, seen = found[wrong], {wrong}
        while right in joined and right not in seen:
            seen.add(right)
            right = joined[right]
        if right not in seen and not any(normaliser.kept_apart(wrong, o) for o in (right, *groups[right])):
            groups[right].append(wrong)
            joined[wrong] = right
    return joined
