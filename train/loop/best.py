"""The weights of the best validations, one file each, named by their step."""

from __future__ import annotations

from torch import nn

from schemas.store import Store
from train.loop.checkpoint import model_bytes
from train.run import BEST


class BestWeights:
    """Keeps the files of the `count` best of all that it was offered.

    Args:
        kept: cost and step of what stands there, the best first; changed in place.
    """

    def __init__(self, store: Store, count: int, kept: list[tuple[float, int]]) -> None:
        self._store, self._count, self._kept = store, count, kept

    def offer(self, cost: float, step: int, network: nn.Module) -> None:
        """Write the weights of a step if they are among the best; of equal costs the earlier one is better."""
        self._kept.append((cost, step))
        self._kept.sort()
        del self._kept[self._count :]
        if (cost, step) in self._kept:
            self._store.write_bytes(path_of(step), model_bytes(network))

    def tidy(self) -> None:
        """Remove what is no longer among the best; when the checkpoint that says so is written, and no sooner."""
        wanted = {path_of(step) for _, step in self._kept}
        for info in self._store.list(BEST) if self._count else ():
            if info.path not in wanted:
                self._store.remove(info.path)


def path_of(step: int) -> str:
    """Where the weights of a step stand in a run."""
    return f"{BEST}/step-{step:08d}.safetensors"
