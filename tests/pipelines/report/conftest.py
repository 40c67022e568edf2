"""A small dataset written with the schemas' own writers, in whatever shape a test wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.audit import audit
from schemas.receipt import FileEntry, FunnelStep, Receipt, StageEntry
from schemas.shards import Clip, FeatureSpec, shard_of, shard_path, writing_shard
from schemas.store import Store
from schemas.tables import DROPPED_TAGS, EXCLUSIONS, LABELS, SPLITS, TAGS, TRACKS

DIGEST = "0123456789abcdef" * 4
MEL = {"kind": "log_mel", "rate": 16_000, "hop_s": 0.01, "unit": "dB"}

Make = Callable[..., Store]


def clip_of(track_id: str, frames: int = 40) -> np.ndarray[Any, np.dtype[np.float16]]:
    """What the fixture writes for a track: float16 (frames, 128)."""
    rng = np.random.default_rng(int.from_bytes(track_id.encode()[-4:], "big"))
    return rng.normal(-20, 10, (frames, 128)).astype(np.float16)


def _entry(store: Store, paths: Sequence[str], rows: int) -> dict[str, FileEntry]:
    return {p: FileEntry(sha256=store.sha256(p), bytes=store.info(p).bytes, rows=rows) for p in paths}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a dataset and return its store.

    Keywords:
        where: the directory; a folder of the test by default.
        tracks: how many; artist `a{n}` has tracks 2n and 2n+1.
        tags: of each track, from its number; None for a dataset without the tags stage.
        splits: track number to split, by scheme; None for no splits.
        features: whether there is `ttmr`.
        names: replaces title, artist name, caption and exclusion texts (hostile ones).
        excluded, dropped, notes, recipe: rows, sentences, further recipe keys.
    """

    def build(
        where: str | None = None,
        tracks: int = 12,
        tags: Callable[[int], Sequence[str]] | None = lambda n: ["piano"] if n % 3 else ["piano", "calm"],
        splits: Mapping[str, Callable[[int], str]] | None = None,
        features: bool = True,
        title: str = "Title",
        members: Mapping[str, Sequence[str]] | None = None,
        category: str = "genre",
        excluded: Sequence[Mapping[str, Any]] = (),
        dropped: Sequence[Mapping[str, Any]] = (),
        notes: Sequence[str] = (),
        funnel: Sequence[FunnelStep] = (),
        recipe: Mapping[str, Any] | None = None,
        shards: int = 2,
        seconds: float | None = 30.0,
    ) -> Store:
        store = Store(where or str(tmp_path / "data"))
        ids = [f"t{n:04d}" for n in range(tracks)]
        rows = [
            {
                "track_id": track,
                "artist_id": f"a{n // 2}",
                "artist_name": f"Artist {n // 2} {title}",
                "title": f"{title} {n}",
                "duration_s": None if seconds is None else seconds + n,
                "recording_id": track,
            }
            for n, track in enumerate(ids)
        ]
        TRACKS.write(store, TRACKS.from_rows(rows))
        EXCLUSIONS.write(store, EXCLUSIONS.from_rows(excluded))
        stages = {
            "source": StageEntry(
                version=1,
                digest=DIGEST,
                files=_entry(store, [TRACKS.filename], tracks),
                funnel=list(funnel) or [FunnelStep(step="read", tracks=tracks, artists=(tracks + 1) // 2)],
                notes=list(notes),
            ),
            "exclusions": StageEntry(
                version=1, digest=DIGEST, files=_entry(store, [EXCLUSIONS.filename], len(excluded))
            ),
        }
        if tags is not None:
            given = {track: sorted(tags(n)) for n, track in enumerate(ids)}
            labels = [{"track_id": t, "tags": g, "caption": ", ".join(g) or None} for t, g in given.items()]
            LABELS.write(store, LABELS.from_rows(labels))
            vocabulary = sorted({tag for g in given.values() for tag in g})
            of = {tag: [n for n, t in enumerate(ids) if tag in given[t]] for tag in vocabulary}
            table = [
                {
                    "tag": tag,
                    "category": category,
                    "members": list((members or {}).get(tag, [tag])),
                    "joined_by": ["as_typed"] * len((members or {}).get(tag, [tag])),
                    "n_tracks": len(of[tag]),
                    "n_artists": len({n // 2 for n in of[tag]}),
                }
                for tag in vocabulary
            ]
            TAGS.write(store, TAGS.from_rows(table))
            DROPPED_TAGS.write(store, DROPPED_TAGS.from_rows(dropped))
            stages["tags"] = StageEntry(
                version=1,
                digest=DIGEST,
                files={
                    **_entry(store, [TAGS.filename], len(table)),
                    **_entry(store, [LABELS.filename], tracks),
                    **_entry(store, [DROPPED_TAGS.filename], len(dropped)),
                },
                funnel=[FunnelStep(step="annotated", tracks=tracks, annotations=2345)],
            )
        if splits is not None:
            listed = [
                {"scheme": scheme, "fold": 0, "track_id": track, "split": of_track(n)}
                for scheme, of_track in splits.items()
                for n, track in enumerate(ids)
            ]
            SPLITS.write(store, SPLITS.from_rows(listed))
            files = _entry(store, [SPLITS.filename], len(listed))
            stages["splits"] = StageEntry(version=1, digest=DIGEST, files=files)
        if features:
            spec = FeatureSpec("ttmr", "float16", (-1, 128), MEL)
            paths = [shard_path("ttmr", index, shards) for index in range(shards)]
            for index, path in enumerate(paths):
                with writing_shard(store, path, spec, {}) as writer:
                    for track in ids:
                        if shard_of(track, shards) == index:
                            writer.append(Clip(track, 0, 1.5, clip_of(track)))
            files = _entry(store, paths, tracks // shards)
            stages["features.ttmr"] = StageEntry(version=1, digest=DIGEST, files=files)
        ratios = {"train": 0.5, "valid": 0.25, "test": 0.25}
        content = {"name": "small", "splits": {"ratios": ratios}, **(recipe or {})}
        Receipt(
            name="small", manifest=DIGEST, recipe=content, shards=shards if features else None, stages=stages
        ).write(store)
        if splits is not None:
            audit(store)
        return store

    return build


@pytest.fixture
def by_artist() -> Callable[[int], str]:
    """A split that leaks nothing: artists 0 to 2 train, 3 valid, others test."""
    return lambda n: "train" if n < 6 else "valid" if n < 8 else "test"


@pytest.fixture
def clip() -> Callable[[str], np.ndarray[Any, np.dtype[np.float16]]]:
    """What the shards hold of a track."""
    return clip_of


@pytest.fixture
def digest() -> str:
    """The manifest digest of the fixture's datasets."""
    return DIGEST
