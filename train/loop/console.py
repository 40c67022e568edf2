"""What a person sees of a training: a bar with clips a second, the time left, and the last losses."""

from __future__ import annotations

import time
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from schemas.terminal import PlainConsole

LINES = 12


class _ClipsPerSecond(ProgressColumn):
    def __init__(self, clips: int) -> None:
        super().__init__()
        self._clips = clips

    def render(self, task: Task) -> Text:
        speed = task.speed
        return Text(f"{speed * self._clips:,.0f} clips/s" if speed else "", style="cyan")


class TrainingView:
    """A progress bar on a terminal; a dozen lines elsewhere; nothing on ranks other than the first."""

    def __init__(self, *, total: int, done: int, clips_per_step: int, first_rank: bool) -> None:
        self._console = PlainConsole()
        self._shown = first_rank
        self._total = total
        self._next_line = 0
        self._done, self._began = done, time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            _ClipsPerSecond(clips_per_step),
            TimeRemainingColumn(),
            console=self._console,
            disable=not first_rank or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("Training", total=total, completed=done)

    def __enter__(self) -> TrainingView:
        self._bar.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._bar.stop()

    def say(self, sentence: str) -> None:
        """A line that stays."""
        if self._shown:
            self._console.print(sentence, highlight=False, markup=False)

    def _left(self, step: int) -> str:
        """The time to the end, at the pace so far."""
        seconds = (time.monotonic() - self._began) / max(1, step - self._done) * (self._total - step)
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"

    def step(self) -> None:
        """One step is done."""
        self._bar.advance(self._task)

    def logged(self, row: dict[str, Any], speed: dict[str, float]) -> None:
        """A row of the history is written; `speed` as `train.loop.speed` measures it."""
        text = f"epoch {row['epoch']}  loss {row['loss']:.3f}"
        if row.get("valid_loss") is not None:
            text += f"  valid {row['valid_loss']:.3f}"
        costs = f"waits {speed['loader_wait']:.0%}  {speed['memory_gb']:.1f} GB"
        self._bar.update(self._task, description=f"{text}  {costs}")
        if not self._console.is_terminal and row.get("valid_loss") is not None and row["step"] >= self._next_line:
            left = f"  {self._left(row['step'])} left" if row["step"] < self._total else ""
            self.say(
                f"  step {row['step']}/{self._total}  {text}  {speed['clips_per_s']:,.0f} clips/s  {costs}{left}"
            )
            self._next_line = row["step"] + self._total // LINES
