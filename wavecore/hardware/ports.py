"""The ports of a core's global buffer: how wide each must be for its unit never to wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from wavecore.common.precision import ELEMENT_BYTES
from wavecore.hardware.dataflows import dataflow_of
from wavecore.hardware.specs import Accelerator, ArraySpec, ChipSpec, MemorySpec, VectorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PortNeed:
    """What one port must carry: its key in ``core``, its unit, the bytes a cycle and how they come about."""

    key: str
    unit: str
    bytes_per_cycle: int
    formula: str

    @property
    def given(self) -> str:
        """The name of the field of `CoreSpec`."""
        return f"{self.key}_bytes_per_cycle"


def port_needs(chip: ChipSpec, array: ArraySpec, vector: VectorSpec, memory: MemorySpec) -> Iterator[PortNeed]:
    """Yield for each port of the global buffer the least bytes a cycle with which its unit never waits for it."""
    streams = dataflow_of(array).peak_bytes(array)
    yield PortNeed(
        key="array_port",
        unit="the array",
        bytes_per_cycle=streams.a + streams.b,
        formula=f"one row of A and one of B every cycle: {streams.a} B + {streams.b} B",
    )
    yield PortNeed(
        key="vector_port",
        unit="the vector unit",
        bytes_per_cycle=vector.lanes * 2 * ELEMENT_BYTES,
        formula=f"one fp16 read and one written a lane and cycle: {vector.lanes} x {2 * ELEMENT_BYTES} B",
    )
    rate = Fraction(memory.bandwidth_bytes_per_second, chip.cores * chip.clock_hz)
    yield PortNeed(
        key="memory_port",
        unit="DRAM",
        bytes_per_cycle=ceil(rate),
        formula=f"memory.bandwidth / {chip.cores} cores / chip.clock = {ceil(rate)} B",
    )


def derived_port(need: PortNeed) -> tuple[int, str]:
    """Return the width that a port gets which nobody states, and its derivation.

    The memory port is a power of two, as the banks behind it are; at most 1 MiB, which is what a file may state.
    """
    if need.key != "memory_port":
        return need.bytes_per_cycle, need.formula
    return min(1 << (need.bytes_per_cycle - 1).bit_length(), 1 << 20), f"power of two from {need.formula}"


def starved_units(machine: Accelerator) -> tuple[str, ...]:
    """Return a sentence for each unit that waits for a port narrower than the unit is fast."""
    found = []
    for need in port_needs(machine.chip, machine.array, machine.vector, machine.memory):
        width = getattr(machine.core, need.given)
        if width < need.bytes_per_cycle:
            share = 100 * width / need.bytes_per_cycle
            found.append(
                f"core.{need.key} of {width} B/cycle starves {need.unit}, which takes up to "
                f"{need.bytes_per_cycle} B/cycle: it works at {share:.0f} % of its rate where the port binds"
            )
    return tuple(found)
