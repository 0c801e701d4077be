"""Does every plan that passes the rules run to its end, however it was cut and whatever it holds on chip?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache, partial

import pytest
from builders import machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_networks import NETWORKS

from wavecore.errors import InputError, PlanError, SpaceError
from wavecore.plan.model import Group, Plan, Residency
from wavecore.plan.rules import HELD_CLASSES, verify_plan
from wavecore.simulation import simulate
from wavecore.training.graph import FusedLayer, TrainingGraph
from wavecore.training.operations import Operation
from wavecore.training.unroll import training_graph

law = partial(settings, deadline=None, suppress_health_check=list(HealthCheck))
LARGEST_BUFFER_BYTES = 1 << 23


@cache
def network(name: str) -> TrainingGraph:
    return training_graph(NETWORKS[name]())


@st.composite
def cuts(draw: st.DrawFn, training: TrainingGraph, batch: int) -> tuple[Group, ...]:
    """Groups of any size, each with any tensors on chip in either direction, and any held."""
    count = len(training.units)
    ends = [*sorted(draw(st.sets(st.integers(1, count - 1), max_size=3))), count]
    groups = []
    for first, end in zip([0, *ends], ends, strict=False):
        units = training.units[first:end]
        tables = [draw(some(touched(units, direction), training)) for direction in ("forward", "backward")]
        held = sorted(
            name
            for name in {*touched(units, "forward"), *touched(units, "backward")}
            if training.tensors[name].tensor_class in HELD_CLASSES and not training.tensors[name].batched
        )
        groups.append(
            Group(
                tuple(unit.name for unit in units),
                draw(st.integers(1, batch)),
                *tables,
                draw(st.frozensets(st.sampled_from(held))) if held else frozenset(),
            )
        )
    return tuple(groups)


def some(names: Iterable[str], training: TrainingGraph) -> st.SearchStrategy[dict[str, Residency]]:
    """Residency of some of the tensors that have samples."""
    batched = sorted(name for name in names if training.tensors[name].batched)
    if not batched:
        return st.just({})
    return st.dictionaries(st.sampled_from(batched), st.sampled_from(Residency))


def touched(units: Iterable[FusedLayer], direction: str) -> set[str]:
    operations: list[Operation] = [op for unit in units for op in getattr(unit, direction)]
    return {name for op in operations for name in (*op.writes, *(use.tensor for use in op.reads))}


@st.composite
def plans(draw: st.DrawFn) -> tuple[TrainingGraph, Plan]:
    """A plan of a small network, whose backward is often cut on its own."""
    training = network(draw(st.sampled_from(sorted(NETWORKS))))
    batch = draw(st.integers(1, 6))
    groups = draw(cuts(training, batch))
    plan = Plan(training.name, "mine", batch, True, groups, draw(st.integers(1, 2)))
    if draw(st.booleans()):
        plan = replace(
            plan,
            groups=only(training, groups, "forward"),
            backward_groups=only(training, draw(cuts(training, batch)), "backward"),
        )
    return training, plan


def only(training: TrainingGraph, groups: tuple[Group, ...], direction: str) -> tuple[Group, ...]:
    """The groups with what they have in one direction."""
    other = "backward" if direction == "forward" else "forward"
    units = [[training.units[training.unit_index[name]] for name in group.units] for group in groups]
    return tuple(
        replace(group, held=group.held & touched(own, direction), **{other: {}})
        for group, own in zip(groups, units, strict=True)
    )


def smallest_buffer_bytes(training: TrainingGraph, plan: Plan) -> int:
    """The smallest buffer in which the rules let a plan run, by bisection."""
    small, large = 0, LARGEST_BUFFER_BYTES
    verify_plan(training, plan, machine(f"core.global_buffer={large} B"))
    while large - small > 1:
        middle = (small + large) // 2
        try:
            verify_plan(training, plan, machine(f"core.global_buffer={middle} B"))
            large = middle
        except PlanError:
            small = middle
    return large


@law(max_examples=40)
@given(plans(), st.integers(0, 4096))
def test_a_plan_that_passes_never_halts(drawn: tuple[TrainingGraph, Plan], more: int) -> None:
    training, plan = drawn
    least = smallest_buffer_bytes(training, plan)
    for buffer_bytes in (least, least + more):
        accelerator = machine(f"core.global_buffer={buffer_bytes} B")
        try:
            verify_plan(training, plan, accelerator)
        except PlanError:  # more room may choose another loop order, which needs more still
            continue
        event, analytic = (simulate(training, plan, accelerator, engine=engine) for engine in ("event", "analytic"))
        assert event.dram_bytes == analytic.dram_bytes


@law(max_examples=20)
@given(plans())
def test_engines_refuse_alike(drawn: tuple[TrainingGraph, Plan]) -> None:
    training, plan = drawn
    accelerator = machine(f"core.global_buffer={smallest_buffer_bytes(training, plan) - 1} B")
    messages: set[tuple[type[InputError], str]] = set()
    for engine in ("event", "analytic"):
        with pytest.raises((PlanError, SpaceError)) as caught:
            simulate(training, plan, accelerator, engine=engine)
        messages.add((type(caught.value), caught.value.message))
    assert len(messages) == 1
