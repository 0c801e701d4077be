"""In which order do the array and the vector unit work, and how long does a program take then?  Counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import command, machine, program

from wavecore.engines.analytic import run_analytic
from wavecore.engines.event import run_events
from wavecore.plan.model import QueueOrder
from wavecore.program.bounds import critical_path_cycles
from wavecore.program.commands import Command, Flow, Program, StepProfile, Token
from wavecore.program.list_schedule import Stretch
from wavecore.program.queue_order import sections, stretches

DEFAULT = machine()
TOKEN = Token("values", Flow(400, StepProfile.EVEN))


def gemm(name: str, **changes: object) -> Command:
    """Four steps of 1000 cycles in the array, each drained in 100."""
    return command(name, work={"array_cycles": 4000, "vector_cycles": 400}, steps=4, **changes)


def sweep(name: str, **changes: object) -> Command:
    """Four steps of 500 cycles in the vector unit."""
    return command(name, work={"vector_cycles": 2000}, steps=4, **changes)


MAKES = gemm("makes", posts=(TOKEN,))
SWEEPS = sweep("sweeps", waits=(TOKEN,))
OTHER = gemm("other")


def ordered(order: QueueOrder, *commands: Command, iterations: int = 1) -> Program:
    slots = tuple((unit.name, unit.result_slots) for unit in DEFAULT.units if unit.result_slots)
    return replace(program(*commands, iterations=iterations), order=order, result_slots=slots)


def cycles(order: QueueOrder, *commands: Command, iterations: int = 1) -> int:
    return run_events(ordered(order, *commands, iterations=iterations), DEFAULT).step_cycles


def test_a_sweep_slips_between_drains() -> None:
    """Overlapped: a step of the sweep after each drain (1100 to 1600, ...), and the last drain at 8100.

    In program order the sweep lasts from 4100 to 6100.  The first results of the other product wait for it, and both
    accumulators are full from 6000 on; its third step begins at 6200 and its last results leave at 8300.
    """
    assert cycles(QueueOrder.OVERLAPPED, MAKES, SWEEPS, OTHER) == 8100
    assert cycles(QueueOrder.PROGRAM, MAKES, SWEEPS, OTHER) == 8300


def test_the_order_is_that_of_the_hand_count() -> None:
    lowered = ordered(QueueOrder.OVERLAPPED, MAKES, SWEEPS, OTHER)
    order = stretches(lowered, next(sections(lowered, 0)))
    assert order["array"] == (Stretch(0, 0, 4), Stretch(2, 0, 4))
    turns = [stretch for step in range(4) for stretch in (Stretch(0, step, step + 1), Stretch(1, step, step + 1))]
    assert order["vector"] == (*turns, Stretch(2, 0, 4))


def test_a_result_takes_space_over_after_all_readers() -> None:
    """The sweep may not write over the values before the other product, which reads them, is done at 8100."""
    reads = replace(OTHER, waits=(TOKEN,))
    assert cycles(QueueOrder.OVERLAPPED, MAKES, reads, SWEEPS) == 8100
    in_place = replace(SWEEPS, takes_over=("values",))
    assert cycles(QueueOrder.OVERLAPPED, MAKES, reads, in_place) == 8100 + 2000


def test_the_array_takes_the_earliest_command_that_is_ready() -> None:
    """A product that waits for the sweep lets the one after it begin."""
    done = Token("swept", Flow(400, StepProfile.AT_END))
    waits = gemm("waits", waits=(replace(done, flow=Flow(400, StepProfile.AT_ONCE)),))
    sweeps = replace(SWEEPS, posts=(done,))
    lowered = ordered(QueueOrder.OVERLAPPED, MAKES, sweeps, waits, OTHER)
    order = stretches(lowered, next(sections(lowered, 0)))
    assert order["array"] == (Stretch(0, 0, 4), Stretch(3, 0, 1), Stretch(2, 0, 4), Stretch(3, 1, 4))
    assert cycles(QueueOrder.OVERLAPPED, MAKES, sweeps, waits, OTHER) == 12_100


def test_sections_are_iterations_or_neighbours_of_one_iteration() -> None:
    once = program(MAKES, SWEEPS).cores[0][0]
    thrice = program(MAKES, SWEEPS, iterations=3).cores[0][0]
    lowered = replace(program(MAKES), cores=((once, once, thrice, once),))
    assert [len(section.parts) for section in sections(lowered, 0)] == [2, 1, 1, 1, 1]


def test_iterations_follow_each_other() -> None:
    """Equal iterations have equal orders; the second begins in the array while the first is drained."""
    assert cycles(QueueOrder.OVERLAPPED, MAKES, SWEEPS, OTHER, iterations=2) == 8000 + 8100


def test_the_analytic_engine_follows() -> None:
    lowered = ordered(QueueOrder.OVERLAPPED, MAKES, SWEEPS, OTHER)
    assert run_analytic(lowered, DEFAULT).step_cycles == pytest.approx(8100, rel=0.02)


def test_the_critical_path_counts_first_results_and_the_longest_command() -> None:
    """A step of the first product and its drain, the whole sweep; the other product depends on nothing."""
    assert critical_path_cycles(ordered(QueueOrder.OVERLAPPED, MAKES, SWEEPS, OTHER)) == 4000 + 500
    assert critical_path_cycles(ordered(QueueOrder.OVERLAPPED, SWEEPS)) == 2000
