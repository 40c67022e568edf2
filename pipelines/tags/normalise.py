"""One tag as typed to the words it means (MSD500's step 4), and to the key that its group shares (step 5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from pipelines.tags.ecals import released_form
from pipelines.tags.rules import TagRules
from pipelines.words import tidy, without_accents, words_of

AS_TYPED = "as_typed"
CASE = "case"
ACCENTS = "accents"
PUNCTUATION = "punctuation"
JOINED = "joined"
AND = "and"
DECADE = "decade"
WORD = "word"
ORDER = "order"
PREFIX = "prefix"
SUFFIX = "suffix"
PLURAL = "plural"
SPELLING = "spelling"
SYNONYM = "synonym"
RELEASED = "released"

# The twenties are those of the last century, as people tag them; this century's keep it.
_DECADE = re.compile(r"(?<!\S)(?:(?:19)?([2-9]0)|20([01]0)) ?s(?!\S)")
_AND = re.compile(r"(?<=[^\s&+])\s*[&+]++\s*(?=\S)|\s+'?n'?\s+|'n'")
# Letters that Unicode does not take apart into a base and a mark.
_FOLDED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
# Inside a word these stand for a letter that was not to be read: `f*ck` is no `f ck`.
_MASK = re.compile(r"(?<=[^\W\d_])[?!*#@$]+(?=[^\W\d_])")
_MASKS = frozenset("?!*#@$")
_MASKED = "ʔ"
_SHORTEST_PLURAL = 4
_IS_DECADE = re.compile(r"(\d\d)?\d0s")
_DIGIT = re.compile(r"\d")


class Normalised(NamedTuple):
    """A tag on its way into a group.

    Attributes:
        shown: lower case, tidied, else as typed; groups are named by the most common of these.
        words: the tag without punctuation, irrelevant words and accents, in the spelling of the rules.
        key: equal for tags of one group before spelling is looked at.
    """

    shown: str
    words: str
    key: str


def plain_words(text: str) -> str:
    """Words without punctuation and accents; `&` and `'n'` become `and`, decades lose their century.

    Args:
        text: as `tidy` gives it.
    """
    return _decades(words_of(_and(_folded(_masked(text)))))


def _masked(text: str) -> str:
    return text if _MASKS.isdisjoint(text) else _MASK.sub(_MASKED, text)


def _folded(text: str) -> str:
    return text if text.isascii() else text.translate(_FOLDED)


def _and(text: str) -> str:
    if "&" in text or "+" in text or " n " in text or "'n" in text or " n'" in text:
        return _AND.sub(" and ", text)
    return text


def _decades(words: str) -> str:
    if "0" not in words:
        return words
    return _DECADE.sub(lambda found: f"{found[1] or found[2]}s", words)


class Normaliser:
    """Applies one set of rules. A pure function of the tag."""

    def __init__(self, rules: TagRules) -> None:
        self.rules = rules
        self._singulars: dict[str, str] = {}
        self._saying: dict[str, bool] = {}
        self._never_singular = {_plain(entry) for entry in rules.never_singular}
        self._never_alone = {_plain(entry) for entry in rules.never_alone}
        self._prefixes = frozenset(rules.prefixes)
        self._suffixes = frozenset(rules.suffixes)
        self._makers = frozenset(rules.makers)
        self._labels = frozenset(rules.labels)
        self._adjectives = frozenset(rules.adjectives)
        self._genres = frozenset(_plain(tag) for tag in rules.categories.get("genre", []))
        self._peoples = frozenset(_plain(tag) for tag in rules.categories.get("language", []))
        self._misspelt = _Wordings(rules.misspelt)
        self._wordings = _Wordings(rules.words)
        self._replaced = self._misspelt.first_words | self._wordings.first_words
        self._spaced = {_plain(entry) for entry in rules.spaced}
        self._keep_whole = {self.singular(self._worded(_plain(entry))) for entry in rules.keep_whole}

    def __call__(self, raw: str) -> Normalised:
        if self.rules.identity:
            return Normalised(raw, raw, raw)
        if self.rules.style == "released":
            shown = released_form(raw)
            return Normalised(shown, shown, self._synonyms.get(shown, (shown, ""))[0])
        shown = tidy(raw)
        words, key = self.words_and_key(plain_words(self._unlabelled(shown)))
        # A tag of signs only ("!!!") is its own group.
        return Normalised(shown, words or shown, key or shown)

    def words_and_key(self, plain: str) -> tuple[str, str]:
        """From plain words to the words that count and the key of their group."""
        if plain in self._spaced:
            return plain, plain.replace(" ", "_")
        worded = self._worded(plain)
        whole = self.singular(worded)
        words = self.stripped(worded)
        single = whole if words == worded else self.singular(words)
        # The whole first: a curated `cradle song` is no `cradle`.
        form = ""
        for text in (plain, worded, whole, words, single):
            if text != form:
                form = text
                found = self._synonyms.get(form.replace(" ", ""))
                if found is not None:
                    return words, found[0]
        return words, single.replace(" ", "")

    def _unlabelled(self, shown: str) -> str:
        """Without the kind of tag that it says it is: `country: france` is france."""
        if ":" not in shown:
            return shown
        label, _, rest = shown.partition(":")
        return rest if label.strip() in self._labels and plain_words(rest) else shown

    def _worded(self, plain: str) -> str:
        if self._replaced.isdisjoint(plain.split()):
            return self._ordered(plain)
        return self._ordered(self._wordings(self._misspelt(plain)))

    def _ordered(self, worded: str) -> str:
        """A genre and what is said of it after it: `rock chileno` is chilean rock, `rock 80s` is 80s rock."""
        genre, space, last = worded.rpartition(" ")
        if not space or genre not in self._genres:
            return worded
        follows = last in self._peoples or (last in self._adjectives and genre not in self._adjectives)
        return f"{last} {genre}" if follows or _IS_DECADE.fullmatch(last) else worded

    def stripped(self, words: str) -> str:
        """Cut irrelevant first and last words while what is left says something by itself."""
        if " " not in words:
            return words
        tokens = words.split()
        while len(tokens) > 1:
            first, last = tokens[0] in self._prefixes, tokens[-1] in self._suffixes
            maker = tokens[-1] in self._makers
            if not (first or last or maker) or self.singular(" ".join(tokens)) in self._keep_whole:
                break
            if first and self._says_something(tokens[1:]) and not self._is_a_name(tokens):
                tokens = tokens[1:]
            elif (last and self._says_something(tokens[:-1])) or (
                maker and self.singular("".join(tokens[:-1])) in self._made
            ):
                tokens = tokens[:-1]
            else:
                break
        return " ".join(tokens)

    def _is_a_name(self, tokens: list[str]) -> bool:
        """`The` before the plural of a word that the taxonomy knows: the cinematics are a band."""
        rest = " ".join(tokens[1:])
        single = self.singular(rest)
        return tokens[0] == "the" and single != rest and single.replace(" ", "") in self._known_tags

    def _says_something(self, tokens: list[str]) -> bool:
        """Not only words that are irrelevant or that need another beside them."""
        return any(map(self._says, tokens))

    def _says(self, word: str) -> bool:
        known = self._saying.get(word)
        if known is None:
            known = self._saying[word] = (
                word not in self._never_alone
                and word not in self._suffixes
                and word not in self._prefixes
                and (len(word) > 1 or not word.isascii())
                and any(map(str.isalpha, word))
            )
        return known

    @cached_property
    def _known_tags(self) -> frozenset[str]:
        """Joined singulars of all that the taxonomy knows."""
        listed = (tag for tags in self.rules.categories.values() for tag in tags)
        return frozenset(self.singular(self._worded(_plain(tag))).replace(" ", "") for tag in listed)

    @cached_property
    def _made(self) -> frozenset[str]:
        """Joined singulars of the genres, languages and places, of which there are bands and artists."""
        named = (self.rules.categories.get(name, []) for name in ("genre", "location", "language"))
        return frozenset(self.singular(self._worded(_plain(t))).replace(" ", "") for tags in named for t in tags)

    def singular(self, words: str) -> str:
        """The singular of the last word; digits are never touched."""
        if words in self._never_singular:
            return words
        before, space, last = words.rpartition(" ")
        return f"{before}{space}{self._singular(last)}"

    def _singular(self, word: str) -> str:
        known = self._singulars.get(word)
        if known is None:
            known = self._singulars[word] = word if word in self._never_singular else _singular(word)
        return known

    @cached_property
    def _synonyms(self) -> dict[str, tuple[str, str]]:
        """From the joined form of every variant to (key of its name, name)."""
        released = self.rules.style == "released"
        table: dict[str, tuple[str, str]] = {}
        for name, variants in self.rules.synonyms.items():
            key = self._forms(name)[-1]
            for variant in (name, *variants):
                for form in [released_form(variant)] if released else self._forms(variant):
                    table.setdefault(form, (released_form(name) if released else key, name))
        return table

    def _forms(self, tag: str) -> tuple[str, ...]:
        """The joined forms under which a curated tag is looked up."""
        plain = _plain(tag)
        worded = self._worded(plain)
        return tuple(form.replace(" ", "") for form in (plain, worded, self.singular(worded)))

    @cached_property
    def categories(self) -> dict[str, str]:
        """From a group's key to its curated category."""
        pairs = ((self(tag).key, category) for category, tags in self.rules.categories.items() for tag in tags)
        table: dict[str, str] = {}
        for key, category in pairs:
            table.setdefault(key, category)
        return table

    @cached_property
    def not_musical(self) -> dict[str, str]:
        """From a group's key to the line of `not_musical` that names it (released: a list of tags as typed)."""
        if self.rules.style == "released":
            return {}
        return {self(entry).key: entry for entry in reversed(self.rules.not_musical_tags)}

    @cached_property
    def distinct_keys(self) -> dict[str, frozenset[int]]:
        """From a key to the lines of `distinct` that it stands in; two keys of one line are never joined."""
        lines: dict[str, set[int]] = {}
        for number, line in enumerate(self.rules.distinct):
            for tag in line:
                plain = _plain(tag)
                for key in {self(tag).key} | ({plain} if " " not in plain else set()):
                    lines.setdefault(key, set()).add(number)
        return {key: frozenset(numbers) for key, numbers in lines.items()}

    def kept_apart(self, first: str, second: str) -> bool:
        """Whether a line of `distinct` has both keys, or both words."""
        lines = self.distinct_keys
        found = lines.get(first)
        return found is not None and not found.isdisjoint(lines.get(second, frozenset()))

    @cached_property
    def known_words(self) -> frozenset[str]:
        """Every word that the rules use themselves: it is spelt right."""
        rules = self.rules
        listed = [
            rules.real_words,
            rules.never_singular,
            rules.keep_whole,
            rules.not_musical_tags,
            rules.never_alone,
        ]
        words = _words(tag for tags in [*listed, *rules.distinct, *rules.synonyms.values()] for tag in tags)
        wrong = _words(tag for tags in rules.misspelt.values() for tag in tags if " " not in _plain(tag))
        return words - wrong | self.trusted_words

    @cached_property
    def trusted_words(self) -> frozenset[str]:
        """The words of the taxonomy and of the names that the rules give: what a slip may be a slip of."""
        rules = self.rules
        names = [*rules.synonyms, *rules.words, *rules.misspelt]
        return _words([*names, *(tag for tags in rules.categories.values() for tag in tags)])

    def is_curated(self, word: str) -> bool:
        """Whether the rules know the group of a word, however they write it."""
        key = self.words_and_key(word)[1]
        return key in self._names or key in self.categories

    def name_of(self, key: str) -> str | None:
        """The name that the rules give to a group, if they do."""
        return self._names.get(key)

    @cached_property
    def _names(self) -> dict[str, str]:
        return dict(self._synonyms.values())

    def joined_by(self, raw: str, name: str) -> str:
        """The rule by which a tag as typed is the same as the name of its group: the last that it takes."""
        if raw == name or self.rules.identity:
            return AS_TYPED
        if self.rules.style == "released":
            return RELEASED if released_form(raw) == name else SYNONYM
        if tidy(raw) == tidy(name):
            return CASE
        for (rule, text), (_, wanted) in zip(self._stages(raw), self._stages(name), strict=True):
            if text and text == wanted:
                return rule
            if text and text.replace(" ", "") == wanted.replace(" ", ""):
                return JOINED if rule in (CASE, ACCENTS, PUNCTUATION) else rule
        return SYNONYM if self(raw).key == self(name).key else SPELLING

    def _stages(self, raw: str) -> list[tuple[str, str]]:
        shown = tidy(raw)
        folded = without_accents(_folded(_masked(shown)))
        plain = words_of(folded)
        unlabelled = self._unlabelled(folded)
        with_and = words_of(_and(unlabelled))
        decades = _decades(with_and)
        spelt = self._misspelt(decades)
        replaced = self._wordings(spelt)
        worded = self._ordered(replaced)
        stripped = self.stripped(worded)
        ended = _ending(worded, stripped)
        bare = words_of(unlabelled)
        texts = (shown, folded, plain, bare, with_and, decades, spelt, replaced, worded, ended, stripped)
        rules = (CASE, ACCENTS, PUNCTUATION, PREFIX, AND, DECADE, SPELLING, WORD, ORDER, SUFFIX, PREFIX, PLURAL)
        return list(zip(rules, (*texts, self.singular(stripped)), strict=True))


