"""Frozen descriptions of the machine, without behaviour.

A field's name ends in the unit of its value.  The key in a TOML file or in ``--set`` is the same name without that
suffix: ``core.global_buffer = "10 MiB"`` fills ``global_buffer_bytes``.  The source of each default stands beside its
value in ``presets/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wavecore.common.names import Name

WeightLoad = Literal["skewed", "global"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySpec:
    """One systolic array of ``rows`` x ``columns`` processing elements.

    ``dataflow`` is the name of one in `wavecore.hardware.dataflows`; it decides which matrix of a GEMM stays in the
    array.  ``tile_rows`` is the most vectors that stream past one tile that stays: the largest m of an output tile
    where that is the right operand.  ``weight_double_buffering`` says whether each element has a second register for
    what stays, and ``weight_load`` how a tile of it enters: behind the wavefront of the tile before it, or by one
    shift of the whole array.
    """

    rows: int
    columns: int
    tile_rows: int
    weight_double_buffering: bool
    weight_load: WeightLoad
    dataflow: str = "weight_stationary"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalBufferSpec:
    """The array's three double buffers, for tiles of A, of B and of C: the size of one half of each."""

    a_bytes: int
    b_bytes: int
    c_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSpec:
    """The vector unit: ``lanes`` fp32 multiply-adds per cycle, the first of a command after ``startup_cycles``."""

    lanes: int
    startup_cycles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreSpec:
    """One core's global buffer and the width of its three ports, each in bytes per core cycle."""

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

    ``result_slots`` is the number of output tiles that the unit can hold until the unit of the next stage has taken
    them; 0 for a unit whose results go to the global buffer or to DRAM.  ``layer_kinds`` names the kinds of
    layers whose sweeps run on this vector unit; the first vector unit without any takes everything else.
    """

    name: str
    kind: UnitKind
    result_slots: int = 0
    layer_kinds: tuple[str, ...] = ()


CORE_UNITS = (
    UnitSpec(name="load", kind=UnitKind.LOAD),
    # the C buffer is double: one output tile is drained while the other is filled
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

    ``bandwidth_bytes_per_second`` is the peak over all ``channels`` together.  Consecutive addresses are striped over
    the channels in pieces of ``interleave_bytes``; a channel transfers at least ``burst_bytes``; ``row_bytes`` is the
    size of the page that one of a channel's ``banks``, which form ``bank_groups``, has open.

    The times are JEDEC's: ``trcd`` from activating a row to its first column command, ``tras`` at least to its
    precharge (closing), ``trp`` from there to the next activation; ``trtp`` and ``twr`` from a read command and from
    written data to the precharge; ``trrd`` from one activation to the next, ``tfaw`` for any four; ``tccd_l`` between
    columns of one bank group; ``tcl`` and ``tcwl`` from a read or write command to its data; ``twtr`` and ``trtw`` the
    turnaround of the bus from writing to reading (in another bank group) and back; ``trfc`` the length of a refresh
    and ``trefi`` the time from one to the next.

    The controller sees ``queue_bursts`` of a channel's requests before they are served, and keeps up to
    ``write_queue_bursts`` back to write them together.  ``controller_seconds`` is added to every read.
    ``energy_joules_per_bit`` is per bit transferred, ``background_watts`` is drawn all the time by all
    channels, and ``channel_interface_mm2`` is the area of a channel's physical interface on the chip.
    ``capacity_bytes`` is what all channels store together; None if it is not stated.
    """

    name: str
    channels: int
    bandwidth_bytes_per_second: int
    interleave_bytes: int
    burst_bytes: int
    row_bytes: int
    banks: int
    bank_groups: int
    trcd_seconds: float
    tras_seconds: float
    trp_seconds: float
    trtp_seconds: float
    twr_seconds: float
    trrd_seconds: float
    tfaw_seconds: float
    tccd_l_seconds: float
    tcl_seconds: float
    tcwl_seconds: float
    twtr_seconds: float
    trtw_seconds: float
    trfc_seconds: float
    trefi_seconds: float
    queue_bursts: int
    write_queue_bursts: int
    controller_seconds: float
    energy_joules_per_bit: float
    background_watts: float
    channel_interface_mm2: float = 0.0
    capacity_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TechnologySpec:
    """What the parts of a chip take in its process: area, energy and leakage, from which `EnergySpec` is derived.

    Energies and leakage are at ``nominal_voltage_volts``, which carries clocks up to ``nominal_clock_hz``; a faster
    clock needs a higher voltage, up to ``highest_voltage_volts``, by the alpha-power law with
    ``threshold_voltage_volts`` and ``alpha`` (`hardware.scaling`).  Areas of logic are of cells, which fill
    ``placement_density`` of the area that they are placed in.

    ``sram_access_joules_per_byte`` is for an access of 8 bytes to a bank of 1 MiB.  It grows with the bank's bytes to
    the power ``sram_capacity_exponent`` and falls with the bytes of an access to the power ``sram_width_exponent``, up
    to ``sram_widest_bytes``.  A global buffer is made of banks of ``global_bank_bytes``, a local one of
    ``local_bank_bytes``.  ``sram_second_port`` is the area with a read and a write port over that with one port.
    ``memory_interface_mm2`` is the interface of a channel whose memory does not state it.
    """

    nominal_voltage_volts: float
    highest_voltage_volts: float
    threshold_voltage_volts: float
    alpha: float
    nominal_clock_hz: int
    fp16_multiply_joules: float
    fp32_multiply_joules: float
    fp32_add_joules: float
    flip_flop_joules_per_bit: float
    wire_joules_per_bit_mm: float
    sram_access_joules_per_byte: float
    sram_capacity_exponent: float
    sram_width_exponent: float
    sram_widest_bytes: int
    global_bank_bytes: int
    local_bank_bytes: int
    leakage_watts_per_mm2: float
    fp16_multiplier_mm2: float
    fp32_multiplier_mm2: float
    fp32_adder_mm2: float
    flip_flop_area_mm2: float
    placement_density: float
    sram_area_mm2_per_byte: float
    sram_second_port: float
    wire_pitch_mm: float
    memory_interface_mm2: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergySpec:
    """Energy per counted event of this machine, and static power; what DRAM takes is in `MemorySpec`.

    What an accelerator or an energy table does not state is derived from its `TechnologySpec`, sizes and clock when
    it is loaded; what it states holds as it is.

    Events are multiply-accumulates of the array, bytes written into its registers, bytes read from or written into a
    local buffer or the global buffer, lane operations of the vector unit, and bits that cross the interconnect.
    """

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
    """A chip of ``cores`` equal cores with one clock."""

    cores: int
    clock_hz: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SparsitySpec:
    """What the machine does with zeros.

    ``gating`` saves energy: a multiplier with a zero operand rests.  ``tile_skipping`` saves cycles: waves whose tile
    of the operand that the array holds is all zero are left out.  ``compression`` saves traffic: tensors are packed in
    DRAM, and dense on chip.
    """

    gating: bool = False
    tile_skipping: bool = False
    compression: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingSpec:
    """How the machine may run the products of a grouped or depthwise convolution; the fastest is taken.

    ``by_group``: on the array, one group after the other.  ``packed``: on the array, several groups side by side.
    ``vector``: as lane operations of the vector unit.
    """

    by_group: bool = True
    packed: bool = True
    vector: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """The whole machine: the chip, its ``cores`` with the same ``units`` each, the memory, technology, energies,
    zeros and mappings.

    `hardware.config.load_accelerator` derives ports and energies from the other fields; `dataclasses.replace` does not.
    """

    name: str
    chip: ChipSpec
    core: CoreSpec
    array: ArraySpec
    local_buffer: LocalBufferSpec
    vector: VectorSpec
    memory: MemorySpec
    technology: TechnologySpec
    energy: EnergySpec
    sparsity: SparsitySpec = SparsitySpec()
    mapping: MappingSpec = MappingSpec()
    units: tuple[UnitSpec, ...] = CORE_UNITS
