"""Feature shards: Parquet files in which every clip is one row group holding one uncompressed binary cell.

Any Parquet reader opens them. Because a cell is uncompressed, plain and alone in its row group, its bytes also
stand at an offset that the footer gives, so a shard is a random-access store: a crop is a slice of a memory map.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.digests import CHUNK_BYTES, canonical_json, stable_hash
from schemas.errors import DataError, fault_of_file
from schemas.store import Store
from schemas.table import META_KEY

TRACKS_PER_SHARD = 160
_SMALL = ("track_id", "segment", "start_s", "frames")
SHARD_VERSION = 1


@dataclass(frozen=True)
class FeatureSpec:
    """What the tensors of a feature are; stored with the `data` column, so that a reader needs nothing else.

    Attributes:
        name: the feature's name in the manifest, and its folder below `features/`.
        dtype: numpy name of the element type.
        shape: of one clip; the first axis is time and free (-1).
        settings: the feature's whole specification: kind, rates, windows, scale, version.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    settings: Mapping[str, Any]

    @property
    def row_bytes(self) -> int:
        """Bytes of one frame."""
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape[1:], dtype=np.int64))

    def field(self) -> pa.Field:
        """The `data` column with the specification in its metadata."""
        meta = {
            "dtype": self.dtype,
            "shape": json.dumps(list(self.shape)),
            "spec": canonical_json({"name": self.name, "version": SHARD_VERSION, **self.settings}),
        }
        return pa.field("data", pa.binary(), nullable=False, metadata=meta)

    def schema(self) -> pa.Schema:
        """The columns of a shard."""
        return pa.schema(
            [
                pa.field("track_id", pa.string(), nullable=False),
                pa.field("segment", pa.int32(), nullable=False, metadata={"description": "0 for the first"}),
                pa.field("start_s", pa.float64(), nullable=False, metadata={"description": "in the audio file"}),
                pa.field("frames", pa.int32(), nullable=False, metadata={"description": "length of the time axis"}),
                self.field(),
            ]
        )

    @classmethod
    def of(cls, field: pa.Field, where: str) -> FeatureSpec:
        """Read the specification back from a shard's `data` column.

        Raises:
            DataError: the metadata is missing or not ours.
        """
        meta = field.metadata or {}
        try:
            spec: dict[str, Any] = json.loads(meta[b"spec"])
            name = str(spec.pop("name"))
            spec.pop("version")
            shape = tuple(int(n) for n in json.loads(meta[b"shape"]))
            dtype = np.dtype(meta[b"dtype"].decode()).name
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(f"{where}: column 'data' does not say what it holds ({error}); not a shard") from error
        return cls(name, dtype, shape, spec)


