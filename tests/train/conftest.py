"""Small dataset directories, written by the schemas' own writers, whose sound follows from their tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from schemas.receipt import FileEntry, Receipt, StageEntry
from schemas.shards import Clip, FeatureSpec, shard_of, shard_path, writing_shard
from schemas.store import Store
from schemas.tables import LABELS, PAIRS, SPLITS, TABLES, TAGS, TRACKS

BANDS = 16
TAG_NAMES = ("piano", "guitar", "drums", "calm", "fast", "dark")
ZERO = "0" * 64
SMALL = (
    "data.crop_frames=32",
    "model.embedding=16",
    "model.audio.channels=[8, 8]",
    "model.audio.pools=[[2, 2], [2, 2]]",
    "model.audio.input_pool=[1, 2]",
    "model.audio.width=16",
    "model.audio.layers=1",
    "model.audio.heads=2",
    "model.audio.feed_forward=32",
    "model.text.width=16",
    "model.text.heads=2",
    "model.text.feed_forward=32",
    "text.vocabulary=60",
    "training.batch_size=16",
    "training.validate_every=1",
    "training.log_every=1",
    "optimiser.warmup_epochs=1",
)
"""Settings that turn the demo recipe into one that a test can afford."""

# Of three tags in all, nearly every text is true of half a batch.
LEARNS = ("training.epochs=40", "optimiser.lr=0.005", "training.masked=[]", "training.positives=implied")
"""Settings with which the small one learns them."""


def sound_of(tags: Sequence[str], frames: int, rng: np.random.Generator) -> npt.NDArray[np.float16]:
    """A log-mel, float16 (frames, BANDS), in which every tag lifts two bands of its own."""
    mel = rng.normal(-60, 3, (frames, BANDS))
    for number, tag in enumerate(TAG_NAMES):
        if tag in tags:
            mel[:, 2 * number : 2 * number + 2] += 25
    return mel.astype(np.float16)


def write_dataset(
    root: str,
    tracks: Sequence[Mapping[str, Any]],
    clips: Mapping[str, Sequence[npt.NDArray[Any]]],
    *,
    shards: int = 3,
    tables: Sequence[str] = ("tracks", "tags", "labels", "splits", "pairs"),
) -> Store:
    """Write a dataset directory.

    A track is {track_id, tags, caption, split}, with a title or not; `clips` holds each track's segments.
    """
    store = Store(root)
    TRACKS.write(
        store,
        TRACKS.from_rows(
            {
                "track_id": t["track_id"],
                "artist_id": f"artist-{t['track_id']}",
                "artist_name": f"Artist of {t['track_id']}",
                "title": t.get("title", f"Title of {t['track_id']}"),
                "recording_id": t["track_id"],
                "audio_uri": f"{t['track_id']}.flac",
            }
            for t in tracks
        ),
    )
    present = sorted({tag for t in tracks for tag in t["tags"]})
    TAGS.write(
        store,
        TAGS.from_rows(
            {
                "tag": tag,
                "category": "other",
                "members": [tag],
                "joined_by": ["self"],
                "n_tracks": 1,
                "n_artists": 1,
            }
            for tag in present
        ),
    )
    LABELS.write(
        store,
        LABELS.from_rows({k: t[k] for k in ("track_id", "tags", "caption")} for t in tracks),
    )
    SPLITS.write(
        store,
        SPLITS.from_rows(
            {"scheme": "default", "fold": 0, "track_id": t["track_id"], "split": t["split"]} for t in tracks
        ),
    )
    test = [t for t in tracks if t["split"] == "test" and t["caption"]]
    PAIRS.write(
        store,
        PAIRS.from_rows(
            {"scheme": scheme, "fold": 0, "pair_id": i, "track_id": t["track_id"], "caption": t["caption"]}
            # Those of another scheme are not to be measured on.
            for scheme, listed in (("default", test), ("published", tracks[:3]))
            for i, t in enumerate(listed)
            if t["caption"]
        ),
    )
    files = {}
    spec = FeatureSpec("ttmr", "float16", (-1, BANDS), {"kind": "log_mel", "hop": 160})
    for number in range(shards):
        path = shard_path("ttmr", number, shards)
        ids = sorted(track for track in clips if shard_of(track, shards) == number)
        with writing_shard(store, path, spec, {"shard": number}) as writer:
            for track in ids:
                for segment, clip in enumerate(clips[track]):
                    writer.append(Clip(track, segment, 0.0, clip))
        files[path] = listed(store, path)
    stages = {
        "tables": StageEntry(
            version=1,
            digest=ZERO,
            files={TABLES[name].filename: listed(store, TABLES[name].filename) for name in tables},
        ),
        "features.ttmr": StageEntry(version=1, digest=ZERO, files=files),
    }
    Receipt(name="small", manifest=ZERO, shards=shards, stages=stages).write(store)
    return store


def listed(store: Store, path: str) -> FileEntry:
    """A receipt's line about a file that is there."""
    return FileEntry(sha256=store.sha256(path), bytes=store.size(path) or 0, rows=1)


