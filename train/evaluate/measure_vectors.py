"""`evaluate --embeddings FILE`: the same figures for anybody's embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from schemas.errors import UsageError
from train.data.dataset import Dataset
from train.evaluate.asked import Asked
from train.evaluate.figures import Groups, Heard, Vectors, fixed_pairs, probed, retrieval, tracks_of, zero_shot
from train.evaluate.vector_file import read_vectors
from train.recipe import DataSection


@dataclass(frozen=True)
class Said:
    """Texts whose vectors are in a file."""

    rows: dict[str, int]
    vectors: Vectors

    def knows(self, text: str) -> bool:
        """Whether the file has the text."""
        return text in self.rows

    def texts(self, texts: list[str]) -> Vectors:
        """Embeddings of texts that the file has, (N, D)."""
        return self.vectors[[self.rows[text] for text in texts]]

    def pair_scores(self, captions: list[str], audio: Vectors, track_ids: list[str]) -> npt.NDArray[Any]:
        """(captions, tracks)."""
        return self.texts(captions) @ audio.T


def measure_vectors(
    data: str,
    embeddings: str,
    texts: str | None = None,
    asked: Asked = Asked(),  # noqa: B008 - frozen
) -> dict[str, Any]:
    """Measure embeddings of a dataset's tracks.

    Probes are trained on them; with vectors of the tags and captions, tagging and retrieval are measured as well.

    Args:
        data: the dataset directory.
        embeddings: Parquet: track_id, vector.
        texts: Parquet: text, vector, of the same space.
        asked: the scheme (default by default), groups of tags, and parts of the labels.

    Raises:
        UsageError: a file that is not of this form, or has none of the test tracks, or lacks a caption.
        DataError: damaged files of the dataset.
    """
    dataset = Dataset(data)
    section = DataSection(scheme=asked.scheme or "default", fold=asked.fold or 0)
    track_ids, vectors = read_vectors(embeddings, "track_id")
    rows = {track: row for row, track in enumerate(track_ids)}
    tracks, without = tracks_of(dataset, section, rows)
    splits = dataset.split_of(section.scheme, section.fold)
    strangers = sum(track not in splits for track in track_ids)
    notes = (
        [f"{strangers} of its tracks are not in the dataset's splits and count for nothing."] if strangers else []
    )
    heard = Heard(dataset, section, splits, rows, vectors, notes)
    found: dict[str, Any] = {"retrieval": None, "tagging": None}
    if texts is not None:
        said, said_vectors = read_vectors(texts, "text")
        if said_vectors.shape[1] != vectors.shape[1]:
            raise UsageError(
                f"{texts}: vectors of {said_vectors.shape[1]} numbers; those of the tracks have {vectors.shape[1]}"
            )
        sayer = Said({text: row for row, text in enumerate(said)}, said_vectors)
        found = {
            "retrieval": _retrieval(heard, sayer, rows, texts),
            "tagging": zero_shot(heard, sayer, Groups(asked.groups)),
        }
    return {
        "split": "+".join(section.test),
        "scheme": section.scheme,
        "fold": section.fold,
        "data": {"name": dataset.receipt.name, "manifest": dataset.receipt.manifest},
        "tracks": len(tracks),
        "tracks_without_clip": without,
        **found,
        **probed(heard, Groups(asked.groups), asked.percents, asked.trained),
        "notes": notes,
    }


def _retrieval(heard: Heard, sayer: Said, rows: dict[str, int], texts: str) -> dict[str, Any] | None:
    try:
        return retrieval(heard, sayer, fixed_pairs(heard, rows))
    except KeyError as error:
        raise UsageError(f"{texts}: has no vector of the caption {error.args[0]!r} of pairs.parquet") from error
