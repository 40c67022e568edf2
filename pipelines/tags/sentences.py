"""Sentences that the source has for its tracks: MuLaP's noise filter (3.1), and one for each track."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipelines.tags.templates import readable
from schemas.digests import digest_of, stable_hash
from schemas.manifest import CaptionsSection, validated
from schemas.reasons import Reason
from schemas.tables import DROPPED_CAPTIONS

_WORD = r"[^\s]*[\p{L}\p{N}][^\s]*"


class NoiseRules(BaseModel):
    """A file of `manifests/noise`: how long a sentence may be, and what no caption has.

    Attributes:
        min_words, max_words: a word stands between spaces and has a letter or a digit.
        patterns: RE2, found anywhere, whatever the case.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_words: int = Field(default=1, ge=1)
    max_words: int | None = Field(default=None, ge=1)
    patterns: list[str] = []

    @field_validator("patterns")
    @classmethod
    def _patterns_compile(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                pc.match_substring_regex(pa.array([""]), pattern)
            except pa.ArrowInvalid as error:
                raise ValueError(f"{pattern} is no regular expression: {error}") from error
        return patterns

    @model_validator(mode="after")
    def _some_length_passes(self) -> NoiseRules:
        if self.max_words is not None and self.max_words < self.min_words:
            raise ValueError(f"max_words {self.max_words} is below min_words {self.min_words}: nothing would pass")
        return self

    def digest(self) -> str:
        """Digest of every rule."""
        return digest_of(self.model_dump(mode="json"))


def noise_rules(settings: CaptionsSection) -> NoiseRules:
    """The rules that the manifest names, with the manifest's own lengths where it has some.

    Raises:
        UsageError: no such file, a key or pattern that is wrong, or lengths that nothing can have.
    """
    content: Any = {}
    where = "captions"
    if settings.noise is not None:
        content, where = readable("noise", settings.noise, "captions.noise")
    rules = validated(NoiseRules, content, where)
    own = {"min_words": settings.min_words, "max_words": settings.max_words}
    merged = {**rules.model_dump(), **{key: value for key, value in own.items() if value is not None}}
    return validated(NoiseRules, merged, where, "captions")


def noisy_sentences(sentences: pa.Table, rules: NoiseRules) -> tuple[pa.Table, pa.Table]:
    """Part sentences from noise.

    Args:
        sentences: rows of `captions`.

    Returns:
        the rows that stay, and rows of `dropped_captions` for the others, one reason each.
    """
    text = sentences.column("caption")
    words = pc.count_substring_regex(text, _WORD)
    short = pc.less(words, rules.min_words)
    over = pc.greater(words, rules.max_words if rules.max_words is not None else 1 << 30)
    kept = pc.invert(pc.or_(short, over))
    lengths = words.to_numpy()
    details = {int(n): f"{n} word{'' if n == 1 else 's'}" for n in np.unique(lengths)}
    parts = [
        _dropped(sentences, short, Reason.CAPTION_TOO_SHORT, [details[int(n)] for n in lengths[_true(short)]]),
        _dropped(sentences, over, Reason.CAPTION_TOO_LONG, [details[int(n)] for n in lengths[_true(over)]]),
    ]
    for pattern in rules.patterns:
        found = pc.and_(kept, pc.match_substring_regex(text, pattern, ignore_case=True))
        kept = pc.and_not(kept, found)
        parts.append(_dropped(sentences, found, Reason.CAPTION_NOISE, [pattern] * len(_true(found))))
    return sentences.filter(kept), pa.concat_tables(parts)


def _true(mask: pa.ChunkedArray) -> Any:
    return np.flatnonzero(mask.to_numpy())


def _dropped(sentences: pa.Table, which: pa.ChunkedArray, reason: Reason, details: list[str]) -> pa.Table:
    left = sentences.select(["track_id", "number"]).filter(which)
    columns = [*left.columns, pa.array([str(reason)] * left.num_rows), pa.array(details, pa.string())]
    return pa.Table.from_arrays(columns, schema=DROPPED_CAPTIONS.schema)


def chosen_sentences(sentences: pa.Table, ids: pa.Array, seed: int) -> pa.Array:
    """For each track of `ids` one of its sentences, by a hash of the id and the seed; null for one without.

    Args:
        sentences: rows of `captions`.

    Returns:
        a string array, aligned with `ids`.
    """
    ordered = sentences.sort_by([("track_id", "ascending"), ("number", "ascending")])
    tracks = pc.run_end_encode(ordered.column("track_id").combine_chunks())
    ends = tracks.run_ends.to_numpy().astype(np.int64)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    counts = ends - starts
    names = tracks.values.to_pylist()
    several = np.flatnonzero(counts > 1)
    drawn = [stable_hash(f"sentence\x00{names[i]}", seed) % int(counts[i]) for i in several]
    starts[several] += np.array(drawn, np.int64)
    text = ordered.column("caption").combine_chunks().take(pa.array(starts))
    return text.take(pc.index_in(ids, value_set=tracks.values))
