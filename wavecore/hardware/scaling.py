"""The laws by which energy and leakage follow voltage, sizes and area; their constants are a `TechnologySpec`'s.

**Voltage.**  A gate's delay is proportional to V / (V - Vt)^alpha [Sakurai and Newton, IEEE JSSC 25(2), 1990], so

    clock(V) / clock(V0) = ((V - Vt) / (V0 - Vt))^alpha x V0 / V.

The chip has one supply.  It is the nominal V0 up to the clock that V0 carries, since SRAM cells do not work far below
it, and above that clock the voltage that the law asks for.  Dynamic energy is C V^2.  Leakage power is taken to grow
with V^2 too: V times a current that grows with V.

**SRAM.**  An access of w bytes to a bank of c bytes takes, per byte, e x (c / 1 MiB)^x x (w / 8 B)^-y: longer bit lines
and wires in a larger bank, one decoder for more bits in a wider access.

**Wires.**  Energy per bit is proportional to the length, and lengths are proportional to the square root of an area.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import fsum, sqrt
from typing import NamedTuple

from wavecore.common.units import format_bytes, format_quantity
from wavecore.hardware.area import VECTOR_REGISTER_BYTES, area_mm2, cores_distance, port_bytes_per_cycle
from wavecore.hardware.dataflows import dataflow_of
from wavecore.hardware.specs import Accelerator, TechnologySpec

REFERENCE_BANK_BYTES = 1 << 20
REFERENCE_ACCESS_BYTES = 8
MEAN_PATH = 3 / 4
"""Mean Manhattan distance from the middle of an edge of a square to its points: s/4 + s/2."""


class DerivedValue(NamedTuple):
    """A derived constant in its base unit, and its derivation in words."""

    value: float
    formula: str


def highest_clock_hz(technology: TechnologySpec) -> float:
    """Return the clock that the highest voltage of a technology carries, in hertz."""
    return _clock_at(technology, technology.highest_voltage_volts)


def voltage_volts(technology: TechnologySpec, clock_hz: int) -> float:
    """Return the supply voltage at a clock; at most the highest of the technology for a clock beyond its range."""
    low, high = technology.nominal_voltage_volts, technology.highest_voltage_volts
    if clock_hz <= technology.nominal_clock_hz or high <= low:
        return low
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _clock_at(technology, middle) >= clock_hz else (middle, high)
    return high


def sram_joules_per_byte(technology: TechnologySpec, bank_bytes: float, access_bytes: float) -> float:
    """Return the energy per byte of an access to a bank, at the nominal voltage, in joules."""
    width = min(access_bytes, technology.sram_widest_bytes) / REFERENCE_ACCESS_BYTES
    capacity = bank_bytes / REFERENCE_BANK_BYTES
    factor: float = capacity**technology.sram_capacity_exponent * width**-technology.sram_width_exponent
    return technology.sram_access_joules_per_byte * factor


def derived_energy(machine: Accelerator) -> Iterator[tuple[str, DerivedValue]]:
    """Yield (field of `EnergySpec`, value and derivation) for all its fields; its own energies are not looked at."""
    technology = machine.technology
    volts = voltage_volts(technology, machine.chip.clock_hz)
    factor = (volts / technology.nominal_voltage_volts) ** 2
    at = "" if factor == 1 else f", x ({volts:.3g} V / {technology.nominal_voltage_volts:.3g} V)^2 at this clock"
    for name, found in _at_nominal_voltage(machine):
        yield name, DerivedValue(found.value * factor, found.formula + at)


def _at_nominal_voltage(machine: Accelerator) -> Iterator[tuple[str, DerivedValue]]:
    technology = machine.technology
    register = 8 * technology.flip_flop_joules_per_bit
    mac = technology.fp16_multiply_joules + technology.fp32_add_joules
    yield "mac_joules", DerivedValue(mac, "technology.fp16_multiply + fp32_add")
    yield "register_joules_per_byte", DerivedValue(register, "8 x technology.flip_flop")
    yield "local_buffer_joules_per_byte", _local_buffers(machine)
    yield "global_buffer_joules_per_byte", _global_buffer(machine)
    lane = technology.fp32_multiply_joules + technology.fp32_add_joules + VECTOR_REGISTER_BYTES * register
    registers = f"technology.fp32_multiply + fp32_add + {VECTOR_REGISTER_BYTES} B of operands and result in registers"
    yield "vector_operation_joules", DerivedValue(lane, registers)
    area = area_mm2(machine)
    path = cores_distance(machine.chip.cores) * sqrt(area.total - area.interconnect)
    wires = f"{path:.3g} mm between cores, on average, x technology.wire"
    yield "interconnect_joules_per_bit", DerivedValue(path * technology.wire_joules_per_bit_mm, wires)
    cores, leakage = machine.chip.cores, technology.leakage_watts_per_mm2
    logic = (area.total - area.global_buffer) / cores
    yield "static_watts_per_core", DerivedValue(logic * leakage, f"technology.leakage x {logic:.4g} mm2 a core")
    buffer = area.global_buffer / cores
    size = machine.core.global_buffer_bytes
    leaks = f"technology.leakage x {buffer:.4g} mm2 of {format_bytes(size)}"
    yield "static_watts_per_global_buffer_byte", DerivedValue(buffer * leakage / size, leaks)


def _global_buffer(machine: Accelerator) -> DerivedValue:
    """Return the energy per byte of the global buffer: its bank's, and that of the wires from the bank to the port."""
    technology, size = machine.technology, machine.core.global_buffer_bytes
    bank = min(size, technology.global_bank_bytes)
    access = port_bytes_per_cycle(machine.core) * bank / size
    cells = sram_joules_per_byte(technology, bank, access)
    length = MEAN_PATH * (sqrt(size) - sqrt(bank)) * sqrt(technology.sram_area_mm2_per_byte)
    wires = 8 * length * technology.wire_joules_per_bit_mm
    words = format_bytes(min(access, technology.sram_widest_bytes))
    formula = (
        f"{words} of a bank of {format_bytes(bank)}, {format_quantity(cells, 'J/B')}, "
        f"and {length:.3g} mm of wires, {format_quantity(wires, 'J/B')}"
    )
    return DerivedValue(cells + wires, formula)


def _local_buffers(machine: Accelerator) -> DerivedValue:
    """Return the energy per byte of the local buffers: the mean of A, B and C by the bytes that each moves a cycle."""
    technology, buffers = machine.technology, machine.local_buffer
    peaks = dataflow_of(machine.array).peak_bytes(machine.array)
    total = 0.0
    for size, peak in zip((buffers.a_bytes, buffers.b_bytes, buffers.c_bytes), peaks, strict=True):
        bank = min(size, technology.local_bank_bytes)
        total += peak * sram_joules_per_byte(technology, bank, peak * bank / size)
    banks = f"mean of A, B and C, in banks of at most {format_bytes(technology.local_bank_bytes)}"
    return DerivedValue(total / fsum(peaks), banks)


def _clock_at(technology: TechnologySpec, volts: float) -> float:
    """Return the clock that a voltage carries by the alpha-power law, in hertz."""
    nominal, threshold = technology.nominal_voltage_volts, technology.threshold_voltage_volts
    speed: float = ((volts - threshold) / (nominal - threshold)) ** technology.alpha * nominal / volts
    return technology.nominal_clock_hz * speed
