"""TensorBoard's event files: a view of the history, for local runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from schemas.store import Store


class EventLog:
    """Writes the history's figures as scalars; does nothing without a local store."""

    def __init__(self, store: Store | None, folder: str, step: int) -> None:
        path = store.local_path(folder) if store is not None else None
        self._writer = self._open(path, step) if path is not None else None

    @staticmethod
    def _open(path: Path, step: int) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        # What a killed run logged beyond its checkpoint is logged again, so its first telling is purged.
        return SummaryWriter(str(path), purge_step=step + 1 if step else None)

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *details: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, row: dict[str, Any]) -> None:
        """Log one row of the history, and the speed."""
        if self._writer is None:
            return
        for name, value in row.items():
            if name not in {"step", "epoch"} and value is not None:
                self._writer.add_scalar(name, value, row["step"])
