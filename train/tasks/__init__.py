"""Tasks: what is learnt from what. One module or package each, found by its name; see `base.Task`.

A task brings its own recipe keys, opens its data, makes its network and its batches, and knows how it is measured.
The loop knows none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from train.kinds import Kinds

if TYPE_CHECKING:
    from train.tasks.base import Task

USUAL = "text_audio"
_KINDS = Kinds(__name__, key="task", called="task", usual=USUAL, helpers=("base", "waves"), named_by="task")


def known_tasks() -> list[str]:
    """The tasks that a recipe may name."""
    return _KINDS.known()


def task_module(kind: str) -> Task:
    """The module of a task.

    Raises:
        UsageError: there is none of that name.
    """
    module: Task = _KINDS.module(kind)
    return module
