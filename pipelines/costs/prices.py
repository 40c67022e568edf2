"""What Dataflow asks for a worker's hour: a small dated file, which a user can replace."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import UsageError
from schemas.manifest import parse_yaml, validated

PRICES_FILE = Path(__file__).with_name("prices.json")
_OF_A_FAMILY = re.compile(r"([a-z0-9]+-[a-z]+)-(\d+)")
_CUSTOM = re.compile(r"(?:[a-z0-9]+-)?custom-(\d+)-(\d+)(?:-ext)?")
_MB_PER_GB = 1024


class Machine(BaseModel):
    """A worker.

    Attributes:
        hour: of all that it has beside disks, where cores and memory are not all that is paid for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    cores: int = Field(ge=1)
    memory_gb: float = Field(ge=0)
    hour: float | None = Field(default=None, ge=0)


class Prices(BaseModel):
    """Prices, and what is taken for granted beside them.

    Attributes:
        about, date, currency: where they come from.
        vcpu_hour, memory_gb_hour, disk_gb_hour, shuffled_gb: of batch workers.
        disk_gb: of a worker, where --disk_size_gb does not say.
        start_s: until a job's workers are at work; not measured.
        machine_type: of a worker, where --machine_type does not say.
        gb_per_vcpu: memory of machine types by family, whose names end in their cores.
        machine_types: others, by their whole names.
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
    machine_types: dict[str, Machine] = {}

    def machine(self, name: str) -> Machine | None:
        """A machine type; None of one that the file does not know."""
        if name in self.machine_types:
            return self.machine_types[name]
        if custom := _CUSTOM.fullmatch(name):
            return Machine(cores=max(1, int(custom[1])), memory_gb=int(custom[2]) / _MB_PER_GB)
        found = _OF_A_FAMILY.fullmatch(name)
        if found is None or found[1] not in self.gb_per_vcpu or not int(found[2]):
            return None
        cores = int(found[2])
        return Machine(cores=cores, memory_gb=cores * self.gb_per_vcpu[found[1]])

    def hour(self, machine: Machine, disk_gb: float) -> float:
        """Of one worker."""
        own = machine.hour
        if own is None:
            own = machine.cores * self.vcpu_hour + machine.memory_gb * self.memory_gb_hour
        return own + disk_gb * self.disk_gb_hour


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
