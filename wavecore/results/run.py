"""What a simulation returns: totals, a row for each layer and phase, and a manifest of how it was made.

`metrics.METRICS` defines every figure; `to_dict` gives the JSON contract (schema ``wavecore.run/1``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from math import isclose
from typing import TYPE_CHECKING, Any

from wavecore.common.records import AGAIN, build, check_keys, types_of
from wavecore.common.typecheck import require
from wavecore.errors import InputError
from wavecore.hardware.area import AreaMm2
from wavecore.results.energy import EnergyJoules
from wavecore.training.operations import Phase

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "wavecore.run/1"
ROUNDING = 1e-12
"""The largest relative difference, from rounding alone, between two sums of the same numbers of joules or seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DramBytes:
    """DRAM traffic of a step, all cores together: in and out, and by what was moved."""

    read: int
    write: int
    weight: int
    activation: int
    gradient: int
    weight_gradient: int
    mask: int
    optimizer: int

    @property
    def total(self) -> int:
        """Bytes read and written."""
        return self.read + self.write


@dataclass(frozen=True, slots=True, kw_only=True)
class DramCapacityBytes:
    """What is in DRAM when most of it is taken, all cores together, by the class of tensor."""

    weight: int
    activation: int
    gradient: int
    weight_gradient: int
    mask: int
    optimizer: int

    @property
    def total(self) -> int:
        """The bytes of DRAM that the step needs."""
        total: int = sum(asdict(self).values())
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferBytes:
    """Bytes read from and written to the global buffers of all cores, and the largest occupancy of any."""

    read: int
    write: int
    peak: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StallCycles:
    """Cycles in which an array did not work, mean over the cores, by what it finally waited for.

    With the cycles in which it worked they add up to the step.
    """

    dram: int
    vector: int
    array: int
    space: int
    core: int
    update: int

    @property
    def total(self) -> int:
        """All cycles in which the array did not work."""
        return sum(asdict(self).values())


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundCycles:
    """Lower bounds of the step's cycles: the work of the array, of the vector unit and of DRAM, and the critical path.

    Work is that of a core, mean over the cores; DRAM's is all bytes at the pins' bandwidth.
    """

    array: int
    vector: int
    dram: int
    critical_path: int

    @property
    def largest(self) -> int:
        """The tightest of the bounds."""
        largest: int = max(asdict(self).values())
        return largest

    @property
    def binding(self) -> str:
        """The name of the tightest bound."""
        bounds: dict[str, int] = asdict(self)
        return max(bounds, key=lambda name: bounds[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSummary:
    """A layer group: its layers, samples of a sub-batch on one core, and iterations."""

    layers: tuple[str, ...]
    sub_batch: int
    iterations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedTensor:
    """A tensor that is compressed in DRAM: its bytes on chip and in DRAM, per sample or, for weights, in all."""

    tensor: str
    traffic_class: str
    encoding: str
    dense_bytes: int
    packed_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One layer in one phase, all cores together.

    ``cycles`` is how far its completion moved the end of the step, so the rows add up to ``step_cycles``.  Busy
    cycles are means over the cores, of all units of a kind, and overlap with those of other rows.  DRAM bytes are
    given by direction and, once more, by class; energy in all and by component.
    """

    name: str
    kind: str
    fused: tuple[str, ...]
    phase: Phase
    mapping: str
    cycles: int
    array_busy_cycles: int
    vector_busy_cycles: int
    macs: int
    effectual_macs: int = 0
    gated_macs: int = 0
    skipped_macs: int = 0
    vector_macs: int = 0
    surplus_macs: int = 0
    vector_operations: int
    dram_read_bytes: int
    dram_write_bytes: int
    dram_weight_bytes: int
    dram_activation_bytes: int
    dram_gradient_bytes: int
    dram_weight_gradient_bytes: int
    dram_mask_bytes: int
    dram_optimizer_bytes: int
    global_buffer_read_bytes: int
    global_buffer_write_bytes: int
    energy_joules: float
    energy_array_joules: float
    energy_local_buffer_joules: float
    energy_global_buffer_joules: float
    energy_vector_joules: float
    energy_dram_joules: float
    energy_interconnect_joules: float
    energy_static_joules: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What made these numbers: version, hashes of every stage's input, the machine, and the time it took.

    ``machine`` is the accelerator in base units (`config.describe`), ``sources`` says where its values come from.
    """

    version: str
    hashes: Mapping[str, str]
    sources: Mapping[str, str]
    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    events: int
    seconds_to_simulate: float


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What one training step costs.  ``batch`` is the mini-batch of the whole chip."""

    workload: str
    schedule: str
    accelerator: str
    memory: str
    engine: str
    batch: int
    step_cycles: int
    step_seconds: float
    samples_per_second: float
    macs: int
    effectual_macs: int = 0
    gated_macs: int = 0
    skipped_macs: int = 0
    vector_macs: int = 0
    surplus_macs: int = 0
    array_utilization: float
    array_occupancy: float
    dram_bytes: DramBytes
    dram_capacity_bytes: DramCapacityBytes
    global_buffer_bytes: BufferBytes
    stall_cycles: StallCycles
    bound_cycles: BoundCycles
    energy_joules: EnergyJoules
    average_watts: float
    energy_delay_joule_seconds: float
    samples_per_joule: float
    area_mm2: AreaMm2
    group_count: int

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.workload} {self.schedule} on {self.accelerator}: "
            f"{self.step_seconds * 1e3:.3f} ms, {self.dram_bytes.total / 2**30:.2f} GiB DRAM, "
            f"{self.energy_joules.total:.3f} J>"
        )

    def _repr_html_(self) -> str:
        """Show the totals in a notebook."""
        shown: str = table([self]).T.to_html(header=False)
        return shown


@dataclass(frozen=True, kw_only=True, repr=False)
class Run(Totals):
    """One training step, simulated: its totals, the groups of its plan, and a row for each layer and phase.

    ``backward_groups`` are those of backward where it is cut differently, and then ``groups`` are forward's.
    """

    groups: tuple[GroupSummary, ...]
    rows: tuple[LayerRow, ...]
    manifest: Manifest
    packed: tuple[PackedTensor, ...] = ()
    backward_groups: tuple[GroupSummary, ...] = ()

    @property
    def layers(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame, one per layer and phase."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])


def table(runs: Iterable[Totals]) -> pd.DataFrame:
    """Return a DataFrame of ``runs``, one row each; columns are named as in ``wavecore list metrics``."""
    import pandas as pd

    require(runs, Iterable, "runs", "a list of runs")
    return pd.DataFrame([_flat(run) for run in runs])


def _flat(totals: Totals) -> dict[str, Any]:
    """Return totals by dotted name."""
    require(totals, Totals, "runs", "a list of runs, as of wavecore.simulate(...)")
    flat: dict[str, Any] = {}
    for part in fields(Totals):
        value = getattr(totals, part.name)
        if part.name in _TOTALLED:
            flat[f"{part.name}.total"] = value.total
        if is_dataclass(value) and not isinstance(value, type):
            flat |= {f"{part.name}.{key}": item for key, item in asdict(value).items()}
        else:
            flat[part.name] = value
    return flat


def to_dict(run: Run) -> dict[str, Any]:
    """Return the JSON contract of ``run``: plain values under the keys that docs/results.md documents."""
    require(run, Run, "run", "wavecore.simulate(...)")
    plain = {name.name: getattr(run, name.name) for name in fields(run) if name.name not in _NESTED}
    return {
        "schema": SCHEMA,
        **plain,
        "dram_bytes": {"total": run.dram_bytes.total, **asdict(run.dram_bytes)},
        "dram_capacity_bytes": {"total": run.dram_capacity_bytes.total, **asdict(run.dram_capacity_bytes)},
        "global_buffer_bytes": asdict(run.global_buffer_bytes),
        "stall_cycles": asdict(run.stall_cycles),
        "bound_cycles": asdict(run.bound_cycles),
        "energy_joules": {"total": run.energy_joules.total, **asdict(run.energy_joules)},
        "area_mm2": {"total": run.area_mm2.total, **asdict(run.area_mm2)},
        "groups": [asdict(group) for group in run.groups],
        **({_BACKWARD: [asdict(group) for group in run.backward_groups]} if run.backward_groups else {}),
        "layers": [asdict(row) for row in run.rows],
        "packed": [asdict(tensor) for tensor in run.packed],
        "manifest": asdict(run.manifest),
    }


def from_dict(value: object, where: str = "run") -> Run:
    """Read what `to_dict` has made, and check that its rows add up.

    Raises `InputError`, located at ``where`` and the path from there, for anything else: another schema, a key
    that is missing or unknown, a value of a wrong type, totals that are not the sums of their parts.
    """
    if not isinstance(value, dict) or "schema" not in value:
        raise InputError(where, "is not a run of wavecore", "a file that wavecore run --json has written")
    if value["schema"] != SCHEMA:
        raise InputError(where, f"is of schema {value['schema']!r}, not {SCHEMA!r}", AGAIN)
    value = {_BACKWARD: [], **value}  # written only where backward is cut differently
    hints = types_of(Run)
    check_keys(value, {"schema": str} | {_KEYS.get(name, name): hint for name, hint in hints.items()}, where)
    parts = {name: value[_KEYS.get(name, name)] for name in hints}
    for name in _TOTALLED:
        if isinstance(parts[name], dict):
            parts[name] = {key: part for key, part in parts[name].items() if key != "total"}
    built = {name: build(hint, parts[name], f"{where}: {_KEYS.get(name, name)}") for name, hint in hints.items()}
    run = Run(**built)
    _check_sums(run, value, where)
    return run


def _check_sums(run: Run, value: Mapping[str, Any], where: str) -> None:
    """Raise `InputError` for totals that are not the sums of their parts: a file that was cut or edited."""
    if not run.step_cycles:
        raise InputError(f"{where}: step_cycles", "is 0: a step takes time", AGAIN)
    sums = {
        "group_count": (run.group_count, len(run.groups)),
        "step_cycles": (run.step_cycles, sum(row.cycles for row in run.rows)),
        "stall_cycles": (run.stall_cycles.total, run.step_cycles - run.bound_cycles.array),
        "macs": (run.macs, sum(row.macs for row in run.rows)),
        "dram_bytes.total": (value["dram_bytes"].get("total"), run.dram_bytes.total),
        "dram_bytes.read": (run.dram_bytes.read, sum(row.dram_read_bytes for row in run.rows)),
        "dram_bytes.write": (run.dram_bytes.write, sum(row.dram_write_bytes for row in run.rows)),
        "dram_capacity_bytes.total": (value["dram_capacity_bytes"].get("total"), run.dram_capacity_bytes.total),
        "energy_joules.total": (value["energy_joules"].get("total"), run.energy_joules.total),
        "area_mm2.total": (value["area_mm2"].get("total"), run.area_mm2.total),
    }
    for name, (given, parts) in sums.items():
        if not _same(given, parts):
            raise InputError(f"{where}: {name}", f"is {given}, and its parts add up to {parts}", AGAIN)


def _same(given: object, parts: float) -> bool:
    """Whether a total is the sum of its parts: whole numbers exactly, others within `ROUNDING`."""
    if isinstance(given, float) and isinstance(parts, float):
        return isclose(given, parts, rel_tol=ROUNDING, abs_tol=0.0)
    return given == parts


_KEYS = {"rows": "layers"}
_BACKWARD = "backward_groups"
_TOTALLED = ("dram_bytes", "dram_capacity_bytes", "energy_joules", "area_mm2")
_NESTED = {
    "dram_bytes",
    "dram_capacity_bytes",
    "global_buffer_bytes",
    "stall_cycles",
    "bound_cycles",
    "energy_joules",
    "area_mm2",
    "groups",
    "backward_groups",
    "rows",
    "manifest",
    "packed",
}
