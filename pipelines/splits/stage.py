"""The splits stage: labels -> splits and pairs."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipelines.overlap import COLUMNS
from pipelines.sources.artists import UNKNOWN_ARTIST
from pipelines.splits.apart import contaminated, digest_of_others, other_datasets
from pipelines.splits.pairs import draw_pairs
from pipelines.stage import BuildContext, Stage, StageResult, written
from schemas.receipt import FunnelStep
from schemas.tables import EXCLUSIONS, LABELS, PAIRS, PUBLISHED, SPLITS, TRACKS

DEFAULT_SCHEME = "default"


class SplitsStage(Stage):
    """Assigns every track of `labels` a split; see `assign`."""

    name = "splits"
    version = 1
    after = ("tags",)

    def settings(self, context: BuildContext) -> Any:
        manifest = context.manifest
        pairs = manifest.pairs.model_dump(mode="json") if manifest.pairs else None
        splits = manifest.splits.model_dump(mode="json", exclude={"apart_from"})
        others = other_datasets(manifest.splits.apart_from, context.base, context.out)
        # Only when asked for: what does not stay apart from anything stands as it did.
        apart = {"apart_from": digest_of_others(others)} if others else {}
        return {"splits": splits, "pairs": pairs, **apart}

    def run(self, context: BuildContext) -> StageResult:
        out, settings = context.out, context.manifest.splits
        others = other_datasets(settings.apart_from, context.base, out)
        away = contaminated(TRACKS.read(out, list(COLUMNS)), others, context.manifest.source.kind) if others else {}
        tracks = TRACKS.read(out, ["track_id", "artist_id", "recording_id"])
        by_id = {row["track_id"]: row for row in tracks.to_pylist()}
        rows = [{**by_id[row["track_id"]], **row} for row in LABELS.read(out).to_pylist()]
        kept = [row for row in rows if row["track_id"] not in away]
        assigned, notes = assign(kept, settings.ratios, settings.seed, settings.effort)
        if away:
            notes.append(f"{len(rows) - len(kept)} tracks are in datasets to stay apart from, and in no split")
        split_of = dict(zip((row["track_id"] for row in kept), assigned, strict=True))
        assigned = [split_of.get(row["track_id"], "none") for row in rows]
        listed = [
            {"scheme": DEFAULT_SCHEME, "fold": 0, "track_id": row["track_id"], "split": split}
            for row, split in zip(rows, assigned, strict=True)
        ]
        if out.exists(PUBLISHED.filename):
            published = PUBLISHED.read(out).to_pylist()
            listed += [{"fold": 0, **row} for row in published]
        made = {SPLITS.filename: SPLITS.write(out, SPLITS.from_rows(listed))}
        pairs = context.manifest.pairs
        if pairs is not None:
            chosen = zip(rows, assigned, strict=True)
            candidates = [(row["track_id"], row["caption"]) for row, split in chosen if split == pairs.split]
            drawn = draw_pairs(candidates, pairs.count, pairs.seed)
            distinct = len({text for _, text in drawn})
            if drawn and distinct < len(drawn):
                notes.append(f"{len(drawn)} retrieval pairs have {distinct} distinct captions")
            columns = {"pair_id": list(range(len(drawn))), "track_id": [i for i, _ in drawn]}
            table = pa.table({**columns, "caption": [text for _, text in drawn]}, schema=PAIRS.schema)
            made[PAIRS.filename] = PAIRS.write(out, table)
        artists = {row["track_id"]: row["artist_id"] for row in rows}
        funnel = [
            FunnelStep(
                step=name,
                tracks=sum(split == name for split in assigned),
                artists=len({artists[r["track_id"]] for r, s in zip(rows, assigned, strict=True) if s == name}),
            )
            for name in [*settings.ratios, *sorted(set(assigned) - set(settings.ratios))]
        ]
        exclusions = EXCLUSIONS.from_rows(
            {"id": row["track_id"], "stage": self.name, "reason": str(reason), "detail": detail}
            for row in rows
            if row["track_id"] in away
            for reason, detail in [away[row["track_id"]]]
        )
        return StageResult(written(out, made), funnel, notes, exclusions)

    def expected(self, context: BuildContext, tracks: int | None) -> str:
        shares = ", ".join(f"{name} {ratio:.0%}" for name, ratio in context.manifest.splits.ratios.items())
        return f"{shares}" + (f" of {tracks} tracks" if tracks is not None else "")


def assign(
    rows: list[dict[str, Any]], ratios: dict[str, float], seed: int, effort: int
) -> tuple[list[str], list[str]]:
    """Split labelled tracks by the solver; give unlabelled ones `student` or `none` (CALS, thesis 3.5.3).

    Args:
        rows: track_id, artist_id, recording_id, tags, caption; a track without a caption is unlabelled.

    Returns:
        the split of each row, and warnings. An unlabelled track is `student` when what it is tied to (artist,
        recording) lies in no split but the first; else `none`, for it would leak.
    """
    # Late: the compiler behind the search takes a second to load, and a build that stands needs none.
    from pipelines.splits.stratify import Items, stratified_split

    first = next(iter(ratios))
    labelled = [row for row in rows if row["caption"] is not None]
    items = Items(
        [row["track_id"] for row in labelled],
        ([row["artist_id"] for row in labelled], [row["recording_id"] for row in labelled]),
        [row["tags"] for row in labelled],
        {UNKNOWN_ARTIST: first},
    )
    splits, notes = stratified_split(items, ratios, seed, effort)
    by_id = dict(zip(items.ids, splits, strict=True))
    held: set[tuple[str, str]] = set()
    for row, split in zip(labelled, splits, strict=True):
        if split != first:
            held.update({("artist", row["artist_id"]), ("recording", row["recording_id"])})

    def unlabelled(row: dict[str, Any]) -> str:
        tied = {("artist", row["artist_id"]), ("recording", row["recording_id"])}
        return "none" if tied & held else "student"

    return [by_id.get(row["track_id"]) or unlabelled(row) for row in rows], notes
