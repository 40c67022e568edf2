"""RUN/space.parquet: where the test split's audio, its captions and the tags lie in the joint space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import fault_of_file
from schemas.store import Store

Vectors = npt.NDArray[np.float32]
KINDS = ("audio", "caption", "tag")


@dataclass(frozen=True)
class Space:
    """Points of one space.

    Attributes:
        kinds: audio, caption or tag, of each point.
        names: the track's id, the caption or the tag.
        categories: of tags; empty for the others.
        vectors: (N, D).
    """

    kinds: list[str]
    names: list[str]
    categories: list[str]
    vectors: Vectors


def space_of(
    audio: tuple[Sequence[str], Vectors],
    captions: tuple[Sequence[str], Vectors],
    tags: tuple[Sequence[str], Sequence[str], Vectors],
) -> Space:
    """The points together. `audio`: track ids and vectors; `tags`: with their categories."""
    names = [list(audio[0]), list(captions[0]), list(tags[0])]
    return Space(
        [kind for kind, listed in zip(KINDS, names, strict=True) for _ in listed],
        [name for listed in names for name in listed],
        [""] * (len(names[0]) + len(names[1])) + list(tags[1]),
        np.concatenate([audio[1], captions[1], tags[2]]).astype(np.float32),
    )


def write_space(store: Store, path: str, space: Space) -> None:
    """Write the points as Parquet: kind, name, category, vector."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(space.vectors.reshape(-1)), space.vectors.shape[1])
    columns = {"kind": space.kinds, "name": space.names, "category": space.categories}
    table = pa.table(
        {**{name: pa.array(column, pa.string()) for name, column in columns.items()}, "vector": vectors}
    )
    with store.writing(path) as stream:
        pq.write_table(table, stream, compression="none")


def read_space(store: Store, path: str) -> Space | None:
    """The points, if the file is there and whole."""
    try:
        with store.open(path) as stream:
            table = pq.read_table(stream)
        kinds, names, categories = (table.column(name).to_pylist() for name in ("kind", "name", "category"))
        vectors = table.column("vector").combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1)
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        fault_of_file(error)
        return None
    return Space(kinds, names, categories, vectors)