def shard_count(tracks: int) -> int:
    """How many shards a dataset of so many tracks gets at its first feature build."""
    return max(1, -(-tracks // TRACKS_PER_SHARD))


def shard_of(track_id: str, count: int) -> int:
    """The shard of a track: stable for ever, whatever other tracks there are."""
    return stable_hash(track_id) % count


def shard_path(feature: str, index: int, count: int) -> str:
    """Where a shard lies below the dataset directory."""
    return f"features/{feature}/{feature}-{index:05d}-of-{count:05d}.parquet"


@dataclass(frozen=True)
class Clip:
    """One row of a shard: `data` has shape (frames, …) and the spec's dtype."""

    track_id: str
    segment: int
    start_s: float
    data: npt.NDArray[Any]


class ShardWriter:
    """Appends clips to one shard, one row group each. Use through `writing_shard`."""

    def __init__(self, stream: io.RawIOBase, spec: FeatureSpec) -> None:
        self._spec = spec
        self._schema = spec.schema()
        self._writer = pq.ParquetWriter(
            stream,
            self._schema,
            compression="none",
            use_dictionary=False,
            write_statistics=list(_SMALL),
            version="2.6",
            data_page_version="1.0",
        )
        self.rows = 0
        self.sha256, self.bytes = "", 0

    def append(self, clip: Clip) -> None:
        """Write one clip.

        Raises:
            ValueError: dtype or shape are not the spec's; a fault of the feature, not of the data.
        """
        data = np.ascontiguousarray(clip.data)
        if data.dtype.name != self._spec.dtype or data.shape[1:] != tuple(self._spec.shape[1:]):
            got, wanted = f"{data.dtype}{data.shape}", f"{self._spec.dtype}{self._spec.shape}"
            raise ValueError(f"{self._spec.name}: {got} is not {wanted}")
        row = [[clip.track_id], [clip.segment], [clip.start_s], [data.shape[0]]]
        arrays = [pa.array(values, field.type) for values, field in zip(row, self._schema, strict=False)]
        cell = pa.BinaryArray.from_buffers(
            pa.binary(),
            1,
            [None, pa.py_buffer(np.array([0, data.nbytes], np.int32)), pa.py_buffer(data)],
        )
        self._writer.write_batch(pa.record_batch([*arrays, cell], schema=self._schema))
        self.rows += 1

    def close(self, meta: Mapping[str, Any]) -> None:
        """Write the footer; `meta` is what `read_shard_meta` gives back."""
        self._writer.add_key_value_metadata({META_KEY: canonical_json(dict(meta)).encode()})
        self._writer.close()


@contextmanager
def writing_shard(
    store: Store, path: str, spec: FeatureSpec, meta: dict[str, Any], require: Callable[[], None] = lambda: None
) -> Iterator[ShardWriter]:
    """Write a shard atomically. What the block adds to `meta` before it ends is stored in the footer.

    What stands before the footer is digested in the footer (`content`), so that a shard can be trusted without a
    receipt; after the block `writer.sha256` and `writer.bytes` are those of the whole file.

    Args:
        require: called when all is written; when it raises, the file is left as it was.
    """
    with store.writing(path, require) as stream:
        hashing = _HashingStream(stream)
        writer = ShardWriter(hashing, spec)
        try:
            yield writer
        except BaseException:
            # Arrow would else write its footer into a file that is gone; why there is none tells more than this.
            with suppress(Exception):
                writer.close({})
            raise
        content = {"sha256": hashing.digest(), "bytes": hashing.count}
        writer.close({**meta, "rows": writer.rows, "content": content})
        writer.sha256, writer.bytes = hashing.digest(), hashing.count


class _HashingStream(io.RawIOBase):
    """A stream for writing that knows the digest of what went through it."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._state = hashlib.sha256()
        self.count = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._state.update(data)
        written = self._stream.write(data)
        self.count += written
        return written

    def tell(self) -> int:
        return self.count

    def digest(self) -> str:
        return self._state.hexdigest()


def read_shard_meta(store: Store, path: str) -> dict[str, Any] | None:
    """The footer's metadata, or None when the file is missing, cut off or not ours."""
    try:
        with store.open_random(path) as stream:
            raw = pq.read_metadata(stream).metadata or {}
        meta: dict[str, Any] = json.loads(raw[META_KEY])
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        fault_of_file(error)
        return None
    return meta


def shard_digest(store: Store, path: str, meta: Mapping[str, Any]) -> str | None:
    """The sha256 of a shard, or None when the bytes before its footer are not those that the footer digests."""
    content = meta.get("content")
    if not isinstance(content, Mapping):
        return None
    state = hashlib.sha256()
    left = int(content["bytes"])
    with store.open(path) as stream:
        while left and (chunk := stream.read(min(left, CHUNK_BYTES))):
            state.update(chunk)
            left -= len(chunk)
        if left or state.hexdigest() != content["sha256"]:
            return None
        while chunk := stream.read(CHUNK_BYTES):
            state.update(chunk)
    return state.hexdigest()


@dataclass(frozen=True)
class ShardIndex:
    """Where every clip of one shard lies.

    Attributes:
        path: below the dataset directory.
        spec: what the tensors are.
        track_ids: one a row; a track has a row a segment.
        segments, starts, frames: int32 (rows,), float64 (rows,), int32 (rows,).
        offsets: int64 (rows,), the byte in the file where each clip's tensor begins.
    """

    path: str
    spec: FeatureSpec
    track_ids: Sequence[str]
    segments: npt.NDArray[np.int32]
    starts: npt.NDArray[np.float64]
    frames: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.track_ids)


def read_shard_index(store: Store, path: str) -> ShardIndex:
    """Read a shard's footer and small columns.

    Raises:
        DataError: the file is missing, damaged, or laid out in a way that gives no offsets.
    """
    where = f"{store.root}/{path}"
    try:
        with store.open_random(path) as stream:
            file = pq.ParquetFile(stream)
            footer, schema = file.metadata, file.schema_arrow
            small = _small_columns(file)
    except FileNotFoundError as error:
        raise DataError(f"{where}: is missing; run tracklore build to make it again") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{where}: is damaged ({fault_of_file(error)}); run tracklore build --check to make it again"
        ) from error
    if "data" not in schema.names:
        raise DataError(f"{where}: has no column 'data'; not a shard")
    spec = FeatureSpec.of(schema.field("data"), where)
    frames = np.array(small["frames"], np.int32)
    offsets = np.empty(len(frames), np.int64)
    if footer.num_row_groups != len(frames):
        raise DataError(f"{where}: {footer.num_row_groups} row groups for {len(frames)} clips; not a shard")
    cell = schema.names.index("data")
    for row in range(len(frames)):
        chunk = footer.row_group(row).column(cell)
        # A required, plain, uncompressed column of one value is a page header, a 4-byte length, the value.
        if chunk.compression != "UNCOMPRESSED" or chunk.dictionary_page_offset is not None:
            raise DataError(f"{where}: clip {row} is compressed or dictionary encoded; not a shard")
        end = chunk.data_page_offset + chunk.total_compressed_size
        offsets[row] = end - int(frames[row]) * spec.row_bytes
    return ShardIndex(
        path,
        spec,
        small["track_id"],
        np.array(small["segment"], np.int32),
        np.array(small["start_s"], np.float64) + 0.0,  # Parquet writes the least zero as -0
        frames,
        offsets,
    )


def _small_columns(file: pq.ParquetFile) -> dict[str, list[Any]]:
    """What is known of each clip beside its tensor.

    A clip is a row group, so the footer's statistics (least and greatest of one value) are the values themselves:
    a remote shard is known by its footer. Where they are missing (Arrow keeps none of very long ids), the columns
    are read.
    """
    names, footer = file.schema_arrow.names, file.metadata
    if any(name not in names for name in _SMALL) or any(
        footer.row_group(row).num_rows != 1 for row in range(footer.num_row_groups)
    ):
        return dict(file.read(columns=list(_SMALL)).to_pydict())
    found: dict[str, list[Any]] = {}
    for name in _SMALL:
        column = names.index(name)
        statistics = [footer.row_group(row).column(column).statistics for row in range(footer.num_row_groups)]
        if not all(s is not None and s.has_min_max and s.min == s.max for s in statistics):
            return dict(file.read(columns=list(_SMALL)).to_pydict())
        found[name] = [s.min for s in statistics]
    return found
