"""The text vocabulary: a WordPiece tokenizer trained on the dataset's own captions, or a published one."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def train_wordpiece(texts: Iterable[str], size: int) -> Tokenizer:
    """A lower-casing WordPiece tokenizer with BERT's special tokens, at most `size` entries.

    The texts are sorted first, so equal collections give an equal vocabulary whatever their order.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a token of text, no secret
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=SPECIAL_TOKENS, show_progress=False, min_frequency=1
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    first, last = (SPECIAL_TOKENS.index(token) for token in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", last), ("[CLS]", first))
    return tokenizer


def prepared(tokenizer: Tokenizer, max_length: int) -> Tokenizer:
    """Set the tokenizer to cut at `max_length` tokens and to pad a batch to its longest text."""
    pad = next((t for t in ("[PAD]", "<pad>") if tokenizer.token_to_id(t) is not None), None)
    tokenizer.enable_truncation(max_length)
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(pad) if pad else 0, pad_token=pad or "[PAD]")
    return tokenizer


def unknown_only(tokenizer: Tokenizer, text: str) -> bool:
    """Whether the vocabulary knows no piece of `text`."""
    unknown = tokenizer.token_to_id("[UNK]")
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    return all(token == unknown for token in ids)