def small_tracks(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Tracks with one to three tags, 60/15/25 over the splits."""
    rng = np.random.default_rng(seed)
    tracks = []
    for number in range(count):
        tags = sorted(rng.choice(TAG_NAMES, int(rng.integers(1, 4)), replace=False).tolist())
        share = number / count
        split = "train" if share < 0.6 else "valid" if share < 0.75 else "test"
        caption = ", ".join(tags)
        tracks.append({"track_id": f"t{number:03d}", "tags": tags, "caption": caption, "split": split})
    return tracks


@pytest.fixture
def make_dataset() -> Callable[..., Store]:
    """`write_dataset`, for tests that plant something of their own."""
    return write_dataset


@pytest.fixture(scope="session")
def tracks() -> list[dict[str, Any]]:
    """The tracks of `dataset`; the last of train has no clip, the one before it no text."""
    tracks = small_tracks(100)
    tracks[58].update(tags=[], caption=None)
    return tracks


@pytest.fixture(scope="session")
def clips(tracks: list[dict[str, Any]]) -> dict[str, list[npt.NDArray[np.float16]]]:
    """The clips of `dataset`, some shorter than a crop, one track with two segments."""
    rng = np.random.default_rng(1)
    found = {}
    for number, track in enumerate(tracks):
        if number == 59:
            continue
        frames = 20 if number % 17 == 3 else int(rng.integers(60, 120))
        found[track["track_id"]] = [sound_of(track["tags"], frames, rng)]
    found["t005"].append(sound_of(tracks[5]["tags"], 70, rng))
    return found


@pytest.fixture(scope="session")
def dataset(
    tmp_path_factory: pytest.TempPathFactory,
    tracks: list[dict[str, Any]],
    clips: dict[str, list[npt.NDArray[np.float16]]],
) -> Path:
    """A dataset directory of 100 tracks; read-only by agreement."""
    root = tmp_path_factory.mktemp("dataset") / "data"
    write_dataset(str(root), tracks, clips)
    return root


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """Settings that make the demo recipe small."""
    return SMALL


@pytest.fixture(scope="session")
def learns(small: tuple[str, ...]) -> tuple[str, ...]:
    """All settings of the run that `trained` is."""
    return (*small, *LEARNS)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, dataset: Path, learns: tuple[str, ...]) -> Path:
    """A run of the small recipe, trained until it has learnt; read-only by agreement."""
    from train import cli

    root = tmp_path_factory.mktemp("trained") / "run"
    cli.train("demo", str(dataset), str(root), settings=learns)
    return root


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights, saved as published ones are."""
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from train.data.vocabulary import train_wordpiece

    root = tmp_path_factory.mktemp("tiny-bert")
    tokenizer = train_wordpiece([*TAG_NAMES, "calm piano", "loud drums"], 200)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    BertModel(config).save_pretrained(root)
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(root)
    return root
