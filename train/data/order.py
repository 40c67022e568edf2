"""The order in which an epoch visits its items: a pure function, so resuming in mid-epoch is a seek."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def permutation(count: int, seed: int, epoch: int) -> Indices:
    """A uniform permutation of `range(count)`, int64 (count,).

    It sorts the raw stream of a bit generator, which numpy promises never to change, rather than calling
    `Generator.permutation`, which it may.
    """
    keys = np.random.PCG64(np.random.SeedSequence([seed, epoch])).random_raw(count)
    return np.argsort(np.atleast_1d(np.asarray(keys, np.uint64)), kind="stable").astype(np.int64)


def batch_size_for(count: int, wanted: int, world_size: int) -> int:
    """The global batch: as wanted, or smaller when there are fewer items; always a multiple of the ranks.

    Zero when there are fewer items than ranks.
    """
    return min(wanted, count) // world_size * world_size


class EpochOrder:
    """The global batches of every epoch and each rank's part of them.

    Rank r of w reads the r-th w-th of every global batch, so the union over ranks is the same batch whatever w.
    What does not fill a last batch is left out, and is other items every epoch.

    Attributes:
        count: items in the epoch.
        batch_size: items in a global batch, a multiple of `world_size`.
        steps: global batches in an epoch.
    """

    def __init__(self, count: int, batch_size: int, seed: int, *, rank: int = 0, world_size: int = 1) -> None:
        if batch_size < 1 or batch_size % world_size:
            raise ValueError(f"a batch of {batch_size} does not divide over {world_size} ranks")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size}")
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.steps = count // batch_size
        self._epoch = -1
        self._permutation = np.empty(0, np.int64)

    def batch(self, epoch: int, step: int) -> Indices:
        """The global batch of a step, int64 (batch_size,)."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of an epoch of {self.steps}")
        if epoch != self._epoch:
            self._epoch, self._permutation = epoch, permutation(self.count, self.seed, epoch)
        return self._permutation[step * self.batch_size : (step + 1) * self.batch_size]

    def share(self, epoch: int, step: int) -> Indices:
        """This rank's part of the batch, int64 (batch_size // world_size,)."""
        return self.batch(epoch, step)[self.local]

    @property
    def local(self) -> slice:
        """Where this rank's part stands in the global batch."""
        part = self.batch_size // self.world_size
        return slice(self.rank * part, (self.rank + 1) * part)


def rank_items(count: int, rank: int, world_size: int) -> Indices:
    """The items that a rank evaluates: over all ranks, each item once, none repeated to fill up."""
    return np.arange(rank, count, world_size, dtype=np.int64)
