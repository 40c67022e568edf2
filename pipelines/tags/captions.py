"""Captions: a track in words. Its tags joined, a sentence made from them, or a sentence of the source's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.tags.near_duplicates import count_captions
from pipelines.tags.sentences import chosen_sentences, noise_rules, noisy_sentences
from pipelines.tags.templates import load_templates
from schemas.digests import stable_bytes
from schemas.errors import UsageError
from schemas.manifest import CaptionsSection
from schemas.receipt import FunnelStep
from schemas.store import Store
from schemas.tables import CAPTIONS, DROPPED_CAPTIONS


@dataclass(frozen=True)
class Captioned:
    """Captions of every track, and how they came about.

    Attributes:
        captions: strings, aligned with the tracks; null for a track of which nothing is said.
        dropped: rows of `dropped_captions`; None when captions are not the source's own.
        funnel, notes: for the stage.
    """

    captions: pa.Array
    dropped: pa.Table | None = None
    funnel: list[FunnelStep] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def captions_digest(settings: CaptionsSection) -> dict[str, Any]:
    """The section with digests of the files that it names, so that an edited file is a change.

    Raises:
        UsageError: a file that is not there, or wrong.
    """
    content = settings.model_dump(mode="json")
    if settings.kind == "templates":
        content["templates"] = load_templates(settings.templates).digest()
    if settings.kind == "existing":
        content["noise"] = noise_rules(settings).digest()
    return content


def caption_tracks(
    tracks: pa.Table, tags: pa.ListArray, categories: Mapping[str, str], out: Store, settings: CaptionsSection
) -> Captioned:
    """Put every track into words.

    Args:
        tracks: track_id and title.
        tags: clean tags, aligned with `tracks`.
        categories: the category of each tag.
        out: the dataset directory, for the source's own sentences.

    Raises:
        UsageError: sentences are asked for and the source has none, or a rules file is wrong.
    """
    ids = tracks.column("track_id").combine_chunks()
    titles = tracks.column("title").combine_chunks()
    if settings.kind == "existing":
        if not out.exists(CAPTIONS.filename):
            raise UsageError("captions.kind: existing, and the source has no sentences; use joined or templates")
        made = _own_sentences(CAPTIONS.read(out), ids, settings)
    else:
        out.remove(DROPPED_CAPTIONS.filename)
        # Of a million tracks most may be without a tag: they never become Python objects.
        tagged = pc.greater(pc.list_value_length(tags), 0)
        texts = _from_tags(ids.filter(tagged).to_pylist(), tags.filter(tagged).to_pylist(), categories, settings)
        made = Captioned(pc.replace_with_mask(pa.nulls(len(ids), pa.string()), tagged, texts))
    captions = pc.coalesce(made.captions, titles) if settings.fallback == "title" else made.captions
    counted = count_captions(captions).notes()
    return Captioned(captions, made.dropped, made.funnel, [*made.notes, *counted])


def _from_tags(
    ids: list[str], tags: list[list[str]], categories: Mapping[str, str], settings: CaptionsSection
) -> pa.Array:
    """Captions of tracks that have tags."""
    rows = zip(ids, tags, strict=True)
    if settings.kind == "templates":
        rules = load_templates(settings.templates)
        return pa.array((rules.sentence(*row, categories, settings.seed) for row in rows), pa.string())
    return pa.array((joined(*row, settings) for row in rows), pa.string())


def _own_sentences(sentences: pa.Table, ids: pa.Array, settings: CaptionsSection) -> Captioned:
    rules = noise_rules(settings)
    known = sentences.filter(pc.is_in(sentences.column("track_id"), value_set=ids))
    kept, dropped = noisy_sentences(known, rules)
    length = (
        f"{rules.min_words} to {rules.max_words}" if rules.max_words is not None else f"{rules.min_words} or more"
    )
    passing = f"sentences of {length} words" + (f" that pass {settings.noise}" if settings.noise else "")
    notes = []
    if dropped.num_rows:
        reasons = dropped.group_by("reason").aggregate([([], "count_all")]).sort_by("reason").to_pylist()
        listed = ", ".join(f"{row['count_all']} {row['reason']}" for row in reasons)
        notes.append(f"{dropped.num_rows} of {known.num_rows} sentences are no captions: {listed}")
    return Captioned(
        chosen_sentences(kept, ids, settings.seed),
        dropped,
        [_step("with sentences of the source", known), _step(passing, kept)],
        notes,
    )


def _step(name: str, sentences: pa.Table) -> FunnelStep:
    tracks = int(pc.count_distinct(sentences.column("track_id")).as_py())
    return FunnelStep(step=name, tracks=tracks, annotations=sentences.num_rows)


def joined(track_id: str, tags: list[str], settings: CaptionsSection) -> str:
    """The tags of one track joined (TTMR 3.1).

    With `order: seeded` the tags of a track stand in an order that its id and the seed decide, so that a model
    does not learn the alphabet.
    """
    ordered = sorted(tags)
    if settings.order == "seeded" and len(ordered) > 1:
        ordered.sort(key=lambda tag: stable_bytes(f"{track_id}\x00{tag}", settings.seed))
    return settings.separator.join(ordered)
