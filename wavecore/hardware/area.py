"""The area of a chip by component, from the sizes of its parts and the constants of its `TechnologySpec`.

Logic is the area of its cells over the share of the area that placed cells fill.  An SRAM is its capacity times the
area per byte.  A bus is its wires times their pitch times its length; the buses of a global buffer's ports run over
half of its side, those between cores from core to core.  Not counted: control, the instruction store, the clock's
distribution, the host's interface, pads and the space between blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil, fsum, sqrt

from wavecore.common.precision import ACCUMULATOR_BYTES, ELEMENT_BYTES
from wavecore.hardware.specs import Accelerator, CoreSpec

VECTOR_REGISTER_BYTES = 16
"""Registers of a vector lane: three fp32 operands of a multiply-add and its result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaMm2:
    """Area of all cores by component, in mm2.

    ``array``: processing elements; ``memory_interface``: the physical interfaces of DRAM's channels; ``interconnect``:
    the buses between cores.
    """

    array: float
    local_buffer: float
    global_buffer: float
    vector: float
    memory_interface: float
    interconnect: float

    @property
    def total(self) -> float:
        """The sum of all components."""
        return fsum(getattr(self, part.name) for part in fields(self))


def area_mm2(machine: Accelerator) -> AreaMm2:
    """Return the area of the chip by component."""
    cores, array, buffers = machine.chip.cores, machine.array, machine.local_buffer
    technology, memory = machine.technology, machine.memory
    streamed = 2 * (buffers.a_bytes + buffers.b_bytes)  # double buffers, of which one half is read, one written
    added = 2 * buffers.c_bytes * technology.sram_second_port  # sums are read and written in every cycle
    parts = {
        "array": cores * array.rows * array.columns * element_mm2(machine),
        "local_buffer": cores * (streamed + added) * technology.sram_area_mm2_per_byte,
        "global_buffer": cores * global_buffer_mm2(machine),
        "vector": cores * machine.vector.lanes * lane_mm2(machine),
        "memory_interface": memory.channels * memory.channel_interface_mm2,
    }
    side = sqrt(fsum(parts.values()))
    bus = 8 * machine.core.memory_port_bytes_per_cycle * technology.wire_pitch_mm
    return AreaMm2(**parts, interconnect=cores * bus * cores_distance(cores) * side)


def element_mm2(machine: Accelerator) -> float:
    """Return the area of a processing element: fp16 multiplier, fp32 adder, registers of operand, weights and sum."""
    technology = machine.technology
    weights = 2 if machine.array.weight_double_buffering else 1
    bits = 8 * ((1 + weights) * ELEMENT_BYTES + ACCUMULATOR_BYTES)
    cells = technology.fp16_multiplier_mm2 + technology.fp32_adder_mm2 + bits * technology.flip_flop_area_mm2
    return cells / technology.placement_density


def lane_mm2(machine: Accelerator) -> float:
    """Return the area of a lane of the vector unit: fp32 multiplier and adder, registers of operands and result."""
    technology = machine.technology
    registers = 8 * VECTOR_REGISTER_BYTES * technology.flip_flop_area_mm2
    return (technology.fp32_multiplier_mm2 + technology.fp32_adder_mm2 + registers) / technology.placement_density


def global_buffer_mm2(machine: Accelerator) -> float:
    """Return the area of one core's global buffer: its cells, and the buses of its ports over half of its side."""
    technology = machine.technology
    cells = machine.core.global_buffer_bytes * technology.sram_area_mm2_per_byte
    return cells + 8 * port_bytes_per_cycle(machine.core) * technology.wire_pitch_mm * sqrt(cells) / 2


def port_bytes_per_cycle(core: CoreSpec) -> int:
    """Return the width of a global buffer's ports together; the one to memory loads and stores at once."""
    return core.array_port_bytes_per_cycle + core.vector_port_bytes_per_cycle + 2 * core.memory_port_bytes_per_cycle


def cores_distance(cores: int) -> float:
    """Return the mean Manhattan distance of two cores of a square chip, over its side; 0 for a chip of one core.

    Cores lie in a grid that is as square as their number allows.
    """
    if cores == 1:
        return 0.0
    columns = ceil(sqrt(cores))
    rows = ceil(cores / columns)
    places = rows * columns
    mean = fsum((count**2 - 1) / (3 * count) / count for count in (columns, rows))  # of two places that may be the same
    return mean * places / (places - 1)
