"""The Million Song Dataset (Bertin-Mahieux et al. 2011), and what others have published for its tracks.

The metadata, the releases of labels that `source.labels` names (see `pipelines.sources.msd.labels`), the Taste
Profile, the list of duplicates and the paths of the previews, each read only when the recipe asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cache import Remembered, digest_of_table
from pipelines.sources.base import SourceContext, SourceTables
from pipelines.sources.excluded_rows import excluded_rows
from pipelines.sources.msd.audio import AUDIO_FILES, read_audio_paths
from pipelines.sources.msd.duplicates import DUPLICATE_FILES, read_recordings
from pipelines.sources.msd.label_source import LabelSource, LabelTables, MillionSongFiles, label_source
from pipelines.sources.msd.metadata import METADATA_FILES, artist_keys, read_metadata
from pipelines.sources.msd.students import student_note
from pipelines.sources.msd.tables import joined_annotations
from pipelines.sources.msd.taste_profile import TASTE_FILES, TasteProfile, read_taste_profile
from pipelines.sources.published_files import PublishedFile, PublishedFilesSettings
from schemas.errors import UsageError
from schemas.reasons import Reason
from schemas.tables import ANNOTATIONS, EXCLUSIONS, PUBLISHED, TAXONOMY, TRACKS


class MillionSongSettings(PublishedFilesSettings):
    """The keys of `source:` for the Million Song Dataset.

    Attributes:
        path: the folder of the published files.
        audio: the folder of the previews as `7D_id_to_path.pkl` names them (`8/9/8947470.clip.mp3`).
        labels: releases of labels, the modules of `pipelines.sources.msd.labels`: lastfm, …
        split: the release whose split is `published`, or null.
        pairs: the release whose retrieval pairs come along with the split, or null.
        tracks: all of the metadata's; `annotated`, those with a label; `with_audio`, those with a preview.
        labelled_students: whether tracks that the published split calls `student`, and that have labels here, stay
            so, or are `extra` (ECALS).
        listening: whether the Taste Profile says which tracks were listened to (MSD500's step 1).
        interactions: whether who listened to what comes along.
    """

    labels: tuple[str, ...] = ("lastfm",)
    split: str | None = None
    pairs: str | None = None
    tracks: Literal["all", "annotated", "with_audio"] = "annotated"
    labelled_students: Literal["student", "extra"] = "student"
    listening: bool = False
    interactions: bool = False


class MillionSong(MillionSongFiles):
    """See the module."""

    Settings = MillionSongSettings
    settings: MillionSongSettings
    VERSION = 1

    def __init__(self, settings: MillionSongSettings, context: SourceContext) -> None:
        self.settings = settings
        self._labels: dict[str, LabelSource] = {}
        for name in settings.labels:
            if name in self._labels:
                raise UsageError(f"source.labels: {name!r} stands twice")
            self._labels[name] = label_source(name, "source.labels")
        self._split = None if settings.split is None else label_source(settings.split, "source.split")
        self._pairs = None if settings.pairs is None else label_source(settings.pairs, "source.pairs")
        if self._pairs is not None and not self._pairs.pair_files:
            raise UsageError(f"source.pairs: {settings.pairs} has published no pairs; ecals has")
        if settings.tracks == "annotated" and not self._labels:
            raise UsageError("source.labels: names none, so no track is annotated; set source.tracks to all")
        self._metadata: tuple[pa.Table, tuple[str, ...]] | None = None
        super().__init__(settings, context)

    def files(self) -> Mapping[str, PublishedFile]:
        settings = self.settings
        wanted = {**METADATA_FILES, **DUPLICATE_FILES}
        for name, source in self._labels.items():
            wanted.update(source.files_for(labels=True, split=name == settings.split))
        if self._split is not None and settings.split not in self._labels:
            wanted.update(self._split.files_for(labels=False, split=True))
        if self._pairs is not None:
            wanted.update(self._pairs.pair_files)
        if settings.listening or settings.interactions:
            wanted.update(TASTE_FILES)
        if settings.tracks == "with_audio" or settings.audio is not None:
            wanted.update(AUDIO_FILES)
        return wanted

    def inputs(self) -> dict[str, str]:
        releases = dict(self._labels)
        if self._split is not None and self.settings.split is not None:
            releases.setdefault(self.settings.split, self._split)
        return {**super().inputs(), **{f"{name} version": str(it.VERSION) for name, it in releases.items()}}

    def expected_tracks(self) -> int | None:
        return 1_000_000 if self.settings.tracks == "all" else None

    def songs(self) -> pa.Table:
        tracks = self._tracks()[0].select(["song_id", "track_id"])
        return tracks.sort_by([("song_id", "ascending"), ("track_id", "ascending")])

    def read(self) -> SourceTables:
        # Labels are read while the metadata is, unless they want to know which tracks have sound.
        with ThreadPoolExecutor(1) as pool:
            ahead = {}
            if self.settings.tracks != "with_audio":
                ahead = {name: pool.submit(source.read, self, None) for name, source in self._labels.items()}
            try:
                return self._read(ahead)
            finally:
                pool.shutdown(cancel_futures=True)

    def _read(self, ahead: dict[str, Future[LabelTables]]) -> SourceTables:
        settings = self.settings
        tracks, notes = self._tracks()
        every = tracks.column("track_id").combine_chunks()
        said = list(notes)
        excluded = []

        paths = None
        if self.has("7digital_ids"):
            paths = read_audio_paths(self, every)
        if settings.tracks == "with_audio" and paths is not None:
            here = pc.is_valid(paths)
            detail = f"{self.path('7digital_ids')} and {self.path('7digital_paths')} know no preview"
            excluded.append(excluded_rows(every.filter(pc.invert(here)), Reason.NO_AUDIO, detail))
            tracks, paths = tracks.filter(here), paths.filter(here)
        wanted = tracks.column("track_id").combine_chunks()

        taste = None
        if settings.listening or settings.interactions:
            taste = self._taste_profile(wanted)
        releases: dict[str, LabelTables] = {}
        tables = []
        for name, source in self._labels.items():
            release = ahead.pop(name).result() if name in ahead else source.read(self, wanted)
            tables.append((name, release.annotations))
            releases[name] = replace(release, annotations=ANNOTATIONS.empty())
            del release
        annotations, left = joined_annotations(tables, wanted)
        split = self._published(releases, said)
        for release in releases.values():
            said.extend(release.notes)
            excluded.append(release.exclusions)
        said.extend(left)
        labelled = np.zeros(len(wanted), bool)
        labelled[annotations.column("track_id").chunk(0).indices.to_numpy()] = True
        if settings.tracks == "annotated":
            detail = f"no label in {', '.join(self._labels)}"
            excluded.append(excluded_rows(wanted.filter(pa.array(~labelled)), Reason.NO_TAGS, detail))
            tracks = tracks.filter(pa.array(labelled))
            paths = None if paths is None else paths.filter(pa.array(labelled))
        published = None if split is None else self._split_table(split, wanted, labelled, tracks, said)

        ids = tracks.column("track_id").combine_chunks()
        recordings, note = read_recordings(self, ids)
        said.extend(note)
        if taste is not None:
            said.extend(taste.notes)
            excluded.append(taste.exclusions)
        columns = {name: tracks.column(name) for name in tracks.column_names if name in TRACKS.schema.names}
        columns["recording_id"] = recordings
        if paths is not None:
            columns["audio_uri"] = paths
        return SourceTables(
            tracks=TRACKS.conform(pa.table(columns)),
            annotations=annotations,
            exclusions=EXCLUSIONS.conform(pa.concat_tables(excluded)) if excluded else EXCLUSIONS.empty(),
            published=published,
            pairs=self._released_pairs(ids, said),
            listened=taste.listened if taste is not None and settings.listening else None,
            taxonomy=self._taxonomy(releases, said),
            interactions=None if taste is None else taste.interactions,
            artist_keys=artist_keys(tracks),
            notes=tuple(said),
        )

    def _tracks(self) -> tuple[pa.Table, tuple[str, ...]]:
        if self._metadata is None:
            found = self.remembered(
                "million-song-metadata", self.VERSION, METADATA_FILES, ["tracks"], self._read_metadata
            )
            self._metadata = found.tables["tracks"], found.notes
        return self._metadata

    def _read_metadata(self) -> Remembered:
        table, notes = read_metadata(self)
        return Remembered({"tracks": table}, notes)

    def _taste_profile(self, tracks: pa.Array) -> TasteProfile:
        if self.settings.interactions:  # not kept: it would be larger than the file
            return read_taste_profile(self, tracks, interactions=True)

        def read() -> Remembered:
            taste = read_taste_profile(self, tracks, interactions=False)
            return Remembered({"listened": taste.listened, "exclusions": taste.exclusions}, taste.notes)

        keys, beside = [*TASTE_FILES, *METADATA_FILES], digest_of_table(pa.table({"track_id": tracks}))
        tables = ["listened", "exclusions"]
        found = self.remembered("taste-profile", self.VERSION, keys, tables, read, beside=beside)
        return TasteProfile(found.tables["listened"], None, found.tables["exclusions"], found.notes)

    def _published(self, releases: dict[str, LabelTables], notes: list[str]) -> pa.Table | None:
        """The split's table as its release gives it; releases of labels are read once."""
        if self._split is None or self.settings.split is None:
            return None
        if self.settings.split in releases:
            release = releases[self.settings.split]
        else:
            release = self._split.read(self, None)
            notes.extend(release.notes)
        if release.published is None:
            notes.append(f"source.split: the files of {self.settings.split} are not there, so nothing is published")
        return release.published

    def _split_table(
        self, split: pa.Table, wanted: pa.Array, labelled: np.ndarray, tracks: pa.Table, notes: list[str]
    ) -> pa.Table:
        """The split of the tracks that stay, students by `labelled_students`."""
        kept = split.filter(
            pc.is_in(split.column("track_id"), value_set=tracks.column("track_id").combine_chunks())
        )
        if left := split.num_rows - kept.num_rows:
            notes.append(f"published split: {left:,} of its {split.num_rows:,} tracks are not among the tracks")
        if self.settings.labelled_students == "extra":
            with_labels = wanted.filter(pa.array(labelled))
            extra = pc.and_(
                pc.equal(kept.column("split"), "student"), pc.is_in(kept.column("track_id"), value_set=with_labels)
            )
            place = kept.column_names.index("split")
            kept = kept.set_column(place, "split", pc.if_else(extra, "extra", kept.column("split")))
        if (warning := student_note(kept, tracks)) is not None:
            notes.append(warning)
        return PUBLISHED.conform(kept)

    def _released_pairs(self, ids: pa.Array, notes: list[str]) -> pa.Table | None:
        """The released pairs of the tracks that are here."""
        pairs = None if self._pairs is None else self._pairs.pairs(self)
        if pairs is None:
            return None
        kept = pairs.filter(pc.is_in(pairs.column("track_id"), value_set=ids))
        notes.append(f"published pairs: {kept.num_rows:,} of {pairs.num_rows:,} are of tracks that are here")
        return kept

    def _taxonomy(self, releases: dict[str, LabelTables], notes: list[str]) -> pa.Table | None:
        """What the releases say of their tags; of a tag in several, what the first in `source.labels` says."""
        tables = [release.taxonomy for release in releases.values() if release.taxonomy is not None]
        if not tables:
            return None
        table = pa.concat_tables(tables)
        place = pa.array(np.arange(table.num_rows))
        first = table.append_column("place", place).group_by("raw_tag").aggregate([("place", "min")])
        if again := table.num_rows - first.num_rows:
            notes.append(f"taxonomy: {again:,} tags are in several releases: the first in source.labels counts")
        return TAXONOMY.conform(table.take(first.column("place_min")))


SOURCE = MillionSong
