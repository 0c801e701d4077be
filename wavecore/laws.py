"""Laws that every result obeys, checked after every run.  A violation is our fault and stops the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wavecore.errors import InvariantError
from wavecore.operations import TensorClass
from wavecore.results import Run
from wavecore.specs import Accelerator

Traffic = Mapping[tuple[TensorClass, bool], int]


def _rows_add_up(run: Run, accelerator: Accelerator, oracle: Traffic) -> str | None:
    sums = {
        "step_cycles": (sum(row.cycles for row in run.rows), run.step_cycles),
        "macs": (sum(row.macs for row in run.rows), run.macs),
        "DRAM reads": (sum(row.dram_read_bytes for row in run.rows), run.dram_bytes.read),
        "DRAM writes": (sum(row.dram_write_bytes for row in run.rows), run.dram_bytes.write),
    }
    wrong = [
        f"{name} of the rows add up to {rows}, not {total}" for name, (rows, total) in sums.items() if rows != total
    ]
    return wrong[0] if wrong else None


def _bytes_match_the_oracle(run: Run, accelerator: Accelerator, oracle: Traffic) -> str | None:
    for kind in TensorClass:
        expected = oracle.get((kind, False), 0) + oracle.get((kind, True), 0)
        moved = getattr(run.dram_bytes, kind.value)
        if moved != expected:
            return f"{moved} bytes of {kind.value} moved, and the plan says {expected}"
    return None


def _units_are_not_overworked(run: Run, accelerator: Accelerator, oracle: Traffic) -> str | None:
    vector = sum(row.vector_busy_cycles for row in run.rows)
    if vector > run.step_cycles:
        return f"the vector unit worked {vector} of {run.step_cycles} cycles"
    if not 0 <= run.array_occupancy <= 1 or not 0 <= run.array_utilization <= 1:
        return f"array occupancy {run.array_occupancy}, utilization {run.array_utilization}"
    return None


def _not_faster_than_the_roofline(run: Run, accelerator: Accelerator, oracle: Traffic) -> str | None:
    array = accelerator.array
    compute = run.macs / (array.rows * array.columns * accelerator.chip.cores)
    seconds = run.dram_bytes.total / accelerator.memory.bandwidth_bytes_per_second
    bound = max(compute, seconds * accelerator.chip.clock_hz)
    return f"{run.step_cycles} cycles, and the roofline is {bound:.0f}" if run.step_cycles < bound else None


def _buffer_holds(run: Run, accelerator: Accelerator, oracle: Traffic) -> str | None:
    size = accelerator.core.global_buffer_bytes
    peak = run.global_buffer_bytes.peak
    return f"{peak} bytes in a buffer of {size}" if peak > size else None


def _energy_is_there(run: Run, accelerator: Accelerator, oracle: Traffic) -> str | None:
    energy, table = run.energy_joules, accelerator.energy
    constants = {
        "array": table.mac_joules,
        "local_buffer": table.local_buffer_joules_per_byte,
        "global_buffer": table.global_buffer_joules_per_byte,
        "vector": table.vector_operation_joules,
        "dram": accelerator.memory.energy_joules_per_bit,
        "static": table.static_watts_per_core,
        "interconnect": table.interconnect_joules_per_bit if accelerator.chip.cores > 1 else 0.0,
    }
    for part, constant in constants.items():
        if constant > 0 and getattr(energy, part) <= 0:
            return f"no energy in {part}"
    rows = sum(row.energy_joules for row in run.rows)
    return None if abs(rows - energy.total) <= 1e-9 * energy.total else f"rows have {rows} J of {energy.total} J"


LAWS: dict[str, Callable[[Run, Accelerator, Traffic], str | None]] = {
    "rows add up to the totals": _rows_add_up,
    "DRAM bytes equal the plan's": _bytes_match_the_oracle,
    "no unit works more than there is time": _units_are_not_overworked,
    "nothing is faster than its roofline": _not_faster_than_the_roofline,
    "the global buffer holds what is in it": _buffer_holds,
    "every component of energy is counted": _energy_is_there,
}


def check_run(run: Run, accelerator: Accelerator, oracle: Traffic) -> None:
    """Raise InvariantError if ``run`` breaks a law; ``oracle`` are the plan's DRAM bytes."""
    for law, holds in LAWS.items():
        wrong = holds(run, accelerator, oracle)
        if wrong is not None:
            where = f"{run.workload}, {run.schedule}, {run.engine} engine"
            raise InvariantError(where, f"{law}: {wrong}", "a report of this as a bug")
