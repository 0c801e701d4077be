"""Is each step of a command given the bytes, waits and space that its profile says?  Commands here are made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import command, load, program, store, transfer

from wavecore.engines.instances import CommandInstance, CommandInstances
from wavecore.plan.placement import Direction
from wavecore.plan.traffic import When
from wavecore.program.commands import After, Command, Flow, Load, Program, Segment, StepProfile, Token, due, progress
from wavecore.program.step_tables import step_table
from wavecore.training.operations import Tensor, TensorClass

P = StepProfile


# -- profiles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "done"),
    [
        (P.EVEN, [10, 20, 30, 40, 50, 60, 70, 80]),
        (P.AT_ONCE, [80] * 8),
        (P.AT_END, [0] * 7 + [80]),
        (P.FIRST_BLOCK, [40, 80, 80, 80, 80, 80, 80, 80]),  # 4 blocks of 2 steps: all with the first
        (P.LAST_BLOCK, [0, 0, 0, 0, 0, 0, 40, 80]),
        (P.ROUND_START, [20, 20, 40, 40, 60, 60, 80, 80]),  # a quarter with the first step of each block
        (P.ROUND_END, [0, 20, 20, 40, 40, 60, 60, 80]),  # ... with its last
    ],
)
def test_bytes_that_are_due_by_the_end_of_each_step(profile: StepProfile, done: list[int]) -> None:
    made = command(steps=8, blocks=4)
    assert [progress(Flow(80, profile), made, step) for step in range(8)] == done
    assert [due(Flow(80, profile), made, step) for step in range(8)] == done


def test_two_sweeps_over_each_sample() -> None:
    """2 samples of 40 B, each swept in 2 steps and then in 2 steps again."""
    made = command(steps=8, sweep_steps=2)
    first, second = (
        [progress(Flow(80, each), made, step) for step in range(8)] for each in (P.FIRST_SWEEP, P.SECOND_SWEEP)
    )
    assert first == [20, 40, 40, 40, 60, 80, 80, 80]
    assert second == [0, 0, 20, 40, 40, 40, 60, 80]


def test_a_window_runs_ahead_inside_its_sample() -> None:
    """2 samples of 40 B in 8 steps, 15 B ahead: 10 + 15, 20 + 15, then no more than the sample."""
    flow = Flow(80, P.EVEN, 15, 40)
    assert [due(flow, command(steps=8), step) for step in range(8)] == [25, 35, 40, 40, 65, 75, 80, 80]
    assert [due(Flow(80, P.EVEN, 15), command(steps=8), step) for step in range(8)] == [25, 35, 45, 55, 65, 75, 80, 80]


def test_a_part_of_a_byte_needs_its_sample() -> None:
    """3 B in 4 steps, a byte per sample: after 0.75 B the first sample is begun, after 1.5 the second."""
    assert [due(Flow(3, P.EVEN, 1, 1), command(steps=4), step) for step in range(4)] == [1, 2, 3, 3]


def test_a_window_of_the_first_block() -> None:
    """2 blocks of 4 steps: the first runs over 2 samples of 40 B, 20 B a step and 15 ahead."""
    flow = Flow(80, P.FIRST_BLOCK, 15, 40)
    assert [due(flow, command(steps=8, blocks=2), step) for step in range(5)] == [35, 40, 75, 80, 80]


# -- tables ---------------------------------------------------------------------------------------------------------


def test_loads_take_and_give_space_step_by_step() -> None:
    """Operands that arrive at once and go at the end, and ones that pass; a reservation takes nothing."""
    made = command(
        steps=4,
        loads=(load(80, P.AT_ONCE, P.AT_END), load(40, P.EVEN, P.EVEN), load(60, P.EVEN, None)),
    )
    table = step_table(made)
    assert table.loads == [
        [(0, 80, 80), (1, 10, 10), (2, 15, 15)],
        [(1, 10, 20), (2, 15, 30)],
        [(1, 10, 30), (2, 15, 45)],
        [(1, 10, 40), (2, 15, 60)],
    ]
    assert table.takes == [90, 10, 10, 10]
    assert table.gives == [10, 10, 10, 90]


def test_stores_take_space_as_they_are_made_and_are_seen_when_complete() -> None:
    """40 B leave evenly and are complete at the end; 20 B that stay on chip take no space to leave."""
    staged = replace(store(40), visible=P.AT_END)
    kept = replace(store(20, name="kept"), staged=False)
    table = step_table(command(steps=2, stores=(staged, kept)))
    assert table.stores == [[(0, 20, 20, 20, 0), (1, 10, 10, 0, 10)], [(0, 20, 40, 20, 40), (1, 10, 20, 0, 10)]]
    assert (table.takes, table.gives) == ([20, 20], [0, 0])  # the store queue gives staged space back


def test_waits_posts_and_cycles() -> None:
    made = command(
        steps=2,
        waits=(Token("x", Flow(10, P.EVEN, 0, 5)),),
        overwrites=(Token("y", Flow(6, P.AT_ONCE, 0, 3)),),
        posts=(Token("z", Flow(8, P.AT_END)), Token("w", Flow(8, P.EVEN))),
        work={"array_cycles": 7, "vector_cycles": 3},
    )
    table = step_table(made)
    assert table.waits == [[("x", 5, 5)], [("x", 10, 5)]]
    assert table.overwrites == [[("y", 6, 3)], [("y", 6, 3)]]
    assert table.posts == [[("w", 4)], [("z", 8), ("w", 4)]]
    assert table.cycles == ([3, 4], [1, 2])


def test_packed_bytes_are_shared_out_like_dense_ones() -> None:
    """100 B that are 30 in DRAM, in 4 steps: 7.5 each, rounded so that they add up; a store 50 that are 10."""
    packed_load = Load(transfer(100, packed_bytes=30), Flow(100, P.EVEN), P.EVEN)
    packed_store = replace(store(50, P.AT_END), transfer=transfer(50, True, packed_bytes=10))
    table = step_table(command(steps=4, loads=(load(8), packed_load), stores=(packed_store,)))
    assert {step: nbytes for (write, index, step), nbytes in table.packed.items() if not write and index == 1} == {
        0: 7, 1: 8, 2: 7, 3: 8,
    }  # fmt: skip
    assert [table.packed[True, 0, step] for step in range(4)] == [0, 0, 0, 10]
    assert len(table.packed) == 8


# -- instances ------------------------------------------------------------------------------------------------------


def instance(made: Command, iteration: int = 2, first_sample: int = 4) -> CommandInstance:
    segment = Segment("segment", Direction.FORWARD, ((2, (made,)),) * 4)
    return CommandInstance(made, step_table(made), segment, iteration, first_sample, False, False, 0, (0,))


def own(total: int, batched: bool = True) -> Load:
    """A read of what this core has stored: 100 B per sample, or in all."""
    tensor = Tensor("x", TensorClass.ACTIVATION, 100, batched)
    return Load(replace(transfer(total), tensor=tensor), Flow(total, P.EVEN), P.EVEN, After.OWN)


@pytest.mark.parametrize(
    ("total", "due_bytes", "stored"),
    [
        (200, 50, 450),  # 4 samples before, and half of the fifth
        (200, 200, 600),
        (100, 50, 500),  # half of each sample is read: 50 of these 100 B are behind a whole sample
        (400, 50, 600),  # what is read twice meets the last sample at once
    ],
)
def test_samples_that_must_be_stored_before_they_are_read(total: int, due_bytes: int, stored: int) -> None:
    made = command(samples=2, loads=(own(total),))
    assert instance(made).stored_before(made.loads[0], due_bytes) == stored


def test_a_recurrent_layer_reads_every_sample_in_its_first_time_step() -> None:
    made = command(samples=2, loads=(own(200),), time_steps=1)
    assert instance(made).stored_before(made.loads[0], 1) == 600


def test_partial_sums_are_read_when_every_earlier_iteration_has_stored_them() -> None:
    made = command(samples=2, loads=(own(100, batched=False),))
    assert [instance(made, each).stored_before(made.loads[0], 1) for each in range(3)] == [0, 100, 200]


def test_instances_in_order() -> None:
    """Iterations of 2 and 1 samples: the first command opens its segment, the last one closes it."""
    a, b = command("a", samples=2), command("b", samples=2)
    c, d = command("a", samples=1), command("b", samples=1)
    segment = Segment("segment", Direction.FORWARD, ((2, (a, b)), (2, (a, b)), (1, (c, d))))
    found = list(CommandInstances(Program("p", "s", 0, ((segment,),))).of(0))
    assert [(each.command, each.iteration, each.first_sample) for each in found] == [
        (a, 0, 0), (b, 0, 0), (a, 1, 2), (b, 1, 2), (c, 2, 4), (d, 2, 4),
    ]  # fmt: skip
    assert [each.opens for each in found] == [True, False, False, False, False, False]
    assert [each.closes for each in found] == [False, False, False, False, False, True]
    assert found[0].table is found[2].table


def test_how_often_a_core_stores_a_tensor() -> None:
    """In each of three iterations, and once, in the last."""
    last = replace(store(8, name="held"), transfer=transfer(8, True, "held", when=When.LAST))
    instances = CommandInstances(program(command(stores=(store(8), last)), cores=2, iterations=3))
    assert instances.stores(0) == instances.stores(1) == {"result": 3, "held": 1}
