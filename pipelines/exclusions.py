"""What a dataset excluded, by stage and by reason."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import UsageError, suggest
from schemas.reasons import Reason


def choose(exclusions: pa.Table, built: Iterable[str], stages: Sequence[str], reasons: Sequence[str]) -> pa.Table:
    """The rows of `exclusions` that left in one of the stages and for one of the reasons, or in any where none is;
    second tracks of one id only when they are asked for, since their id is that of the track that stayed.

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
    if reasons:
        return _only(exclusions, "reason", set(reasons))
    # Such a row has the id of the track that was kept: as a list it would take that one out.
    others = pc.not_equal(exclusions.column("reason"), str(Reason.DUPLICATE_ID))
    return exclusions.filter(others)


def _stages_called(name: str, built: Sequence[str]) -> list[str]:
    found = [stage for stage in built if stage == name or stage.startswith(f"{name}.")]
    if not found:
        raise UsageError(f"--stage {name}: the dataset has no such stage{suggest(name, built)}")
    return found


def _only(table: pa.Table, column: str, values: Collection[str]) -> pa.Table:
    return table.filter(pc.is_in(table.column(column), value_set=pa.array(sorted(values), pa.string())))
