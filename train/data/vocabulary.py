"""The text vocabulary: a WordPiece tokenizer made from the dataset's own captions, or a published one.

The pieces are learnt here: the trainer of `tokenizers` numbers them in the order of a seeded hash map, so that two
runs on the same captions differ. Everything that reads text (normalising, splitting, matching) is its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from itertools import pairwise

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
INSIDE = "##"
"""What marks a piece that does not begin a word."""


def train_wordpiece(texts: Iterable[str], size: int) -> Tokenizer:
    """A lower-casing WordPiece tokenizer with BERT's special tokens, at most `size` entries.

    A pure function of the collection of texts, whatever their order.
    """
    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        words.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    pieces = [*SPECIAL_TOKENS, *learn_pieces(words, size - len(SPECIAL_TOKENS))]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no secret
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    first, last = (vocabulary[token] for token in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", last), ("[CLS]", first))
    return tokenizer


def learn_pieces(words: Counter[str], size: int) -> list[str]:
    """At most `size` pieces: the letters, then the most frequent neighbours joined, again and again (BPE).

    Ties go to what sorts first. When there are more letters than `size`, the rarer ones are left unknown.
    """
    letters: Counter[str] = Counter()
    split: list[tuple[list[str], int]] = []
    for word, count in sorted(words.items()):
        parts = [letter if i == 0 else INSIDE + letter for i, letter in enumerate(word)]
        split.append((parts, count))
        for part in parts:
            letters[part] += count
    kept = sorted(letters, key=lambda letter: (-letters[letter], letter))[:size]
    pieces = sorted(kept)
    known = set(pieces)
    split = [(parts, count) for parts, count in split if known.issuperset(parts)]
    counts: Counter[tuple[str, str]] = Counter()
    holders: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for number, (parts, count) in enumerate(split):
        for pair in pairwise(parts):
            counts[pair] += count
            holders[pair].add(number)
    while len(pieces) < size and counts:
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        joined = best[0] + best[1].removeprefix(INSIDE)
        if joined not in known:
            known.add(joined)
            pieces.append(joined)
        for number in holders.pop(best):
            parts, count = split[number]
            for pair in pairwise(parts):
                counts[pair] -= count
                if not counts[pair]:
                    del counts[pair]
            parts[:] = _joined(parts, best, joined)
            for pair in pairwise(parts):
                counts[pair] += count
                holders[pair].add(number)
    return pieces


def _joined(parts: list[str], pair: tuple[str, str], joined: str) -> list[str]:
    result: list[str] = []
    for part in parts:
        if result and (result[-1], part) == pair:
            result[-1] = joined
        else:
            result.append(part)
    return result


def prepared(tokenizer: Tokenizer, max_length: int) -> Tokenizer:
    """Set the tokenizer to cut at `max_length` tokens and to pad a batch to its longest text."""
    pad = next((t for t in ("[PAD]", "<pad>") if tokenizer.token_to_id(t) is not None), None)
    number = tokenizer.token_to_id(pad) if pad else None
    tokenizer.enable_truncation(max_length)
    tokenizer.enable_padding(pad_id=number or 0, pad_token=pad or "[PAD]")
    return tokenizer


def unknown_only(tokenizer: Tokenizer, text: str) -> bool:
    """Whether the vocabulary knows no piece of `text`."""
    unknown = tokenizer.token_to_id("[UNK]")
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    return all(token == unknown for token in ids)


def without_spelt(tokenizer: Tokenizer, text: str, taught: Collection[str]) -> str:
    """A text without the words that a vocabulary learnt here can only spell, letter by letter: no text that it was
    learnt from had them, so their pieces mean something else. A text of nothing but such words stays as it is.

    Args:
        taught: words that stay however they are spelt, in lower case.
    """
    split = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
    kept = [word for word, _ in split if word in taught or _is_whole(tokenizer, word)]
    return " ".join(kept) or text


def _is_whole(tokenizer: Tokenizer, word: str) -> bool:
    return tokenizer.token_to_id(word) is not None and (len(word) > 1 or not word.isalpha())
