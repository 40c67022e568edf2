"""A dataset directory as a trainer sees it: its receipt, its tables, and which tracks have what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from schemas.digests import digest_of
from schemas.errors import UsageError, suggest
from schemas.receipt import FileEntry, require_receipt
from schemas.shards import FeatureSpec
from schemas.store import Store
from schemas.table import TableSchema
from schemas.tables import LABELS, SPLITS, TRACKS
from schemas.tables.tracks import UNKNOWN_ARTIST
from train.data.checks import check_bytes, check_size
from train.data.joined import JoinedReader
from train.data.reader import ClipReader
from train.data.text import TextSource

STAGE_OF_TABLE = {"labels": "tags", "tags": "tags", "splits": "splits", "pairs": "splits", "tracks": "source"}


@dataclass(frozen=True)
class Selection:
    """The tracks of some splits that can be used, sorted by id, and how many cannot and why.

    Attributes:
        sources: tags and caption of every usable track.
        without_clip: tracks of the splits that the feature excluded.
        without_text: tracks with a clip and neither tags nor a caption.
    """

    sources: tuple[TextSource, ...]
    without_clip: int
    without_text: int

    @property
    def track_ids(self) -> list[str]:
        """The ids, in order."""
        return [source.track_id for source in self.sources]


class Dataset:
    """A built dataset, opened read-only.

    What is read from this machine's disks is held against the receipt's checksums first, once; see `check_bytes`.
    Of a remote store's files the sizes are checked: it checks their bytes on the way.

    Raises:
        UsageError: no dataset at `root`.
    """

    def __init__(self, root: str) -> None:
        self.store = Store(root)
        self.receipt = require_receipt(self.store)

    def read(self, table: TableSchema, columns: list[str] | None = None) -> dict[str, list[Any]]:
        """A table's columns as lists, if the receipt lists the table and the file is the listed one.

        Raises:
            UsageError: the dataset has no such table.
            DataError: the file is not the one that the receipt lists.
        """
        entry = self.receipt.files().get(table.filename)
        if entry is None:
            stage = STAGE_OF_TABLE.get(table.name, table.name)
            raise UsageError(
                f"{self.store.root}: has no {table.filename}; run tracklore build (stage {stage}) to make it"
            )
        check_size(self.store, table.filename, entry)
        check_bytes(self.store, {table.filename: entry})
        return dict(table.read(self.store, columns).to_pydict())

    def has(self, table: TableSchema) -> bool:
        """Whether the receipt lists the table."""
        return table.filename in self.receipt.files()

    def shards(self, feature: str) -> dict[str, FileEntry]:
        """The shards that the receipt lists for a feature.

        Raises:
            UsageError: the dataset has no such feature; the message names the manifest's key that makes it.
        """
        stage = self.receipt.stages.get(f"features.{feature}")
        if stage is None:
            names = [n.removeprefix("features.") for n in self.receipt.stages if n.startswith("features.")]
            raise UsageError(
                f"{self.store.root}: has no feature {feature!r}{suggest(feature, names)}; "
                f"add features.{feature} to its manifest and run tracklore build"
            )
        return {path: entry for path, entry in sorted(stage.files.items()) if path.endswith(".parquet")}

    def reader(self, feature: str) -> ClipReader:
        """Open a feature's shards; see `ClipReader`.

        Raises:
            UsageError: the dataset has no such feature.
            DataError: a shard is not the one that the receipt lists; the message names it.
        """
        shards = self.shards(feature)
        check_bytes(self.store, shards)
        return ClipReader(self.store, shards)

    def joined(self, features: Iterable[str]) -> JoinedReader:
        """Open several features; see `JoinedReader`."""
        return JoinedReader({feature: self.reader(feature) for feature in features})

    def features_digest(self, feature: str) -> str:
        """Digest of a feature's content: changes when, and only when, a clip may have changed."""
        return digest_of({path: entry.sha256 for path, entry in self.shards(feature).items()})

    def identity(self, feature: str, spec: FeatureSpec, *, by_track: bool = False) -> dict[str, Any]:
        """What a run remembers of its data; says nothing of where it lies.

        Args:
            by_track: whether what is known of the tracks themselves decides what is learnt.
        """
        files = self.receipt.files()
        return {
            "name": self.receipt.name,
            "manifest": self.receipt.manifest,
            "feature": feature,
            "feature_spec": {"dtype": spec.dtype, "shape": list(spec.shape), **spec.settings},
            "clips": self.features_digest(feature),
            "labels": files[LABELS.filename].sha256 if LABELS.filename in files else None,
            "splits": files[SPLITS.filename].sha256 if SPLITS.filename in files else None,
            **({"tracks": files[TRACKS.filename].sha256} if by_track and TRACKS.filename in files else {}),
        }

    @cached_property
    def texts(self) -> Mapping[str, TextSource]:
        """Tags and caption by track id; empty strings count as none."""
        rows = self.read(LABELS)
        known = self.identities
        return {
            track: TextSource(
                track, tuple(tags), caption.strip() or None if caption else None, *known.get(track, (None, None))
            )
            for track, tags, caption in zip(rows["track_id"], rows["tags"], rows["caption"], strict=True)
        }

    @cached_property
    def identities(self) -> dict[str, tuple[str | None, str | None]]:
        """Recording and artist by track id; None where unknown."""
        if not self.has(TRACKS):
            return {}
        rows = self.read(TRACKS, ["track_id", "recording_id", "artist_id"])
        artists = (None if artist == UNKNOWN_ARTIST else artist for artist in rows["artist_id"])
        return dict(zip(rows["track_id"], zip(rows["recording_id"], artists, strict=True), strict=True))

    def split_of(self, scheme: str, fold: int) -> dict[str, str]:
        """Split by track id.

        Raises:
            UsageError: the dataset has no such scheme or fold.
        """
        rows = self.read(SPLITS)
        keys = zip(rows["scheme"], rows["fold"], rows["track_id"], rows["split"], strict=True)
        found = {track: split for s, f, track, split in keys if (s, f) == (scheme, fold)}
        if not found and rows["scheme"]:
            known = sorted({f"{s}/{f}" for s, f in zip(rows["scheme"], rows["fold"], strict=True)})
            raise UsageError(
                f"{self.store.root}/{SPLITS.filename}: no scheme {scheme!r} with fold {fold}; "
                f"set data.scheme and data.fold (of evaluate: --scheme and --fold) to one of: {', '.join(known)}"
            )
        return found

    def select(
        self, splits: Mapping[str, str], names: Iterable[str], clips: Iterable[str], *, tagged: bool = False
    ) -> Selection:
        """The tracks of the named splits that have a clip and a text; with `tagged`, one of tags."""
        wanted, present = set(names), set(clips)
        tracks = sorted(track for track, split in splits.items() if split in wanted)
        heard = [track for track in tracks if track in present]
        said = [
            s for s in (self.texts.get(track) for track in heard) if s and (s.tags or (s.caption and not tagged))
        ]
        return Selection(tuple(said), len(tracks) - len(heard), len(heard) - len(said))
