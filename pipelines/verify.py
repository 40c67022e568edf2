"""`tracklore verify`: every file that the receipt lists is there, has its checksum and its schema."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from pipelines.progress import Reporter
from pipelines.verify_deep import deep_problems, shard_files
from schemas.errors import DataError
from schemas.receipt import FileEntry, require_receipt
from schemas.shards import ShardIndex, read_shard_index
from schemas.store import Store
from schemas.tables import TABLES

TENSOR_TOLERANCE = 0.002


@dataclass(frozen=True)
class Verified:
    """What was read, and what is wrong, one line each."""

    files: int
    bytes: int
    problems: tuple[str, ...]


def verify(out: Store, reporter: Reporter, workers: int = 1, *, deep: bool = False) -> Verified:
    """Read every listed file and hold it against the receipt.

    Args:
        deep: read every tensor as well; see `pipelines.verify_deep`.

    Raises:
        UsageError: there is no dataset.
    """
    receipt = require_receipt(out)
    entries = receipt.files()
    with reporter.counting("verify", len(entries)) as progress, ThreadPoolExecutor(workers) as pool:

        def one(item: tuple[str, FileEntry]) -> list[str]:
            found = list(_problems(out, *item))
            progress.advance()
            return found

        problems = [line for lines in pool.map(one, sorted(entries.items())) for line in lines]
    for name, stage in receipt.stages.items():
        if name.startswith("features.") and len(stage.files) != receipt.shards:
            problems.append(f"{name}: the receipt lists {len(stage.files)} of {receipt.shards} shards; build again")
    if deep and not problems:  # what is not the file that was listed need not be read value by value
        with reporter.counting("verify --deep", shard_files(receipt)) as progress:
            problems.extend(deep_problems(out, receipt, workers, progress.advance))
    return Verified(len(entries), sum(entry.bytes for entry in entries.values()), tuple(problems))


def _problems(out: Store, path: str, entry: FileEntry) -> Iterator[str]:
    size = out.size(path)
    if size is None:
        yield f"{path}: is missing; tracklore build makes it again"
        return
    if size != entry.bytes:
        yield f"{path}: has {size} bytes, not {entry.bytes}; tracklore build makes it again"
        return
    if out.sha256(path) != entry.sha256:
        yield f"{path}: its checksum is not the receipt's; tracklore build --check makes it again"
        return
    table = TABLES.get(path.removesuffix(".parquet"))
    if table is not None:
        wrong = table.check(out)
        yield from wrong
        if not wrong and (rows := _rows(out, path)) != entry.rows:
            yield f"{path}: has {rows} rows, not {entry.rows}"
    elif path.startswith("features/"):
        try:
            rows = len(read_shard_index(out, path))
        except DataError as error:
            yield str(error)
            return
        if rows != entry.rows:
            yield f"{path}: has {rows} clips, not {entry.rows}"


def _rows(out: Store, path: str) -> int:
    with out.open(path) as stream:
        return int(pq.read_metadata(stream).num_rows)


def compare(out: Store, other: Store) -> list[str]:
    """Hold a dataset against another build of it: tables byte for byte, tensors within 0.002.

    Returns:
        what differs, one line each. Tensors are equal on one family of processors; elsewhere float16 rounds.

    Raises:
        UsageError: one of the two is no dataset.
    """
    ours, theirs = require_receipt(out).files(), require_receipt(other).files()
    lines = [f"{path}: is only in {out.root}" for path in sorted(set(ours) - set(theirs))]
    lines += [f"{path}: is only in {other.root}" for path in sorted(set(theirs) - set(ours))]
    for path in sorted(set(ours) & set(theirs)):
        if ours[path].sha256 == theirs[path].sha256:
            continue
        if not path.startswith("features/"):
            lines.append(f"{path}: differs")
        else:
            lines.extend(_differing_clips(out, other, path))
    return lines


def _differing_clips(out: Store, other: Store, path: str) -> Iterator[str]:
    mine, yours = read_shard_index(out, path), read_shard_index(other, path)
    if list(mine.track_ids) != list(yours.track_ids) or mine.spec != yours.spec:
        yield f"{path}: holds other clips"
        return
    left, right = out.read_bytes(path), other.read_bytes(path)
    for row, track in enumerate(mine.track_ids):
        a, b = _tensor(left, mine, row), _tensor(right, yours, row)
        if a.shape != b.shape or not np.allclose(a, b, rtol=TENSOR_TOLERANCE, atol=TENSOR_TOLERANCE):
            yield f"{path}: track {track}: tensors differ by more than {TENSOR_TOLERANCE}"


def _tensor(data: bytes, index: ShardIndex, row: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    start = int(index.offsets[row])
    raw = data[start : start + int(index.frames[row]) * index.spec.row_bytes]
    return np.frombuffer(raw, index.spec.dtype).reshape(-1, *index.spec.shape[1:]).astype(np.float64)
