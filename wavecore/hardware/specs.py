"""Frozen descriptions of the machine.  No behaviour lives here.

A field's name ends in the unit of its value; the key in a TOML file or in ``--set`` is the same
name without that suffix (``core.global_buffer = "10 MiB"`` fills ``global_buffer_bytes``).
Where every default comes from stands beside its value in ``presets/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wavecore.common.names import Name

WeightLoad = Literal["skewed", "global"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySpec:
    """One weight-stationary systolic array of ``rows`` x ``columns`` processing elements.

    ``tile_rows`` is the largest m of an output tile (rows of the streamed operand in a wave).
    ``weight_double_buffering`` says whether each element has a second weight register.
    """

    rows: int
    columns: int
    tile_rows: int
    weight_double_buffering: bool
    weight_load: WeightLoad


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalBufferSpec:
    """The array's operand buffers: the size of one half of each double buffer."""

    a_bytes: int
    b_bytes: int
    c_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSpec:
    """The vector unit: ``lanes`` fp32 multiply-adds a cycle, ``startup_cycles`` before the first."""

    lanes: int
    startup_cycles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreSpec:
    """One core's global buffer and the width of its three ports, each in bytes a core cycle."""

    global_buffer_bytes: int
    array_port_bytes_per_cycle: int
    vector_port_bytes_per_cycle: int
    memory_port_bytes_per_cycle: int  # each way: loads write the buffer while stores read it


class UnitKind(Name):
    """What a unit of a core does."""

    LOAD = "load"  # reads DRAM into the global buffer
    ARRAY = "array"  # multiplies
    VECTOR = "vector"  # takes results from an array, and sweeps over the global buffer
    STORE = "store"  # writes DRAM from the global buffer


DRAM_KINDS = (UnitKind.LOAD, UnitKind.STORE)
"""The kinds of units that move data to and from DRAM; the others compute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSpec:
    """One unit of a core: it works through a queue of commands in order, beside the other units.

    ``result_slots`` is the number of finished steps whose results the unit can hold until the unit of the next stage
    has taken them; 0 for a unit whose results go to the global buffer or to DRAM.  ``layer_kinds`` names the kinds of
    layers whose sweeps run on this vector unit; the first vector unit without any takes everything else.
    """

    name: str
    kind: UnitKind
    result_slots: int = 0
    layer_kinds: tuple[str, ...] = ()


CORE_UNITS = (
    UnitSpec(name="load", kind=UnitKind.LOAD),
    # of two steps in the accumulators one is drained while the other is filled
    UnitSpec(name="array", kind=UnitKind.ARRAY, result_slots=2),
    UnitSpec(name="vector", kind=UnitKind.VECTOR),
    UnitSpec(name="store", kind=UnitKind.STORE),
)
"""The units of a core in the order of the data.

A core has one load unit, one store unit, and at least one array and one vector unit without ``layer_kinds``.  Events
of one cycle happen in this order.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySpec:
    """A DRAM shared by all cores.

    ``bandwidth_bytes_per_second`` is the peak over all ``channels``; ``interleave_bytes`` is what one
    channel holds of consecutive addresses, ``burst_bytes`` the least that a channel transfers and
    ``row_bytes`` one open page of one bank.  Times are those of JEDEC's data sheets.
    """

    name: str
    channels: int
    bandwidth_bytes_per_second: int
    interleave_bytes: int
    burst_bytes: int
    row_bytes: int
    banks: int
    trcd_seconds: float
    trp_seconds: float
    tcl_seconds: float
    trfc_seconds: float
    trefi_seconds: float
    twtr_seconds: float
    trtw_seconds: float
    controller_seconds: float
    energy_joules_per_bit: float
    background_watts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergySpec:
    """Energy per counted event, and static power; DRAM's share is in `MemorySpec`."""

    mac_joules: float
    register_joules_per_byte: float
    local_buffer_joules_per_byte: float
    global_buffer_joules_per_byte: float
    vector_operation_joules: float
    interconnect_joules_per_bit: float
    static_watts_per_core: float
    static_watts_per_global_buffer_byte: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipSpec:
    """``cores`` equal cores at one clock."""

    cores: int
    clock_hz: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SparsitySpec:
    """What the machine does with zeros.

    ``gating`` rests a multiplier that has one for an operand (energy), ``tile_skipping`` leaves out waves whose
    stationary tile is all zero (cycles), ``compression`` packs tensors in DRAM (traffic); on chip they are dense.
    """

    gating: bool = False
    tile_skipping: bool = False
    compression: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """The whole machine: ``cores`` times the same ``units`` around one memory."""

    name: str
    chip: ChipSpec
    core: CoreSpec
    array: ArraySpec
    local_buffer: LocalBufferSpec
    vector: VectorSpec
    memory: MemorySpec
    energy: EnergySpec
    sparsity: SparsitySpec = SparsitySpec()
    units: tuple[UnitSpec, ...] = CORE_UNITS
