"""What a dataset excluded, by stage and by reason."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import UsageError, suggest
from schemas.reasons import Reason


def choose(exclusions: pa.Table, built: Iterable[str], stages: Sequence[str], reasons: Sequence[str]) -> pa.Table:
    """The rows of `exclusions` that left in one of the stages and for one of the reasons, or in any where none is.

    Args:
        built: the stages that the dataset has.
        stages: their names; `features` is every feature's.

    Raises:
        UsageError: a stage that the dataset does not have, or a reason that there is not.
    """
    there = sorted(set(built) - {"exclusions"})
    wanted = {name for stage in stages for name in _stages_called(stage, there)}
    for reason in reasons:
        if reason not in {str(known) for known in Reason}:
            raise UsageError(f"--reason {reason}: is no reason{suggest(reason, map(str, Reason))}")
    if stages:
        exclusions = _only(exclusions, "stage", wanted)
    return _only(exclusions, "reason", set(reasons)) if reasons else exclusions


def _stages_called(name: str, built: Sequence[str]) -> list[str]:
    found = [stage for stage in built if stage == name or stage.startswith(f"{name}.")]
    if not found:
        raise UsageError(f"--stage {name}: the dataset has no such stage{suggest(name, built)}")
    return found


def _only(table: pa.Table, column: str, values: Collection[str]) -> pa.Table:
    return table.filter(pc.is_in(table.column(column), value_set=pa.array(sorted(values), pa.string())))
