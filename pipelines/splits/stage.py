"""The splits stage: labels -> splits and pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.overlap import COLUMNS as OVERLAP_COLUMNS
from pipelines.recordings.known import with_recordings
from pipelines.splits.apart import contaminated, digest_of_others, other_datasets
from pipelines.splits.keep import kept_digest, read_kept
from pipelines.splits.pairs import pairs_of_schemes
from pipelines.stage import BuildContext, Stage, StageResult, written
from pipelines.videos.kept import only_kept
from schemas.manifest import split_order
from schemas.reasons import Reason
from schemas.receipt import FunnelStep
from schemas.tables import EXCLUSIONS, LABELS, PAIRS, PUBLISHED, PUBLISHED_PAIRS, SPLITS, TRACKS
from schemas.tables.splits import DEFAULT_SCHEME


class SplitsStage(Stage):
    """Assigns every track of `labels` a split; see `assign`."""

    name = "splits"
    version = 4
    loads = ("pipelines.splits.assign",)

    def __init__(self, *, recordings: bool = False, videos: bool = False) -> None:
        self.after = ("tags", "recordings") if recordings else ("tags",)
        self._videos = videos

    def settings(self, context: BuildContext) -> Any:
        manifest = context.manifest
        pairs = manifest.pairs.model_dump(mode="json") if manifest.pairs else None
        splits = manifest.splits.model_dump(mode="json", exclude={"keep", "apart_from"})
        keep = manifest.splits.keep
        others = other_datasets(manifest.splits.apart_from, context.base, context.out)
        # Only when asked for: what keeps nothing and stays apart from nothing stands as it did.
        kept = {"keep": kept_digest(keep, context.base)} if keep else {}
        apart = {"apart_from": digest_of_others(others)} if others else {}
        return {"splits": splits, "pairs": pairs, **kept, **apart}

    def preflight(self, context: BuildContext) -> None:
        settings = context.manifest.splits
        if settings.keep:
            from pipelines.splits.assign import require_fitting

            require_fitting(read_kept(settings.keep, context.base), settings)

    def run(self, context: BuildContext) -> StageResult:
        # Late: the compiler behind the search takes a second to load, and a build that stands needs none.
        from pipelines.splits.assign import assign
        from pipelines.splits.tracks import COLUMNS, tracks_of

        out, settings = context.out, context.manifest.splits
        others = other_datasets(settings.apart_from, context.base, out)
        away: dict[str, tuple[Reason, str]] = {}
        if others:
            looked_for = with_recordings(TRACKS.read(out, list(OVERLAP_COLUMNS)), out, context.receipt)
            away = contaminated(looked_for, others, context.manifest.source.kind)
        labels = LABELS.read(out)
        tracks = tracks_of(with_recordings(TRACKS.read(out, list(COLUMNS)), out, context.receipt), labels)
        kept = read_kept(settings.keep, context.base) if settings.keep else None
        found = assign(tracks, settings, away, kept)
        listed = [_scheme_rows(scheme, fold, tracks.ids, splits) for scheme, fold, splits in found.schemes]
        if out.exists(PUBLISHED.filename):
            published = PUBLISHED.read(out)
            if self._videos:
                published = only_kept(published, out)
            listed.append(published.append_column("fold", pa.array(np.zeros(published.num_rows, np.int32))))
        names = [field.name for field in SPLITS.schema]
        table = pa.concat_tables([part.select(names).cast(SPLITS.schema) for part in listed])
        made = {SPLITS.filename: SPLITS.write(out, table)}
        assigned = next(splits for scheme, _, splits in found.schemes if scheme == DEFAULT_SCHEME)
        notes = list(found.notes)
        if away:
            notes.append(f"{len(away)} tracks are in datasets to stay apart from, and in no split")
        pairs = context.manifest.pairs
        if pairs is not None:
            fixed = PUBLISHED_PAIRS.read(out) if out.exists(PUBLISHED_PAIRS.filename) else None
            drawn, said = pairs_of_schemes(table, labels, pairs, fixed)
            made[PAIRS.filename] = PAIRS.write(out, drawn)
            notes += said
        exclusions = EXCLUSIONS.from_rows(
            {"id": tracks.ids[row].as_py(), "stage": self.name, "reason": str(reason), "detail": detail}
            for row, (reason, detail) in found.leaving.items()
        )
        return StageResult(
            written(out, made), _funnel(assigned, tracks.artists, settings.ratios), notes, exclusions
        )

    def expected(self, context: BuildContext, tracks: int | None) -> str:
        shares = ", ".join(f"{name} {ratio:.0%}" for name, ratio in context.manifest.splits.ratios.items())
        return f"{shares}" + (f" of {tracks} tracks" if tracks is not None else "")


def _scheme_rows(scheme: str, fold: int, ids: pa.Array, splits: pa.Array) -> pa.Table:
    count = len(ids)
    return pa.table(
        {
            "scheme": pa.repeat(pa.scalar(scheme, pa.string()), count),
            "fold": pa.repeat(pa.scalar(fold, pa.int32()), count),
            "track_id": ids,
            "split": splits,
        }
    )


def _funnel(splits: pa.Array, artists: Any, ratios: Any) -> list[FunnelStep]:
    table = pa.table({"split": splits, "artist": pa.array(artists)})
    counts = table.group_by("split").aggregate([([], "count_all"), ("artist", "count_distinct")])
    by_name = {row["split"]: (row["count_all"], row["artist_count_distinct"]) for row in counts.to_pylist()}
    names = [*ratios, *split_order(set(by_name) - set(ratios))]
    return [
        FunnelStep(step=name, tracks=by_name.get(name, (0, 0))[0], artists=by_name.get(name, (0, 0))[1])
        for name in names
    ]
