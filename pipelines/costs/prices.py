"""What Dataflow asks for a worker's hour: a small dated file, which a user can replace."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import UsageError, suggest
from schemas.manifest import parse_yaml, validated

PRICES_FILE = Path(__file__).with_name("prices.json")
_MACHINE = re.compile(r"([a-z0-9]+-[a-z]+)-(\d+)")


class Prices(BaseModel):
    """Prices, and what is taken for granted beside them.

    Attributes:
        about, date, currency: where they come from.
        vcpu_hour, memory_gb_hour, disk_gb_hour, shuffled_gb: of batch workers.
        disk_gb: of a worker, where --disk_size_gb does not say.
        start_s: until a job's workers are at work; not measured.
        machine_type: of a worker, where --machine_type does not say.
        gb_per_vcpu: memory of machine types by family.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    about: str
    date: str
    currency: str
    vcpu_hour: float = Field(ge=0)
    memory_gb_hour: float = Field(ge=0)
    disk_gb_hour: float = Field(ge=0)
    shuffled_gb: float = Field(ge=0)
    disk_gb: float = Field(ge=0)
    start_s: float = Field(ge=0)
    machine_type: str
    gb_per_vcpu: dict[str, float]

    def machine(self, name: str) -> tuple[int, float]:
        """The cores and GB of a machine type.

        Raises:
            UsageError: it is of no family that the file knows.
        """
        found = _MACHINE.fullmatch(name)
        if found is None or found[1] not in self.gb_per_vcpu:
            known = suggest(name.rpartition("-")[0], self.gb_per_vcpu)
            raise UsageError(f"--machine_type {name}: not in the file of prices{known}; add it with --prices FILE")
        cores = int(found[2])
        return cores, cores * self.gb_per_vcpu[found[1]]

    def hour(self, cores: int, memory_gb: float, disk_gb: float) -> float:
        """Of one worker."""
        return cores * self.vcpu_hour + memory_gb * self.memory_gb_hour + disk_gb * self.disk_gb_hour


def read_prices(path: str | None) -> Prices:
    """The shipped prices, or those of a file of the same form.

    Raises:
        UsageError: it cannot be read, or a key is wrong.
    """
    where = path or str(PRICES_FILE)
    try:
        text = Path(where).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--prices {where}: cannot be read ({error})") from error
    return validated(Prices, parse_yaml(text, where), where, "prices")
