"""Invariants of every result, checked after every run: a violation is a bug of the simulator and raises an error.

`TOTALS_INVARIANTS` need only totals, so that every design point of a sweep is checked; `ROWS_INVARIANTS` need the rows
of a run too.  A check returns what is wrong, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import fsum, isclose

from wavecore.errors import InvariantError
from wavecore.hardware.specs import Accelerator, UnitKind
from wavecore.results.run import ROUNDING, Run, Totals
from wavecore.training.operations import TensorClass

Traffic = Mapping[tuple[TensorClass, bool], int]
"""DRAM bytes by class and whether they are written."""


def _dram_bytes_match_the_plan(totals: Totals, accelerator: Accelerator, planned: Traffic) -> str | None:
    for kind in TensorClass:
        expected = planned.get((kind, False), 0) + planned.get((kind, True), 0)
        moved = getattr(totals.dram_bytes, kind)
        if moved != expected:
            return f"{moved} bytes of {kind} moved, and the plan says {expected}"
    return None


def _shares_lie_between_0_and_1(totals: Totals, accelerator: Accelerator, planned: Traffic) -> str | None:
    if not 0 <= totals.array_occupancy <= 1 or not 0 <= totals.array_utilization <= 1:
        return f"array occupancy {totals.array_occupancy}, utilization {totals.array_utilization}"
    return None


def _not_faster_than_the_roofline(totals: Totals, accelerator: Accelerator, planned: Traffic) -> str | None:
    array = accelerator.array
    multiplied = totals.macs - totals.skipped_macs - totals.vector_macs
    compute = multiplied / (array.rows * array.columns * accelerator.chip.cores)
    seconds = totals.dram_bytes.total / accelerator.memory.bandwidth_bytes_per_second
    bound = max(compute, seconds * accelerator.chip.clock_hz)
    return f"{totals.step_cycles} cycles, and the roofline is {bound:.0f}" if totals.step_cycles < bound else None


def _work_and_waits_are_the_step(totals: Totals, accelerator: Accelerator, planned: Traffic) -> str | None:
    cycles = totals.bound_cycles.array + totals.stall_cycles.total
    return None if cycles == totals.step_cycles else f"{cycles} of {totals.step_cycles} cycles"


def _buffer_holds_its_peak(totals: Totals, accelerator: Accelerator, planned: Traffic) -> str | None:
    size = accelerator.core.global_buffer_bytes
    peak = totals.global_buffer_bytes.peak
    return f"{peak} bytes in a buffer of {size}" if peak > size else None


def _every_component_has_energy(totals: Totals, accelerator: Accelerator, planned: Traffic) -> str | None:
    energy, table = totals.energy_joules, accelerator.energy
    multiplied = totals.macs > totals.vector_macs
    constants = {
        "array": table.mac_joules if multiplied else 0.0,
        "local_buffer": table.local_buffer_joules_per_byte if multiplied else 0.0,
        "global_buffer": table.global_buffer_joules_per_byte,
        "vector": table.vector_operation_joules,
        "dram": accelerator.memory.energy_joules_per_bit,
        "static": table.static_watts_per_core,
        "interconnect": table.interconnect_joules_per_bit if accelerator.chip.cores > 1 else 0.0,
    }
    for part, constant in constants.items():
        if constant > 0 and getattr(energy, part) <= 0:
            return f"no energy in {part}"
    return None


def _rows_add_up(run: Run, accelerator: Accelerator) -> str | None:
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


def _vector_units_have_time(run: Run, accelerator: Accelerator) -> str | None:
    vector = sum(row.vector_busy_cycles for row in run.rows)
    cycles = run.step_cycles * sum(unit.kind is UnitKind.VECTOR for unit in accelerator.units)
    return f"the vector unit worked {vector} of {cycles} cycles" if vector > cycles else None


def _energy_of_rows_adds_up(run: Run, accelerator: Accelerator) -> str | None:
    rows, total = fsum(row.energy_joules for row in run.rows), run.energy_joules.total
    return None if isclose(rows, total, rel_tol=ROUNDING, abs_tol=0.0) else f"rows have {rows} J of {total} J"


TOTALS_INVARIANTS: dict[str, Callable[[Totals, Accelerator, Traffic], str | None]] = {
    "DRAM bytes equal the plan's": _dram_bytes_match_the_plan,
    "shares lie between 0 and 1": _shares_lie_between_0_and_1,
    "nothing is faster than its roofline": _not_faster_than_the_roofline,
    "an array's work and waits are the step": _work_and_waits_are_the_step,
    "the global buffer holds what is in it": _buffer_holds_its_peak,
    "every component of energy is counted": _every_component_has_energy,
}
ROWS_INVARIANTS: dict[str, Callable[[Run, Accelerator], str | None]] = {
    "rows add up to the totals": _rows_add_up,
    "no unit works more than there is time": _vector_units_have_time,
    "the energy of the rows adds up": _energy_of_rows_adds_up,
}


def check_totals(totals: Totals, accelerator: Accelerator, planned: Traffic) -> None:
    """Raise InvariantError if ``totals`` violate an invariant; ``planned`` are the plan's DRAM bytes."""
    for invariant, check in TOTALS_INVARIANTS.items():
        _require(invariant, check(totals, accelerator, planned), totals)


def check_run(run: Run, accelerator: Accelerator, planned: Traffic) -> None:
    """Raise InvariantError if ``run`` violates an invariant; ``planned`` are the plan's DRAM bytes."""
    check_totals(run, accelerator, planned)
    for invariant, check in ROWS_INVARIANTS.items():
        _require(invariant, check(run, accelerator), run)


def _require(invariant: str, wrong: str | None, totals: Totals) -> None:
    if wrong is not None:
        where = f"{totals.workload}, {totals.schedule}, {totals.engine} engine"
        raise InvariantError(where, f"{invariant}: {wrong}", "a report of this as a bug")