def _words(tags: Iterable[str]) -> frozenset[str]:
    return frozenset(word for tag in tags for word in _plain(tag).split())


def _plain(entry: str) -> str:
    return plain_words(tidy(entry))


def _ending(worded: str, stripped: str) -> str:
    """The words with only what follows the stripped ones cut."""
    at = f" {worded} ".find(f" {stripped} ")
    return worded[: at + len(stripped)] if at >= 0 else worded


def _singular(word: str) -> str:
    if len(word) < _SHORTEST_PLURAL or word[-1] != "s" or _DIGIT.search(word):
        return word
    if word.endswith(("ss", "us", "is", "ics")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("ches", "shes", "xes", "sses", "tzes")):
        return word[:-2]
    return word[:-1]


class _Wordings:
    """Replaces words, and runs of words, by those that the rules prefer, wherever they stand in a tag."""

    def __init__(self, listed: Mapping[str, Iterable[str]]) -> None:
        self._single: dict[str, str] = {}
        runs: dict[str, str] = {}
        for name, variants in listed.items():
            for variant in variants:
                plain = _plain(variant)
                (runs if " " in plain else self._single)[plain] = _plain(name)
        longest = sorted(runs, key=lambda run: (-len(run), run))
        self._runs = runs
        self._starts = frozenset(run.split()[0] for run in runs)
        self.first_words = self._starts | self._single.keys()
        self._pattern = re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, longest))})(?!\S)") if runs else None

    def __call__(self, words: str) -> str:
        tokens = words.split()
        if self._pattern is not None and not self._starts.isdisjoint(tokens):
            replaced = self._pattern.sub(lambda found: self._runs[found[0]], words)
            tokens = replaced.split()
        single = self._single
        return " ".join([single.get(token, token) for token in tokens])
