"""Vocabularies of whole words, for encoders that know nothing of their insides."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

PAD, UNKNOWN = "[PAD]", "[UNK]"
SPECIAL = (PAD, UNKNOWN)


def word_tokenizer(words: Sequence[str], *, split: bool) -> Tokenizer:
    """A lower-casing tokenizer whose ids are 0 for padding, 1 for what is unknown, and 2 on for the words in order.

    Args:
        words: distinct and in lower case.
        split: whether a text is cut at white space and commas, or is one word as it stands.
    """
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    if split:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s,]+"), behavior="removed")
    return tokenizer
