"""Does each invariant of the product fail for a result that violates it?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache

import pytest
from builders import SCHEDULES, chain, machine

from wavecore.errors import InvariantError
from wavecore.plan.model import Plan
from wavecore.plan.traffic import plan_traffic
from wavecore.results.energy import EnergyJoules
from wavecore.results.invariants import ROWS_INVARIANTS, TOTALS_INVARIANTS, check_run
from wavecore.results.run import Run
from wavecore.simulation import simulate
from wavecore.training.operations import TensorClass
from wavecore.training.unroll import training_graph

Doctor = Callable[[Run], Run]


@cache
def plan() -> Plan:
    return SCHEDULES["baseline"].make(training_graph(chain()), machine(), 4)


@cache
def honest() -> Run:
    return simulate(training_graph(chain()), plan(), machine(), engine="analytic")


def check(run: Run) -> None:
    check_run(run, machine(), plan_traffic(training_graph(chain()), plan(), machine()))


def with_first_row(**changes: int) -> Doctor:
    return lambda run: replace(run, rows=(replace(run.rows[0], **changes), *run.rows[1:]))


def with_energy(**changes: float) -> Doctor:
    return lambda run: replace(run, energy_joules=replace(run.energy_joules, **changes))


def stretched(run: Run) -> Run:
    """A step as short as one cycle, with rows that add up to it."""
    rows = tuple(replace(row, cycles=int(index == 0), vector_busy_cycles=0) for index, row in enumerate(run.rows))
    return replace(run, step_cycles=1, rows=rows)


DOCTORED: list[tuple[str, Doctor]] = [
    ("rows add up to the totals: step_cycles of the rows", with_first_row(cycles=10**6)),
    ("rows add up to the totals: macs of the rows", with_first_row(macs=1)),
    ("rows add up to the totals: DRAM reads of the rows", with_first_row(dram_read_bytes=1)),
    ("rows add up to the totals: DRAM writes of the rows", with_first_row(dram_write_bytes=1)),
    ("no unit works more than there is time: the vector unit worked 10000", with_first_row(vector_busy_cycles=10**8)),
    ("shares lie between 0 and 1: array occupancy 1.5", lambda run: replace(run, array_occupancy=1.5)),
    ("shares lie between 0 and 1: array occupancy", lambda run: replace(run, array_utilization=-0.1)),
    ("nothing is faster than its roofline: 1 cycles, and the roofline is", stretched),
    (
        "an array's work and waits are the step: ",
        lambda run: replace(run, stall_cycles=replace(run.stall_cycles, dram=run.stall_cycles.dram + 1)),
    ),
    (
        "the global buffer holds what is in it: 10485761 bytes in a buffer of 10485760",
        lambda run: replace(run, global_buffer_bytes=replace(run.global_buffer_bytes, peak=10485761)),
    ),
    ("the energy of the rows adds up: rows have", with_energy(array=1.0)),
    *(
        (f"every component of energy is counted: no energy in {part.name}", with_energy(**{part.name: 0.0}))
        for part in fields(EnergyJoules)
    ),
    *(
        (f"DRAM bytes equal the plan's: {getattr(honest().dram_bytes, kind.value) + 1} bytes of {kind} moved",
         lambda run, kind=kind.value: replace(
             run, dram_bytes=replace(run.dram_bytes, **{kind: getattr(run.dram_bytes, kind) + 1})))
        for kind in TensorClass
    ),
]  # fmt: skip


def test_an_honest_run_passes() -> None:
    check(honest())


@pytest.mark.parametrize(("invariant", "doctor"), DOCTORED)
def test_a_doctored_run_is_caught(invariant: str, doctor: Doctor) -> None:
    with pytest.raises(InvariantError) as caught:
        check(doctor(honest()))
    assert str(caught.value).startswith(f"chain, baseline, analytic engine: {invariant}")


def test_every_invariant_is_violated_once() -> None:
    assert {invariant.split(":")[0] for invariant, _ in DOCTORED} == {*TOTALS_INVARIANTS, *ROWS_INVARIANTS}


def test_one_core_needs_no_interconnect() -> None:
    alone = machine("chip.cores=1")
    run = simulate(training_graph(chain()), "baseline", alone, batch=4, engine="analytic")
    assert run.energy_joules.interconnect == 0


@pytest.mark.parametrize("cycles", [1, -1])
@pytest.mark.parametrize("bound", ["compute", "DRAM"])
def test_the_roofline_is_the_slower_of_array_and_dram(bound: str, cycles: int) -> None:
    """A step of 10,000 cycles of either: 2 * 128 * 128 MACs per cycle, or 600 GiB/s at 0.7 GHz."""
    macs = 10_000 * 2 * 128 * 128 if bound == "compute" else 0
    nbytes = 0 if bound == "compute" else 10_000 * 600 * 2**30 // 700_000_000
    run = honest()
    moved = replace(run.dram_bytes, read=nbytes, write=0)
    step = replace(run, macs=macs, skipped_macs=0, dram_bytes=moved, step_cycles=10_000 + cycles)
    found = TOTALS_INVARIANTS["nothing is faster than its roofline"](step, machine(), {})
    assert (found is None) is (cycles > 0)
