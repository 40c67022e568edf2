"""The recordings stage: fingerprints -> which tracks are one recording, whatever their names say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.features.base import Feature
from pipelines.features.fingerprint import HOP_S, Fingerprint, FingerprintSettings
from pipelines.progress import beat
from pipelines.recordings.spool import Spool
from pipelines.stage import BuildContext, Stage, StageResult, written
from schemas.errors import DataError, UsageError, fault_of_file
from schemas.receipt import FunnelStep
from schemas.store import Store
from schemas.tables import RECORDINGS, TRACKS

NAME = "recordings"


class RecordingsStage(Stage):
    """Matches the fingerprints of one feature.

    Args:
        feature: its name in the manifest.
    """

    name = NAME
    version = 1

    def __init__(self, feature: str, settings: FingerprintSettings) -> None:
        self._feature, self._settings = f"features.{feature}", settings
        self.after = ("source", self._feature)

    def settings(self, context: BuildContext) -> Any:
        return {"max_error": self._settings.max_error, "min_overlap_s": self._settings.min_overlap_s}

    def run(self, context: BuildContext) -> StageResult:
        # Late: the compiler behind the search takes a second to load, and a build that stands needs none.
        from pipelines.recordings.match import match

        out = context.out
        tracks = TRACKS.read(out, ["track_id", "artist_id", "recording_id"]).sort_by("track_id")
        ids = tracks.column("track_id").combine_chunks()
        files = context.receipt.stages[self._feature].files
        hashes, starts, rows, seconds = spooled_fingerprints(out, files, tracks.column("track_id"))
        least = round(self._settings.min_overlap_s / HOP_S)
        with hashes:
            found = match(hashes, starts, max_error=self._settings.max_error, min_overlap=least)
        table, same = recordings_of(tracks, rows, seconds, found)
        notes = _notes(tracks, table, same, len(ids) - len(rows))
        distinct = int(pc.count_distinct(table.column("recording_id")).as_py())
        return StageResult(
            written(out, {RECORDINGS.filename: RECORDINGS.write(out, table)}),
            [
                FunnelStep(step="with a fingerprint", tracks=len(rows)),
                FunnelStep(step="distinct recordings", tracks=distinct),
            ],
            notes,
        )

    def expected(self, context: BuildContext, tracks: int | None) -> str:
        return "which tracks are one recording"


def recordings_stages(features: Sequence[Feature], where: str) -> list[Stage]:
    """The stage, where a feature of a manifest is a fingerprint.

    Raises:
        UsageError: several are.
    """
    found = [feature for feature in features if isinstance(feature, Fingerprint)]
    if len(found) > 1:
        names = ", ".join(feature.name for feature in found)
        raise UsageError(f"{where}: features: {names} are fingerprints; one says which tracks are one recording")
    return [RecordingsStage(feature.name, feature.settings) for feature in found]


def spooled_fingerprints(
    out: Store, paths: Iterable[str], track_ids: pa.ChunkedArray
) -> tuple[Spool, npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """All fingerprints of a feature's shards, in the order of `track_ids`.

    Returns:
        the hashes one after the other, to be closed; where each track begins in them, int64 (found + 1,); its row
        in `track_ids`, int64 (found,); and the second of its file at which it begins.

    Raises:
        DataError: a shard is damaged, or there is no room for the hashes.
    """
    names: list[pa.Array] = []
    seconds: list[npt.NDArray[np.float64]] = []
    sizes: list[npt.NDArray[np.int64]] = []
    with Spool() as as_read:
        for path in sorted(paths):
            beat()
            try:
                with out.open(path) as stream:
                    table = pq.ParquetFile(stream).read(columns=["track_id", "start_s", "data"])
            except (OSError, pa.ArrowInvalid) as error:
                why = fault_of_file(error)
                raise DataError(f"{out.root}/{path}: is damaged ({why}); run tracklore build --check") from error
            names.append(_in_one(table.column("track_id")))
            seconds.append(table.column("start_s").to_numpy())
            cells = [np.frombuffer(cell.as_buffer(), np.uint32) for cell in table.column("data")]
            sizes.append(np.array([len(cell) for cell in cells], np.int64))
            as_read.append(np.concatenate([np.empty(0, np.uint32), *cells]))
        places = pc.index_in(pa.chunked_array(names, pa.string()), value_set=track_ids.combine_chunks())
        rows = places.to_numpy(zero_copy_only=False)
        order = np.argsort(rows, kind="stable")
        lengths = np.concatenate([np.empty(0, np.int64), *sizes])
        ends = np.cumsum(lengths)
        begins = ends - lengths
        hashes = as_read.reordered((int(begins[place]), int(ends[place])) for place in order)
    starts = np.append(0, np.cumsum(lengths[order]))
    return hashes, starts, rows[order].astype(np.int64), np.concatenate([np.empty(0), *seconds])[order]


def _in_one(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    return found if isinstance(found, pa.Array) else found.chunk(0)


def recordings_of(
    tracks: pa.Table, rows: npt.NDArray[np.int64], seconds: npt.NDArray[np.float64], found: Any
) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """The table `recordings`, and for each track the row of the first one of its recording.

    Args:
        tracks: track_id and recording_id, by id; a recording is at least what the source says is one.
        rows, seconds: of the fingerprints, as `spooled_fingerprints` gives them.
        found: `pipelines.recordings.match.Matches` among the fingerprints.
    """
    from pipelines.recordings.match import best_partners, united

    count = tracks.num_rows
    said = pc.dictionary_encode(tracks.column("recording_id").combine_chunks()).indices.to_numpy()
    same = united(said.astype(np.int64), rows[found.one], rows[found.other])
    best = best_partners(found, len(rows))
    has = np.flatnonzero(best >= 0)
    pair = best[has]
    first = found.one[pair] == has
    partner = np.where(first, found.other[pair], found.one[pair])
    shift = np.where(first, found.shift[pair], -found.shift[pair]) * HOP_S
    values = {
        "similarity": 1 - found.error[pair],
        "offset_s": shift + seconds[partner] - seconds[has],
        "overlap_s": found.overlap[pair] * HOP_S,
    }
    ids = tracks.column("track_id").combine_chunks()
    partners = np.full(count, -1, np.int64)
    partners[rows[has]] = rows[partner]
    columns: dict[str, pa.Array] = {
        "track_id": ids,
        "recording_id": tracks.column("recording_id").take(pa.array(same)),
        "partner": ids.take(pa.array(partners, mask=partners < 0)),
    }
    for name, given in values.items():
        column = np.zeros(count)
        column[rows[has]] = given
        columns[name] = pa.array(column, mask=partners < 0)
    return RECORDINGS.conform(pa.table(columns)), same


def _notes(tracks: pa.Table, table: pa.Table, same: npt.NDArray[np.int64], without: int) -> list[str]:
    notes = []
    alike = pc.is_valid(table.column("partner")).to_numpy()
    if alike.any():
        artists = pc.dictionary_encode(tracks.column("artist_id").combine_chunks()).indices.to_numpy()
        groups = np.unique(same[alike])
        several = np.unique(same[alike & (artists != artists[same])])
        sizes = np.bincount(same, minlength=len(same))
        notes.append(
            f"{int(alike.sum())} tracks sound like another one: {len(groups)} recordings stand more than once, "
            f"{len(several)} of them by several artists; the largest is {int(sizes[groups].max())} tracks"
        )
    if without:
        notes.append(f"{without} tracks have no fingerprint: their recording is what the source says")
    return notes
