"""Is what makes design points fast the same as doing all the work every time?"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace

import pytest
from builders import SCHEDULES
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import machine, machines, networks

from wavecore.engines.analytic import run_analytic
from wavecore.errors import SpaceError
from wavecore.hardware.config import load_accelerator
from wavecore.hardware.specs import Accelerator
from wavecore.network.catalog import workload
from wavecore.network.graph import LayerGraph
from wavecore.plan.blocking import block
from wavecore.plan.model import Plan
from wavecore.plan.placement import Direction, place_group
from wavecore.plan.traffic import group_traffic, sub_batches, transfers
from wavecore.program.commands import Program
from wavecore.program.lower import lower
from wavecore.results.run import Totals
from wavecore.simulation import evaluate, simulate
from wavecore.training.graph import TrainingGraph
from wavecore.training.rules import verify_training
from wavecore.training.unroll import training_graph

SCHEDULE_NAMES = st.sampled_from(sorted(SCHEDULES))


def planned(network: LayerGraph, accelerator: Accelerator, batch: int, schedule: str) -> tuple[Plan, Program]:
    """A plan and its program, where the buffer has room for any."""
    training = training_graph(network)
    try:
        plan = SCHEDULES[schedule].make(training, accelerator, batch)
        return plan, lower(training, plan, accelerator)
    except SpaceError:
        assume(False)
        raise


@settings(max_examples=60, deadline=None)
@given(networks(), machines(), st.integers(1, 40), SCHEDULE_NAMES)
def test_iterations_that_repeat_are_what_playing_them_gives(
    network: LayerGraph, accelerator: Accelerator, batch: int, schedule: str
) -> None:
    _, program = planned(network, accelerator, batch, schedule)
    short, full = (run_analytic(program, accelerator, repeat=repeat) for repeat in (True, False))
    assert replace(short, events=0) == replace(full, events=0)
    assert short.events <= full.events


def test_most_iterations_of_a_serialized_step_repeat() -> None:
    training, accelerator = training_graph(workload("resnet18")), load_accelerator()
    program = lower(training, SCHEDULES["mbs2"].make(training, accelerator, 64), accelerator)
    short, full = (run_analytic(program, accelerator, repeat=repeat).events for repeat in (True, False))
    assert short < full * 2 / 3


def fresh(network: LayerGraph) -> TrainingGraph:
    """A training graph that remembers nothing."""
    return replace(training_graph(network))


@settings(max_examples=40, deadline=None)
@given(networks(), st.lists(st.integers(300, 12_000), min_size=2, max_size=4), st.integers(1, 20), SCHEDULE_NAMES)
def test_a_graph_that_remembers_gives_what_a_fresh_one_gives(
    network: LayerGraph, sizes_kib: list[int], batch: int, schedule: str
) -> None:
    training = fresh(network)
    for size in sizes_kib:
        accelerator = machine(size)
        try:
            known = evaluate(training, schedule, accelerator, batch=2 * batch)
        except SpaceError:
            with pytest.raises(SpaceError):
                evaluate(fresh(network), schedule, accelerator, batch=2 * batch)
            continue
        assert known == evaluate(fresh(network), schedule, accelerator, batch=2 * batch)


MACHINES = (
    "vector.lanes=64",
    "vector.startup=1 cycle",
    "core.array_port=64 B/cycle",
    "core.vector_port=64 B/cycle",
    "core.memory_port=64 B/cycle",
    "core.global_buffer=1 MiB",
    "array.rows=32",
    "array.weight_double_buffering=false",
    "array.weight_load=global",
    "chip.cores=1",
    "chip.clock=1 GHz",
    "memory=lpddr4",
)


@pytest.mark.parametrize("schedule", ["archopt", "mbs2"])
def test_a_graph_that_has_seen_other_machines_gives_what_a_fresh_one_gives(schedule: str) -> None:
    """Every setting changes what the step costs, and none is mistaken for another that the graph remembers."""
    network = workload("resnet18", image=32)
    training, seen = fresh(network), set()
    for setting in (None, *MACHINES, None):
        accelerator = load_accelerator(overrides=[setting] if setting else [])
        point = evaluate(training, schedule, accelerator, batch=16)
        assert point == evaluate(fresh(network), schedule, accelerator, batch=16)
        seen.add((point.step_cycles, point.step_seconds))
    assert len(seen) == len(MACHINES) + 1


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
@pytest.mark.parametrize("engine", ["analytic", "event"])
def test_a_design_point_is_the_totals_of_a_run(schedule: str, engine: str) -> None:
    training = training_graph(workload("resnet18", image=64))
    point = evaluate(training, schedule, batch=16, engine=engine)
    run = simulate(training, schedule, batch=16, engine=engine)
    assert point == Totals(**{each.name: getattr(run, each.name) for each in fields(Totals)})


@settings(max_examples=60, deadline=None)
@given(networks(), machines(), st.integers(1, 20), SCHEDULE_NAMES)
def test_traffic_in_sums_is_traffic_iteration_by_iteration(
    network: LayerGraph, accelerator: Accelerator, batch: int, schedule: str
) -> None:
    plan, _ = planned(network, accelerator, batch, schedule)
    training = training_graph(network)
    for group in plan.groups:
        for direction in (Direction.FORWARD, Direction.BACKWARD):
            placed = place_group(training, group, direction, plan.normalization_passes)
            held = sum({part.tensor.name: part.tensor.nbytes for op in placed for part in (*op.reads, *op.writes)
                        if part.tensor.name in group.held}.values())  # fmt: skip
            space = accelerator.core.global_buffer_bytes - held
            sizes = sub_batches(group, batch)
            moved: Counter[object] = Counter()
            for iteration, samples in enumerate(sizes):
                for operation in placed:
                    blocking = block(operation, accelerator.array, samples, space)
                    for move in transfers(operation, blocking, samples, group.held):
                        if move.happens(iteration, len(sizes)):
                            moved[move.traffic_class, move.write] += move.nbytes
            found = group_traffic(group, placed, accelerator, batch)
            assert {key: nbytes for key, nbytes in found.items() if nbytes} == {k: n for k, n in moved.items() if n}


def test_a_fresh_graph_is_whole() -> None:
    verify_training(fresh(workload("resnet18", image=32)))
