"""The energy of what was counted, in joules by component.

Every component is a sum of counters times constants of the energy table, and of powers times the step's time.  The
source of each constant stands beside its value in ``presets/energy`` and ``presets/memories``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import fsum

from wavecore.hardware.specs import Accelerator
from wavecore.program.counts import RowCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyJoules:
    """Energy by component, in joules.

    ``array``: multiply-accumulates and register shifts; ``dram``: transfers and background power;
    ``interconnect``: gradients that cross from core to core; ``static``: leakage of cores and buffers.
    """

    array: float
    local_buffer: float
    global_buffer: float
    vector: float
    dram: float
    interconnect: float
    static: float

    @property
    def total(self) -> float:
        """The sum of all components."""
        return fsum(getattr(self, part.name) for part in fields(self))


def static_watts(accelerator: Accelerator) -> float:
    """Return the leakage of all cores and their global buffers, in watts."""
    energy, cores = accelerator.energy, accelerator.chip.cores
    buffer = energy.static_watts_per_global_buffer_byte * accelerator.core.global_buffer_bytes
    return cores * (energy.static_watts_per_core + buffer)


def energy(counts: RowCounts, cycles: int, accelerator: Accelerator) -> EnergyJoules:
    """Return the energy of what was counted over ``cycles`` cycles of the core's clock."""
    table, memory = accelerator.energy, accelerator.memory
    seconds = cycles / accelerator.chip.clock_hz
    dram_bytes = counts.dram_read_bytes + counts.dram_write_bytes
    return EnergyJoules(
        array=(counts.macs - counts.gated_macs - counts.skipped_macs - counts.vector_macs + counts.surplus_macs)
        * table.mac_joules
        + counts.register_bytes * table.register_joules_per_byte,
        local_buffer=counts.local_buffer_bytes * table.local_buffer_joules_per_byte,
        global_buffer=(counts.buffer_read_bytes + counts.buffer_write_bytes) * table.global_buffer_joules_per_byte,
        vector=counts.vector_operations * table.vector_operation_joules,
        dram=dram_bytes * 8 * memory.energy_joules_per_bit + memory.background_watts * seconds,
        interconnect=counts.interconnect_bytes * 8 * table.interconnect_joules_per_bit,
        static=static_watts(accelerator) * seconds,
    )
